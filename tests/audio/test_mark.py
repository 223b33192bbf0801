"""The mark: there for whoever has the key, and for nobody else; nothing is heard of it, and nothing is lost."""

from __future__ import annotations

import numpy as np
import pytest

from moksori.audio import mark, resample
from moksori.audio.clip import Clip, Samples

RATE = 24_000


def sing(seconds: float, seed: int = 0) -> Samples:
    """A voice-like sound: notes with vibrato, formants that move, and breath."""
    chance = np.random.default_rng(seed)
    times = np.arange(int(seconds * RATE)) / RATE
    notes = 220.0 * 2 ** (chance.integers(0, 12, int(seconds * 2) + 1)[(times * 2).astype(int)] / 12)
    phase = 2 * np.pi * np.cumsum(notes * (1 + 0.008 * np.sin(34 * times))) / RATE
    tone = np.zeros_like(times)
    for k in range(1, 24):
        tone += np.sin(k * phase) / k * (1 + 0.7 * np.sin(times * chance.uniform(2, 9) + k))
    breath = 0.02 * chance.standard_normal(len(times))
    return np.asarray(0.1 * (tone + breath) * np.sin(np.pi * (times * 2 % 1)) ** 0.3, np.float32)


@pytest.fixture(scope="module")
def song() -> Samples:
    return sing(12.0)


@pytest.fixture(scope="module")
def marked(song: Samples) -> Samples:
    return np.concatenate(list(mark.marked([song], RATE)))


def score(samples: Samples, rate: int = RATE, key: str = mark.PUBLIC_KEY) -> float:
    return mark.detect(Clip(np.asarray(samples, np.float32), rate), key).score


def test_the_mark_is_found_with_its_key_and_not_without(song: Samples, marked: Samples) -> None:
    assert score(marked) > mark.THRESHOLD + 2.0
    assert score(marked, key="another") < mark.THRESHOLD
    assert score(song) < mark.THRESHOLD
    assert mark.detect(Clip(marked, RATE)).is_marked and not mark.detect(Clip(song, RATE)).is_marked


def test_another_key_is_another_mark(song: Samples) -> None:
    own = np.concatenate(list(mark.marked([song], RATE, "own")))
    assert score(own, key="own") > mark.THRESHOLD > score(own)


def test_cells_move_by_the_depth_and_no_more(song: Samples, marked: Samples) -> None:
    assert marked.shape == song.shape and marked.dtype == np.float32
    moved = 10 ** (mark.DEPTH_DB / 20) - 1
    assert np.sqrt(np.mean((marked - song) ** 2)) <= moved * np.sqrt(np.mean(song**2))
    assert 10 * np.log10(np.mean(marked**2) / np.mean(song**2)) == pytest.approx(0.0, abs=0.2)


def test_a_depth_of_nothing_gives_the_sound_itself(song: Samples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mark, "DEPTH_DB", 0.0)
    for n in (1, 255, 256, 257, 1000, len(song)):
        same = np.concatenate(list(mark.marked([song[:n]], RATE)))
        assert same.shape == (n,)
        np.testing.assert_allclose(same, song[:n], atol=1e-6)


def test_the_mark_does_not_depend_on_how_the_sound_is_cut(song: Samples, marked: Samples) -> None:
    for size in (1, 100, 7777):
        part = song[: 20 * size] if size < 100 else song
        blocks = [part[start : start + size] for start in range(0, len(part), size)]
        found = np.concatenate(list(mark.marked(blocks, RATE)))
        assert found.shape == part.shape
        if size > 1:
            np.testing.assert_array_equal(found, marked)


def test_nothing_and_silence_have_no_mark() -> None:
    assert np.concatenate([np.zeros(0), *mark.marked([], RATE)]).shape == (0,)
    silence = np.zeros(5 * RATE, np.float32)
    assert not np.concatenate(list(mark.marked([silence], RATE))).any()
    assert score(silence) == 0.0
    assert score(np.ones(1, np.float32)) == 0.0


@pytest.mark.parametrize(
    "change",
    [
        lambda x: 0.05 * x,
        lambda x: x[int(3.2 * RATE) :],
        lambda x: x + 0.01 * np.sqrt(np.mean(x**2)) * np.random.default_rng(0).standard_normal(len(x)),
        lambda x: np.round(x * 127) / 127,
        lambda x: -x,
    ],
    ids=["softer", "cropped", "noisier", "8 bits", "turned over"],
)
def test_the_mark_survives(marked: Samples, change: object) -> None:
    assert score(change(marked)) > mark.THRESHOLD  # type: ignore[operator]


@pytest.mark.parametrize("rate", [8000, 44_100, 96_000])
def test_the_mark_survives_another_rate(marked: Samples, rate: int) -> None:
    assert score(resample.resample(marked, RATE, rate), rate) > mark.THRESHOLD


def test_a_pattern_has_as_many_louder_cells_as_softer_ones() -> None:
    signs = mark.pattern("key")
    assert set(np.unique(signs)) == {-1, 1} and not signs.sum(axis=1).any()
    assert (signs == mark.pattern("key")).all() and (signs != mark.pattern("kez")).any()


def test_most_sounds_without_the_mark_stay_far_from_the_threshold() -> None:
    scores = [score(sing(6.0, seed)) for seed in range(8)]
    assert max(scores) < mark.THRESHOLD - 1.0
