"""A disk that is full at any write: what was there stays, the message says so, and the same call goes on afterwards.

The kernel refuses to let a process write beyond so many bytes of a file; that is a refusal in the middle of a write, as
a full disk's. One that is full from the beginning refuses the first byte.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import soundfile
from tests_of_trust import RATE, sing, write_takes
from tiny_recipes import TINY_SWIFT

from moksori.audio import files
from moksori.audio.clip import Clip
from moksori.data.corpus import Corpus
from moksori.errors import ModelFileError
from moksori.training import run
from moksori.training.folder import RunFolder
from moksori.training.logging import journal
from moksori.training.logging.events import Event, Logged, Sampled, Unrecorded
from moksori.training.logging.journal import Journal
from moksori.training.loop import Budget
from moksori.training.recipe import Recipe

pytestmark = pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limits of files here")

FULL = """
import json, os, resource, signal, sys
from moksori import surroundings
from moksori.cli import app
surroundings.before_pictures()
import moksori.conversion, moksori.data.prepare, moksori.evaluation.report.song_page, moksori.training.run

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write fails instead
for limit, *arguments in json.load(sys.stdin):
    child = os.fork()
    if child == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        sys.argv[1:] = arguments
        os.dup2(1, 2)
        try:
            app.main()
        except SystemExit as end:
            sys.stdout.flush()
            os._exit(end.code or 0)
        except BaseException:
            import traceback
            traceback.print_exc()
            sys.stdout.flush()
        os._exit(99)
    print("exit", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def tree(folder: Path) -> dict[str, str]:
    """What lies in a folder, but for what is still being written by nobody."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def call_all(folder: Path, calls: list[tuple[Any, ...]]) -> list[tuple[int, str]]:
    """Calls of the command, each in a process that may not write beyond its limit: exit codes, and what was said."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", FULL],
        cwd=folder,
        input=json.dumps([[limit, *map(str, arguments)] for limit, *arguments in calls]),
        env=os.environ | {"OMP_NUM_THREADS": "1", "HOME": str(folder), "MPLBACKEND": "agg"},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=500,
    )
    found, said = [], []
    for line in done.stdout.splitlines():
        if line.startswith("exit "):
            found.append((int(line[5:]), "\n".join(said)))
            said = []
        else:
            said.append(line)
    assert len(found) == len(calls), done.stderr
    return found


def test_preparing_on_a_full_disk_is_refused_and_goes_on_afterwards(tmp_path: Path, record_property: Any) -> None:
    write_takes(tmp_path / "takes", n_takes=2, seconds=1.2)
    sizes = (0, 1000, 8000)
    calls = [(size, "prepare", "takes", "-o", "data") for size in sizes]
    *full, (code, said), (other, _) = call_all(
        tmp_path, [*calls, (2**30, "prepare", "takes", "-o", "data"), (2**30, "prepare", "takes", "-o", "other")]
    )
    for exit_code, message in full:
        assert exit_code in (1, 3, 4) and "Traceback" not in message, message
        assert "disk full" in message or "cannot be written" in message, message
    assert (code, other) == (0, 0), said
    assert tree(tmp_path / "data") == tree(tmp_path / "other")
    record_property("faults_survived", len(sizes))


def test_converting_on_a_full_disk_keeps_what_was_there(tmp_path: Path, record_property: Any) -> None:
    soundfile.write(tmp_path / "song.wav", sing(1.0), RATE)
    for name in ("old.flac", "old.html", "old.csv"):
        (tmp_path / name).write_text("old", encoding="utf-8")
    before = tree(tmp_path)
    convert = ("convert", "song.wav", "-s", "kumi", "--force", "-o", "old.flac")
    sizes = (0, 5000)
    calls = [(size, *convert) for size in sizes] + [(0, *convert, "--melody-out", "old.csv")]
    for exit_code, message in call_all(tmp_path, calls):
        assert exit_code in (1, 3) and "Traceback" not in message and "old." in message, message
    assert tree(tmp_path) == before  # nothing lies beside it, either
    ((exit_code, _),) = call_all(tmp_path, [(2**30, *convert)])
    size = (tmp_path / "old.flac").stat().st_size
    ((exit_code, message),) = call_all(tmp_path, [(size, *convert, "--page", "old.html")])  # the song fits, by a hair
    assert exit_code == 3 and "old.html: cannot be written" in message and "Traceback" not in message, message
    assert (tmp_path / "old.html").read_text(encoding="utf-8") == "old"
    assert soundfile.info(tmp_path / "old.flac").frames == RATE
    record_property("faults_survived", len(calls) + 1)


