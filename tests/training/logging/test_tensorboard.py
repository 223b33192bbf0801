"""TensorBoard's files hold what happened, and a resume replaces what it takes again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from moksori.audio.clip import Clip
from moksori.training.logging.events import Logged, Resumed, Sampled, Saved, Validated
from moksori.training.logging.tensorboard import Board

accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def _logged(step: int, loss: float) -> Logged:
    return Logged(step, "reconstruction", {"reconstruction": loss}, 1e-3, 1.0, 2.0)


def test_scalars_and_audio_are_written_and_retaken_steps_replaced(tmp_path: Path) -> None:
    clip = Clip(np.zeros(100, np.float32), 8000)
    first = [Resumed(0, 0.0), _logged(5, 3.0), Validated(5, {"cross_entropy": 2.5}), Sampled(5, "a.b-to-c", clip)]
    killed = [Saved(5, tmp_path), _logged(10, 9.0), Saved(10, tmp_path)]
    resumed = [Resumed(5, 1.0), _logged(10, 2.0), Saved(10, tmp_path)]
    for sitting in ([*first, *killed], resumed):
        board = Board(tmp_path)
        for event in sitting:
            board.tell(event)
    found = accumulators.EventAccumulator(str(tmp_path))
    found.Reload()
    assert [(point.step, point.value) for point in found.Scalars("losses/reconstruction")] == [(5, 3.0), (10, 2.0)]
    assert found.Scalars("held_out/cross_entropy")[0].value == 2.5
    assert found.Audio("a.b-to-c")[0].sample_rate == 8000


def test_each_sitting_has_a_second_of_its_own(tmp_path: Path) -> None:
    # The 9th and the 10th file of one process and one second were read as 10, 9: retaken steps came back.
    for step in range(3):
        board = Board(tmp_path)
        board.tell(Resumed(step, 0.0))
        board.tell(Saved(step, tmp_path))
    assert len({path.name.split(".")[3] for path in tmp_path.iterdir()}) == 3
