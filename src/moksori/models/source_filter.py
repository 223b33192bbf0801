"""A decoder that knows the melody: harmonics of a given pitch plus noise, both shaped by what a net says.

    z, f0, level, singer --net--> envelopes of harmonics and of noise, by frame --synthesiser--> sound

The net never makes a wave: pitch comes from outside, so it is right by construction; the net only says how loud each
region of the spectrum is. Sound comes from the envelopes in two ways that must agree:

    expected_magnitude   the spectrogram that the sound will have, from the envelopes alone: differentiable, cheap (no
                         sample is computed), so training on it takes minutes
    render               the sound itself, an oscillator for each harmonic, and filtered noise

Source: harmonic plus noise model, Serra and Smith 1990; with a net in front, Engel et al. 2020 (DDSP), section 3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_LOWEST_HZ = 30.0  # f0 of unvoiced frames, where the formulas need one
_NOISE_WINDOW = 512  # samples, in which noise is shaped
_SILENT = -9.0  # log amplitude that an untrained decoder begins with, -78 dB


@dataclass(frozen=True)
class SourceFilterConfig:
    """Sizes of the net, and how finely the synthesiser is told."""

    sample_rate: int = 24_000  # Hz
    hop_samples: int = 240  # from one frame of controls to the next
    n_bands: int = 64  # of each envelope, evenly spaced on the mel scale from 0 Hz to half the sample rate
    channels: int = 192
    layers: int = 6  # gated convolutions, dilations 1, 2, 4, 1, 2, 4, ...
    kernel_size: int = 3  # taps, odd

    def __post_init__(self) -> None:
        if min(self.sample_rate, self.hop_samples, self.channels, self.layers) < 1 or self.n_bands < 2:
            raise ValueError(f"rate, hop, channels and layers are at least 1, bands at least 2: {self}")
        if self.kernel_size < 1 or self.kernel_size % 2 == 0:
            raise ValueError(f"kernel_size is {self.kernel_size}; a centred convolution has an odd number of taps")
        if self.hop_samples > _NOISE_WINDOW // 2:
            raise ValueError(f"hop_samples is {self.hop_samples}; noise is shaped in windows of {_NOISE_WINDOW}")


@dataclass(frozen=True, eq=False)
class Controls:
    """What the synthesiser is told; frame i holds at sample `i * hop_samples`, between frames it is interpolated."""

    f0_hz: Tensor  # [B, F], 0 where unvoiced
    harmonics: Tensor  # [B, bands, F], natural log of the amplitude that a harmonic there has
    noise: Tensor  # [B, bands, F], natural log of the RMS of white noise that is as loud there


class SourceFilterDecoder(nn.Module):
    """Latent, pitch, level and singer -> `Controls`.

    The singer's vector scales and shifts the channels of every layer (feature-wise modulation: Perez et al. 2018) and
    has a word in the output, so that a voice is more than a word at the door.
    """

    def __init__(self, config: SourceFilterConfig, latent_channels: int, singer_channels: int) -> None:
        super().__init__()
        self.config = config
        self.first = nn.Conv1d(latent_channels + 3, config.channels, 5, padding=2)
        self.layers = nn.ModuleList(
            _ModulatedLayer(config.channels, singer_channels, config.kernel_size, 2 ** (index % 3))
            for index in range(config.layers)
        )
        self.last = nn.Conv1d(config.channels, 2 * config.n_bands, 1)
        self.timbre = nn.Linear(singer_channels, 2 * config.n_bands, bias=False)
        nn.init.zeros_(self.last.weight)
        nn.init.constant_(self.last.bias, _SILENT)  # type: ignore[arg-type]

    def forward(self, z: Tensor, f0_hz: Tensor, level_dbfs: Tensor, singer: Tensor) -> Controls:
        """Say what to sing.

        Args:
            z: latent `[B, D, ceil(F / r)]` for some whole r; each frame of it holds for r frames.
            f0_hz: `[B, F]`, 0 where unvoiced.
            level_dbfs: `[B, F]`.
            singer: vectors `[B, E]`.
        """
        n_frames = f0_hz.shape[1]
        repeats = -(-n_frames // z.shape[2])
        held = z.repeat_interleave(repeats, dim=2)[:, :, :n_frames]
        is_voiced = (f0_hz > 0).to(z)
        octaves = torch.log2(f0_hz.clamp(min=_LOWEST_HZ) / 220.0) * is_voiced
        hidden = self.first(torch.cat([held, torch.stack([octaves, is_voiced, level_dbfs / 20.0 + 2.0], 1)], 1))
        for layer in self.layers:
            hidden = layer(hidden, singer)
        harmonics, noise = (self.last(hidden) + self.timbre(singer)[:, :, None]).chunk(2, dim=1)
        return Controls(f0_hz, harmonics, noise)


class _ModulatedLayer(nn.Module):
    """A gated residual convolution `[B, C, F] -> [B, C, F]` whose input a singer's vector scales and shifts."""

    def __init__(self, channels: int, singer_channels: int, kernel_size: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (kernel_size // 2)
        self.gated = nn.Conv1d(channels, 2 * channels, kernel_size, padding=padding, dilation=dilation)
        self.modulation = nn.Linear(singer_channels, 2 * channels)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor, singer: Tensor) -> Tensor:
        scale, shift = self.modulation(singer)[:, :, None].chunk(2, dim=1)
        gate, value = self.gated(x * (1 + scale) + shift).chunk(2, dim=1)
        mixed: Tensor = self.mix(torch.sigmoid(gate) * functional.silu(value))
        return x + mixed


def expected_magnitude(
    controls: Controls, config: SourceFilterConfig, window_samples: int, comb: Tensor | None = None
) -> Tensor:
    """The magnitude spectrogram that `render` will have, of a Hann window, without rendering.

    Powers of harmonics and of noise add up: at frequency f, with main lobe L of the window (1 at its middle),

        P(f) = H(f)^2 * sum over harmonics k of L(f - k f0)^2  +  6 / window * N(f)^2

    where 6 / window is the share of a white noise's power that one bin of the window sees. Scaled as
    `audio.spectral.magnitude`: a sine of amplitude a measures a. For pitch that hardly moves within the window, and
    harmonics that it tells apart, this is what comes out; a small window, or a deep voice, makes it a mean over phases.

    Args:
        controls: F frames.
        config: whose sizes they have.
        window_samples: of the spectrogram.
        comb: `harmonic_power` of the same pitch, if it is known already; it is most of the work.

    Returns:
        `[B, window_samples / 2 + 1, F]`.
    """
    n_bins = window_samples // 2 + 1
    bin_hz = config.sample_rate / window_samples
    envelope_h, envelope_n = (
        torch.exp(2.0 * (_interpolation(config, torch.arange(n_bins) * bin_hz).to(bands) @ bands))
        for bands in (controls.harmonics, controls.noise)
    )
    comb = harmonic_power(controls.f0_hz, config, window_samples) if comb is None else comb
    return (envelope_h * comb + (6.0 / window_samples) * envelope_n + 1e-14).sqrt()


def render(controls: Controls, config: SourceFilterConfig, white: Tensor) -> Tensor:
    """The sound itself.

    Args:
        controls: F frames.
        config: whose sizes they have.
        white: noise of RMS 1, `[B, F * hop_samples]`; the only chance in the sound.

    Returns:
        Waveform `[B, F * hop_samples]`.
    """
    return _oscillators(controls, config) + _filtered(white, controls.noise, config)


def harmonic_power(f0_hz: Tensor, config: SourceFilterConfig, window_samples: int) -> Tensor:
    """Power that harmonics of amplitude 1 have in each bin of a Hann window, `[B, F] -> [B, bins, F]`."""
    bin_hz = config.sample_rate / window_samples
    place = torch.arange(window_samples // 2 + 1).to(f0_hz)[:, None] * bin_hz  # [bins, 1] Hz
    f0 = f0_hz.clamp(min=_LOWEST_HZ)[:, None]
    below = (place / f0).floor()  # number of the harmonic at or under the bin
    power = torch.zeros_like(below)
    for offset in (-1, 0, 1, 2):  # main lobes are four bins wide: more than two may reach a bin
        number = below + offset
        power = power + _main_lobe((place - number * f0) / bin_hz).square() * (number >= 1)
    return power * (f0_hz > 0)[:, None]


def _main_lobe(distance_bins: Tensor) -> Tensor:
    """Amplitude of a sine in a Hann window, so many bins off its middle; 1 there, 0.5 a bin off, 0 from two on."""
    distance = distance_bins.abs().clamp(max=2.0)
    one_off = (distance - 1.0).abs() < 1e-3
    lobe = torch.sinc(distance) / (1.0 - distance.square()).where(~one_off, torch.ones_like(distance))
    return lobe.where(~one_off, torch.full_like(distance, 0.5))


def _interpolation(config: SourceFilterConfig, frequency_hz: Tensor) -> Tensor:
    """Weights `[N, bands]` that read an envelope at frequencies `[N]`: linear between bands, on the mel scale."""
    top = _mel(torch.tensor(config.sample_rate / 2))
    place = (_mel(frequency_hz) / top * (config.n_bands - 1)).clamp(0, config.n_bands - 1)
    distance = (place[:, None] - torch.arange(config.n_bands)).abs()
    return (1.0 - distance).clamp(min=0.0)


def _mel(hz: Tensor) -> Tensor:
    return 2595.0 * torch.log10(1.0 + hz / 700.0)


def _oscillators(controls: Controls, config: SourceFilterConfig) -> Tensor:
    """A cosine for each harmonic below half the sample rate, `[B, T]`."""
    f0_hz, is_voiced = _held(controls.f0_hz), (controls.f0_hz > 0).to(controls.harmonics)
    pitch_hz = _between(f0_hz.log(), config.hop_samples).exp().double()  # [B, T]
    cycles = torch.cumsum(pitch_hz / config.sample_rate, dim=1)
    limit_hz = config.sample_rate / 2
    sound = torch.zeros_like(cycles, dtype=controls.harmonics.dtype)
    for number in range(1, int(limit_hz / float(f0_hz.min())) + 1):
        harmonic_hz = number * f0_hz
        is_heard = is_voiced * (harmonic_hz < limit_hz)
        amplitude = _read(controls.harmonics, harmonic_hz, config).exp() * is_heard
        # Phases that grow with the square of the number keep the peaks of a voice low (Schroeder 1970).
        turn = math.fmod(0.37 * number * (number - 1), 1.0)
        wave = torch.cos(2.0 * math.pi * torch.frac(number * cycles + turn)).to(sound)
        sound = sound + _between(amplitude, config.hop_samples) * wave
    return sound


def _read(bands: Tensor, frequency_hz: Tensor, config: SourceFilterConfig) -> Tensor:
    """Read an envelope `[B, bands, F]` at one frequency a frame, `[B, F]`."""
    top = _mel(torch.tensor(config.sample_rate / 2))
    place = (_mel(frequency_hz) / top * (config.n_bands - 1)).clamp(0, config.n_bands - 1.001)
    low = place.floor().long()
    share = place - low
    ends = [bands.gather(1, (low + step)[:, None])[:, 0] for step in (0, 1)]
    return ends[0] * (1 - share) + ends[1] * share


def _filtered(white: Tensor, noise: Tensor, config: SourceFilterConfig) -> Tensor:
    """White noise with the envelope of each frame, `[B, T]`, shaped in overlapping windows."""
    window = torch.hann_window(_NOISE_WINDOW).to(white)
    hop, n_samples = config.hop_samples, white.shape[1]
    spectrum = torch.stft(white, _NOISE_WINDOW, hop, window=window, pad_mode="constant", return_complex=True)
    place_hz = torch.arange(_NOISE_WINDOW // 2 + 1) * (config.sample_rate / _NOISE_WINDOW)
    gain = (_interpolation(config, place_hz).to(noise) @ noise).exp()
    gain = functional.pad(gain, (0, spectrum.shape[2] - gain.shape[2]), mode="replicate")
    return torch.istft(spectrum * gain, _NOISE_WINDOW, hop, window=window, length=n_samples)


def _held(f0_hz: Tensor) -> Tensor:
    """Pitch that unvoiced frames take over from the frame before, or the first ones from the first voiced one."""
    index = torch.arange(f0_hz.shape[1], device=f0_hz.device).expand_as(f0_hz)
    is_voiced = f0_hz > 0
    last = torch.where(is_voiced, index, torch.full_like(index, -1)).cummax(dim=1).values
    first = is_voiced.to(torch.uint8).argmax(dim=1, keepdim=True)
    held = f0_hz.gather(1, torch.where(last < 0, first, last))
    return torch.where(held > 0, held, torch.full_like(held, 220.0)).clamp(min=_LOWEST_HZ)


def _between(frames: Tensor, hop_samples: int) -> Tensor:
    """Straight lines from frame to frame, `[B, F] -> [B, F * hop]`; the last one is held."""
    ends = torch.cat([frames[:, 1:], frames[:, -1:]], dim=1)
    share = torch.arange(hop_samples).to(frames) / hop_samples
    return (frames[:, :, None] * (1 - share) + ends[:, :, None] * share).flatten(1)
