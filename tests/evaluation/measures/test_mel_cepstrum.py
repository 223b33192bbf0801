"""Distances of words: 0 for the same, larger for others, and an alignment that equals the obvious one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from moksori.audio import level, resample, signals
from moksori.audio.clip import Clip
from moksori.data import synthetic
from moksori.data.synthetic import Note, Singer
from moksori.evaluation.measures import mel_cepstrum

RATE = 16000
MAN = Singer("man", vibrato_cents=0.0)


def _sung(vowels: str, midi: float = 50, seconds: float = 0.25, singer: Singer = MAN) -> Clip:
    song = [Note(midi=midi, seconds=seconds, vowel=vowel) for vowel in vowels]
    return synthetic.render(song, singer, RATE, np.random.default_rng(0)).clip


def _aligned_slowly(costs: npt.NDArray[np.float64]) -> tuple[float, int]:
    """The definition: every cell from the three before it, one after the other."""
    n_rows, n_columns = costs.shape
    best = np.full((n_rows + 1, n_columns + 1), np.inf)
    steps = np.zeros((n_rows + 1, n_columns + 1), int)
    best[0, 0] = 0.0
    for row in range(n_rows):
        for column in range(n_columns):
            ways = [(row, column), (row, column + 1), (row + 1, column)]  # corner, above, left
            way = min(ways, key=lambda place: best[place])
            best[row + 1, column + 1] = costs[row, column] + best[way]
            steps[row + 1, column + 1] = steps[way] + 1
    return float(best[-1, -1]), int(steps[-1, -1])


def test_alignment_by_hand() -> None:
    # The cheapest path: 1 (corner), 1 (right), 2 (right and down), 1 (down): 5 in four cells.
    costs = np.array([[1.0, 1.0, 9.0], [5.0, 9.0, 2.0], [9.0, 9.0, 1.0]])
    assert mel_cepstrum.aligned(costs) == (5.0, 4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 1), (9, 13), (40, 17)])
def test_alignment_is_the_obvious_one(shape: tuple[int, int]) -> None:
    costs = np.random.default_rng(shape[0]).random(shape)
    total, n_steps = mel_cepstrum.aligned(costs)
    expected = _aligned_slowly(costs)
    assert (total, n_steps) == (pytest.approx(expected[0]), expected[1])


def test_frame_distances_by_hand() -> None:
    found = mel_cepstrum.pairwise_db(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 3.0]]))
    # 10 / ln 10 * sqrt(2) = 6.142 dB for each neper of distance
    np.testing.assert_allclose(found, [[3 * 6.142], [np.sqrt(10) * 6.142]], rtol=1e-3)


def test_a_ripple_along_the_mel_axis_has_its_amplitude() -> None:
    place = (np.arange(20) + 0.5) * np.pi / 20
    ripple = 0.7 * np.cos(3 * place) + 5.0  # the mean is loudness, and left out
    cepstrum = mel_cepstrum._cosines().numpy() @ ripple
    expected = np.zeros(12)
    expected[2] = 0.7
    np.testing.assert_allclose(cepstrum, expected, atol=1e-12)


def test_a_clip_is_at_home_whatever_its_gain_and_rate() -> None:
    clip = _sung("aiu")
    assert mel_cepstrum.distance_db(clip, clip) == pytest.approx(0.0, abs=1e-6)
    assert mel_cepstrum.distance_db(clip, Clip(level.apply_gain(clip.samples, -10.0), RATE)) < 0.05
    assert mel_cepstrum.distance_db(clip, resample.resample_clip(clip, 24000)) < 0.3


def test_slower_words_are_the_same_words_and_other_words_are_not() -> None:
    words = _sung("aiu")
    slower, other = _sung("aiu", seconds=0.4), _sung("uea")
    assert mel_cepstrum.distance_db(words, slower) < 0.4 * mel_cepstrum.distance_db(words, other)


def test_the_same_words_at_another_pitch_are_nearer_than_other_words() -> None:
    words = _sung("aiu")
    assert mel_cepstrum.distance_db(words, _sung("aiu", midi=55)) < 0.7 * mel_cepstrum.distance_db(words, _sung("eoi"))


def test_neither_direction_is_shorter() -> None:
    first, second = _sung("aiu"), _sung("oe")
    there, back = mel_cepstrum.distance_db(first, second), mel_cepstrum.distance_db(second, first)
    assert there == pytest.approx(back, rel=0.02)  # ties of paths may be broken otherwise


@pytest.mark.parametrize("clip", [Clip(np.zeros(0, np.float32), RATE), signals.silence(1.0, RATE)])
def test_silence_is_at_home_with_silence_only(clip: Clip) -> None:
    assert mel_cepstrum.distance_db(clip, clip) == pytest.approx(0.0, abs=1e-6)
    assert mel_cepstrum.distance_db(clip, _sung("a")) > 1.0


def test_a_clip_moves_as_itself_at_any_gain_or_rate_and_nearly_so_at_another_pitch() -> None:
    clip = _sung("aiua")
    assert mel_cepstrum.movement(clip, clip) == pytest.approx(1.0)
    softer = Clip(level.apply_gain(clip.samples, -12.0), clip.sample_rate)
    assert mel_cepstrum.movement(clip, softer) == pytest.approx(1.0, abs=1e-3)
    assert mel_cepstrum.movement(clip, _sung("aiua", midi=53)) > 0.8
    assert mel_cepstrum.movement(clip, resample.resample_clip(clip, 24000)) > 0.99


def test_other_words_move_otherwise_and_another_voice_with_the_same_words_does_not() -> None:
    woman = Singer("woman", formant_scale=1.2, tilt_db_per_octave=-6.0, vibrato_cents=0.0)
    clip = _sung("aiuaui")
    same, other = _sung("aiuaui", 57, singer=woman), _sung("uiaiau", 57, singer=woman)
    alike, unlike = mel_cepstrum.movement(clip, same), mel_cepstrum.movement(clip, other)
    assert alike > 0.4  # other formants move otherwise in part
    assert unlike < 0.2


def test_what_stands_still_moves_like_nothing_and_silence_has_no_movement() -> None:
    clip = _sung("aiua")
    silence = Clip(np.zeros(clip.n_samples, np.float32), clip.sample_rate)
    assert mel_cepstrum.movement(clip, silence) == pytest.approx(0.0, abs=1e-6)
    assert mel_cepstrum.movement(silence, clip) is None
    assert mel_cepstrum.movement(Clip(clip.samples[:160], RATE), clip) is None  # too short to correlate
