"""Distances of words: 0 for the same, larger for others, and an alignment that equals the obvious one."""

from __future__ import annotations

import tracemalloc

import numpy as np
import numpy.typing as npt
import pytest
import synthetic
from synthetic import Note, Singer

from moksori.audio import level, resample, signals
from moksori.audio.clip import Clip
from moksori.evaluation.measures import mel_cepstrum
from moksori.evaluation.measures.mel_cepstrum import Cepstra

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


def _aligned(costs: npt.NDArray[np.float64], radius: int | None = None) -> tuple[float, int]:
    return mel_cepstrum.align(*costs.shape, lambda rows, columns: costs[rows, columns], radius)


def _apart(first: Clip, second: Clip) -> float:
    return mel_cepstrum.aligned_distance_db(mel_cepstrum.analyse(first), mel_cepstrum.analyse(second))


def _movement(source: Clip, conversion: Clip) -> float | None:
    return mel_cepstrum.movement(mel_cepstrum.analyse(source), mel_cepstrum.analyse(conversion))


def test_alignment_by_hand() -> None:
    # The cheapest path: 1 (corner), 1 (right), 2 (right and down), 1 (down): 5 in four cells.
    costs = np.array([[1.0, 1.0, 9.0], [5.0, 9.0, 2.0], [9.0, 9.0, 1.0]])
    assert _aligned(costs) == (5.0, 4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (6, 1), (9, 13), (40, 17)])
def test_alignment_is_the_obvious_one(shape: tuple[int, int]) -> None:
    costs = np.random.default_rng(shape[0]).random(shape)
    total, n_steps = _aligned(costs)
    expected = _aligned_slowly(costs)
    assert (total, n_steps) == (pytest.approx(expected[0]), expected[1])


def test_frame_distances_by_hand() -> None:
    found = mel_cepstrum._between_db(np.array([[0.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 3.0]]))
    # 10 / ln 10 * sqrt(2) = 6.142 dB for each neper of distance
    np.testing.assert_allclose(found, [3 * 6.142, np.sqrt(10) * 6.142], rtol=1e-3)


def test_a_ripple_along_the_mel_axis_has_its_amplitude() -> None:
    place = (np.arange(20) + 0.5) * np.pi / 20
    ripple = 0.7 * np.cos(3 * place) + 5.0  # the mean is loudness, and left out
    cepstrum = mel_cepstrum._cosines().numpy() @ ripple
    expected = np.zeros(12)
    expected[2] = 0.7
    np.testing.assert_allclose(cepstrum, expected, atol=1e-12)


def test_a_clip_is_at_home_whatever_its_gain_and_rate() -> None:
    clip = _sung("aiu")
    assert _apart(clip, clip) == pytest.approx(0.0, abs=1e-6)
    assert _apart(clip, Clip(level.apply_gain(clip.samples, -10.0), RATE)) < 0.05
    assert _apart(clip, resample.resample_clip(clip, 24000)) < 0.3


def test_slower_words_are_the_same_words_and_other_words_are_not() -> None:
    words = _sung("aiu")
    slower, other = _sung("aiu", seconds=0.4), _sung("uea")
    assert _apart(words, slower) < 0.4 * _apart(words, other)


def test_the_same_words_at_another_pitch_are_nearer_than_other_words() -> None:
    words = _sung("aiu")
    assert _apart(words, _sung("aiu", midi=55)) < 0.7 * _apart(words, _sung("eoi"))


def test_neither_direction_is_shorter() -> None:
    first, second = _sung("aiu"), _sung("oe")
    there, back = _apart(first, second), _apart(second, first)
    assert there == pytest.approx(back, rel=0.02)  # ties of paths may be broken otherwise


@pytest.mark.parametrize("clip", [Clip(np.zeros(0, np.float32), RATE), signals.silence(1.0, RATE)])
def test_silence_is_at_home_with_silence_only(clip: Clip) -> None:
    assert _apart(clip, clip) == pytest.approx(0.0, abs=1e-6)
    assert _apart(clip, _sung("a")) > 1.0


def test_a_clip_moves_as_itself_at_any_gain_or_rate_and_nearly_so_at_another_pitch() -> None:
    clip = _sung("aiua")
    assert _movement(clip, clip) == pytest.approx(1.0)
    softer = Clip(level.apply_gain(clip.samples, -12.0), clip.sample_rate)
    assert _movement(clip, softer) == pytest.approx(1.0, abs=1e-3)
    assert _movement(clip, _sung("aiua", midi=53)) > 0.8
    assert _movement(clip, resample.resample_clip(clip, 24000)) > 0.99


def test_other_words_move_otherwise_and_another_voice_with_the_same_words_does_not() -> None:
    woman = Singer("woman", formant_scale=1.2, tilt_db_per_octave=-6.0, vibrato_cents=0.0)
    clip = _sung("aiuaui")
    same, other = _sung("aiuaui", 57, singer=woman), _sung("uiaiau", 57, singer=woman)
    alike, unlike = _movement(clip, same), _movement(clip, other)
    assert alike > 0.4  # other formants move otherwise in part
    assert unlike < 0.2


