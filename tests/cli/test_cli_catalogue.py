"""`--ray`: catalogues from the command line, without Ray, on Ray, and behind URLs of an S3 server."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from calling import Moksori, write_song

from moksori import checkpoint
from moksori.checkpoint import Provenance
from moksori.cli import catalogue
from moksori.conversion import load
from moksori.data.corpus import Corpus
from moksori.evaluation import conversions, pairs
from moksori.evaluation.conversions import Options
from moksori.evaluation.judges import singer as singer_judge
from moksori.evaluation.pairs import Texts
from moksori.models.source_filter_model import SourceFilterModel
from moksori.workers import actors
from moksori.workers.places import Place

needs_ray = pytest.mark.skipif(not actors.is_installed(), reason="Ray is not installed: pip install 'moksori[ray]'")
S3 = ("moto", "s3fs", "flask", "flask_cors")
needs_s3 = pytest.mark.skipif(
    not all(map(find_spec, S3)), reason="no S3 server to test with: pip install s3fs 'moto[s3]' flask flask-cors"
)


@pytest.fixture
def swift_file(tiny_swift: SourceFilterModel, tmp_path: Path) -> Path:
    path = tmp_path / "swift.safetensors"
    checkpoint.write_model(path, tiny_swift, Provenance("moksori 0", "tiny", 7, 3.0, "f" * 64))
    return path


@pytest.fixture
def songs(tmp_path: Path) -> Path:
    for name in ("a/one.wav", "a/two.wav", "three.flac"):
        write_song(tmp_path / "songs" / name, 2000)
    return tmp_path / "songs"


def content(folder: Path) -> dict[str, bytes]:
    """Sounds below a folder, by name."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix in (".wav", ".flac")
    }


