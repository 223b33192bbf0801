"""A WaveNet by itself, as a library: what must be given, what comes out, and that it is what it was asked for."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import moksori
from moksori import checkpoint, conversion, run_files, soloist
from moksori.audio import features, level, mulaw, resample, signals
from moksori.audio.clip import Clip
from moksori.checkpoint import Provenance
from moksori.errors import UserError
from moksori.generation import generator, priming
from moksori.generation.backends import sampling
from moksori.models.autoencoder import Autoencoder
from moksori.models.solo import Solo, SoloConfig
from moksori.models.wavenet import WaveNetConfig
from moksori.progress import Progress
from moksori.soloist import Request, Soloist, SoloOptions

RATE, HOP = 8000, 80
TINY = WaveNetConfig(blocks=1, layers=3, residual_channels=6, skip_channels=8)  # sees 9 samples
NOTHING = SoloConfig(sample_rate=RATE, hop_samples=HOP, decoder=TINY)
SINGER = dataclasses.replace(NOTHING, singer_channels=3)
MELODY = dataclasses.replace(NOTHING, is_melody_conditioned=True)
MEL = dataclasses.replace(SINGER, mel_window_samples=512)


def made(config: SoloConfig) -> Soloist:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Solo(config, ["anna", "minho"])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(2)  # so that the conditioning shows in the scores
    return Soloist(model, Provenance())


@pytest.fixture
def recording() -> Clip:
    return signals.tone(220.0, 0.1, 16000, amplitude=0.02, n_harmonics=4)


def request_for(config: SoloConfig, recording: Clip) -> Request:
    """What a config needs to be given, and no more."""
    return Request(
        0.0 if config.has_local_conditioning else 0.1,
        "anna" if config.has_global_conditioning else None,
        recording if config.has_local_conditioning else None,
    )


@pytest.mark.parametrize("config", [NOTHING, SINGER, MELODY, MEL])
def test_every_form_sings_as_long_as_it_was_asked_to(config: SoloConfig, recording: Clip) -> None:
    asked = request_for(config, recording)
    clip = made(config).generate(asked)
    assert (clip.sample_rate, clip.n_samples) == (RATE, 800)
    shorter = made(config).generate(dataclasses.replace(asked, seconds=0.0333))
    assert np.array_equal(shorter.samples, clip.samples[:266])


def test_it_sings_the_codes_of_the_generator_at_the_level_of_the_recording(recording: Clip) -> None:
    own = made(MEL)
    # By one backend in both, as the usual one of some processors computes in bfloat16.
    clip = own.generate(Request(singer="minho", reference=recording), SoloOptions(seed=5, backend="reference"))
    with torch.no_grad():
        conditioning = own.model.conditioning(own.analyse(recording)[None], own.model.singers(torch.tensor([1])))
    backend = generator.backend_for(own.model.decoder, "reference")
    codes = generator.generate(backend, conditioning, sampling.uniforms(5, 0, 0, 800)[None])[0]
    gain_db = level.gain_for_singing(level.measure(recording.samples, 16000), -23.0)
    assert gain_db > 5
    np.testing.assert_allclose(clip.samples, level.apply_gain(mulaw.decode(codes).numpy(), -gain_db), atol=1e-7)


def test_local_features_are_pitch_level_and_log_mel_at_the_level_of_training(recording: Clip) -> None:
    longer = signals.tone(220.0, 1.0, 16000, amplitude=0.02, n_harmonics=4)
    local = made(dataclasses.replace(MEL, is_melody_conditioned=True)).analyse(longer)
    assert local.shape == (2 + features.WINDOWS[512], 100)
    middle = local[:, 20:80]
    assert ((middle[0] - 220.0).abs() < 3.0).all()
    assert ((middle[1] - -23.0).abs() < 0.5).all()
    # Bands are spread evenly in mel from 40 Hz to 4 kHz; the strongest is the fundamental's.
    at_220, lowest, highest = (2595 * np.log10(1 + hz / 700) for hz in (220.0, 40.0, 4000.0))
    assert abs(int(middle[2:].mean(dim=1).argmax()) - (at_220 - lowest) / (highest - lowest) * 61 + 1) <= 1
    without = made(MEL).analyse(longer)
    assert torch.equal(without[1:], local[1:])
    assert not without[0].any()  # nobody asked for the pitch


def test_local_features_can_be_given_in_place_of_a_recording(recording: Clip) -> None:
    own = made(MELODY)
    local = own.analyse(recording)
    gain_db = level.gain_for_singing(level.measure(recording.samples, 16000), -23.0)
    by_recording, by_frames = (
        own.generate_all([Request(reference=recording)])[0],
        own.generate(Request(local_features=local)),
    )
    np.testing.assert_allclose(by_frames.samples, level.apply_gain(by_recording.samples, gain_db), atol=1e-6)
    higher = local.clone()
    higher[0] = 440.0
    assert not np.array_equal(own.generate(Request(local_features=higher)).samples, by_frames.samples)


def test_clips_of_one_call_are_those_of_their_own_calls_and_all_different(recording: Clip) -> None:
    own = made(SINGER)
    requests = [
        Request(0.03, "anna"),
        Request(0.05, "anna"),
        Request(0.02, "minho"),
        Request(0.03, "anna", prime=recording),
    ]
    together = own.generate_all(requests, SoloOptions(streams=2))
    assert [clip.n_samples for clip in together] == [240, 400, 160, 240]
    alone = own.generate_all(requests, SoloOptions(streams=1))
    for one, other in zip(together, alone, strict=True):
        assert np.array_equal(one.samples, other.samples)
    assert not np.array_equal(together[0].samples, together[1].samples[:240])
    assert not np.array_equal(together[0].samples, own.generate(requests[0], SoloOptions(seed=1)).samples)


@pytest.mark.parametrize("config", [NOTHING, MELODY])
def test_a_recording_is_gone_on_from(config: SoloConfig, recording: Clip) -> None:
    """What follows depends on the end of the recording and on nothing further back than the net can hear."""
    own = made(config)
    prime = signals.glide(200.0, 300.0, 0.2, RATE, amplitude=0.1)
    asked = dataclasses.replace(request_for(config, recording), prime=prime)
    clip = own.generate(asked)
    assert clip.n_samples == 800
    assert not np.array_equal(clip.samples, own.generate(dataclasses.replace(asked, prime=None)).samples)
    other = Clip(np.concatenate([prime.samples[:-1], -prime.samples[-1:]]), RATE)
    assert not np.array_equal(clip.samples, own.generate(dataclasses.replace(asked, prime=other)).samples)
    before = Clip(np.concatenate([-prime.samples[:800], prime.samples[800:]]), RATE)
    if config is NOTHING:
        assert np.array_equal(clip.samples, own.generate(dataclasses.replace(asked, prime=before)).samples)


def test_going_on_begins_behind_the_last_code_of_the_recording_at_the_level_of_training() -> None:
    own, prime = made(NOTHING), signals.glide(200.0, 300.0, 0.2, 16000, amplitude=0.05)
    gain_db = level.gain_for_singing(level.measure(prime.samples, 16000), -23.0)
    heard = mulaw.encode(torch.from_numpy(resample.resample(level.apply_gain(prime.samples, gain_db), 16000, RATE)))
    conditioning = own.model.conditioning(torch.zeros(1, 0, 22), torch.zeros(1, 0))
    backend, uniforms = generator.backend_for(own.model.decoder), sampling.uniforms(0, 0, 0, 160)[None]
    codes = priming.go_on(backend, conditioning, heard[None], uniforms)[0]
    expected = level.apply_gain(mulaw.decode(codes).numpy(), -gain_db)
    np.testing.assert_allclose(own.generate(Request(0.02, prime=prime)).samples, expected, atol=1e-7)


def test_temperature_zero_is_the_same_whatever_the_seed_and_one_is_not() -> None:
    own = made(NOTHING)
    for temperature, is_same in ((0.0, True), (1.0, False)):
        one, other = (own.generate(Request(0.05), SoloOptions(seed, temperature)).samples for seed in (1, 2))
        assert np.array_equal(one, other) is is_same


def test_progress_ends_at_the_whole(recording: Clip) -> None:
    calls: list[Progress] = []
    requests = [Request(0.05), Request(0.03, prime=recording), Request(0.02)]
    made(NOTHING).generate_all(requests, SoloOptions(streams=1), calls.append)
    shares = [progress.share for progress in calls]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("config", "asked", "message"),
    [
        (NOTHING, {}, "expected a length above 0"),
        (NOTHING, {"seconds": -1.0}, "expected a length above 0"),
        (NOTHING, {"seconds": float("nan")}, "expected a length above 0"),
        (NOTHING, {"seconds": 1.0, "singer": "anna"}, "is not conditioned on a singer; leave the singer out"),
        (NOTHING, {"seconds": 1.0, "reference": "recording"}, "not conditioned on a recording; leave it out"),
        (NOTHING, {"seconds": 1.0, "prime": "blink"}, "too short to go on from"),
        (SINGER, {"seconds": 1.0}, "name one of anna, minho"),
        (SINGER, {"seconds": 1.0, "singer": "bob"}, "no singer named 'bob'; it knows anna, minho"),
        (MELODY, {"seconds": 1.0}, "is conditioned on the pitch and loudness of a recording; give it a reference"),
        (MELODY, {"seconds": 0.5, "reference": "recording"}, r"at most the 0\.1 s of the reference"),
        (MEL, {"singer": "anna"}, "is conditioned on the log-mel of a recording"),
        (MEL, {"singer": "anna", "reference": "empty"}, "the recording is empty"),
    ],
)
def test_requests_that_cannot_be_met_are_refused(
    config: SoloConfig, asked: dict[str, object], message: str, recording: Clip
) -> None:
    sounds = {"recording": recording, "blink": signals.silence(0.005, RATE), "empty": signals.silence(0.0, RATE)}
    given = {key: sounds.get(value, value) if isinstance(value, str) else value for key, value in asked.items()}
    with pytest.raises(UserError, match=message):
        made(config).generate(Request(**given))  # type: ignore[arg-type]


def test_frames_of_another_kind_and_wrong_temperatures_are_refused() -> None:
    with pytest.raises(ValueError, match=r"local_features is \[3, 4\]; expected \[2, F\]"):
        made(MELODY).generate(Request(local_features=torch.zeros(3, 4)))
    with pytest.raises(UserError, match="temperature is -1"):
        SoloOptions(temperature=-1)


def test_a_model_file_gives_back_the_same_soloist_and_no_voice(tmp_path: Path, tiny_model: Autoencoder) -> None:
    own = made(SINGER)
    checkpoint.write_model(tmp_path / run_files.MODEL, own.model, Provenance(steps=7))
    read = moksori.load_wavenet(tmp_path)
    assert isinstance(read, moksori.Soloist)
    assert (read.singers, read.provenance.steps) == (("anna", "minho"), 7)
    one, other = (each.generate(Request(0.05, "anna")).samples for each in (own, read))
    assert np.array_equal(one, other)
    with pytest.raises(UserError, match=r"holds a WaveNet by itself.*moksori wavenet generate"):
        conversion.load(tmp_path)
    checkpoint.write_model(tmp_path / "voice.safetensors", tiny_model, Provenance())
    with pytest.raises(UserError, match="holds a voice to convert to, not a WaveNet by itself"):
        soloist.load(tmp_path / "voice.safetensors")
