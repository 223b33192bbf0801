"""Harmonic plus noise synthesiser: an oscillator for each harmonic, and noise; both shaped by envelopes.

Sound comes of the controls in two ways that must agree:

    expected_power   the spectrogram that the sound will have, from the controls alone: differentiable, and no sample is
                     computed. `expectation` does the same much faster, for training
    render           the sound itself, any stretch of a song apart from the rest

Source: harmonic plus noise model, Serra and Smith 1990; with a net in front, Engel et al. 2020 (DDSP), section 3.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from moksori.audio import mels, shapes, spectral
from moksori.audio.envelopes import EnvelopeConfig

LOWEST_HZ = 30.0  # f0 of unvoiced frames, where the formulas need one
CONTEXT_FRAMES = 4  # on either side of a stretch, for `render` to give it as it is in the whole
_UNVOICED_HZ = 220.0  # where no frame of a song is voiced
NOISE_WINDOW = 512  # samples, in which noise is shaped
_PHASE_WINDOW = 4096  # samples of the impulse response that a minimum phase is computed by
_N_COARSE = 6  # cepstra of an envelope that sharpening leaves as they are: tilt, and what tells vowels from far


@dataclass(frozen=True)
class SynthesiserConfig:
    """Rate, hop and bands of the synthesiser's controls."""

    sample_rate: int = 24_000  # Hz
    hop_samples: int = 240  # from one frame of controls to the next
    n_bands: int = 64  # of each envelope, evenly spaced on the mel scale from 0 Hz to half the sample rate

    def __post_init__(self) -> None:
        if min(self.sample_rate, self.hop_samples) < 1 or self.n_bands < 2:
            raise ValueError(f"rate and hop are at least 1, bands at least 2: {self}")
        if self.hop_samples > NOISE_WINDOW // 2:
            raise ValueError(f"hop_samples is {self.hop_samples}; noise is shaped in windows of {NOISE_WINDOW}")

    @functools.cached_property
    def minimum_phase(self) -> Tensor:
        """What turns log amplitudes of the bands into minimum phases of the bands, in cycles, `[bands, bands]`.

        The phase of a minimum-phase filter is the Hilbert transform of its log amplitude, so it is linear in that: the
        cepstrum is folded onto times after 0 (Oppenheim and Schafer, section 13.5).
        """
        bins = bins_hz(self, _PHASE_WINDOW)
        cepstra = torch.fft.irfft(reading(self, bins).double(), n=_PHASE_WINDOW, dim=0)  # of each band's triangle
        cepstra[1 : _PHASE_WINDOW // 2] *= 2.0
        cepstra[_PHASE_WINDOW // 2 + 1 :] = 0.0
        phase = torch.fft.rfft(cepstra, dim=0).imag / (2.0 * math.pi)  # [bins, bands]
        bands_hz = EnvelopeConfig(self.sample_rate, self.hop_samples, self.n_bands).bands_hz
        place = (torch.from_numpy(bands_hz) / bins[1]).clamp(max=len(bins) - 1.0)
        return spectral.rows_at(phase, place[:, None]).float()


@dataclass(frozen=True, eq=False)
class Controls:
    """Control signals; frame i holds at sample `i * hop_samples`, between frames they are interpolated."""

    f0_hz: Tensor  # [B, F], 0 where unvoiced
    harmonics: Tensor  # [B, bands, F], natural log of the amplitude that a harmonic there has
    noise: Tensor  # [B, bands, F], natural log of the RMS of white noise that is as loud there

    def on(self, device: str) -> Controls:
        """The same, on a device."""
        return Controls(self.f0_hz.to(device), self.harmonics.to(device), self.noise.to(device))


@dataclass(frozen=True, eq=False)
class Oscillation:
    """Where the oscillators stand, from the pitch of a whole song: what makes a stretch fit its neighbours."""

    pitch_hz: Tensor  # float64 [F]; unvoiced frames have the pitch of the nearest voiced one
    cycles: Tensor  # float64 [F], periods of the fundamental up to each frame

    def stretch(self, start: int, stop: int) -> Oscillation:
        """The frames `[start, stop)`."""
        return Oscillation(self.pitch_hz[start:stop], self.cycles[start:stop])


def oscillation(f0_hz: Tensor, config: SynthesiserConfig) -> Oscillation:
    """Follow the pitch of a song `[F]`, 0 where unvoiced; F at least 1."""
    pitch_hz = _held(f0_hz.double())
    following = torch.cat([pitch_hz[1:], pitch_hz[-1:]])
    # Between frames the logarithm of the pitch moves in a straight line: the samples are a geometric series.
    step = (following / pitch_hz).log() / config.hop_samples
    series = torch.where(
        step.abs() < 1e-12,
        torch.full_like(step, float(config.hop_samples)),
        torch.expm1(step * config.hop_samples) / torch.expm1(step.where(step != 0, torch.ones_like(step))),
    )
    advance = pitch_hz * series / config.sample_rate
    return Oscillation(pitch_hz, torch.cumsum(advance, dim=0) - advance)


def render(controls: Controls, config: SynthesiserConfig, oscillation: Oscillation, white: Tensor) -> Tensor:
    """The sound of a stretch.

    Its first and last `CONTEXT_FRAMES` frames differ from the same frames of a longer stretch; the others do not.

    Args:
        controls: F frames of one song, `B` = 1.
        config: whose sizes they have.
        oscillation: the same frames of it.
        white: noise of RMS 1, `[F * hop_samples]`; the only chance in the sound.

    Returns:
        Waveform `[F * hop_samples]`.
    """
    return _oscillators(controls, config, oscillation) + _filtered(white, controls.noise, config)


def render_few(
    controls: Controls, config: SynthesiserConfig, track: Oscillation, white: Tensor, n_before: int
) -> Tensor:
    """The sound of a few frames as `render` has it, all harmonics at once: for live use, where loops cost most.

    Args:
        controls: F frames of one song: `n_before` that were sung before, those to be sung, and two more.
        config: whose sizes they have.
        track: the same frames of its oscillation.
        white: noise of RMS 1, `[F * hop_samples]`.
        n_before: whose sound is left out; the noise of the first frame reaches into four of them.

    Returns:
        Waveform `[(F - n_before - 2) * hop_samples]`.
    """
    hop, frames = config.hop_samples, slice(n_before, controls.f0_hz.shape[1] - 1)
    few = Controls(controls.f0_hz[:, frames], controls.harmonics[..., frames], controls.noise[..., frames])
    tones = _oscillators_at_once(few, config, track.stretch(n_before, n_before + few.f0_hz.shape[1]))
    noise = _filtered(white, controls.noise, config)[n_before * hop :]
    n_samples = (few.f0_hz.shape[1] - 1) * hop
    return tones[:n_samples] + noise[:n_samples]


def expected_power(controls: Controls, config: SynthesiserConfig, window_samples: int) -> Tensor:
    """The power spectrogram that `render` will have, of a Hann window: the slow, obvious way.

    Powers of harmonics and of noise add up: at frequency f, with main lobe L of the window (1 at its middle),

        P(f) = H(f)^2 * sum over harmonics k of L(f - k f0)^2  +  6 / window * N(f)^2

    where 6 / window is the share of a white noise's power that one bin of the window sees. Scaled as the square of
    `audio.spectral.magnitude`: a sine of amplitude a measures a^2. For pitch that hardly moves within the window, and
    harmonics that it tells apart, this is what comes out; a small window, or a deep voice, makes it a mean over phases.

    Returns:
        `[B, window_samples / 2 + 1, F]`.
    """
    read = reading(config, bins_hz(config, window_samples)).to(controls.harmonics)  # [bins, bands]
    harmonics, noise = (read @ torch.exp(2.0 * bands) for bands in (controls.harmonics, controls.noise))
    comb = harmonic_power(controls.f0_hz, config, window_samples)
    return harmonics * comb + noise_share(window_samples) * noise


def expected_dbfs(controls: Controls, config: SynthesiserConfig) -> Tensor:
    """The RMS that the sound of each frame will have, `[B, F]`, if envelopes are smooth from harmonic to harmonic.

    Harmonics lie f0 apart, so the sum of their powers a^2 / 2 is the mean of the envelope times (rate / 2) / f0.
    """
    harmonics, noise = (_mean_power(bands, config) for bands in (controls.harmonics, controls.noise))
    n_harmonics = config.sample_rate / 2 / controls.f0_hz.clamp(min=LOWEST_HZ) * (controls.f0_hz > 0)
    return 10.0 * torch.log10((harmonics * n_harmonics / 2 + noise).clamp(min=1e-12))


def no_louder(controls: Controls, level_dbfs: Tensor, config: SynthesiserConfig) -> Controls:
    """The same controls, but where the sound of a frame would be louder than a level `[B, F]`, that loud."""
    over_nepers = (expected_dbfs(controls, config) - level_dbfs).clamp(min=0.0)[:, None] * (math.log(10.0) / 20.0)
    return Controls(controls.f0_hz, controls.harmonics - over_nepers, controls.noise - over_nepers)


def sharpened(controls: Controls, amount: float, config: SynthesiserConfig) -> Controls:
    """The same controls with the peaks of the harmonics' envelope higher and its valleys deeper, at the same level.

    A net that is taught by a distance says the mean of what may be, which is flatter than any of it: formants are
    broader than a voice's, and it sounds muffled and rough. What the first cepstra say stays; the rest grows by a
    share. The remedy is as old as speech made by statistics: Yoshimura et al. 2005 (a postfilter), Toda and Tokuda 2007
    (global variance).

    Args:
        controls: `[B, bands, F]` each.
        amount: 0 changes nothing.
        config: whose sizes they have.
    """
    if amount == 0.0:
        return controls
    fine = controls.harmonics - shapes.smooth(controls.harmonics, _N_COARSE)
    higher = controls.harmonics + amount * fine
    before, after = (_mean_power(bands, config).clamp(min=1e-12) for bands in (controls.harmonics, higher))
    return Controls(controls.f0_hz, higher - 0.5 * (after / before).log()[:, None], controls.noise)


def _mean_power(envelope: Tensor, config: SynthesiserConfig) -> Tensor:
    """The mean over frequency of the power that a log envelope says, `[B, bands, F] -> [B, F]`."""
    read = reading(config, bins_hz(config, NOISE_WINDOW)).to(envelope)  # [bins, bands]
    return (read @ torch.exp(2.0 * envelope)).mean(dim=1)


def noise_share(window_samples: int) -> float:
    """The share of white noise's power that a bin of a Hann window sees, on the scale where a sine's is its square."""
    return 6.0 / window_samples


def bins_hz(config: SynthesiserConfig, window_samples: int) -> Tensor:
    """Frequencies of the bins of a window."""
    return torch.arange(window_samples // 2 + 1) * (config.sample_rate / window_samples)


def harmonic_power(f0_hz: Tensor, config: SynthesiserConfig, window_samples: int) -> Tensor:
    """Power that harmonics of amplitude 1 have in each bin of a Hann window, `[B, F] -> [B, bins, F]`."""
    bin_hz = config.sample_rate / window_samples
    place = bins_hz(config, window_samples).to(f0_hz)[:, None]  # [bins, 1]
    f0 = f0_hz.clamp(min=LOWEST_HZ)[:, None]
    below = (place / f0).floor()  # number of the harmonic at or under the bin
    power = torch.zeros_like(below)
    for offset in (-1, 0, 1, 2):  # main lobes are four bins wide: more than two may reach a bin
        number = below + offset
        power = power + _main_lobe((place - number * f0) / bin_hz).square() * (number >= 1)
    return power * (f0_hz > 0)[:, None]


def reading(config: SynthesiserConfig, frequency_hz: Tensor) -> Tensor:
    """Weights `[N, bands]` that read an envelope of power at frequencies `[N]`: linear in between, on the mel scale."""
    place = bands_at(frequency_hz, config)
    distance = (place[:, None] - torch.arange(config.n_bands)).abs()
    return (1.0 - distance).clamp(min=0.0)


def bands_at(frequency_hz: Tensor, config: SynthesiserConfig) -> Tensor:
    """Where frequencies lie among the bands, 0 to `n_bands - 1`: evenly on the mel scale."""
    top = mels.of_hz(torch.tensor(config.sample_rate / 2), torch.log10)
    return (mels.of_hz(frequency_hz, torch.log10) / top * (config.n_bands - 1)).clamp(0, config.n_bands - 1)


def upsample(frames: Tensor, hop_samples: int) -> Tensor:
    """Linear upsampling of control frames to samples, `[..., F] -> [..., F, hop]`; the last frame is held.

    >>> upsample(torch.tensor([0.0, 4.0]), 4).tolist()
    [[0.0, 1.0, 2.0, 3.0], [4.0, 4.0, 4.0, 4.0]]
    """
    ends = torch.cat([frames[..., 1:], frames[..., -1:]], dim=-1)
    share = torch.arange(hop_samples, dtype=frames.dtype, device=frames.device) / hop_samples
    return frames[..., None] * (1 - share) + ends[..., None] * share


def _main_lobe(distance_bins: Tensor) -> Tensor:
    """Amplitude of a sine in a Hann window, so many bins off its middle; 1 there, 0.5 a bin off, 0 from two on."""
    distance = distance_bins.abs().clamp(max=2.0)
    one_off = (distance - 1.0).abs() < 1e-3
    lobe = torch.sinc(distance) / (1.0 - distance.square()).where(~one_off, torch.ones_like(distance))
    return lobe.where(~one_off, torch.full_like(distance, 0.5))


def _oscillators(controls: Controls, config: SynthesiserConfig, track: Oscillation) -> Tensor:
    """A cosine for each harmonic below half the sample rate, `[T]`.

    Their phases are those of a filter of minimum phase, rung once a period, as a mouth is: a deep voice is heard as the
    pulses that it is made of.
    """
    hop, limit_hz = config.hop_samples, config.sample_rate / 2
    is_voiced = (controls.f0_hz[0] > 0).to(controls.harmonics)
    pitch_hz = upsample(track.pitch_hz.log(), hop).exp()  # [F, hop]
    within = torch.cumsum(pitch_hz, dim=1) - pitch_hz  # from each frame's first sample on
    cycles = (track.cycles[:, None] + within / config.sample_rate).flatten()
    power = torch.exp(2.0 * controls.harmonics[0])
    phases = config.minimum_phase.to(power) @ controls.harmonics[0]  # [bands, F]
    sound = torch.zeros(len(cycles), dtype=power.dtype)
    for number in range(1, int(limit_hz / float(track.pitch_hz.min())) + 1):
        harmonic_hz = (number * track.pitch_hz).to(power)
        amplitude = _read(power, harmonic_hz, config).sqrt() * is_voiced * (harmonic_hz < limit_hz)
        phase = upsample(_read(phases, harmonic_hz, config), hop).flatten()
        wave = torch.cos(2.0 * math.pi * (torch.frac(number * cycles).to(sound) + phase))
        sound += upsample(amplitude, hop).flatten() * wave
    return sound


def _oscillators_at_once(controls: Controls, config: SynthesiserConfig, track: Oscillation) -> Tensor:
    """As `_oscillators`, `[T]`, in memory for every harmonic."""
    hop, limit_hz = config.hop_samples, config.sample_rate / 2
    pitch_hz = upsample(track.pitch_hz.log(), hop).exp()  # [F, hop]
    within = torch.cumsum(pitch_hz, dim=1) - pitch_hz
    cycles = (track.cycles[:, None] + within / config.sample_rate).flatten()
    number = torch.arange(1, int(limit_hz / float(track.pitch_hz.min())) + 1, dtype=torch.float64)[:, None]  # [K, 1]
    harmonic_hz = (number * track.pitch_hz).to(controls.harmonics)  # [K, F]
    place = bands_at(harmonic_hz, config)
    read = spectral.rows_at(torch.exp(2.0 * controls.harmonics[0]), place)
    amplitude = read.sqrt() * (controls.f0_hz[0] > 0) * (harmonic_hz < limit_hz)
    phases = spectral.rows_at(config.minimum_phase.to(read) @ controls.harmonics[0], place)  # [K, F]
    phase_cycles = torch.frac(number * cycles).to(amplitude) + upsample(phases, hop).flatten(-2)
    return (upsample(amplitude, hop).flatten(-2) * torch.cos(2.0 * math.pi * phase_cycles)).sum(dim=0)


def _read(power: Tensor, frequency_hz: Tensor, config: SynthesiserConfig) -> Tensor:
    """Read a curve over the bands `[bands, F]` at one frequency a frame, `[F]`."""
    return spectral.rows_at(power, bands_at(frequency_hz, config)[None])[0]


def _filtered(white: Tensor, noise: Tensor, config: SynthesiserConfig) -> Tensor:
    """White noise with the envelope of each frame, `[T]`, shaped in overlapping windows."""
    window = torch.hann_window(NOISE_WINDOW).to(white)
    hop = config.hop_samples
    spectrum = torch.stft(white, NOISE_WINDOW, hop, window=window, pad_mode="constant", return_complex=True)
    read = reading(config, bins_hz(config, NOISE_WINDOW)).to(noise)
    gain = (read @ torch.exp(2.0 * noise[0])).sqrt()
    gain = functional.pad(gain, (0, spectrum.shape[1] - gain.shape[1]), mode="replicate")
    return torch.istft(spectrum * gain, NOISE_WINDOW, hop, window=window, length=len(white))


def _held(f0_hz: Tensor) -> Tensor:
    """Pitch `[F]` that unvoiced frames take over from the nearest voiced one, so that a tone begins at its pitch."""
    index, is_voiced = torch.arange(len(f0_hz)), f0_hz > 0
    if not is_voiced.any():
        return torch.full_like(f0_hz, _UNVOICED_HZ)
    far = 2 * len(f0_hz)
    before = torch.where(is_voiced, index, torch.full_like(index, -far)).cummax(dim=0).values
    after = torch.where(is_voiced, index, torch.full_like(index, far)).flip(0).cummin(dim=0).values.flip(0)
    nearest = torch.where(index - before <= after - index, before, after)
    return f0_hz[nearest].clamp(min=LOWEST_HZ)
