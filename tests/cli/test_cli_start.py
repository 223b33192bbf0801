"""Fast hands: what can be refused is refused before torch is loaded, and a start loads no compiler."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from calling import Moksori, write_song
from torch import nn

import moksori
from moksori.audio import files
from moksori.cli import convert, jobs, names
from moksori.conversion import options
from moksori.errors import UserError
from moksori.models.singers import SingerTable

# Runs the command line, then says what it loaded: seconds would depend on the machine, and on who else works there.
WATCHED = """
import sys
from moksori.cli import app
try:
    app.main()
finally:
    print("loaded", [name for name in ("torch", "numba", "onnxruntime", "torch._dynamo") if name in sys.modules])
"""


# What is registered first is called last: it sees what is left to the interpreter's last collections.
LEFT = """
import atexit, gc
atexit.register(lambda: print("left", len(gc.get_objects()), "frozen", gc.get_freeze_count()))
from moksori.cli import app
app.main()
"""


def test_the_end_of_a_call_looks_at_no_object_once_more() -> None:
    """A fifth of a short conversion was the end of the process."""
    done = subprocess.run([sys.executable, "-c", LEFT, "--version"], capture_output=True, text=True, check=True)
    left, frozen = map(int, done.stdout.split()[-3::2])
    assert left < 100 < 10_000 < frozen


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WATCHED, *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False, timeout=300)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "convert"),
        (["convert", "--help"], 0, "--transpose"),
        (["singers"], 0, "kumi"),
        (["convert", "missing.wav", "-s", "kumi"], 3, "missing.wav: no such file"),
        (["convert", "song.wav", "-s", "kumy"], 1, "did you mean kumi?"),
        (["convert", "song.wav", "-s", "kumi,scottpoit"], 1, "did you mean scottpoid?"),
        (["convert", "song.wav", "--mix", "kumi=0.5,nobody=0.5"], 1, "no singer named 'nobody'"),
        (["convert", "song.wav", "-s", "kumi", "-t", "up"], 1, "expected auto, nearest, or semitones"),
        (["convert", "song.wav", "-s", "kumi", "--loudness", "loud"], 1, "unknown loudness 'loud'"),
        (["convert", "song.wav"], 1, "say who shall sing"),
        (["train", "missing", "-o", "run"], 1, "missing: no such folder"),
        (["train", ".", "-o", "run", "--for", "soon"], 1, "'soon' is not a duration"),
        (["evaluate", "missing", "data", "-o", "report"], 5, "missing: no such file; expected a model"),
        (["info", "missing"], 5, "missing: no such file; expected a model"),
        (["wavenet", "train", "missing", "-o", "run"], 1, "missing: no such folder"),
        (["wavenet", "generate", "missing", "-o", "x.flac"], 5, "missing: no such file; expected a model"),
        (["compare", "a", "b"], 4, "a: no such report"),
        (["sweep", "missing", "-o", "out", "--arm", "whole"], 1, "missing: no such folder"),
    ],
)
def test_help_and_slips_are_answered_without_torch(tmp_path: Path, arguments: list[str], code: int, words: str) -> None:
    write_song(tmp_path / "song.wav")
    done = _run(tmp_path, *arguments)
    assert done.returncode == code, done.stderr
    assert words in done.stdout + done.stderr
    assert "loaded []" in done.stdout


def test_a_conversion_does_not_load_the_compiler(tmp_path: Path) -> None:
    """2.5 s of CPU, for a table that drew its start values on the meta device."""
    write_song(tmp_path / "song.wav")
    done = _run(tmp_path, "convert", "song.wav", "-s", "kumi")
    assert done.returncode == 0, done.stderr
    assert "'torch'" in done.stdout
    assert "torch._dynamo" not in done.stdout


def test_words_that_are_checked_early_are_those_that_count() -> None:
    for word in options.TRANSPOSE:
        for loudness in options.LOUDNESS:
            convert._check_words(word, loudness)
    convert._check_words("-3.5", "follow")


def test_a_table_begins_with_the_values_that_an_embedding_draws() -> None:
    torch.manual_seed(3)
    table = SingerTable(["a", "b"], 4).table.weight
    torch.manual_seed(3)
    assert torch.equal(table, nn.Embedding(2, 4).weight)
    with torch.device("meta"):
        assert SingerTable(["a", "b"], 4).table.weight.is_meta


def test_singers_are_read_from_the_head_of_a_file_or_left_to_the_reader(tmp_path: Path) -> None:
    assert names.singers_of(None) == list(moksori.load().singers)
    assert names.singers_of(tmp_path) is None
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 64)
    assert names.singers_of(tmp_path) is None
    names.check(["anybody"], None)
    with pytest.raises(UserError, match=r"knows Mina, jun; did you mean Mina\?"):
        names.check(["mina"], ["Mina", "jun"])
    with pytest.raises(UserError, match=r"knows Mina, jun$"):
        names.check(["xyzzy"], ["Mina", "jun"])


def test_singers_may_be_listed_with_commas(moksori: Moksori, tmp_path: Path) -> None:
    song = write_song(tmp_path / "song.wav")
    done = moksori("convert", song, "-s", "kumi,scottpoid", "-t", "0")
    assert done.code == 0, done.err
    assert {path.name for path in tmp_path.iterdir()} == {"song.wav", "song.kumi.wav", "song.scottpoid.wav"}
    assert "of sound)" in done.out


def test_runs_data_and_former_results_are_no_songs(moksori: Moksori, tmp_path: Path) -> None:
    """`convert .` took the takes of the data, clips of a run, and what it had sung itself before."""
    work = tmp_path / "work"
    clip = files.read(write_song(tmp_path / "song.wav"))
    for name in (
        "song.wav",
        "song.kumi.wav",
        "run/samples/step.wav",
        "data/clips/a.wav",
        "old.kumi/b.wav",
        "more/c.wav",
    ):
        (work / name).parent.mkdir(parents=True, exist_ok=True)
        files.write(work / name, clip)
    (work / "run" / "run.json").write_text("{}", encoding="utf-8")
    (work / "data" / "manifest.json").write_text("{}", encoding="utf-8")
    found = [source.relative_to(work).as_posix() for source, _ in jobs.files_of([work], None, "kumi", is_single=True)]
    assert found == ["more/c.wav", "song.wav"]


def test_of_several_songs_number_and_place_are_said_before_the_work(moksori: Moksori, tmp_path: Path) -> None:
    for name in ("a.wav", "more/b.wav"):
        write_song(tmp_path / "work" / name)
    done = moksori("convert", tmp_path / "work", "-s", "kumi", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    assert done.err.splitlines()[0] == f"2 songs, 2 results, into {tmp_path / 'out'}"
    beside = moksori("convert", tmp_path / "work" / "a.wav", "-s", "kumi,scottpoid")
    assert beside.err.splitlines()[0] == "1 song, 2 results, each beside its song"


def test_a_notebook_sees_what_there_is() -> None:
    assert {"load", "Voice", "load_wavenet"} <= set(dir(moksori))
    printed = repr(moksori.load())
    assert "kumi (A3 to D5)" in printed
    assert "recipe taught" in printed
