"""Hostile files, names and places, as a user meets them: through the command."""

from __future__ import annotations

import json
import os
import pickle
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import forging
import numpy as np
import pytest
import soundfile
from click.testing import Result
from tests_of_trust import RATE, Limited, Run, sing, write_takes
from tiny_recipes import TINY_SWIFT
from typer.testing import CliRunner

from moksori import checkpoint, presets
from moksori.audio import f0_file, files
from moksori.cli.app import app
from moksori.data.corpus import Corpus
from moksori.data.prepare import prepare
from moksori.data.prepare_config import PrepareConfig
from moksori.errors import UserError
from moksori.evaluation.pairs import Texts
from moksori.evaluation.report import data as reports
from moksori.training import recipe as recipes
from moksori.training.folder import RunFolder


class Bomb:
    """Leaves a mark when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._marker,))


READERS = {
    "model": checkpoint.read_model,
    "state": lambda path: checkpoint.read(path, "training-state"),
    "sound": files.read,
    "recipe": lambda path: recipes.load(str(path)),
    "melody": f0_file.read,
    "presets": lambda path: presets.of(path),
    "report": reports.load,
    "texts": Texts.load,
    "data": lambda path: Corpus.load(path.parent),
}
SUFFIXES = ("safetensors", "pt", "ckpt", "bin", "json", "toml", "wav", "flac", "csv", "npy")


@pytest.mark.parametrize("reader", READERS)
def test_a_bomb_under_any_suffix_goes_off_in_no_reader(tmp_path: Path, reader: str, record_property: Any) -> None:
    marker = tmp_path / "ran"
    bomb = pickle.dumps(Bomb(marker))
    for suffix in SUFFIXES:
        path = tmp_path / ("manifest.json" if reader == "data" else f"bomb.{suffix}")
        path.write_bytes(bomb)
        if reader == "presets":
            presets.beside(path).write_bytes(bomb)
        with pytest.raises(UserError):
            READERS[reader](path)
    assert not marker.exists()
    pickle.loads(bomb)
    assert marker.exists()  # it was a live one
    record_property("bad_inputs", len(SUFFIXES))


HOLD = """
import sys, time
from pathlib import Path
from moksori.training.folder import RunFolder
with RunFolder(Path(sys.argv[1])).lock():
    print("locked", flush=True)
    time.sleep(600)
