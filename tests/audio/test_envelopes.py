"""Envelopes by pitch-synchronous analysis: what was put in comes out, whatever the pitch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from moksori.audio import envelopes
from moksori.audio.envelopes import Curve, EnvelopeConfig
from moksori.generation.backends import sampling
from moksori.models import synthesiser
from moksori.models.synthesiser import Controls, SynthesiserConfig

CONFIG = EnvelopeConfig()
N_FRAMES = 120
WITHIN = slice(10, -10)  # frames whose windows lie inside the sound
SURE = slice(4, 60)  # bands that lie above the lowest harmonic, and below half the rate
NEPERS_TO_DB = 20 / np.log(10)


def _vibrato(middle_hz: float) -> Curve:
    return middle_hz * 2 ** (0.5 / 12 * np.sin(2 * np.pi * 5.5 * np.arange(N_FRAMES) / 100))


def _formants() -> Curve:
    """A falling envelope with bumps 400 * 2 pi Hz apart."""
    hz = CONFIG.bands_hz
    return np.asarray((np.log(0.05 / (1 + (hz / 1500) ** 2)) + 0.8 * np.sin(hz / 400))[:, None] + np.zeros(N_FRAMES))


def _sound(f0_hz: Curve, harmonics: Curve, noise: Curve) -> npt.NDArray[np.float32]:
    config = SynthesiserConfig()
    pitch = torch.from_numpy(f0_hz)
    controls = Controls(*(torch.from_numpy(part)[None].float() for part in (f0_hz, harmonics, noise)))
    white = sampling.white_noise(0, 0, 0, len(f0_hz) * config.hop_samples)
    sound = synthesiser.render(controls, config, synthesiser.oscillation(pitch, config), white)
    return np.asarray(sound.numpy(), np.float32)


@pytest.mark.parametrize(("middle_hz", "error_db"), [(110.0, 0.5), (220.0, 0.7), (440.0, 1.5)])
def test_the_envelope_of_harmonics_is_found_at_any_pitch(middle_hz: float, error_db: float) -> None:
    # At 440 Hz a bump of the envelope has six harmonics, and straight lines between them cut its top.
    f0_hz, true = _vibrato(middle_hz), _formants()
    found = envelopes.measure(_sound(f0_hz, true, np.full_like(true, np.log(1e-4))), f0_hz, CONFIG, refine=False)
    assert np.abs(found.harmonics - true)[SURE, WITHIN].mean() * NEPERS_TO_DB < error_db


def test_a_pitch_that_is_twenty_cents_off_is_put_right() -> None:
    f0_hz, true = _vibrato(200.0), _formants()
    sound = _sound(f0_hz, true, np.full_like(true, np.log(1e-4)))
    found = envelopes.measure(sound, f0_hz * 2 ** (20 / 1200), CONFIG)
    assert np.abs(1200 * np.log2(found.f0_hz / f0_hz))[WITHIN].mean() < 1.0
    wrong = envelopes.measure(sound, f0_hz * 2 ** (20 / 1200), CONFIG, refine=False)
    errors = [np.abs(e.harmonics - true)[SURE, WITHIN].mean() * NEPERS_TO_DB for e in (found, wrong)]
    assert errors[0] < 0.7 < 2.0 < errors[1]


def test_noise_between_harmonics_is_found_above_the_voiced_frequency() -> None:
    f0_hz = _vibrato(150.0)
    tones, noise = np.full((64, N_FRAMES), np.log(0.01)), np.full((64, N_FRAMES), np.log(0.01))
    found = envelopes.measure(_sound(f0_hz, tones, noise), f0_hz, CONFIG)
    high = CONFIG.bands_hz > 4000
    assert (found.noise - noise)[high][:-2, WITHIN].mean() * NEPERS_TO_DB == pytest.approx(0.0, abs=1.5)
    # Below, it fades: at 0 Hz by 1.4 nepers.
    assert (found.noise - noise)[2:6, WITHIN].mean() == pytest.approx(-1.35, abs=0.3)


def test_pure_tones_leave_no_noise_to_speak_of() -> None:
    f0_hz = _vibrato(150.0)
    tones = np.full((64, N_FRAMES), np.log(0.01))
    found = envelopes.measure(_sound(f0_hz, tones, np.full((64, N_FRAMES), np.log(1e-6))), f0_hz, CONFIG)
    assert (found.noise - tones)[SURE, WITHIN].mean() < np.log(0.15)


def test_where_nobody_sings_all_is_noise() -> None:
    noise = np.log(0.02) + 0.5 * np.cos(CONFIG.bands_hz / 2000)[:, None] + np.zeros(N_FRAMES)
    unvoiced = np.zeros(N_FRAMES)
    found = envelopes.measure(_sound(unvoiced, np.full_like(noise, -20.0), noise), unvoiced, CONFIG)
    assert not found.f0_hz.any() and (found.harmonics == np.log(envelopes.FLOOR)).all()
    assert (found.noise - noise)[SURE, WITHIN].mean() * NEPERS_TO_DB == pytest.approx(0.0, abs=1.5)


def test_digital_silence_is_at_the_floor() -> None:
    found = envelopes.measure(np.zeros(2400, np.float32), np.r_[np.full(5, 200.0), np.zeros(5)], CONFIG)
    for curve in (found.harmonics, found.noise):
        assert np.isfinite(curve).all() and (curve < np.log(1e-3)).all()


def test_a_stretch_is_measured_as_in_the_whole() -> None:
    f0_hz, tones = _vibrato(180.0), _formants()
    f0_hz[50:60] = 0.0
    sound = _sound(f0_hz, tones, tones - 3.0)
    held, hop = envelopes.held(f0_hz), CONFIG.hop_samples
    whole = envelopes.measure(sound, f0_hz, CONFIG, refine=False)
    part = envelopes.measure(sound[20 * hop : 100 * hop], f0_hz[20:100], CONFIG, refine=False, held_hz=held[20:100])
    for one, other in ((whole.harmonics, part.harmonics), (whole.noise, part.noise)):
        np.testing.assert_allclose(other[:, 24:-24], one[:, 44:-44], atol=1e-3)


def test_formants_move_by_the_factor() -> None:
    curve = np.exp(-(((CONFIG.bands_hz - 2000.0) / 300.0) ** 2))[:, None] + np.zeros(10)
    measured = envelopes.Envelopes(np.full(10, 200.0), curve, curve - 1.0)
    moved = envelopes.stretched(measured, np.full(10, 1.25), CONFIG)
    assert CONFIG.bands_hz[moved.harmonics[:, 0].argmax()] == pytest.approx(1600.0, rel=0.05)
    np.testing.assert_allclose(moved.noise, moved.harmonics - 1.0)
    same = envelopes.stretched(measured, np.ones(10), CONFIG)
    np.testing.assert_allclose(same.harmonics, curve, atol=1e-9)


def test_places_and_frequencies_of_the_bands_agree() -> None:
    np.testing.assert_allclose(CONFIG.place(CONFIG.bands_hz), np.arange(64), atol=1e-9)
    config = SynthesiserConfig()
    read = synthesiser.reading(config, torch.from_numpy(CONFIG.bands_hz).float())
    torch.testing.assert_close(read, torch.eye(64), atol=1e-3, rtol=0)  # the synthesiser's bands are the same


def test_voiced_frames_are_the_same_where_nobody_asks_for_the_others() -> None:
    f0_hz = np.where(np.arange(N_FRAMES) % 50 < 30, 200.0, 0.0)
    sound = np.random.default_rng(0).normal(0.0, 0.1, N_FRAMES * CONFIG.hop_samples).astype(np.float32)
    whole, voiced = (envelopes.measure(sound, f0_hz, CONFIG, only_voiced=only) for only in (False, True))
    is_voiced = f0_hz > 0
    for name in ("harmonics", "noise"):
        np.testing.assert_array_equal(getattr(voiced, name)[:, is_voiced], getattr(whole, name)[:, is_voiced])
    np.testing.assert_array_equal(voiced.f0_hz, whole.f0_hz)
    assert (voiced.noise[:, ~is_voiced] == np.log(envelopes.FLOOR)).all()
    assert (whole.noise[:, ~is_voiced] > np.log(envelopes.FLOOR)).all()
