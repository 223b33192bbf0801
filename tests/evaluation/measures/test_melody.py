"""The melody measures on curves whose scores are known beforehand."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from moksori.audio import pitch, signals
from moksori.audio.pitch import PitchTrack
from moksori.errors import UserError
from moksori.evaluation.measures import melody


def _track(*f0_hz: float, hop_seconds: float = 0.016) -> PitchTrack:
    found = np.array(f0_hz, np.float64)
    return PitchTrack(found, (found > 0).astype(float), found > 0, hop_seconds)


GLIDE = _track(*(220.0 * 2 ** (np.arange(48) / 24)))  # two octaves, half a semitone a frame


def _moved(cents: float, track: PitchTrack = GLIDE) -> PitchTrack:
    return _track(*(track.f0_hz * 2 ** (cents / 1200)))


def test_the_same_melody_is_perfect() -> None:
    found = melody.measure(GLIDE, GLIDE)
    assert found == melody.Melody(1.0, 1.0, 0.0, 1.0, pytest.approx(1.0), pytest.approx(0.0))


def test_a_semitone_off_is_no_right_note() -> None:
    found = melody.measure(GLIDE, _moved(100))
    assert found is not None
    assert (found.raw_pitch_accuracy, found.raw_chroma_accuracy, found.voicing_f1) == (0.0, 0.0, 1.0)
    assert found.pitch_rmse_cents == pytest.approx(100.0)
    assert found.pitch_correlation == pytest.approx(1.0)


@pytest.mark.parametrize("octaves", [-2, -1, 1])
def test_octaves_keep_the_note_and_lose_the_pitch(octaves: int) -> None:
    found = melody.measure(GLIDE, _moved(1200 * octaves))
    assert found is not None
    assert (found.raw_pitch_accuracy, found.raw_chroma_accuracy, found.octave_error) == (0.0, 1.0, 1.0)


def test_the_transposition_that_was_asked_for_is_right() -> None:
    found = melody.measure(GLIDE, _moved(-500), transpose_semitones=-5)
    assert found is not None
    assert found.raw_pitch_accuracy == 1.0
    untransposed = melody.measure(GLIDE, GLIDE, transpose_semitones=-5)
    assert untransposed is not None
    assert untransposed.raw_pitch_accuracy == 0.0


@pytest.mark.parametrize(("cents", "accuracy"), [(50, 1.0), (-50, 1.0), (51, 0.0), (1250, 0.0)])
def test_a_quarter_tone_is_the_edge(cents: float, accuracy: float) -> None:
    found = melody.measure(GLIDE, _moved(cents))
    assert found is not None
    assert found.raw_pitch_accuracy == accuracy
    assert found.raw_chroma_accuracy == float(cents != 51)


def test_a_late_glide_is_as_far_off_as_it_is_late() -> None:
    late = _track(*np.concatenate([[0, 0, 0, 0], GLIDE.f0_hz[:-4]]))
    found = melody.measure(GLIDE, late)
    assert found is not None
    assert found.raw_pitch_accuracy == 0.0  # four frames are two semitones
    assert found.pitch_rmse_cents == pytest.approx(200.0)
    assert found.voicing_f1 == pytest.approx(2 * 44 / (48 + 44))


def test_by_hand() -> None:
    # Voiced in the source: 4 frames; right: 1, an octave off: 1, wrong: 1, unvoiced: 1; one voiced frame too many.
    found = melody.measure(_track(100, 100, 100, 100, 0), _track(101, 200, 120, 0, 100))
    assert found is not None
    assert (found.raw_pitch_accuracy, found.raw_chroma_accuracy, found.octave_error) == (0.25, 0.5, 0.25)
    assert found.voicing_f1 == 2 * 3 / (4 + 4)
    assert found.pitch_correlation is None
    assert found.pitch_rmse_cents == pytest.approx(np.sqrt((17.226**2 + 1200**2 + 315.641**2) / 3), abs=0.01)


def test_a_silent_conversion_has_nothing_right() -> None:
    for silent in (_track(), _track(*[0.0] * 48)):
        assert melody.measure(GLIDE, silent) == melody.Melody(0.0, 0.0, 0.0, 0.0, None, None)


def test_a_silent_source_has_no_melody() -> None:
    assert melody.measure(_track(0, 0), GLIDE) is None
    assert melody.measure(_track(), GLIDE) is None
    assert melody.evaluate(_track(0, 0), GLIDE) == {}


def test_what_a_short_conversion_lacks_is_wrong() -> None:
    found = melody.measure(GLIDE, _track(*GLIDE.f0_hz[:24]))
    assert found is not None
    assert found.raw_pitch_accuracy == 0.5
    assert found.voicing_f1 == pytest.approx(2 * 24 / 72)


def test_a_held_note_has_no_curve_to_correlate() -> None:
    held = _track(*[220.0] * 20)
    found = melody.measure(held, held)
    assert found is not None
    assert found.pitch_correlation is None
    assert "pitch_correlation" not in melody.evaluate(held, held)
    assert melody.evaluate(held, held)["raw_pitch_accuracy"] == 1.0


def test_nobody_voiced_agree() -> None:
    assert melody.voicing_f1(np.zeros(3, bool), np.zeros(2, bool)) == 1.0


def test_tracks_of_other_hops_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be compared"):
        melody.measure(GLIDE, _track(100.0, hop_seconds=0.01))


def test_trackers_go_by_name() -> None:
    assert melody.tracker("swift-f0").name == "swift-f0"
    with pytest.raises(UserError, match="known are swift-f0, pyin"):
        melody.tracker("ear")
    if importlib.util.find_spec("librosa") is None:
        with pytest.raises(UserError, match="judges"):
            melody.tracker("pyin")
    else:
        assert melody.tracker("pyin").name == "pyin"


def test_both_trackers_hear_a_glide_alike() -> None:
    pytest.importorskip("librosa", reason="the extra `judges` is not installed")
    clip = signals.glide(200.0, 400.0, 1.0, 24000, n_harmonics=8)
    found = melody.measure(melody.SwiftF0().track(clip), melody.Pyin().track(clip))
    assert found is not None
    assert found.raw_pitch_accuracy > 0.9
    silent = melody.Pyin().track(signals.silence(0.5, 24000))
    assert not silent.is_voiced.any()
    assert len(silent.f0_hz) == len(pitch.PitchTracker().track(signals.silence(0.5, 24000)).f0_hz)


def test_the_tracker_gets_long_clips_in_blocks_and_says_the_same() -> None:
    clip = signals.tone(220.0, 21.3, 16000, amplitude=0.2, n_harmonics=3)
    whole, blocks = pitch.PitchTracker().track(clip), melody.SwiftF0().track(clip)
    np.testing.assert_allclose(blocks.f0_hz, whole.f0_hz, rtol=1e-5)
    np.testing.assert_array_equal(blocks.is_voiced, whole.is_voiced)
    assert len(melody.SwiftF0().track(signals.silence(0.0, 16000)).f0_hz) == 0