"""


@pytest.mark.kind("J")
@pytest.mark.skipif(sys.platform == "win32", reason="no locks of files there")
def test_a_second_training_in_one_folder_is_refused_and_the_lock_goes_with_its_process(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    first = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        assert first.stdout is not None and first.stdout.readline() == b"locked\n"
        with pytest.raises(UserError, match="another training is writing here"), folder.lock():
            pass
        first.send_signal(signal.SIGKILL)
        first.wait()
        with folder.lock():
            pass
    finally:
        first.kill()
        first.communicate()


def _claiming(path: Path, kind: str) -> None:
    """A sound file of a second whose header claims 10^12 samples."""
    soundfile.write(path, sing(1.0), RATE, **{"wav": {"subtype": "FLOAT"}}.get(kind, {}))
    content = bytearray(path.read_bytes())
    if kind == "wav":
        content[4:8] = struct.pack("<I", 2**32 - 1)
        place = content.index(b"data")
        content[place + 4 : place + 8] = struct.pack("<I", 2**32 - 2)
    elif kind == "flac":  # 36 bits of STREAMINFO count the samples; 10^12 wraps, so all of them are set
        content[21] |= 0x0F
        content[22:26] = b"\xff" * 4
    elif kind == "w64":
        place = content.index(b"data\xf3\xac\xd3\x11")
        content[place + 16 : place + 24] = struct.pack("<Q", 4 * 10**12)
    elif kind == "au":
        content[8:12] = struct.pack(">I", 2**32 - 2)
    path.write_bytes(content)


def test_a_container_that_claims_a_trillion_samples_costs_no_memory(
    tmp_path: Path, limited: Limited, record_property: Any
) -> None:
    kinds = ("wav", "flac", "w64", "au")
    for kind in kinds:
        _claiming(tmp_path / f"song.{kind}", kind)
    done = limited(
        "import sys\n"
        "from pathlib import Path\n"
        "from moksori.audio import files\n"
        "from moksori.errors import UserError\n"
        "files.read(Path(sys.argv[2]))\n"
        "limit(400)\n"
        "for path in sorted(Path(sys.argv[1]).glob('song.*')):\n"
        "    try:\n"
        "        print(path.suffix, sum(len(block) for block in files.read_mono_blocks(path)))\n"
        "    except UserError as error:\n"
        "        print(path.suffix, 'refused')\n",
        tmp_path,
        _plain(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    answer = dict(line.split() for line in done.stdout.splitlines())
    assert answer.keys() == {f".{kind}" for kind in kinds}
    assert all(found == "refused" or int(found) <= 2 * RATE for found in answer.values()), answer
    record_property("bad_inputs", len(kinds))


def _plain(folder: Path) -> Path:
    soundfile.write(folder / "plain.wav", sing(0.5), RATE)
    return folder / "plain.wav"


ODD = {
    "path": "..%2f..",
    "html": "<script>alert(1)</script>",
    "escape": "\x1b[2J\x1b]0;owned\x07",
    "right to left": "an\u202ea\u2066",
    "newline": "ana\nmoksori: done",
    "quotes": "'\"`$(touch x);|&",
    "long": "é" * 127,
    "emoji": "🎤" * 20,
}


def moksori(*arguments: object) -> Result:
    """The command in this process; a `UserError` is its exception."""
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of recordings that are odd, or none; those that hold a song have `song` in their name."""
    folder = tmp_path_factory.mktemp("hostile")
    song = sing(0.6)
    plain = _written(folder / "song.wav", song)
    for name, rate, subtype in (
        ("8 kHz", 8000, "PCM_16"), ("192 kHz", 192_000, "PCM_24"), ("u8", RATE, "PCM_U8"), ("s24", RATE, "PCM_24"),
        ("f64", RATE, "DOUBLE"), ("s32", RATE, "PCM_32"),
    ):  # fmt: skip
        _written(folder / f"song {name}.wav", np.repeat(song, max(1, rate // RATE)), rate, subtype)
    _written(folder / "song 8 channels.wav", np.repeat(song[:, None], 8, axis=1))
    _written(folder / "one sample.wav", song[:1])
    _written(folder / "nan.wav", np.where(np.arange(len(song)) == 5000, np.nan, song), RATE, "FLOAT")
    _written(folder / "infinite.wav", np.where(np.arange(len(song)) > 5000, np.inf, song), RATE, "FLOAT")
    (folder / "song cut.wav").write_bytes(plain[: len(plain) // 2])
    (folder / "song lying.wav").write_bytes(plain[:4] + b"\xff" * 4 + plain[8:40] + b"\xff" * 4 + plain[44:])
    (folder / "header.wav").write_bytes(plain[:44])
    (folder / "half a header.wav").write_bytes(plain[:20])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.wav").write_text("la la la", encoding="utf-8")
    (folder / "folder.wav").mkdir()
    os.mkfifo(folder / "pipe.wav")
    (folder / "loop.wav").symlink_to(folder / "loop.wav")
    (folder / "nowhere.wav").symlink_to(folder / "nothing.wav")
    return folder


def _written(path: Path, samples: Any, rate: int = RATE, subtype: str = "PCM_16") -> bytes:
    soundfile.write(path, samples, rate, subtype)
    return path.read_bytes()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs")
def test_hostile_files_are_converted_or_named_and_stop_nothing(
    hostile: Path, tmp_path: Path, record_property: Any
) -> None:
    given = sorted(hostile.iterdir())
    done = moksori("convert", *given, "-s", "kumi", "-o", tmp_path / "out", "--json")
    answer = {Path(line["source"]).name: line for line in map(json.loads, done.stdout.splitlines())}
    assert done.exit_code == 7 and answer.keys() == {path.name for path in given}, done.exception
    for name, line in answer.items():
        is_song = "song" in name or name == "one sample.wav"
        assert ("result" in line) == is_song and ("error" in line) != is_song, line
        if is_song:
            assert soundfile.info(line["result"]).frames == line["n_samples"]
            assert np.isfinite(soundfile.read(line["result"])[0]).all()
    again = moksori("convert", hostile, "-s", "kumi", "-o", tmp_path / "again", "--json")
    found = [Path(json.loads(line)["source"]).name for line in again.stdout.splitlines()]
    assert again.exit_code == 7 and sorted(found) == sorted(answer.keys() - {"folder.wav"})  # which is a folder
    record_property("bad_inputs", len(given))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs")
def test_hostile_takes_are_prepared_or_listed(hostile: Path, tmp_path: Path, record_property: Any) -> None:
    (tmp_path / "takes").mkdir()
    (tmp_path / "takes" / "ana").symlink_to(hostile)
    corpus = prepare(tmp_path / "takes", tmp_path / "data", PrepareConfig(workers=1, min_seconds=0.2))
    listed = {Path(skip.source).name: skip.reason for skip in corpus.skipped}
    kept = {Path(recording.source).name for recording in corpus.recordings}
    for path in hostile.iterdir():
        if path.name != "folder.wav":
            assert (path.name in kept) != (path.name in listed), path.name
            assert path.name in kept or "song" not in path.name or "same sound" in listed[path.name], listed[path.name]
    assert all(listed.values())
    record_property("bad_inputs", len(list(hostile.iterdir())))


def test_odd_names_are_text_in_the_terminal_the_page_and_the_tables(tmp_path: Path, record_property: Any) -> None:
    """Names of songs in `convert --page`, and of singers and terms in `info`."""
    songs = []
    for name in ODD.values():
        song = tmp_path / f"{name.replace('/', '_')}.wav"
        try:
            soundfile.write(str(song), sing(0.3), RATE)
        except (OSError, soundfile.SoundFileError):  # longer than the file system allows
            continue
        songs.append(song)
    done = moksori("convert", *songs, "-s", "kumi", "-o", tmp_path / "out", "--page", tmp_path / "page.html")
    assert done.exit_code == 0, done.exception
    for said in (done.stdout, done.stderr):
        assert "\x1b" not in said and "\x07" not in said and "\u202e" not in said, said
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "<script>alert(1)" not in page and "&lt;script&gt;alert(1)" in page
    assert sorted(path.parent for path in (tmp_path / "out").rglob("*.wav")) == [tmp_path / "out"] * len(songs)
    assert not (tmp_path / "x").exists()

    tensors, header = forging.honest(forging.configs()["features"])
    header["singers"] = json.dumps([ODD["escape"], ODD["html"] + ODD["right to left"]])
    header["provenance"] = json.dumps({"licence_note": ODD["escape"] + ODD["newline"], "recipe": ODD["escape"]})
    forging.forge(tmp_path / "m.safetensors", tensors, header)
    done = moksori("info", tmp_path / "m.safetensors")
    said = done.stdout + done.stderr + str(done.exception or "")
    assert "\x1b" not in said and "\x07" not in said and "\u202e" not in said
    record_property("bad_inputs", len(songs) + 2)


PLAIN = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "PYTHONIOENCODING": ""}


def test_a_locale_without_letters_loses_no_name(tmp_path: Path, run: Run) -> None:
    takes = write_takes(tmp_path / "takes", n_takes=1, seconds=1.0)
    (takes / "ana").rename(takes / "민호")
    done = run("prepare", takes, "-o", tmp_path / "data", **PLAIN)
    assert done.returncode == 0, done.stderr
    assert Corpus.load(tmp_path / "data").singers == ("ben", "민호")


@pytest.mark.slow
def test_a_page_in_a_locale_without_letters_keeps_the_names(tmp_path: Path, run: Run) -> None:
    song = tmp_path / "노래 é.wav"
    soundfile.write(str(song), sing(0.6), RATE)
    done = run("convert", song, "-s", "kumi", "--page", tmp_path / "page.html", **PLAIN)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "노래 é.kumi.wav").exists()
    assert "노래 é" in (tmp_path / "page.html").read_text(encoding="utf-8")


OFFLINE = """
import socket, sys

def refused(*arguments, **named):
    raise AssertionError(f"a look-up: {arguments}")

for name in ("getaddrinfo", "gethostbyname", "create_connection"):
    setattr(socket, name, refused)
socket.socket.connect = refused
from moksori.cli.app import main
main()
"""


@pytest.mark.slow
def test_training_and_evaluating_need_no_network_and_leave_the_home_empty(tmp_path: Path, home: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY_SWIFT, encoding="utf-8")
    write_takes(tmp_path / "takes", n_takes=4, seconds=2.0)
    for verb in (
        ["train", "takes", "-o", "run", "-r", "tiny.toml", "--max-steps", "6"],
        ["evaluate", "run", "run/data", "-o", "report"],
        ["info", "run"],
    ):
        done = subprocess.run(
            [sys.executable, "-P", "-c", OFFLINE, *verb],
            cwd=tmp_path,
            env={**os.environ, "HOME": str(home), "MOKSORI_CACHE": str(tmp_path / "cache"), "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=900,
        )
        assert done.returncode == 0, done.stderr
    assert sorted(home.rglob("*")) == []
