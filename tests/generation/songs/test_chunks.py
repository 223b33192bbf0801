from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from moksori.audio import frames, mulaw
from moksori.audio.clip import Samples
from moksori.generation import generator
from moksori.generation.backends import sampling
from moksori.generation.songs import chunks
from moksori.generation.songs.chunks import Chunk, ChunkConfig, Codes, Joiner
from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet, WaveNetConfig

RATE = 8000
FIELD = 512
CONFIG = ChunkConfig(streams=32)


def sound(codes: Codes) -> Samples:
    return mulaw.decode(torch.from_numpy(codes.astype(np.int64))).numpy()


def encoded(waveform: Samples) -> Codes:
    return mulaw.encode(torch.from_numpy(waveform)).numpy().astype(np.uint8)


def sine(n_samples: int, hz: float = 220.0, shift: float = 0.0) -> Samples:
    return (0.5 * np.sin(2 * np.pi * hz * (np.arange(n_samples) + shift) / RATE)).astype(np.float32)


def random_codes(n_samples: int, seed: int = 0) -> Codes:
    return np.random.default_rng(seed).integers(0, 256, n_samples).astype(np.uint8)


def planned(n_samples: int, field: int = FIELD, hop: int = 160, config: ChunkConfig = CONFIG) -> list[Chunk]:
    levels = np.random.default_rng(0).uniform(-60, -10, max(1, n_samples // 160))
    return chunks.plan(n_samples, RATE, hop, field, levels, config)


def joined(plan: list[Chunk], takes: list[Codes], n_samples: int, field: int = FIELD) -> tuple[Samples, Joiner]:
    joiner = Joiner(RATE, field, CONFIG)
    parts = [joiner.push(chunk, take) for chunk, take in zip(plan, takes, strict=True)]
    return np.concatenate([*parts, joiner.finish(n_samples)]), joiner


def cut_out(plan: list[Chunk], song: Codes) -> list[Codes]:
    """What chunks hold that all agree with one song."""
    return [song[chunk.first : chunk.last] for chunk in plan]


configs = st.builds(
    ChunkConfig,
    streams=st.integers(1, 40),
    shortest_seconds=st.floats(0.5, 4),
    longest_seconds=st.floats(4, 20),
    search_seconds=st.floats(0, 2),
    fade_seconds=st.floats(0, 0.05),
    lag_seconds=st.floats(0, 0.02),
)


@settings(max_examples=200, deadline=None)
@given(
    seconds=st.floats(0.0005, 400),
    rate=st.sampled_from([1000, 4000, 8000, 11050, 16000]),
    hop=st.sampled_from([1, 40, 160, 333, 800]),
    field=st.integers(2, 20_000),
    n_levels=st.integers(1, 3000),
    seed=st.integers(0, 1000),
    config=configs,
)
def test_a_plan_tiles_the_song_and_leaves_room_for_warm_up_and_seams(
    seconds: float, rate: int, hop: int, field: int, n_levels: int, seed: int, config: ChunkConfig
) -> None:
    n_samples = max(1, round(seconds * rate))
    levels = np.random.default_rng(seed).choice([-90.0, -40.0, -20.0], n_levels)
    plan = chunks.plan(n_samples, rate, hop, field, levels, config)
    assert plan[0].start == 0 and plan[-1].stop == n_samples
    assert plan[0].first == 0 and plan[-1].last >= n_samples
    half, lag = config.half_fade_samples(rate), config.lag_samples(rate)
    end = frames.padded_length(n_samples, hop)
    for chunk in plan:
        assert chunk.first % hop == 0
        assert 0 <= chunk.first <= chunk.start < chunk.stop <= chunk.last <= end
        # At any lag the whole seam can be read, after a whole receptive field of memory.
        assert chunk.first == 0 or chunk.first <= chunk.start - half - lag - field
        assert chunk.last == end or chunk.last >= chunk.stop + half + lag
    for one, next_one in itertools.pairwise(plan):
        assert one.stop == next_one.start
        assert next_one.stop - next_one.start > 2 * half  # seams do not meet
    assert len(plan) == 1 or plan[0].stop > half


@settings(max_examples=100, deadline=None)
@given(seconds=st.floats(0.1, 3000), streams=st.integers(1, 40))
def test_chunks_last_about_as_long_as_the_config_says(seconds: float, streams: int) -> None:
    config = ChunkConfig(streams=streams, search_seconds=0)
    plan = chunks.plan(round(seconds * RATE), RATE, 160, FIELD, np.zeros(1), config)
    own = [(chunk.stop - chunk.start) / RATE for chunk in plan]
    assert max(own) <= 1.5 * config.longest_seconds
    assert min(own) >= min(seconds, 0.75 * config.shortest_seconds) - 2 / RATE
    if config.shortest_seconds * streams < seconds < config.longest_seconds * streams:
        assert len(plan) == streams  # all streams busy, once


@pytest.mark.parametrize("seconds", [0.001, 1.0, 2.9])
def test_a_short_song_is_one_chunk(seconds: float) -> None:
    n_samples = round(seconds * RATE)
    (only,) = planned(n_samples)
    assert (only.start, only.stop, only.first) == (0, n_samples, 0)
    assert n_samples <= only.last <= frames.padded_length(n_samples, 160)


def test_one_stream_of_any_length_is_one_chunk() -> None:
    config = ChunkConfig(streams=1, longest_seconds=float("inf"))
    assert len(planned(3600 * RATE, config=config)) == 1


def test_a_song_is_cut_at_the_quietest_frame_within_reach() -> None:
    n_samples = 8 * RATE  # four chunks, nominal cuts at 2, 4 and 6 s
    levels = np.full(400, -20.0)  # frames of 20 ms
    levels[[115, 90]] = -30, -40  # 2.31 s; 1.81 s is quieter
    levels[[190, 215]] = -40  # 3.81 s; 4.31 s is as quiet, but further away
    levels[[350]] = -90  # 7.01 s: out of reach from 6 s
    plan = chunks.plan(n_samples, RATE, 160, FIELD, levels, ChunkConfig(streams=32, search_seconds=0.5))
    cuts = [chunk.start / RATE for chunk in plan[1:]]
    assert cuts[:2] == [pytest.approx(1.81), pytest.approx(3.81)]
    assert abs(cuts[2] - 6) <= 0.01  # nothing is quieter than its nominal place


def test_cuts_stay_where_they_are_if_no_frame_is_near() -> None:
    plan = chunks.plan(8 * RATE, RATE, 160, FIELD, np.zeros(1), CONFIG)
    assert [chunk.start for chunk in plan] == [0, 2 * RATE, 4 * RATE, 6 * RATE]


@settings(max_examples=30, deadline=None)
@given(n_samples=st.integers(1, 20 * RATE), hop=st.sampled_from([40, 160, 800]), seed=st.integers(0, 100))
def test_chunks_that_agree_are_the_unbroken_song(n_samples: int, hop: int, seed: int) -> None:
    plan = planned(n_samples, hop=hop)
    song = random_codes(frames.padded_length(n_samples, hop), seed)
    whole, joiner = joined(plan, cut_out(plan, song), n_samples)
    assert np.array_equal(whole, sound(song)[:n_samples])
    assert (joiner.seams.exact, joiner.seams.faded) == (len(plan) - 1, 0)


def test_what_differs_before_the_receptive_field_does_not_matter() -> None:
    plan = planned(6 * RATE)
    song = random_codes(6 * RATE)
    takes = cut_out(plan, song)
    takes[1] = takes[1].copy()
    warm_up = plan[1].start - FIELD - plan[1].first
    takes[1][:warm_up] = 255 - takes[1][:warm_up]
    whole, joiner = joined(plan, takes, 6 * RATE)
    assert joiner.seams.faded == 0
    assert np.array_equal(whole, sound(song))


def test_one_code_that_differs_within_the_receptive_field_is_another_chain() -> None:
    plan = planned(6 * RATE)
    for place in (plan[1].start - FIELD, plan[1].start - 1):
        takes = cut_out(plan, random_codes(6 * RATE))
        takes[1] = takes[1].copy()
        takes[1][place - plan[1].first] ^= 1
        assert joined(plan, takes, 6 * RATE)[1].seams.faded == 1


def test_chunks_that_both_begin_with_the_song_are_one_chain() -> None:
    # A net with a longer memory than the first chunk was faded although nothing had ever differed.
    field = 3 * RATE
    plan = planned(6 * RATE, field=field)
    assert plan[1].first == 0 and plan[1].start < field
    song = random_codes(6 * RATE)
    whole, joiner = joined(plan, cut_out(plan, song), 6 * RATE, field)
    assert joiner.seams.faded == 0
    assert np.array_equal(whole, sound(song))


@settings(max_examples=30, deadline=None)
@given(n_samples=st.integers(1, 20 * RATE), seed=st.integers(0, 100), agreeing=st.sets(st.integers(0, 12)))
def test_a_song_has_its_exact_length_however_its_chunks_meet(n_samples: int, seed: int, agreeing: set[int]) -> None:
    plan = planned(n_samples)
    song = random_codes(frames.padded_length(n_samples, 160), seed)
    takes = cut_out(plan, song)
    takes = [take if i in agreeing else random_codes(len(take), seed + 1 + i) for i, take in enumerate(takes)]
    whole, joiner = joined(plan, takes, n_samples)
    assert whole.shape == (n_samples,) and whole.dtype == np.float32
    assert joiner.seams.exact + joiner.seams.faded == len(plan) - 1
    assert np.isfinite(whole).all()


def test_what_is_handed_out_is_settled_up_to_the_seam() -> None:
    """Nothing is held back longer than needed: memory stays bounded in a long song."""
    plan, n_samples = planned(8 * RATE), 8 * RATE
    joiner, done = Joiner(RATE, FIELD, CONFIG), 0
    for i, chunk in enumerate(plan):
        done += len(joiner.push(chunk, random_codes(chunk.last - chunk.first, i)))
        assert done in (0, chunk.start + CONFIG.half_fade_samples(RATE))
    assert done + len(joiner.finish(n_samples)) == n_samples


@pytest.mark.parametrize("shift", [7.3, 18.0, -13.6])
def test_chunks_out_of_phase_are_joined_without_a_click(shift: float) -> None:
    """A tone sung by three chunks at three phases: its steepest place stays as steep as in each.

    The last chunk, moved against the end of the song, once ended in up to 5 ms of silence.
    """
    n_samples = 6 * RATE
    plan = planned(n_samples)
    assert len(plan) == 3
    takes = [encoded(sine(n_samples, shift=i * shift))[c.first : c.last] for i, c in enumerate(plan)]
    whole, joiner = joined(plan, takes, n_samples)
    assert joiner.seams.faded == 2
    steepest = np.abs(np.diff(sound(encoded(sine(n_samples))))).max()
    assert np.abs(np.diff(whole)).max() < 1.1 * steepest
    # The abrupt switch would have clicked.
    abrupt = np.concatenate([sound(t)[c.start - c.first : c.stop - c.first] for c, t in zip(plan, takes, strict=True)])
    assert np.abs(np.diff(abrupt)).max() > 1.5 * steepest
    # And its loudness does not dip: the lag meets the phase.
    seam = slice(plan[1].start - 80, plan[1].start + 80)
    assert whole[seam].std() == pytest.approx(sine(RATE).std(), rel=0.1)


@settings(max_examples=20, deadline=None)
@given(displaced=st.integers(-40, 40))
def test_a_chunk_displaced_within_the_lag_is_put_right(displaced: int) -> None:
    assume(displaced != 0)
    n_samples = 6 * RATE
    plan, song = planned(n_samples), random_codes(7 * RATE)
    here = song[200 : 200 + n_samples]
    late = song[200 - displaced : 200 - displaced + n_samples]  # the same song, displaced
    first, _, last = cut_out(plan, here)
    whole, joiner = joined(plan, [first, late[plan[1].first : plan[1].last], last], n_samples)
    assert joiner.seams.faded == 2
    np.testing.assert_allclose(whole, sound(here), atol=1e-6)


def test_chunks_that_agree_are_not_switched_while_one_stands_displaced() -> None:
    """The third chunk is the chain of the second, which is read with a lag: it is moved by as much."""
    n_samples, displaced = 8 * RATE, 25
    plan, song = planned(n_samples), random_codes(9 * RATE)
    here, late = song[200 : 200 + n_samples], song[200 - displaced : 200 - displaced + n_samples]
    takes = [(late if i in (1, 2) else here)[chunk.first : chunk.last] for i, chunk in enumerate(plan)]
    whole, joiner = joined(plan, takes, n_samples)
    assert joiner.seams.faded == 3
    np.testing.assert_allclose(whole, sound(here), atol=1e-6)


def test_a_seam_is_the_old_sound_then_the_fade_then_the_new_sound() -> None:
    n_samples, config = 4 * RATE, ChunkConfig(streams=32, lag_seconds=0)
    plan = planned(n_samples, config=config)
    takes = [random_codes(chunk.last - chunk.first, i) for i, chunk in enumerate(plan)]
    old, new = np.zeros((2, n_samples), np.float32)
    old[: plan[0].last], new[plan[1].first :] = sound(takes[0]), sound(takes[1])
    joiner = Joiner(RATE, FIELD, config)
    parts = [joiner.push(chunk, take) for chunk, take in zip(plan, takes, strict=True)]
    begin, end = plan[1].start - 80, plan[1].start + 80  # 20 ms
    by_hand = [old[:begin], chunks.crossfade(old[begin:end], new[begin:end]), new[end:]]
    assert np.array_equal(np.concatenate([*parts, joiner.finish(n_samples)]), np.concatenate(by_hand))


@pytest.mark.parametrize("seed", range(5))
def test_the_lag_is_bounded_and_does_not_add_up(seed: int) -> None:
    """Every faded chunk stands within 5 ms of its own place, whatever the ones before it did."""
    n_samples, reach = 12 * RATE, CONFIG.lag_samples(RATE)
    plan = planned(n_samples)
    takes = [random_codes(chunk.last - chunk.first, 100 * seed + i) for i, chunk in enumerate(plan)]
    whole, _ = joined(plan, takes, n_samples)
    lags = []
    for chunk, take in zip(plan[1:], takes[1:], strict=True):
        middle = (chunk.start + chunk.stop) // 2
        heard = whole[middle : middle + 500]
        at = [
            lag
            for lag in range(-reach, reach + 1)
            if np.array_equal(heard, sound(take)[middle - chunk.first + lag :][:500])
        ]
        lags.append(at)
    assert all(len(at) == 1 for at in lags)
    assert any(at != [0] for at in lags)


def test_silent_seams_are_not_moved() -> None:
    plan = planned(6 * RATE)
    takes = [np.full(chunk.last - chunk.first, mulaw.SILENCE, np.uint8) for chunk in plan]
    song = random_codes(6 * RATE)
    takes[1][RATE:] = song[plan[1].first + RATE : plan[1].last]  # the seam before it is silent
    takes[0][-300] = 129  # and it is not the same chain: within the receptive field before the cut
    whole, joiner = joined(plan, takes, 6 * RATE)
    assert joiner.seams.faded == 2
    sung = slice(plan[1].first + RATE, plan[1].stop - 200)
    assert np.array_equal(whole[sung], sound(song)[sung])


def test_a_fade_of_a_sound_into_itself_is_the_sound() -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 1000).astype(np.float32)
    np.testing.assert_allclose(chunks.crossfade(noise, noise), noise, atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_fade_keeps_the_power_of_noises_however_alike(share: float) -> None:
    """Power in the middle third, where an equal-gain fade of unlike noises has lost 3 dB; within 0.2 dB."""
    chance, n = np.random.default_rng(0), 60_000
    old, other = chance.normal(0, 0.1, (2, n)).astype(np.float32)
    new = (share * old + np.sqrt(1 - share**2) * other).astype(np.float32)
    assert chunks.correlation(old, new) == pytest.approx(share, abs=0.02)
    middle = chunks.crossfade(old, new)[n // 3 : 2 * n // 3]
    assert 10 * np.log10(np.mean(middle**2) / 0.01) == pytest.approx(0, abs=0.2)


def test_a_fade_begins_with_the_old_and_ends_with_the_new() -> None:
    old, new = np.full(100, 0.5, np.float32), np.linspace(-0.5, 0.1, 100, dtype=np.float32)
    faded = chunks.crossfade(old, new)
    assert faded[0] == pytest.approx(old[0], abs=0.01)
    assert faded[-1] == pytest.approx(new[-1], abs=0.01)


def test_opposite_sounds_fade_through_silence_and_stay_finite() -> None:
    tone = sine(400)
    faded = chunks.crossfade(tone, -tone)
    assert np.abs(faded).max() <= np.abs(tone).max() + 1e-6


def test_a_fade_of_no_length_is_empty() -> None:
    nothing = np.zeros(0, np.float32)
    assert chunks.crossfade(nothing, nothing).shape == (0,)


def test_correlation_by_hand() -> None:
    a = np.array([1, 2, 2], np.float32)
    assert chunks.correlation(a, a) == pytest.approx(1)
    assert chunks.correlation(a, -2 * a) == pytest.approx(-1)
    assert chunks.correlation(a, np.array([2, 1, -2], np.float32)) == 0
    assert chunks.correlation(a, np.array([1, 0, 0], np.float32)) == pytest.approx(1 / 3)
    assert chunks.correlation(a, np.zeros(3, np.float32)) == 0


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_chains_that_fall_into_step_are_the_song_that_one_chain_sings(temperature: float) -> None:
    """Whole way: chunks generated in lockstep from the uniforms of their places, and joined."""
    rate, hop, n_samples = 1000, 10, 1800
    config = ChunkConfig(streams=32, shortest_seconds=0.4, longest_seconds=0.4, fade_seconds=0.01, lag_seconds=0.005)
    torch.manual_seed(0)
    decoder = WaveNet(WaveNetConfig(1, 3, residual_channels=4, skip_channels=4), 2).double()
    local = torch.randn(1, 2, n_samples // hop, dtype=torch.float64)
    plan = chunks.plan(n_samples, rate, hop, decoder.config.receptive_field, np.zeros(90), config)
    assert len(plan) == 4
    backend = generator.backend_for(decoder)

    def chain(first: int, last: int) -> Codes:
        conditioning = Conditioning(local[:, :, first // hop : -(-last // hop)], hop)
        uniforms = sampling.uniforms(5, 0, first, last - first).unsqueeze(0)
        return generator.generate(backend, conditioning, uniforms, temperature)[0].numpy().astype(np.uint8)

    joiner = Joiner(rate, decoder.config.receptive_field, config)
    parts = [joiner.push(chunk, chain(chunk.first, chunk.last)) for chunk in plan]
    assert joiner.seams.exact == 3
    assert np.array_equal(np.concatenate([*parts, joiner.finish(n_samples)]), sound(chain(0, n_samples)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"streams": 0}, "streams must be at least 1"),
        ({"search_seconds": -1.0}, "must not be negative"),
        ({"lag_seconds": -0.001}, "must not be negative"),
        ({"shortest_seconds": 13.0}, "no longer than"),
        ({"shortest_seconds": 0.05}, r"at least 0\.1 s"),
        ({"fade_seconds": 0.5}, "5 times fade"),
        ({"shortest_seconds": float("nan")}, r"at least 0\.1 s"),
    ],
)
def test_lengths_that_cannot_be_are_refused(change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ChunkConfig(**change)  # type: ignore[arg-type]
