import numpy as np
import pytest
import synthetic

from moksori.audio import pitch, signals
from moksori.audio.clip import Clip


@pytest.fixture(scope="module")
def tracker() -> pitch.PitchTracker:
    return pitch.PitchTracker()


@pytest.mark.parametrize("f0_hz", [82.4, 110.0, 220.0, 440.0, 659.3])
@pytest.mark.parametrize("sample_rate", [16000, 24000, 44100])
def test_a_rich_tone_is_heard_within_20_cents(tracker: pitch.PitchTracker, f0_hz: float, sample_rate: int) -> None:
    track = tracker.track(signals.tone(f0_hz, 1, sample_rate, n_harmonics=8, amplitude=0.3))
    assert track.is_voiced[5:-5].all()
    assert np.abs(pitch.cents_between(track.f0_hz[5:-5], f0_hz)).max() < 20


def test_a_glide_is_followed_in_time(tracker: pitch.PitchTracker) -> None:
    track = tracker.track(signals.glide(110, 880, 4, 24000, n_harmonics=5, amplitude=0.3))
    expected_hz = 110 * 8 ** (track.times_seconds / 4)
    error = pitch.cents_between(track.f0_hz[5:-5], expected_hz[5:-5])
    assert abs(np.median(error)) < 7.2  # half a hop of delay would be 7.2 cents at 900 cents a second
    assert np.abs(error).max() < 50


def test_silence_has_no_pitch(tracker: pitch.PitchTracker) -> None:
    track = tracker.track(signals.silence(1, 24000))
    assert not track.is_voiced.any()
    assert not track.f0_hz.any()
    assert pitch.range_hz(track) is None


def test_noise_has_hardly_any_pitch(tracker: pitch.PitchTracker) -> None:
    assert tracker.track(signals.noise(2, 24000, np.random.default_rng(0))).is_voiced.mean() < 0.1


@pytest.mark.parametrize(("n_samples", "n_frames"), [(0, 0), (1, 1), (255, 1), (512, 2), (1023, 3)])
def test_short_clips_have_the_stated_number_of_frames(
    tracker: pitch.PitchTracker, n_samples: int, n_frames: int
) -> None:
    track = tracker.track(Clip(np.full(n_samples, 0.1, np.float32), 16000))
    assert len(track.f0_hz) == len(track.confidence) == len(track.is_voiced) == len(track.times_seconds) == n_frames


def test_blocks_give_the_track_of_the_whole(tracker: pitch.PitchTracker) -> None:
    clip = signals.glide(150, 600, 3, 24000, n_harmonics=6, amplitude=0.3)
    whole = tracker.track(clip)
    pieces = tracker.track_blocks(np.split(clip.samples, [1, 700, 30_000, 30_001]), 24000)
    assert np.array_equal(pieces.is_voiced, whole.is_voiced)
    assert pieces.f0_hz == pytest.approx(whole.f0_hz, rel=1e-3)


def test_the_range_leaves_out_the_outer_twentieths_and_the_unvoiced() -> None:
    f0_hz = np.concatenate([np.arange(200.0, 301.0), np.zeros(50)])
    track = pitch.PitchTrack(f0_hz, (f0_hz > 0).astype(np.float64), f0_hz > 0, 0.016)
    found = pitch.range_hz(track)
    assert found is not None
    off_cents = pitch.cents_between([found.low_hz, found.median_hz, found.high_hz], [205.0, 250.0, 295.0])
    assert np.abs(off_cents).max() < pitch.BIN_CENTS


def _track(f0_hz: list[float], confidence: list[float] | None = None) -> pitch.PitchTrack:
    found = np.array(f0_hz)
    sure = (found > 0).astype(float) if confidence is None else np.array(confidence)
    return pitch.PitchTrack(found, sure, found > 0, 0.016)


def test_glitches_and_sibilants_are_no_notes() -> None:
    sung, glitch = [220.0] * 10, [1800.0] * 4
    sibilant = [900.0, 1900.0, 1100.0, 1700.0, 950.0, 1500.0]  # long enough for a note, but it leaps about
    given = pitch.is_note(_track(sung + glitch + sung + [0.0] + sibilant + [0.0] + sung))
    assert given.tolist() == [True] * 10 + [False] * 4 + [True] * 10 + [False] * 8 + [True] * 10


def test_a_glide_over_an_octave_is_one_note() -> None:
    glide = (220.0 * 2 ** (np.arange(20) / 20)).tolist()
    assert pitch.is_note(_track(glide)).all()


def test_where_nothing_is_held_everything_counts() -> None:
    assert pitch.is_note(_track([220.0, 0.0, 330.0])).tolist() == [True, False, True]
    assert pitch.is_note(_track([])).tolist() == []


def test_frames_of_little_confidence_count_for_little() -> None:
    sure = [220.0] * 90 + [880.0] * 10
    found = pitch.range_hz(_track(sure, [1.0] * 90 + [0.1] * 10))
    assert found is not None and found.high_hz < 230
    equal = pitch.range_hz(_track(sure))
    assert equal is not None and equal.high_hz > 800


@pytest.mark.parametrize(
    "hz", [(0.0, 100.0, 200.0), (100.0, 90.0, 200.0), (100.0, 150.0, 120.0), (1.0, float("nan"), 2.0)]
)
def test_a_range_that_does_not_rise_is_refused(hz: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="rises from above 0"):
        pitch.PitchRange(*hz)


def test_every_midi_note_has_its_name() -> None:
    names = [pitch.note_name(pitch.midi_to_hz(midi)) for midi in (21, 59, 60, 61, 69, 108)]
    assert names == ["A0", "B3", "C4", "C#4", "A4", "C8"]


@pytest.mark.parametrize("midi", [0.0, 33.3, 69.0, 127.0])
def test_midi_and_hertz_are_inverse(midi: float) -> None:
    assert pitch.hz_to_midi(pitch.midi_to_hz(midi)) == pytest.approx(midi)


@pytest.mark.parametrize("f0_hz", [0.0, -1.0, float("nan")])
def test_no_pitch_has_no_name(f0_hz: float) -> None:
    with pytest.raises(ValueError, match="no pitch"):
        pitch.note_name(f0_hz)


@pytest.mark.parametrize("singer", synthetic.SINGERS, ids=lambda singer: singer.name)
def test_an_invented_singer_is_tracked_within_a_quarter_tone_and_on_time(
    tracker: pitch.PitchTracker, singer: synthetic.Singer
) -> None:
    chance = np.random.default_rng(0)
    sung = synthetic.render(synthetic.melody(singer, 10.0, chance), singer, 24_000, chance)
    track, truth_hz = tracker.track(sung.clip), sung.f0_hz  # exact, 0 in rests

    def share_within(delay_seconds: float) -> float:
        rows = np.round((track.times_seconds + delay_seconds) / sung.hop_seconds).astype(int)
        heard_hz = truth_hz[np.clip(rows, 0, len(truth_hz) - 1)]
        both = track.is_voiced & (heard_hz > 0)
        return float((np.abs(pitch.cents_between(track.f0_hz[both], heard_hz[both])) < 50).mean())

    assert share_within(0.0) > 0.98
    assert share_within(0.0) > max(share_within(-0.01), share_within(0.01))
