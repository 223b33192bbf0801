"""k-nearest-neighbour baseline (frames): each moment of a song by the nearest moments of the target's recordings.

    song, moved in pitch  -> envelope a frame -> warped once -> cepstra -+
                                                                         +-> 6 nearest -> their mean envelope
    target's recordings   -> envelopes        ->                cepstra -+
    moved song, its own envelope taken off and that one put on -> sound

Nothing is taught. It is what a voice must beat: its words are those of the song as far as the target sang such sounds,
and its likeness is that of the target's own frames. After kNN-VC (Baas et al. 2023), with cepstra of the envelope in
place of learnt features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from moksori.audio import mels, pitch, resample, spectral
from moksori.audio.clip import Clip
from moksori.audio.pitch import PitchTrack
from moksori.audio.spectral import SpectralConfig
from moksori.data import repitch

RATE = 24000
_WINDOW, _HOP = 1024, 240  # 43 ms, 10 ms
_POINTS = 129  # of an envelope, from 0 to 12 kHz
_TOP_HZ = 8000.0  # of what is compared, and of the level
_BANDS, _CEPSTRA = 40, 18
_WARPS = (0.8, 0.87, 0.93, 1.0, 1.08, 1.16, 1.25)  # of the song's frequencies towards the target's throat
_NEAREST = 6
_SMOOTH_FRAMES = 3
_LOUD_NEPERS = 4.0  # below the loudest frames: quieter ones say little of a voice
_MOST_FRAMES = 15000  # of a target
_LARGEST_NEPERS = 4.0  # that a frame is changed by
_FEWEST_FRAMES = 50
_AT_ONCE = 500  # frames of a song that are compared with all of a target: 30 MB, where a whole song takes a gigabyte

Matrix = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pool:
    """Voiced, loud frames of one singer."""

    envelopes: Matrix  # [N, POINTS], log amplitude, each with its level taken off
    features: Matrix  # [N, CEPSTRA], mean 0 and deviation 1


def pool(clips: Sequence[tuple[Clip, PitchTrack]]) -> Pool | None:
    """The frames of a singer's recordings, thinned out to `_MOST_FRAMES`; None where there are next to none."""
    found = []
    for clip, track in clips:
        envelopes, is_voiced = _envelopes(clip, track)
        found.append(envelopes[is_voiced & _is_loud(envelopes)])
    envelopes = np.concatenate(found) if found else np.zeros((0, _POINTS), np.float32)
    if len(envelopes) < _FEWEST_FRAMES:
        return None
    envelopes = envelopes[:: -(-len(envelopes) // _MOST_FRAMES)]
    flat = envelopes - _levels(envelopes)[:, None]
    cepstra = _cepstra(flat)
    return Pool(flat, _normalised(cepstra, cepstra))


def moved_track(track: PitchTrack, semitones: float) -> PitchTrack:
    """A track so many semitones higher."""
    return PitchTrack(track.f0_hz * 2.0 ** (semitones / 12.0), track.confidence, track.is_voiced, track.hop_seconds)


def sung(song: Clip, track: PitchTrack, singer: Pool) -> Clip:
    """A song by the frames of a singer.

    Args:
        song: at the pitch that is wanted already (`overlap_add.moved`).
        track: its pitch.
        singer: whose frames.

    Returns:
        Sound of the same length, at `RATE`. Where nothing is voiced the song's own sound stays.
    """
    clip = resample.resample_clip(song, RATE)
    envelopes, is_voiced = _envelopes(clip, track)
    here = np.flatnonzero(is_voiced & _is_loud(envelopes))
    if len(here) < _FEWEST_FRAMES:
        return clip
    level = _levels(envelopes)
    flat = envelopes - level[:, None]
    places, distances = min((_nearest(_warped(flat[here], warp), singer) for warp in _WARPS), key=lambda f: f[1].mean())
    chosen = _mean_of(singer.envelopes[places], distances)
    change = np.zeros_like(flat)
    change[here] = chosen - flat[here]
    kernel = np.ones(_SMOOTH_FRAMES) / _SMOOTH_FRAMES
    change = np.apply_along_axis(lambda column: np.convolve(column, kernel, mode="same"), 0, change)
    return _filtered(clip, change.clip(-_LARGEST_NEPERS, _LARGEST_NEPERS))


def _envelopes(clip: Clip, track: PitchTrack) -> tuple[Matrix, npt.NDArray[np.bool_]]:
    """Log envelopes `[F, POINTS]` every 10 ms, and whether each is voiced."""
    samples = resample.resample(clip.samples, clip.sample_rate, RATE)
    if not len(samples):
        return np.zeros((0, _POINTS), np.float32), np.zeros(0, np.bool_)
    config = SpectralConfig(sample_rate=RATE, window_samples=_WINDOW, hop_samples=_HOP)
    magnitude = spectral.magnitude(torch.from_numpy(samples), config)
    f0_hz = pitch.at_times(track, np.arange(magnitude.shape[1], dtype=np.float64) * _HOP / RATE)
    smooth = repitch.envelope((magnitude + 1e-5).log(), f0_hz, RATE).numpy()  # [513, F]
    return np.ascontiguousarray(smooth[:: (_WINDOW // 2) // (_POINTS - 1)].T, np.float32), f0_hz > 0


def _levels(envelopes: Matrix) -> Matrix:
    return np.asarray(envelopes[:, : _points_to(_TOP_HZ)].mean(axis=1))


def _is_loud(envelopes: Matrix) -> npt.NDArray[np.bool_]:
    peaks = envelopes.max(axis=1)
    return np.asarray(peaks > np.percentile(peaks, 95) - _LOUD_NEPERS) if len(peaks) else np.zeros(0, np.bool_)


def _points_to(hz: float) -> int:
    return 1 + round((_POINTS - 1) * hz / (RATE / 2))


def _warped(envelopes: Matrix, warp: float) -> Matrix:
    """Envelopes whose resonances lie `warp` times as high."""
    place = np.minimum(np.arange(_POINTS) / warp, _POINTS - 1)
    return np.asarray(spectral.rows_at(torch.from_numpy(envelopes).T, torch.from_numpy(place)[:, None]).T.numpy())


def _cepstra(envelopes: Matrix) -> Matrix:
    """Cosine transform of 40 points on the mel scale, rows 1 to 18, `[F, 18]`."""
    hz = mels.to_hz(np.linspace(mels.of_hz(60.0), mels.of_hz(_TOP_HZ), _BANDS))
    axis = np.linspace(0.0, RATE / 2, _POINTS)
    bands = np.stack([np.interp(hz, axis, row) for row in envelopes])
    order, place = np.arange(1, _CEPSTRA + 1)[:, None], np.arange(_BANDS) + 0.5
    return np.asarray(bands @ np.cos(np.pi / _BANDS * order * place).T * (2 / _BANDS), np.float32)


def _normalised(cepstra: Matrix, of: Matrix) -> Matrix:
    return np.asarray((cepstra - of.mean(axis=0)) / np.maximum(of.std(axis=0), 1e-6), np.float32)


def _nearest(envelopes: Matrix, singer: Pool) -> tuple[npt.NDArray[np.int64], Matrix]:
    """Indices and distances of the 6 nearest frames of the singer, `[F, 6]` each."""
    cepstra = _cepstra(envelopes)
    features, lengths = _normalised(cepstra, cepstra), np.square(singer.features).sum(axis=1)
    found = []
    for start in range(0, len(features), _AT_ONCE):
        some = features[start : start + _AT_ONCE]
        squares = np.square(some).sum(axis=1)[:, None] + lengths - 2 * some @ singer.features.T
        places = np.argpartition(squares, _NEAREST - 1, axis=1)[:, :_NEAREST].copy()  # a view would keep all of it
        found.append((places, np.take_along_axis(squares, places, axis=1)))
    places, nearest = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return places, np.sqrt(np.maximum(nearest, 0.0))


def _mean_of(envelopes: Matrix, distances: Matrix) -> Matrix:
    """The mean of each frame's neighbours `[F, 6, POINTS]`; a neighbour two farther away counts e times less."""
    weights = np.exp(-distances / 2)
    return np.asarray(np.einsum("fk,fkp->fp", weights / weights.sum(axis=1, keepdims=True), envelopes))


def _filtered(clip: Clip, change: Matrix) -> Clip:
    """The sound with each frame's spectrum multiplied by the exponential of `change`, `[F, POINTS]`."""
    window = torch.hann_window(_WINDOW)
    waveform = torch.from_numpy(clip.samples)
    padded = torch.nn.functional.pad(waveform, (0, max(0, _WINDOW - len(waveform))))
    spectrum = torch.stft(padded, _WINDOW, _HOP, window=window, return_complex=True)  # [513, F]
    axis = np.linspace(0, _POINTS - 1, _WINDOW // 2 + 1)
    fine = np.stack([np.interp(axis, np.arange(_POINTS), row) for row in change[: spectrum.shape[1]]])
    gains = torch.from_numpy(np.exp(fine).astype(np.float32)).T
    whole = torch.nn.functional.pad(gains, (0, spectrum.shape[1] - gains.shape[1]), value=1.0)
    sound = torch.istft(spectrum * whole, _WINDOW, _HOP, window=window, length=len(padded))
    return Clip(np.ascontiguousarray(sound[: clip.n_samples].numpy()), clip.sample_rate)