@pytest.mark.slow
def test_training_on_a_full_disk_ends_in_words_and_goes_on_afterwards(
    tiny_corpus: Corpus, tmp_path: Path, record_property: Any
) -> None:
    (tmp_path / "tiny.toml").write_text(TINY_SWIFT, encoding="utf-8")
    train = ("train", tiny_corpus.folder, "-r", "tiny.toml", "--json", "-o")
    goal = ("--max-steps", 12)
    sizes = (0, 100, 4000, 30_000)
    *full, (code, said), (other, _) = call_all(
        tmp_path,
        [(size, *train, "run", *goal) for size in sizes] + [(2**30, *train, name, *goal) for name in ("run", "other")],
    )
    for exit_code, message in full:
        # The first thing that is written is what is computed once of the data, unless others did before.
        assert exit_code in (1, 4, 5) and "Traceback" not in message, message
        assert ("cannot be written" in message or "cannot be used" in message) and (
            "run" in message or "cache" in message
        )
    assert (code, other) == (0, 0), said
    states = [RunFolder(tmp_path / name).load_state() for name in ("run", "other")]
    assert states[0] is not None and states[1] is not None
    assert all((states[0][0][name] == tensor).all() for name, tensor in states[1][0].items())
    record_property("faults_survived", len(sizes))


class Full:
    """An observer that cannot write anything down."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def tell(self, event: Event) -> None:
        if isinstance(event, Logged):
            raise self._error


class Listener:
    """Remembers what could not be written down."""

    def __init__(self) -> None:
        self.reports: list[Unrecorded] = []

    def tell(self, event: Event) -> None:
        if isinstance(event, Unrecorded):
            self.reports.append(event)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device", "journal.jsonl")])
def test_what_only_records_does_not_end_a_training(
    tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path, error: Exception
) -> None:
    trainer = run.open_run(RunFolder(tmp_path / "run"), tiny_corpus, tiny_recipe, run.RunOptions())
    listener = Listener()
    trainer.observers += [Full(error), listener, Journal(trainer.folder.journal)]
    assert trainer.run(Budget(15)).step == 15  # logged three times
    (reports,) = listener.reports  # and said once
    assert reports.step == 5 and str(error.strerror or error) in reports.reason
    assert [line["step"] for line in journal.read(trainer.folder.journal) if line["event"] == "losses"] == [5, 10, 15]


def test_samples_that_cannot_be_written_do_not_end_a_training(
    tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path
) -> None:
    class Samples:
        def tell(self, event: Event) -> None:
            if isinstance(event, Sampled):
                files.write(tmp_path / "nowhere" / "sample.flac", Clip(event.clip.samples, 8000))

    recipe = replace(tiny_recipe, loop=replace(tiny_recipe.loop, sample_every_steps=5))
    trainer = run.open_run(RunFolder(tmp_path / "run"), tiny_corpus, recipe, run.RunOptions())
    listener = Listener()
    trainer.observers += [Samples(), listener]
    assert trainer.run(Budget(6)).step == 6
    assert listener.reports and "sample.flac" in listener.reports[0].reason


def test_nobody_listens_any_more_ends_a_training(tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path) -> None:
    trainer = run.open_run(RunFolder(tmp_path / "run"), tiny_corpus, tiny_recipe, run.RunOptions())
    trainer.observers.append(Full(BrokenPipeError()))
    with pytest.raises(BrokenPipeError):
        trainer.run(Budget(15))


def test_half_a_line_is_taken_back(tmp_path: Path, limited: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    """Half a line in the middle of a journal would hide all that come after it."""
    done = limited(
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from moksori.training.logging.events import Logged\n"
        "from moksori.training.logging.journal import Journal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "def tell(step):\n"
        "    journal.tell(Logged(step, 'reconstruction', {'loss': 1.0}, 0.1, 1.0, 1.0))\n"
        "tell(1)\n"
        "size = Path(sys.argv[1]).stat().st_size\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size + 20, resource.RLIM_INFINITY))\n"
        "try:\n"
        "    tell(2)\n"
        "except OSError as error:\n"
        "    print(error)\n"
        "assert Path(sys.argv[1]).stat().st_size == size\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)\n"
        "tell(3)\n",
        tmp_path / "journal.jsonl",
    )
    assert done.returncode == 0, done.stderr
    assert "No space left" in done.stdout
    assert [line["step"] for line in journal.read(tmp_path / "journal.jsonl")] == [1, 3]


def test_a_save_that_fails_leaves_the_run_where_it_was(
    tiny_corpus: Corpus, tiny_recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = run.open_run(RunFolder(tmp_path / "run"), tiny_corpus, tiny_recipe, run.RunOptions())
    trainer.run(Budget(10))
    before = tree(trainer.folder.root)

    def refuse(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    trainer = run.open_run(RunFolder(tmp_path / "run"), tiny_corpus, tiny_recipe, run.RunOptions())
    with monkeypatch.context() as patched:
        patched.setattr("moksori.atomic.os.fsync", refuse)
        with pytest.raises(ModelFileError, match=r"No space left on device.*is the disk full"):
            trainer.run(Budget(20))
    assert tree(trainer.folder.root) == before