def test_what_stands_still_moves_like_nothing_and_silence_has_no_movement() -> None:
    clip = _sung("aiua")
    silence = Clip(np.zeros(clip.n_samples, np.float32), clip.sample_rate)
    assert _movement(clip, silence) == pytest.approx(0.0, abs=1e-6)
    assert _movement(silence, clip) is None
    assert _movement(Clip(clip.samples[:160], RATE), clip) is None  # too short to correlate


def _cepstra(frames: npt.NDArray[np.float64], first_sung: int = 0, last_sung: int | None = None) -> Cepstra:
    last = len(frames) - 1 if last_sung is None else last_sung
    return Cepstra(frames.astype(np.float32), np.zeros(len(frames), np.float32), first_sung, last)


def test_frame_by_frame_by_hand() -> None:
    source, conversion = np.zeros((4, 12)), np.zeros((3, 12))
    conversion[:, 0] = [9.0, 1.0, 3.0]
    # From the first sung frame (1) to the last that both have (2): a mean of 2 nepers, each of 6.142 dB.
    found = mel_cepstrum.distance_db(_cepstra(source, first_sung=1), _cepstra(conversion))
    assert found == pytest.approx(2 * 6.142, rel=1e-3)
    assert mel_cepstrum.distance_db(_cepstra(source, 0, 1), _cepstra(conversion)) == pytest.approx(5 * 6.142, rel=1e-3)
    # Nothing in common but the first frames.
    assert mel_cepstrum.distance_db(_cepstra(source, 3), _cepstra(conversion[:1])) == pytest.approx(9 * 6.142, rel=1e-3)
    assert mel_cepstrum.evaluate(_cepstra(source, 1), _cepstra(conversion)) == {"source_frame_distance_db": found}


def test_frames_are_compared_at_their_times() -> None:
    clip = _sung("aiu")
    late = Clip(np.roll(clip.samples, 1600), RATE)
    cepstra, moved = mel_cepstrum.analyse(clip), mel_cepstrum.analyse(late)
    assert mel_cepstrum.distance_db(cepstra, cepstra) == 0.0
    assert mel_cepstrum.distance_db(cepstra, moved) > 2.0
    assert mel_cepstrum.aligned_distance_db(cepstra, moved) < 1.0
    assert mel_cepstrum.analyse(signals.silence(0.5, RATE)).frames.shape == (50, 12)


def test_rests_before_and_after_are_not_compared() -> None:
    silence = np.zeros(8000, np.float32)
    clip = Clip(np.concatenate([silence, _sung("a").samples, silence]), RATE)
    cepstra = mel_cepstrum.analyse(clip)
    assert cepstra.first_sung == 25  # half a second, less a guard of a quarter
    assert cepstra.last_sung == pytest.approx(100, abs=2)  # and a quarter of singing, with another guard


@pytest.mark.parametrize("frames", [np.zeros((0, 12)), np.zeros((3, 11)), np.full((3, 12), np.nan)])
def test_what_are_no_cepstra_is_refused(frames: npt.NDArray[np.float64]) -> None:
    sound = _cepstra(np.zeros((3, 12)))
    for first, second, name in ((_cepstra(frames), sound, "source"), (sound, _cepstra(frames), "conversion")):
        for measure in (mel_cepstrum.distance_db, mel_cepstrum.aligned_distance_db, mel_cepstrum.movement):
            with pytest.raises(ValueError, match=rf"{name}: cepstra .* expected finite \[F, 12\]"):
                measure(first, second)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (40, 17), (17, 40), (30, 30)])
def test_a_band_as_wide_as_the_matrix_changes_nothing(shape: tuple[int, int]) -> None:
    costs = np.random.default_rng(1).random(shape)
    assert _aligned(costs, radius=max(shape)) == _aligned(costs)


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (40, 17), (17, 40), (30, 30)])
@pytest.mark.parametrize("radius", [1, 2, 5])
def test_a_path_stays_in_the_band_and_is_the_cheapest_there(shape: tuple[int, int], radius: int) -> None:
    costs = np.random.default_rng(radius).random(shape)
    rows, columns = np.indices(shape)
    line = (rows + columns) * (shape[0] - 1) // max(sum(shape) - 2, 1)
    total, n_steps = _aligned(costs, radius)
    expected = _aligned_slowly(np.where(np.abs(rows - line) <= radius, costs, 1e9))
    assert (total, n_steps) == (pytest.approx(expected[0]), expected[1])


def test_an_outside_library_finds_the_same_path() -> None:
    librosa = pytest.importorskip("librosa")
    first, second = (mel_cepstrum.analyse(_sung(vowels)).frames.astype(np.float64) for vowels in ("aiu", "auui"))
    costs = np.stack([mel_cepstrum._between_db(np.broadcast_to(row, second.shape), second) for row in first])
    total, _ = _aligned(costs)
    assert total == pytest.approx(librosa.sequence.dtw(C=costs, backtrack=False)[-1, -1])


def test_whole_songs_are_aligned_in_little_memory() -> None:
    # The matrix of two clips of 30 s was 72 MB, and grew with the square: 2.6 GB for three minutes.
    rng = np.random.default_rng(0)
    first, second = (_cepstra(rng.standard_normal((n, 12))) for n in (3000, 2800))
    tracemalloc.start()
    try:
        mel_cepstrum.aligned_distance_db(first, second)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2e6
