"""A working folder full of traps springs none, nobody else is told, and nothing is written but what was asked for."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
import soundfile
from tests_of_trust import RATE, Run, sing, write_takes

from moksori import surroundings
from moksori.generation.engine import trial
from moksori.workers import pool

VOICE = Path(surroundings.__file__).parent / "voices" / "first.safetensors"
MODULES = ("torch", "numpy", "json", "sitecustomize", "librosa", "yaml", "numba", "soundfile", "moksori", "encodings")


def lay_traps(folder: Path) -> Path:
    """Files that run when imported, and settings that dependencies would obey; what is sprung leaves a mark."""
    folder.mkdir(exist_ok=True)
    mark = folder.parent / "sprung"
    for name in MODULES:
        trap = f"open({str(mark)!r}, 'a').write({name!r} + ' ')\nraise SystemExit('a trap')\n"
        (folder / f"{name}.py").write_text(trap, encoding="utf-8")
    (folder / "matplotlibrc").write_text("text.usetex: True\nfigure.dpi: 5\n", encoding="utf-8")
    planted = folder / "planted"
    (folder / ".numba_config.yaml").write_text(f"cache_dir: {planted}\nopt: 0\n", encoding="utf-8")
    (folder / "pyproject.toml").write_text("[tool.pytest\n", encoding="utf-8")
    (folder / ".env").write_text(f"MOKSORI_CACHE={planted}\n", encoding="utf-8")
    return mark


@pytest.mark.kind("A")
def test_a_folder_full_of_traps_springs_none_and_is_not_obeyed(tmp_path: Path, run: Run) -> None:
    """`moksori doctor` once ran a `torch.py` that lay there; a page was lost to a `matplotlibrc`."""
    here = tmp_path / "here"
    mark = lay_traps(here)
    soundfile.write(here / "song.wav", sing(1.5), RATE)
    for verb in (["info", VOICE], ["convert", "song.wav", "-s", "kumi", "--page", "page.html"]):
        done = run(*verb, cwd=here, MOKSORI_CACHE=str(tmp_path / "cache"))
        assert done.returncode == 0, done.stderr
    assert not mark.exists(), mark.read_text(encoding="utf-8")
    assert "<svg" in (here / "page.html").read_text(encoding="utf-8")


@pytest.mark.kind("A")
def test_the_trial_of_the_engine_looks_for_nothing_in_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is started with a real interpreter, here one that only says what it would import, and from where."""
    here = tmp_path / "here"
    mark = lay_traps(here)
    monkeypatch.chdir(here)
    monkeypatch.setattr(trial, "_TRIAL", "import sys, json, os; sys.exit('at ' + os.getcwd() + ' with ' + sys.path[0])")
    found = trial._try_tier("")
    assert f"at {surroundings.compiled_folder()}" in found.reason, found.reason
    assert not mark.exists()


