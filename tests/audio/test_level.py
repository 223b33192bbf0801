import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from moksori.audio import level, signals
from moksori.audio.clip import Samples

RATE = 24000


def _phrase(*parts: tuple[float, float]) -> level.Measurement:
    """Measure a song given as (seconds, amplitude) pairs of a 200 Hz tone, whose period divides the hop of 20 ms."""
    samples = [signals.tone(200, seconds, RATE, amplitude=amplitude).samples for seconds, amplitude in parts]
    return level.measure(np.concatenate(samples), RATE)


def test_a_full_scale_sine_has_a_peak_of_0_and_an_rms_of_minus_3_db() -> None:
    samples = signals.tone(200, 1, RATE, amplitude=1).samples
    assert level.peak_dbfs(samples) == pytest.approx(0, abs=1e-4)
    assert level.rms_dbfs(samples) == pytest.approx(-3.0103, abs=1e-3)
    assert level.frame_level_dbfs(samples, 480) == pytest.approx(-3.0103, abs=1e-3)


@pytest.mark.parametrize("samples", [np.zeros(0, np.float32), np.zeros(1000, np.float32)])
def test_silence_has_a_finite_level(samples: Samples) -> None:
    assert level.peak_dbfs(samples) == level.rms_dbfs(samples) == level.FLOOR_DBFS
    assert (level.frame_level_dbfs(samples, 480) == level.FLOOR_DBFS).all()


@given(st.floats(-119, 40))
def test_decibels_and_amplitudes_are_inverse(db: float) -> None:
    assert level.amplitude_to_db(level.db_to_amplitude(db)) == pytest.approx(db)


@given(st.floats(-60, 60))
def test_a_gain_moves_the_level_by_itself(gain_db: float) -> None:
    samples = np.array([0.1, -0.05, 0.02], np.float32)
    louder = level.apply_gain(samples, gain_db)
    assert louder.dtype == np.float32
    assert level.rms_dbfs(louder) == pytest.approx(level.rms_dbfs(samples) + gain_db, abs=1e-4)


def test_a_last_partial_frame_is_averaged_over_what_it_has() -> None:
    samples = np.full(1000, 0.1, np.float32)
    assert level.frame_level_dbfs(samples, 480) == pytest.approx([-20, -20, -20], abs=1e-4)


@given(st.lists(st.integers(0, 3000), max_size=8), st.integers(0, 2**32 - 1))
def test_a_meter_does_not_care_how_the_samples_are_cut(cuts: list[int], seed: int) -> None:
    samples = np.random.default_rng(seed).uniform(-1.2, 1.2, 3000).astype(np.float32)
    meter = level.LevelMeter(RATE)
    for block in np.split(samples, sorted(cuts)):
        meter.push(block)
    streamed, whole = meter.result(), level.measure(samples, RATE)
    assert np.array_equal(streamed.frame_dbfs, whole.frame_dbfs)
    assert np.array_equal(whole.frame_dbfs, level.frame_level_dbfs(samples, 480))
    assert (streamed.peak_dbfs, streamed.n_clipped, streamed.n_samples, streamed.hop_samples) == (
        whole.peak_dbfs, whole.n_clipped, whole.n_samples, whole.hop_samples,
    )  # fmt: skip


def test_clipped_samples_are_counted() -> None:
    measured = level.measure(np.array([0, 1, -1, 0.9, 0.5, 0, 0, 0], np.float32), RATE)
    assert measured.n_clipped == 2
    assert measured.clipped_fraction == 0.25
    assert level.measure(np.zeros(0, np.float32), RATE).clipped_fraction == 0


def test_pauses_do_not_lower_the_sung_level() -> None:
    sung_dbfs = level.sung_level_dbfs(_phrase((2, 0.5)).frame_dbfs)
    with_pauses = _phrase((2, 0.0), (1, 0.5), (5, 0.0), (1, 0.5), (2, 1e-4))
    assert level.sung_level_dbfs(with_pauses.frame_dbfs) == pytest.approx(sung_dbfs, abs=1e-6)
    assert sung_dbfs == pytest.approx(20 * np.log10(0.5 / np.sqrt(2)), abs=1e-3)


