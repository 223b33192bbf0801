"""Mel-cepstral distance of two recordings: how far apart the timbres of what is sung are, in dB.

    clip -> log-mel -> cosine transform -> c[1..12] a frame
    one timing      frame by frame -> mean distance
    two timings     sung parts -> dynamic time warping within a band -> mean distance along the path

The distance is that of Kubichek 1993, `10 / ln 10 * sqrt(2 * sum of squared differences)`, of cepstra in nepers; the
0th, which is loudness, is left out. Absolute values depend on the settings, so they compare only with each other. A
conversion has the timing of its source, so nothing is aligned there; two recordings of the same words are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from moksori.audio import level, resample, spectral
from moksori.audio.clip import Clip
from moksori.audio.spectral import SpectralConfig

# Wide bands and a short window, so that the harmonics of a voice are not told apart and its pitch matters little. Of 25
# pairs of real recordings of the same words at two pitches by one singer, 96 % are nearer to each other than to other
# words at the second pitch; with 40 bands, a window of 512 and 24 coefficients 84 % are.
_SPECTRAL = SpectralConfig(sample_rate=16000, window_samples=256, hop_samples=160, n_mels=20, low_hz=60.0)
_FRAMES_PER_SECOND = _SPECTRAL.sample_rate // _SPECTRAL.hop_samples
_N_COEFFICIENTS = 12
_FLOOR_DB = 60.0  # bands this far below the loudest one are as good as silent
_SUNG_DB = 35.0  # frames this far below the loudest one count as sung, for `movement`
_FEWEST_FRAMES = 20  # for a correlation
_STILL = 1e-3  # nepers; a coefficient that moves less has no shape to correlate
_DB = 10.0 / math.log(10.0) * math.sqrt(2.0)
_BAND_SECONDS = 5.0  # how far an alignment may leave the straight line between the corners,
_BAND_SHARE = 0.1  # or this share of the longer clip, if that is more

Matrix = npt.NDArray[np.float64]
Places = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cepstra:
    """Mel cepstra of a clip, 100 frames a second; some 1 MB for three minutes."""

    frames: npt.NDArray[np.float32]  # coefficients 1 to 12 in nepers, `[F, 12]`, F at least 1
    loudest: npt.NDArray[np.float32]  # log amplitude of the loudest band in nepers, `[F]`
    first_sung: int  # frame
    last_sung: int  # frame; of a clip without singing both are 0


def analyse(clip: Clip) -> Cepstra:
    """Measure the mel cepstra of a clip of any rate. An empty clip is a frame of silence."""
    samples = resample.resample_clip(clip, _SPECTRAL.sample_rate).samples
    regions = level.sung_regions(level.measure(samples, _SPECTRAL.sample_rate)) if len(samples) else []
    mel = _mel(samples)
    last = mel.shape[1] - 1
    first_sung, last_sung = (
        (min(place // _SPECTRAL.hop_samples, last) for place in (regions[0][0], regions[-1][1])) if regions else (0, 0)
    )
    frames, loudest = (_cosines() @ mel).T, mel.amax(dim=0)
    return Cepstra(frames.float().numpy(), loudest.float().numpy(), first_sung, last_sung)


def validate(source: Cepstra, conversion: Cepstra) -> None:
    """Refuse what no distance can be taken of.

    Raises:
        ValueError: not frames of 12 finite coefficients.
    """
    for name, cepstra in (("source", source), ("conversion", conversion)):
        shape = cepstra.frames.shape
        if len(shape) != 2 or not shape[0] or shape[1] != _N_COEFFICIENTS or not np.isfinite(cepstra.frames).all():
            raise ValueError(
                f"{name}: cepstra {list(shape)}; expected finite [F, {_N_COEFFICIENTS}] with a frame or more"
            )


def evaluate(source: Cepstra, conversion: Cepstra) -> dict[str, float]:
    """What a report says of a conversion beside its source, by metric."""
    return {"source_frame_distance_db": distance_db(source, conversion)}


def distance_db(source: Cepstra, conversion: Cepstra) -> float:
    """Mel-cepstral distance in dB of clips with one timing, 0 for equal ones; neither gain nor rate matter.

    Args:
        source: from its first to its last sung frame the distance is taken.
        conversion: frames that it lacks are left out; without a frame in common the first ones are compared.
    """
    validate(source, conversion)
    n_frames = min(len(source.frames), len(conversion.frames))
    start = min(source.first_sung, n_frames - 1)
    stop = max(min(source.last_sung + 1, n_frames), start + 1)
    return float(_between_db(source.frames[start:stop], conversion.frames[start:stop]).mean())


def aligned_distance_db(first: Cepstra, second: Cepstra) -> float:
    """Mel-cepstral distance in dB along the best alignment of two sung parts; timing does not matter.

    Time grows with the length times the band, memory with the length.

    Args:
        first: a voice.
        second: the same words, by whomever. Silence has a flat spectrum, and is compared as that.
    """
    validate(first, second)
    ours, theirs = (each.frames[each.first_sung : each.last_sung + 1] for each in (first, second))
    n_longer = max(len(ours), len(theirs))
    radius = max(round(_BAND_SECONDS * _FRAMES_PER_SECOND), math.ceil(_BAND_SHARE * n_longer))
    total, n_steps = align(
        len(ours), len(theirs), lambda rows, columns: _between_db(ours[rows], theirs[columns]), radius
    )
    return total / n_steps


def movement(source: Cepstra, conversion: Cepstra) -> float | None:
    """How alike the spectra of two clips move: what is sung, whoever sings it, without any text.

    The correlation over time of each cepstral coefficient, averaged over the 12, where the source is sung. What a voice
    adds to all of its frames alike plays no part, nor does gain or rate, and pitch plays a small one; but the clips
    must have one timing, as a conversion has that of its source.

    Returns:
        1 for equal clips, about 0 for unrelated ones, -1 at worst. None where fewer than `_FEWEST_FRAMES` are sung, or
        the source stands still. A conversion that stands still moves like nothing: 0.
    """
    validate(source, conversion)
    n_frames = min(len(source.frames), len(conversion.frames))
    loudest = source.loudest[:n_frames]
    is_sung = loudest > loudest.max() - _SUNG_DB * math.log(10.0) / 20.0
    first, second = (each.frames[:n_frames][is_sung].astype(np.float64) for each in (source, conversion))
    if is_sung.sum() < _FEWEST_FRAMES or (first.std(axis=0) < _STILL).any():
        return None
    first, second = (rows - rows.mean(axis=0) for rows in (first, second))
    sizes = np.sqrt(np.square(first).mean(axis=0)), np.sqrt(np.square(second).mean(axis=0))
    return float(((first * second).mean(axis=0) / (sizes[0] * np.maximum(sizes[1], _STILL))).mean())


def align(
    n_rows: int, n_columns: int, cost: Callable[[Places, Places], Matrix], radius: int | None = None
) -> tuple[float, int]:
    """Dynamic time warping within a band: the cheapest path from corner to corner (Sakoe and Chiba 1978).

    A path moves by one row, one column, or both. All cells of an anti-diagonal depend only on the two before, so they
    are worked on together, and three anti-diagonals are all that is kept:

        row + column = d:   best[d] = cost[d] + min(best[d - 1] from the left or above, best[d - 2] from the corner)

    Of equally cheap ways the diagonal one is taken, then the one along a column, then along a row.

    Args:
        n_rows: at least 1.
        n_columns: at least 1.
        cost: rows `[N]` and columns `[N]` of N cells -> their costs `[N]`.
        radius: cells whose row lies further than this from the straight line between the corners are left out; at
            least 1. None: no cell is.

    Returns:
        The sum of the costs along the path, and how many cells it has.
    """
    # By row + 1, of the anti-diagonals d - 2, d - 1 and d. A buffer is written again three diagonals later; the band
    # never moves back, and by one row a diagonal at most, so what is left of the last time stands just before it.
    sums = [np.full(n_rows + 1, np.inf) for _ in range(3)]
    steps = [np.zeros(n_rows + 1, np.int64) for _ in range(3)]
    n_diagonals = n_rows + n_columns - 1
    for diagonal in range(n_diagonals):
        start, stop = max(0, diagonal - n_columns + 1), min(n_rows, diagonal + 1)
        if radius is not None:
            line = diagonal * (n_rows - 1) // max(n_diagonals - 1, 1)
            start, stop = max(start, line - radius), min(stop, line + radius + 1)
        before, last, now = (sums[(diagonal + shift) % 3] for shift in (1, 2, 0))
        steps_before, steps_last, steps_now = (steps[(diagonal + shift) % 3] for shift in (1, 2, 0))
        if diagonal == 0:
            before[0] = 0.0  # where every path comes from
        above, here = slice(start, stop), slice(start + 1, stop + 1)
        ways = np.stack([before[above], last[above], last[here]])  # corner, above, left
        chosen = ways.argmin(axis=0)[None]
        rows = np.arange(start, stop)
        now[max(0, start - 2) : start + 1] = np.inf
        now[here] = cost(rows, diagonal - rows) + np.take_along_axis(ways, chosen, 0)[0]
        counts = np.stack([steps_before[above], steps_last[above], steps_last[here]])
        steps_now[here] = np.take_along_axis(counts, chosen, 0)[0] + 1
        if diagonal == 0:
            before[0] = np.inf
    end = (n_diagonals - 1) % 3
    return float(sums[end][n_rows]), int(steps[end][n_rows])


def _between_db(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> Matrix:
    """Distances of frames `[N, 12]` to frames `[N, 12]` in dB, `[N]`."""
    apart = first.astype(np.float64) - second
    return np.asarray(_DB * np.sqrt(np.einsum("nc,nc->n", apart, apart)))


def _mel(samples: npt.NDArray[np.float32]) -> torch.Tensor:
    """Log-mel `[20, F]`, with what is as good as silent raised to a floor."""
    some = samples if len(samples) else np.zeros(1, np.float32)
    mel = spectral.log_mel(torch.from_numpy(np.ascontiguousarray(some)), _SPECTRAL).double()
    return torch.maximum(mel, mel.max() - _FLOOR_DB * math.log(10.0) / 20.0)


def _cosines() -> torch.Tensor:
    """Orthonormal cosine transform (type 2) of log-mels, rows 1 to 12, over the square root of the number of bands.

    So scaled, a coefficient is the amplitude in nepers of a ripple along the mel axis.
    """
    n_mels = _SPECTRAL.n_mels
    order = torch.arange(1, _N_COEFFICIENTS + 1, dtype=torch.float64)[:, None]
    place = torch.arange(n_mels, dtype=torch.float64) + 0.5
    return torch.cos(math.pi / n_mels * order * place) * (2.0 / n_mels)