class TestOff:
    def test_results_are_those_of_a_plain_call_and_a_second_call_has_nothing_to_do(
        self, moksori: Moksori, swift_file: Path, songs: Path, tmp_path: Path
    ) -> None:
        plain, out = tmp_path / "plain", tmp_path / "out"
        assert moksori("convert", songs, "-m", swift_file, "-s", "bass", "-o", plain).code == 0
        done = moksori("convert", songs, "-m", swift_file, "-s", "bass", "-o", out, "--ray", "off", "--workers", 2)
        assert (done.code, len(done.out.splitlines())) == (0, 3)
        assert content(out) == content(plain) and len(content(out)) == 3
        again = moksori("convert", songs, "-m", swift_file, "-s", "bass", "-o", out, "--ray", "off")
        assert (again.code, again.out) == (0, "") and "3 of 3 are there already" in again.err

    def test_a_voice_of_codes_shares_its_streams_and_changes_nothing(
        self, moksori: Moksori, model_file: Path, songs: Path, tmp_path: Path
    ) -> None:
        plain, out = tmp_path / "plain", tmp_path / "out"
        command = ("convert", songs, "-m", model_file, "-s", "bass", "--backend", "streaming")  # compiles nothing
        assert moksori(*command, "-o", plain).code == 0
        assert moksori(*command, "-o", out, "--ray", "off").code == 0
        assert content(out) == content(plain) and len(content(out)) == 3

    def test_what_fails_is_listed_and_a_later_call_makes_up_for_it(
        self, moksori: Moksori, swift_file: Path, songs: Path, tmp_path: Path
    ) -> None:
        bad, out = songs / "bad.wav", tmp_path / "out"
        bad.write_bytes(b"RIFF")
        command = ("convert", songs, "-m", swift_file, "-s", "bass,tenor", "-o", out, "--ray", "off", "--json")
        done = moksori(*command)
        assert done.code == 7 and "6 of 8 songs are converted; 2 failed" in done.err
        rows = [json.loads(line) for line in (out / "failed.jsonl").read_text(encoding="utf-8").splitlines()]
        assert [row["source"] for row in rows] == [str(bad)] * 2
        assert sorted("error" in json.loads(line) for line in done.out.splitlines()) == [False] * 6 + [True] * 2
        write_song(bad, 2000)
        done = moksori(*command)
        assert (done.code, len(done.out.splitlines())) == (0, 2)
        assert not (out / "failed.jsonl").exists()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--page", "x.html"], "--page is for single songs"),
            ([], "a catalogue needs -o OUT"),
            (["-o", "SONG"], "is a file; name a folder"),
        ],
    )
    def test_what_a_catalogue_cannot_have_is_refused(
        self, moksori: Moksori, swift_file: Path, songs: Path, arguments: list[str], message: str
    ) -> None:
        given = [str(songs / "three.flac") if argument == "SONG" else argument for argument in arguments]
        done = moksori("convert", songs, "-m", swift_file, "-s", "bass", "--ray", "off", *given)
        assert done.code == 1 and message in done.err

    def test_workers_are_for_catalogues(self, moksori: Moksori, swift_file: Path, songs: Path) -> None:
        done = moksori("convert", songs, "-m", swift_file, "-s", "bass", "--workers", 2)
        assert done.code == 1 and "--workers is for a catalogue" in done.err

    def test_local_does_without_ray_where_it_is_not_installed(
        self, moksori: Moksori, swift_file: Path, songs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(actors, "is_installed", lambda: False)
        done = moksori("convert", songs, "-m", swift_file, "-s", "bass", "-o", tmp_path / "out", "--ray", "local")
        assert done.code == 0 and "Ray is not installed" in done.err and len(content(tmp_path / "out")) == 3
        done = moksori("convert", songs, "-m", swift_file, "-s", "bass", "-o", tmp_path / "out", "--ray", "auto")
        assert done.code == 1 and "pip install 'moksori[ray]'" in done.err


def test_prepare_from_a_url_gives_the_corpus_of_the_folder(moksori: Moksori, tmp_path: Path) -> None:
    place = Place.of(f"memory://{secrets.token_hex(4)}")
    rng = np.random.default_rng(0)
    for name in ("mina/1.wav", "mina/2.wav", "jun/deep/1.wav", "jun/notes.txt"):
        path = write_song(tmp_path / "songs" / name, int(rng.integers(8000, 9000)), 8000) if name[-1] == "v" else None
        if path is None:
            (tmp_path / "songs" / name).write_text("la", encoding="utf-8")
        place.write(name, (tmp_path / "songs" / name).read_bytes())
    by_folder = moksori("prepare", tmp_path / "songs", "-o", tmp_path / "a", "--rate", 8000)
    by_url = moksori("prepare", place.root, "-o", tmp_path / "b", "--rate", 8000, "--ray", "off", "--workers", 2)
    assert (by_folder.code, by_url.code) == (0, 0), by_url.err
    corpora = [Corpus.load(tmp_path / name) for name in ("a", "b")]
    assert corpora[0].recordings == corpora[1].recordings and corpora[0].skipped == corpora[1].skipped
    assert len(corpora[0].recordings) == 3


def test_prepare_into_a_url_goes_on_there(moksori: Moksori, tmp_path: Path) -> None:
    out = Place.of(f"memory://{secrets.token_hex(4)}/data")
    for number in range(3):
        write_song(tmp_path / "songs" / "mina" / f"{number}.wav", 8000 + 10 * number, 8000)
    command = ("prepare", tmp_path / "songs", "-o", out.root, "--rate", 8000)
    done = moksori(*command)
    assert done.code == 0 and f"Prepared in {out.root}. Training wants a folder" in done.out
    assert moksori("prepare", tmp_path / "songs", "-o", tmp_path / "data", "--rate", 8000).code == 0
    assert {name: out.read(name) for name in out.listing().n_bytes} == {
        path.relative_to(tmp_path / "data").as_posix(): path.read_bytes()
        for path in (tmp_path / "data").rglob("*")
        if path.is_file() and path.name != ".lock"
    }
    (tmp_path / "songs" / "mina" / "0.wav").unlink()
    write_song(tmp_path / "songs" / "mina" / "9.wav", 9000, 8000)
    again = moksori(*command)
    assert again.code == 0 and f"fetching {out.root}: " in again.err
    assert moksori("prepare", tmp_path / "songs", "-o", tmp_path / "data", "--rate", 8000).code == 0
    assert out.read("manifest.json") == (tmp_path / "data" / "manifest.json").read_bytes()
    sounds = [name for name in out.listing().n_bytes if name.endswith(".flac")]
    assert len(sounds) == 3  # that of the recording that is gone is gone


@pytest.mark.parametrize(
    "command", [("prepare", "SONGS", "-o", "s3://b/data"), ("evaluate", "x.safetensors", "DATA", "-o", "s3://b/report")]
)
def test_a_cluster_cannot_see_a_copy(
    moksori: Moksori, swift_file: Path, songs: Path, tiny_corpus: Corpus, command: tuple[str, ...]
) -> None:
    given = {"SONGS": songs, "DATA": tiny_corpus.folder, "x.safetensors": swift_file}
    done = moksori(*(given.get(word, word) for word in command), "--ray", "auto")
    assert done.code == 1 and "name a folder that all of them share, or take --ray local" in done.err


def test_conversions_that_others_make_for_judges_are_those_of_the_voice(
    tiny_corpus: Corpus, swift_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What `evaluate --ray local` does before it judges; here without Ray, by the cores of this machine."""
    monkeypatch.setattr(actors, "is_installed", lambda: False)
    voice, found = load(swift_file), {}
    for ray in (None, "local"):
        folder = tmp_path / str(ray)
        chosen = pairs.held_out(tiny_corpus, "test", 1, folder, Texts.load(None))
        chosen = [replace(pair, target_singer={"bass": "bass"}.get(pair.target_singer, "tenor")) for pair in chosen]
        with catalogue.files_converter(ray, swift_file, voice, [folder], 2) as convert_files:
            assert (convert_files is None) is (ray is None)
            conversions.convert(voice, chosen, folder, Options(), lambda progress: None, "", convert_files)
        found[ray] = content(folder)
    assert found[None] == found["local"] and len(found[None]) == len(chosen) > 1


@pytest.mark.parametrize("ray", [[], ["--ray", "off"]])
def test_workers_of_an_evaluation_are_rays(moksori: Moksori, tmp_path: Path, ray: list[str]) -> None:
    done = moksori("evaluate", "model.safetensors", tmp_path, "-o", tmp_path / "out", "--workers", 2, *ray)
    assert done.code == 1 and "--workers is for Ray's; add --ray local" in done.err


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """An S3 server on this machine, with a bucket `music`; its address is in the environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{port}",
    }
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    server = subprocess.Popen(
        [sys.executable, "-c", f"from moto.server import main; main(['-p', '{port}'])"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        import fsspec

        for _ in range(100):
            try:
                fsspec.filesystem("s3").mkdir("music")
                break
            except Exception:
                time.sleep(0.3)
        yield "s3://music"
    finally:
        server.terminate()
        server.wait()
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.mark.slow
@needs_s3
def test_a_catalogue_from_s3_to_s3_has_the_bytes_of_folders(
    moksori: Moksori, swift_file: Path, songs: Path, tmp_path: Path, s3: str
) -> None:
    source = Place.of(f"{s3}/songs")
    for path in sorted(songs.rglob("*.*")):
        source.write(path.relative_to(songs).as_posix(), path.read_bytes())
    plain = tmp_path / "plain"
    assert moksori("convert", songs, "-m", swift_file, "-s", "bass", "-o", plain).code == 0
    command = ("convert", source.root, "-m", swift_file, "-s", "bass", "-o", f"{s3}/sung")
    done = moksori(*command)
    assert (done.code, len(done.out.splitlines())) == (0, 3), done.err
    out = Place.of(f"{s3}/sung")
    assert {name: out.read(name) for name in out.listing().n_bytes if name != "catalogue.json"} == content(plain)
    out.remove(["a/two.bass.wav"])  # as if the first call had been interrupted
    again = moksori(*command)
    assert again.out == f"{s3}/songs/a/two.wav -> {s3}/sung/a/two.bass.wav (0 s of sound)\n"
    assert out.read("a/two.bass.wav") == (plain / "a" / "two.bass.wav").read_bytes()


@pytest.mark.slow
@needs_s3
def test_data_prepared_on_s3_are_those_of_a_folder_and_go_on_there(moksori: Moksori, tmp_path: Path, s3: str) -> None:
    out = Place.of(f"{s3}/data")
    for number in range(12):  # more than are under way at a time
        write_song(tmp_path / "songs" / "mina" / f"{number}.wav", 8000 + 10 * number, 8000)
    for folder in (out.root, tmp_path / "data"):
        assert moksori("prepare", tmp_path / "songs", "-o", folder, "--rate", 8000).code == 0
    clips = content(tmp_path / "data")
    assert {name: out.read(name) for name in out.listing().n_bytes if name.endswith(".flac")} == clips and clips
    (tmp_path / "songs" / "mina" / "0.wav").unlink()
    for folder in (out.root, tmp_path / "data"):
        assert moksori("prepare", tmp_path / "songs", "-o", folder, "--rate", 8000).code == 0
    assert out.read("manifest.json") == (tmp_path / "data" / "manifest.json").read_bytes()
    assert {name for name in out.listing().n_bytes if name.endswith(".flac")} == set(content(tmp_path / "data"))


@pytest.mark.slow
@needs_ray
def test_of_two_hundred_songs_none_is_lost_and_none_done_twice_though_a_worker_is_killed(
    moksori: Moksori, swift_file: Path, tmp_path: Path
) -> None:
    songs, out = tmp_path / "songs", tmp_path / "out"
    first = write_song(songs / "000.wav", 20_000)
    for number in range(1, 200):
        shutil.copy(first, songs / f"{number:03d}.wav")
    command = [sys.executable, "-m", "moksori", "convert", songs, "-m", swift_file, "-s", "bass", "-o", out]
    process = subprocess.Popen(
        [*map(str, command), "--ray", "local", "--workers", "2", "--json"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(json.loads(line))
        if len(lines) == 20:
            os.kill(_a_worker_of(process.pid), signal.SIGKILL)
    assert process.wait() == 0
    assert sorted(line["source"] for line in lines) == [str(songs / f"{number:03d}.wav") for number in range(200)]
    found = content(out)
    assert len(found) == 200 and len(set(found.values())) == 1
    alone = tmp_path / "alone.wav"
    assert moksori("convert", first, "-m", swift_file, "-s", "bass", "-o", alone).code == 0
    assert set(found.values()) == {alone.read_bytes()}
    assert not list(out.rglob(".*.part"))


def _a_worker_of(pid: int) -> int:
    """The process of one of the Ray actors below a process."""
    parents, actors = {}, []
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if (folder / "cmdline").read_bytes().startswith(b"ray::_Holder"):
                    actors.append(int(folder.name))
            except OSError:
                continue
    for actor in actors:
        above = actor
        while above in parents:
            above = parents[above]
            if above == pid:
                return actor
    raise AssertionError("no worker")


@pytest.mark.slow
@needs_ray
def test_prepare_by_ray_gives_the_same_corpus(moksori: Moksori, tmp_path: Path) -> None:
    for name in ("mina/1.wav", "mina/2.wav", "jun/1.wav"):
        write_song(tmp_path / "songs" / name, 8000 + 100 * len(name), 8000)
    for out, ray in (("a", []), ("b", ["--ray", "local", "--workers", 2])):
        assert moksori("prepare", tmp_path / "songs", "-o", tmp_path / out, "--rate", 8000, *ray).code == 0
    assert Corpus.load(tmp_path / "a").recordings == Corpus.load(tmp_path / "b").recordings
    clips = {name: content(tmp_path / name) for name in ("a", "b")}
    assert clips["a"] == clips["b"] and clips["a"]


@pytest.mark.slow
@needs_ray
def test_evaluate_by_ray_gives_the_same_report(
    moksori: Moksori, tiny_corpus: Corpus, tiny_recipe_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(singer_judge, "_N_STEPS", 20)
    monkeypatch.setattr(singer_judge, "_N_CLIPS", 4)
    run = tmp_path / "run"
    assert moksori("train", tiny_corpus.folder, "-o", run, "-r", tiny_recipe_file, "--max-steps", 1).code == 0
    rows = []
    for name, ray in (("plain", []), ("by-ray", ["--ray", "local"])):
        printed = moksori("evaluate", run, tiny_corpus.folder, "-o", tmp_path / name, "--clips", 1, *ray, "--json")
        assert printed.code == 0, printed.err
        rows.append(json.loads(printed.out)["rows"])
    sounds = [content(tmp_path / name / "audio") for name in ("plain", "by-ray")]
    assert sounds[0] == sounds[1] and len(sounds[0]) >= 4
    assert rows[0] == rows[1]
