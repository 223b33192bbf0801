"""Scores of controls: what cannot be read is left out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from moksori.audio import files, signals
from moksori.audio.pitch import PitchTrack
from moksori.evaluation import scoring
from moksori.evaluation.analyses import Analyses
from moksori.evaluation.judges.panel import Panel
from moksori.progress import ignored


class Tracker:
    """Says 220 Hz of everything."""

    name = "always"

    def track(self, clip: Any) -> PitchTrack:
        n = int(clip.seconds / 0.01) + 1
        return PitchTrack(np.full(n, 220.0), np.ones(n), np.ones(n, np.bool_), 0.01)


def test_a_recording_of_a_target_that_cannot_be_read_is_left_out_of_its_frames_and_noted(tmp_path: Path) -> None:
    """It ended an evaluation after the long work."""
    files.write(tmp_path / "good.wav", signals.tone(220.0, 2.0, 16000))
    (tmp_path / "bad.wav").write_bytes(b"no sound")
    corpus = SimpleNamespace(of=lambda split, singer: ["bad.wav", "good.wav"], clip_path=lambda name: tmp_path / name)
    analyses = Analyses(cast(Panel, SimpleNamespace(tracker=Tracker())), ignored)
    found = scoring._pool(analyses, cast(Any, corpus), "mina")
    assert found is not None and len(found.features) > 50
    assert len(analyses.unreadable) == 1 and "bad.wav" in analyses.unreadable[0]
