"""The journal survives kills and takes back what did not happen."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from moksori.audio.clip import Clip
from moksori.training.logging import journal
from moksori.training.logging.events import Event, Logged, Resumed, RolledBack, Sampled, Saved, Scored, Validated
from moksori.training.logging.journal import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def _logged(step: int) -> Logged:
    return Logged(step, "reconstruction", {"reconstruction": 5.5}, 1e-3, float(step), 10.0)


def _write(path: Path, *events: Event) -> list[int]:
    for event in events:
        Journal(path).tell(event)
    return [entry["step"] for entry in journal.read(path)]


def test_lines_tell_what_happened(path: Path) -> None:
    _write(path, Resumed(0, 0.0), _logged(5), Validated(5, {"cross_entropy": 5.4}))
    losses, validation = journal.read(path)
    assert losses == {
        "event": "losses",
        "step": 5,
        "phase": "reconstruction",
        "learning_rate": 1e-3,
        "losses": {"reconstruction": 5.5},
        "seconds": 5.0,
        "steps_per_second": 10.0,
    }
    assert validation == {"event": "validation", "step": 5, "figures": {"cross_entropy": 5.4}}


def test_a_resume_takes_back_later_lines(path: Path) -> None:
    assert _write(path, _logged(5), _logged(10), _logged(15), Resumed(10, 1.0), _logged(15)) == [5, 10, 15]


def test_a_resume_at_the_beginning_takes_back_everything(path: Path) -> None:
    assert _write(path, _logged(5), Resumed(0, 0.0)) == []


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_last_line_cut_in_two_is_left_out_and_then_taken_back(path: Path, cut: int) -> None:
    _write(path, _logged(5), _logged(10))
    path.write_bytes(path.read_bytes()[:-cut])
    # Without its line feed alone, the last line is whole.
    assert [entry["step"] for entry in journal.read(path)] == ([5, 10] if cut == 1 else [5])
    assert _write(path, Resumed(10, 1.0), _logged(15)) == ([5, 10, 15] if cut == 1 else [5, 15])


def test_a_rollback_replaces_the_lines_after_it(path: Path) -> None:
    steps = _write(path, _logged(5), _logged(10), RolledBack(12, 5, "the loss is nan"), _logged(10))
    assert steps == [5, 5, 10]
    assert list(journal.read(path))[1] == {
        "event": "rollback",
        "step": 5,
        "diverged_at": 12,
        "reason": "the loss is nan",
    }


def test_a_second_rollback_keeps_the_record_of_the_first(path: Path) -> None:
    assert _write(path, RolledBack(12, 5, "first"), RolledBack(13, 5, "second")) == [5, 5]


def test_a_rollback_that_will_happen_again_is_not_told_twice(path: Path) -> None:
    # Killed after a rollback and before the next save, a run goes astray once more at the same step.
    _write(
        path, _logged(5), RolledBack(12, 5, "the loss is nan"), Resumed(5, 1.0), RolledBack(12, 5, "the loss is nan")
    )
    assert [entry["event"] for entry in journal.read(path)] == ["losses", "rollback"]


def test_a_rollback_before_the_last_save_is_remembered(path: Path) -> None:
    _write(path, RolledBack(12, 5, "the loss is nan"), _logged(20), Resumed(20, 1.0))
    assert [entry["event"] for entry in journal.read(path)] == ["rollback", "losses"]


def test_a_resume_without_a_journal_is_fine(path: Path) -> None:
    Journal(path).tell(Resumed(10, 1.0))
    assert not path.exists()


def test_files_of_their_own_leave_no_line(path: Path) -> None:
    Journal(path).tell(Saved(5, path))
    Journal(path).tell(Sampled(5, "clip", Clip(np.zeros(4, np.float32), 8000)))
    assert not path.exists()


def test_every_line_is_plain_ascii_json(path: Path) -> None:
    _write(path, RolledBack(1, 0, "verklungen\u2028안녕"))
    (line,) = path.read_bytes().splitlines()
    assert line.isascii()
    assert json.loads(line)["reason"] == "verklungen\u2028안녕"


def test_curves_are_a_table_with_a_line_a_step_and_a_column_a_figure(path: Path) -> None:
    _write(path, _logged(5), Logged(5, "back-translation", {"reconstruction": 0.5}, 1e-3, 5.0, 10.0))
    _write(path, Validated(5, {"cross_entropy": 5.4}), _logged(10), Scored(10, {"singer": 0.5}, 0.4, True))
    _write(path, RolledBack(12, 10, "a spike"))
    assert journal.table(path).splitlines() == [
        "step,seconds,learning_rate,reconstruction/reconstruction,back-translation/reconstruction,"
        "held-out/cross_entropy,conversions/singer,conversions/merit",
        "5,5.0,0.001,5.5,0.5,5.4,,",
        "10,10.0,0.001,5.5,,,0.5,0.4",
    ]