@pytest.mark.kind("A")
@pytest.mark.slow
def test_a_new_machine_tries_the_engine_in_a_folder_full_of_traps(tmp_path: Path, run: Run) -> None:
    here = tmp_path / "here"
    mark = lay_traps(here)
    done = run("doctor", cwd=here, MOKSORI_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0 and "it will be tried again" not in done.stdout, done.stdout
    assert not mark.exists() and not (here / "planted").exists()
    assert any((tmp_path / "cache" / "engine").iterdir())


@pytest.mark.kind("A")
def test_numba_takes_its_settings_from_no_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = pytest.importorskip("numba.core.config")
    lay_traps(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "elsewhere"))  # as little as those of the environment
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "elsewhere"))  # numba was imported before
    surroundings.before_numba()
    assert str(surroundings.compiled_folder()) == config.CACHE_DIR
    config.reload_config()
    assert str(surroundings.compiled_folder()) == config.CACHE_DIR
    assert int(config.OPT) == 3


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the cache would be; nothing is settled yet."""
    monkeypatch.setenv(surroundings.CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(surroundings, "compiled_folder", surroundings.compiled_folder.__wrapped__)
    return tmp_path / "cache" / "engine"


def test_compiled_code_lies_in_a_folder_of_ones_own(cache: Path) -> None:
    assert surroundings.compiled_folder() == cache
    assert cache.stat().st_mode & 0o777 == 0o700


@pytest.mark.kind("A")
@pytest.mark.skipif(sys.platform == "win32", reason="no modes")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o1777, 0o702, 0o755])
def test_a_folder_that_others_may_enter_or_write_is_not_used(cache: Path, mode: int) -> None:
    cache.mkdir(parents=True)
    cache.chmod(mode)
    found = surroundings.compiled_folder()
    assert found != cache and found.stat().st_mode & 0o777 == 0o700


@pytest.mark.kind("A")
def test_a_link_is_not_used_wherever_it_leads(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "own").mkdir(mode=0o700)
    cache.parent.mkdir()
    cache.symlink_to(tmp_path / "own")
    assert surroundings.compiled_folder() != cache


@pytest.mark.kind("A")
@pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners")
def test_a_folder_of_somebody_else_is_not_used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.mkdir(parents=True, mode=0o700)
    me = os.getuid()
    monkeypatch.setattr(surroundings.os, "getuid", lambda: me + 1)
    assert not surroundings.is_ours_alone(cache)
    assert surroundings.compiled_folder() != cache


def test_without_a_writable_place_there_is_a_temporary_one(cache: Path) -> None:
    cache.parent.write_text("a file where the folder should be", encoding="utf-8")
    found = surroundings.compiled_folder()
    assert found.is_dir() and surroundings.is_ours_alone(found)


@pytest.mark.kind("P")
@pytest.mark.parametrize(
    ("precisions", "words"), [(("float32",), "compiled anew at each call"), ((), "torch does the work of the engine")]
)
def test_what_makes_the_work_slow_is_told(
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    precisions: tuple[str, ...],
    words: str,
) -> None:
    """Torch did the work at four times the price, at each call, and nothing was said."""
    if precisions:
        cache.parent.write_text("a file where the folder should be", encoding="utf-8")
    monkeypatch.setattr(trial, "try_out", lambda: trial.Verdict(precisions=precisions, reason="no such instruction"))
    trial.verdict.__wrapped__()
    (printed,) = [record.getMessage() for record in caplog.records]
    assert words in printed and (surroundings.CACHE_VARIABLE if precisions else "no such instruction") in printed


@pytest.mark.kind("A")
def test_an_empty_home_stays_empty(tmp_path: Path, home: Path, run: Run) -> None:
    """Onnxruntime once wrote a device id and a database there, and looked up a host to tell it to."""
    song = tmp_path / "song.wav"
    soundfile.write(song, sing(1.0), RATE)
    cache = tmp_path / "cache"
    for verb in (
        ["info", VOICE],
        ["convert", song, "-s", "kumi"],
        ["prepare", write_takes(tmp_path / "takes"), "-o", tmp_path / "data"],
    ):
        done = run(*verb, cwd=tmp_path, MOKSORI_CACHE=str(cache))
        assert done.returncode == 0, done.stderr
    assert sorted(home.rglob("*")) == []


@pytest.mark.kind("A")
def test_an_import_of_the_library_forbids_telemetry_before_anything_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ORT_DISABLE_TELEMETRY", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    surroundings.forbid_telemetry()
    assert os.environ["ORT_DISABLE_TELEMETRY"] == os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


@pytest.mark.kind("A")
def test_no_verb_opens_a_socket_or_looks_up_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: whatever would ask a resolver or connect, ends the test."""
    import moksori

    def refused(*arguments: object, **named: object) -> None:
        raise AssertionError(f"a look-up: {arguments}")

    for name in ("getaddrinfo", "gethostbyname", "create_connection"):
        monkeypatch.setattr(socket, name, refused)
    monkeypatch.setattr(socket.socket, "connect", refused)
    moksori.load().convert(sing(1.0), RATE, singer="kumi")


@pytest.mark.kind("P")
@pytest.mark.parametrize(
    ("text", "expected"), [("150000 100000", 2), ("50000 100000", 1), ("max 100000", 64), ("", 64)]
)
def test_a_container_has_as_many_cores_as_it_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, expected: int
) -> None:
    """A thread for each core of a large machine made the work of two cores slower without a word."""
    (tmp_path / "cpu.max").write_text(text, encoding="utf-8")
    monkeypatch.setattr(pool, "_QUOTA", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    monkeypatch.delenv(pool.CORES_VARIABLE, raising=False)
    assert pool.n_cores() == expected
