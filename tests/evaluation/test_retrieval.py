"""The control by frames: whose resonances come out, and what stays."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from moksori.audio import pitch
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTrack
from moksori.evaluation import retrieval

RATE, F0_HZ = retrieval.RATE, 150.0


def _sung(formants_hz: list[float], seconds: float = 1.0) -> Clip:
    """Vowels of one formant each, one after another, at one pitch."""
    times = np.arange(int(seconds * RATE)) / RATE
    numbers = np.arange(1, 60)[:, None]
    parts = []
    for formant_hz in formants_hz:
        amplitudes = 1 / (1 + np.square((numbers * F0_HZ - formant_hz) / 200)) + 0.002
        parts.append((amplitudes * np.cos(2 * np.pi * F0_HZ * numbers * times + numbers**2)).sum(axis=0))
    sound = np.concatenate(parts)
    return Clip((0.2 * sound / np.abs(sound).max()).astype(np.float32), RATE)


def _track(clip: Clip, *, is_voiced: bool = True) -> PitchTrack:
    n_frames = int(clip.seconds / pitch.HOP_SECONDS) + 1
    voiced = np.full(n_frames, is_voiced)
    return PitchTrack(np.where(voiced, F0_HZ, 0.0), np.ones(n_frames), voiced, pitch.HOP_SECONDS)


def _peak_hz(clip: Clip, vowel: int) -> float:
    middle = clip.samples[int((vowel + 0.3) * RATE) : int((vowel + 0.7) * RATE)]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(len(middle))))
    return float(spectrum.argmax() / 0.4)


def _pool(clip: Clip) -> retrieval.Pool:
    found = retrieval.pool([(clip, _track(clip))])
    assert found is not None
    return found


def test_a_song_by_its_own_frames_is_the_song() -> None:
    song = _sung([700.0, 1500.0])
    again = retrieval.sung(song, _track(song), _pool(song))
    assert again.n_samples == song.n_samples
    inner = slice(RATE // 10, -RATE // 10)
    error = again.samples[inner] - song.samples[inner]
    assert np.square(error).mean() < 0.01 * np.square(song.samples[inner]).mean()


def test_vowels_come_out_with_the_resonances_of_the_singer() -> None:
    song, singer = _sung([700.0, 1500.0]), _sung([900.0, 2100.0])
    result = retrieval.sung(song, _track(song), _pool(singer))
    assert abs(_peak_hz(result, 0) - 900.0) <= F0_HZ
    assert abs(_peak_hz(result, 1) - 2100.0) <= F0_HZ
    assert _peak_hz(result, 0) % F0_HZ == pytest.approx(0.0, abs=3.0)  # harmonics stay where they were


def test_what_is_not_voiced_stays_and_a_pool_needs_frames() -> None:
    song = _sung([700.0, 1500.0])
    same = retrieval.sung(song, _track(song, is_voiced=False), _pool(song))
    assert np.abs(same.samples - song.samples).max() < 1e-6
    assert retrieval.pool([]) is None
    assert retrieval.pool([(song, _track(song, is_voiced=False))]) is None


def test_a_moved_track_is_moved() -> None:
    track = retrieval.moved_track(_track(_sung([700.0])), 12.0)
    assert np.allclose(track.voiced_hz, 2 * F0_HZ)


def test_voicing_is_looked_up_at_the_time_of_each_frame() -> None:
    clip = _sung([700.0])
    track = _track(clip)
    late = np.arange(len(track.f0_hz)) * track.hop_seconds >= 0.5
    half = PitchTrack(np.where(late, F0_HZ, 0.0), track.confidence, late, track.hop_seconds)
    _, is_voiced = retrieval._envelopes(clip, half)
    assert not is_voiced[:48].any() and is_voiced[53:].all()  # a frame each 10 ms


def test_warping_moves_a_resonance_and_a_warp_of_one_nothing() -> None:
    envelopes = np.zeros((1, 129), np.float32)
    envelopes[0, 40], envelopes[0, -1] = 2.0, 1.0
    np.testing.assert_allclose(retrieval._warped(envelopes, 1.0), envelopes, atol=1e-6)
    assert retrieval._warped(envelopes, 1.25)[0].argmax() == 50
    assert retrieval._warped(envelopes, 0.8)[0].argmax() == 32


def test_a_neighbour_two_farther_away_counts_e_times_less() -> None:
    envelopes = np.stack([np.full(129, 1.0), np.full(129, 5.0)])[None].astype(np.float32)
    distances = np.array([[1.0, 1.0 + 2 * np.log(3.0)]], np.float32)
    np.testing.assert_allclose(retrieval._mean_of(envelopes, distances), np.full((1, 129), 2.0), rtol=1e-6)


def test_neighbours_are_found_some_at_a_time_in_memory_that_does_not_grow_with_the_song(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    envelopes = rng.normal(size=(300, retrieval._POINTS)).astype(np.float32)
    singer = retrieval.Pool(envelopes, rng.normal(size=(4000, retrieval._CEPSTRA)).astype(np.float32))
    whole = retrieval._nearest(envelopes, singer)
    monkeypatch.setattr(retrieval, "_AT_ONCE", 32)
    tracemalloc.start()
    pieces = retrieval._nearest(envelopes, singer)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(np.sort(whole[0], axis=1), np.sort(pieces[0], axis=1))
    assert np.allclose(np.sort(whole[1], axis=1), np.sort(pieces[1], axis=1), atol=1e-3)
    assert peak < 300 * 4000 * 4  # of what distances of all frames to all frames take, once
