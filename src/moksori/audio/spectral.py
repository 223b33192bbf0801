"""Spectra: the magnitude of the short-time Fourier transform, the mel filterbank, log-mel.

Frame i is centred on sample `i * hop_samples`; beyond both ends lie zeros. There are `ceil(T / hop_samples)` frames,
the same number that `frames.n_frames` counts, so spectra line up with latents and levels of the same hop.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from moksori.audio import frames, mels

_SPREAD_NEPERS = 2.5  # of log-mels of singing


@dataclass(frozen=True)
class SpectralConfig:
    """How a spectrogram is taken."""

    sample_rate: int  # Hz
    window_samples: int = 1024  # Hann window, also the FFT size
    hop_samples: int = 256  # from one frame to the next
    n_mels: int = 80  # mel bands
    low_hz: float = 0.0  # lower edge of the first band
    high_hz: float | None = None  # upper edge of the last band; None: half the sample rate
    floor: float = 1e-5  # smallest mel amplitude before the logarithm, -100 dB

    def __post_init__(self) -> None:
        if min(self.sample_rate, self.window_samples, self.hop_samples, self.n_mels) < 1:
            raise ValueError(f"{self}: rate, window, hop and number of bands are at least 1")
        if not 0 <= self.low_hz < self.top_hz <= self.sample_rate / 2:
            raise ValueError(f"{self}: expected 0 <= low_hz < high_hz <= {self.sample_rate / 2:g} Hz")
        if not self.floor > 0:
            raise ValueError(f"floor is {self.floor}; the logarithm needs more than 0")

    @property
    def top_hz(self) -> float:
        """Upper edge of the last mel band in Hz."""
        return self.sample_rate / 2 if self.high_hz is None else self.high_hz

    @property
    def n_bins(self) -> int:
        """Frequencies of one spectrum, 0 Hz to half the sample rate; they lie sample_rate / window_samples apart."""
        return self.window_samples // 2 + 1


def magnitude(waveform: torch.Tensor, config: SpectralConfig) -> torch.Tensor:
    """Return the magnitude of the short-time Fourier transform.

    Args:
        waveform: float, `[..., T]`, T at least 1.
        config: window and hop; the sample rate plays no part.

    Returns:
        `[..., n_bins, ceil(T / hop_samples)]`, scaled so that a steady sine of amplitude a in the middle of a bin
        measures a there.

    Raises:
        ValueError: the waveform is empty or not floating point.
    """
    if not waveform.is_floating_point() or not waveform.ndim or not waveform.shape[-1]:
        raise ValueError(f"waveform is {waveform.dtype} {list(waveform.shape)}; expected float [..., T] with T >= 1")
    window = torch.hann_window(config.window_samples, dtype=waveform.dtype, device=waveform.device)
    spectrum = torch.stft(
        waveform.reshape(-1, waveform.shape[-1]),
        config.window_samples,
        config.hop_samples,
        window=window,
        center=True,
        pad_mode="constant",
        return_complex=True,
    )  # [N, n_bins, 1 + T // hop]
    n_frames = frames.n_frames(waveform.shape[-1], config.hop_samples)
    scaled = spectrum[..., :n_frames].abs() * (2.0 / window.sum())
    return scaled.reshape(*waveform.shape[:-1], config.n_bins, n_frames)


def mel_filterbank(config: SpectralConfig) -> torch.Tensor:
    """Return the weights that sum spectral bins to mel bands.

    The bands are triangles of height 1, evenly spaced on the mel scale, each falling to 0 where its neighbours peak:

        1   /\\/\\/\\
        0  /_/\\_/\\_\\    so that between the first and the last peak the weights of every bin sum to 1

    Returns:
        float32 `[n_mels, n_bins]`, in [0, 1].

    Raises:
        ValueError: a band is so narrow that no bin falls into it.
    """
    low_mel, high_mel = mels.of_hz(config.low_hz), mels.of_hz(config.top_hz)
    edges_mel = torch.linspace(low_mel, high_mel, config.n_mels + 2, dtype=torch.float64)
    edges = mels.to_hz(edges_mel)[:, None]  # [n_mels + 2, 1] Hz
    bins = torch.linspace(0, config.sample_rate / 2, config.n_bins, dtype=torch.float64)  # [n_bins] Hz
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    weights = torch.minimum(rising, falling).clamp(min=0.0)  # [n_mels, n_bins]
    n_empty = int((weights.sum(dim=1) == 0).sum())
    if n_empty:
        raise ValueError(
            f"{n_empty} of {config.n_mels} mel bands hold no bin; use fewer bands or a window longer than "
            f"{config.window_samples} samples"
        )
    return weights.float()


def log_mel(waveform: torch.Tensor, config: SpectralConfig) -> torch.Tensor:
    """Return the natural logarithm of the mel amplitudes.

    Args:
        waveform: float, `[..., T]`, T at least 1.
        config: what a spectrogram is.

    Returns:
        `[..., n_mels, ceil(T / hop_samples)]`; silence is `log(config.floor)`.

    Raises:
        ValueError: as `magnitude` and `mel_filterbank` do.
    """
    filterbank = mel_filterbank(config).to(waveform)
    return (filterbank @ magnitude(waveform, config)).clamp(min=config.floor).log()


def cepstral_envelope(log_spectra: torch.Tensor, longest: torch.Tensor | float) -> torch.Tensor:
    """Envelopes of log spectra: what of them changes slowly along frequency, so that no harmonic shows.

    Args:
        log_spectra: natural logarithm, `[bins, F]`.
        longest: quefrencies from here on are left out, samples; one number, or `[F]`. Some share of the voice's period.

    Returns:
        `[bins, F]`.
    """
    cepstrum = torch.fft.irfft(log_spectra, dim=0)  # [2 * (bins - 1), F]
    n = len(cepstrum)
    quefrency = torch.minimum(torch.arange(n), n - torch.arange(n))[:, None]
    envelope: torch.Tensor = torch.fft.rfft(cepstrum * (quefrency < longest), dim=0).real
    return envelope


def rows_at(values: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Linear interpolation along frequency: rows of a spectrum or of envelopes, read between two of them.

    Args:
        values: `[..., N, F]`, N at least 2.
        place: row numbers in [0, N - 1], `[..., K, F]`, or `[..., K, 1]` for the same rows in every frame.

    Returns:
        `[..., K, F]`; at a whole number the row itself, to the bit.

    >>> rows_at(torch.tensor([[0.0], [10.0], [40.0]]), torch.tensor([[0.5], [1.0], [2.0]])).flatten().tolist()
    [5.0, 10.0, 40.0]
    """
    low = place.long().clamp(max=values.shape[-2] - 2)
    share = (place - low).to(values.dtype)
    low = low.expand(*low.shape[:-1], values.shape[-1])
    return values.gather(-2, low) * (1 - share) + values.gather(-2, low + 1) * share


def centred(log_mels: torch.Tensor, middle: float) -> torch.Tensor:
    """Log-mels of any shape as numbers of around 1, as nets hear them: singing lies around `middle`."""
    return (log_mels - middle) / _SPREAD_NEPERS