def test_the_sung_level_of_nothing_is_the_floor() -> None:
    assert level.sung_level_dbfs(np.zeros(0)) == level.FLOOR_DBFS
    assert level.sung_level_dbfs(np.full(9, -70.0)) == level.FLOOR_DBFS


def test_the_gate_follows_loud_singing_and_rests_on_the_absolute_one() -> None:
    assert level.gate_dbfs(np.full(100, -6.0)) == -51
    assert level.gate_dbfs(np.full(100, -30.0)) == -60
    assert level.gate_dbfs(np.zeros(0)) == -60


def test_noise_is_the_quietest_sound_not_the_digital_silence() -> None:
    frame_dbfs = np.concatenate([np.full(50, level.FLOOR_DBFS), np.full(50, -72.0), np.full(100, -20.0)])
    assert level.noise_dbfs(frame_dbfs) == -72
    assert level.noise_dbfs(np.full(5, level.FLOOR_DBFS)) == level.FLOOR_DBFS


def test_regions_by_hand() -> None:
    # 2 s silence, 1 s sung, 2 s silence, 0.5 s sung, 0.4 s gap (joined), 0.5 s sung, 3 s silence; guards of 0.25 s.
    song = _phrase((2, 0), (1, 0.5), (2, 0), (0.5, 0.5), (0.4, 0), (0.5, 0.3), (3, 0))
    expected = [(1.75, 3.25), (4.75, 6.65)]
    assert level.sung_regions(song) == [(round(a * RATE), round(b * RATE)) for a, b in expected]


def test_guards_stop_at_the_ends_of_the_recording() -> None:
    assert level.sung_regions(_phrase((1.005, 0.5))) == [(0, 24120)]


@pytest.mark.parametrize("measured", [_phrase((1, 0.0)), level.measure(np.zeros(0, np.float32), RATE)])
def test_silence_has_no_region(measured: level.Measurement) -> None:
    assert level.sung_regions(measured) == []


@given(
    st.lists(st.sampled_from([-120.0, -70.0, -55.0, -30.0, -6.0]), max_size=200),
    st.floats(0, 1), st.floats(0, 1), st.integers(0, 479),
)  # fmt: skip
def test_regions_are_ascending_apart_and_hold_every_sung_frame(
    frame_dbfs: list[float], join_seconds: float, guard_seconds: float, n_missing: int
) -> None:
    levels = np.array(frame_dbfs)
    n_samples = max(0, 480 * len(levels) - n_missing)
    measured = level.Measurement(levels, 480, n_samples, RATE, peak_dbfs=0.0, n_clipped=0)
    config = level.TrimConfig(join_seconds=join_seconds, guard_seconds=guard_seconds)
    regions = level.sung_regions(measured, config)
    edges = [edge for region in regions for edge in region]
    assert edges == sorted(set(edges))
    assert not edges or (edges[0] >= 0 and edges[-1] <= n_samples)
    for frame in np.flatnonzero(levels > level.gate_dbfs(levels, config)).tolist():
        end = min(480 * (frame + 1), n_samples)
        assert any(a <= 480 * frame and end <= b for a, b in regions)


@pytest.mark.parametrize(
    "wrong",
    [{"loud_quantile": 2.0}, {"join_seconds": -1.0}, {"guard_seconds": float("nan")}, {"absolute_gate_dbfs": 3.0}],
)
def test_a_wrong_setting_is_named(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        level.TrimConfig(**wrong)


def test_the_outline_is_the_peak_of_each_part_however_the_blocks_fall() -> None:
    samples = np.random.default_rng(0).uniform(-1, 1, 1000).astype(np.float32)
    expected = np.abs(samples).reshape(10, 100).max(axis=1)
    for size in (1, 7, 100, 1000):
        outline = level.PeakOutline(1000, 10)
        for start in range(0, 1000, size):
            outline.push(samples[start : start + size])
        np.testing.assert_array_equal(outline.result(), expected)


def test_the_loudest_stretch_is_found_by_power_not_by_its_loudest_frame() -> None:
    levels = np.full(100, -60.0)
    levels[10] = -10.0
    levels[40:60] = -15.0
    assert level.loudest_stretch(levels, 20) == 40
    assert level.loudest_stretch(levels, 1) == 10
    assert level.loudest_stretch(levels, 200) == 0
    assert level.loudest_stretch(np.full(50, -20.0), 10) == 0
