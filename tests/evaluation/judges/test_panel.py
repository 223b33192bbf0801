"""Scores of a conversion beside its source: each by hand, from analyses that were written down."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pytest

from moksori.audio import signals
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTrack
from moksori.evaluation.judges import panel
from moksori.evaluation.judges.panel import Panel
from moksori.evaluation.measures import mel_cepstrum, sound
from moksori.evaluation.measures.mel_cepstrum import Cepstra
from moksori.evaluation.report.data import METRICS


class _Says:
    """A classifier that always names one singer."""

    description, singers = "a stub", ("anna", "minho", "sun")

    def __init__(self, name: str, singer: str) -> None:
        self.name, self._singer = name, singer

    def classify(self, clips: Sequence[Clip]) -> list[str]:
        return [self._singer for _ in clips]


class _Tracker:
    name = "stub"

    def track(self, clip: Clip) -> PitchTrack:
        f0_hz = np.linspace(200.0, 300.0, max(1, round(clip.seconds / 0.016)))
        return PitchTrack(f0_hz, np.ones(len(f0_hz)), np.ones(len(f0_hz), np.bool_), 0.016)


TONE = signals.tone(220.0, 1.0, 16000, amplitude=0.2, n_harmonics=3)
PANEL = Panel([_Says("own", "minho"), _Says("public", "anna")], _Tracker(), None)


@pytest.mark.parametrize(
    ("source", "target", "scores"),
    [
        ("anna", "minho", {"identified": 1.0, "leak": 0.0, "identified_public": 0.0, "leak_public": 1.0}),
        ("minho", "sun", {"identified": 0.0, "leak": 1.0, "identified_public": 0.0, "leak_public": 0.0}),
        ("minho", "minho", {"identified": 1.0, "identified_public": 0.0}),  # a reconstruction leaks nothing
        ("", "minho", {"identified": 1.0, "identified_public": 0.0}),  # nobody knows who sang
    ],
)
def test_who_is_named_counts_for_the_target_and_against_a_source(
    source: str, target: str, scores: dict[str, float]
) -> None:
    assert PANEL.singer_scores(PANEL.analyse(TONE), source, target) == scores


def test_an_analysis_holds_what_each_judge_and_measure_finds_and_no_sound() -> None:
    found = PANEL.analyse(TONE)
    assert found.singers == {"own": "minho", "public": "anna"}
    np.testing.assert_array_equal(found.track.f0_hz, _Tracker().track(TONE).f0_hz)
    np.testing.assert_array_equal(found.cepstra.frames, mel_cepstrum.analyse(TONE).frames)
    np.testing.assert_array_equal(found.sound.levels_dbfs, sound.analyse(TONE).levels_dbfs)
    assert found.vowels is found.transcript is found.rating is None
    assert not any(isinstance(value, Clip) for value in vars(found).values())


def test_every_score_of_a_pair_is_a_metric_of_the_report_and_a_copy_is_perfect() -> None:
    found = PANEL.analyse(TONE)
    scores = panel.pair_scores(found, found, 0.0)
    assert scores.keys() <= METRICS.keys()
    assert scores["raw_pitch_accuracy"] == 1.0 and scores["source_frame_distance_db"] == 0.0
    assert panel.pair_scores(found, found, 1.0)["raw_pitch_accuracy"] == 0.0  # a semitone was asked for


def test_words_need_a_recogniser_and_a_text_of_syllables() -> None:
    found = PANEL.analyse(TONE)
    sung = dataclasses.replace(found, vowels=("a", "i", "o"))
    assert panel.word_scores(sung, "ka-ki-ku") == {"vowel_accuracy": pytest.approx(2 / 3)}
    assert panel.word_scores(sung, None) == panel.word_scores(found, "ka-ki-ku") == {}


def test_a_truth_is_compared_with_both_and_a_reconstruction_has_no_source() -> None:
    def cepstra(coefficient: float) -> Cepstra:
        frames = np.zeros((30, 12), np.float32)
        frames[:, 0] = coefficient
        return Cepstra(frames, np.zeros(30, np.float32), 0, 29)

    source, conversion, truth = cepstra(3.0), cepstra(1.0), cepstra(0.0)
    scores = panel.truth_scores(source, conversion, truth)  # 6.142 dB for each neper
    assert scores == {"truth_distance_db": pytest.approx(6.142, 1e-3), "truth_floor_db": pytest.approx(18.426, 1e-3)}
    assert panel.truth_scores(None, conversion, truth).keys() == {"truth_distance_db"}


def test_a_rating_is_told_where_there_is_one() -> None:
    found = PANEL.analyse(TONE)
    rated = dataclasses.replace(found, rating=3.5)
    assert panel.pair_scores(found, rated, 0.0)["distill_mos"] == 3.5
    assert "distill_mos" not in panel.pair_scores(rated, found, 0.0)
    assert panel.text_scores(found, found) == {}
