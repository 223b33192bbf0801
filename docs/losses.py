"""What losses mean: the cross-entropy of predictors that know little, on invented singers, in nats a sample.

    python docs/losses.py       prints the table of docs/guide/*/losses.md; a few seconds

The recordings are those of demo/, at 8 kHz and at the level that training uses; three singers are learnt from, Arirang
by the fourth voice is held out. Each predictor can also be listened to (docs/sounds.py).
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from moksori.audio import files, level, mulaw, resample

ROOT = Path(__file__).parents[1]
RATE = 8000
N = mulaw.N_CODES
_LEVEL_DBFS = -23.0  # of the sung parts, as `moksori prepare` brings recordings to
_ORDER = 16  # taps of the linear predictor: 2 ms

Codes = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Predictor(Protocol):
    """Says how probable each code is, given the codes before it."""

    def nats(self, codes: Codes) -> float:
        """Mean cross-entropy on codes `[T]`."""

    def sample(self, n: int, chance: np.random.Generator) -> Codes:
        """Draw codes from it, each given those drawn before."""


class Markov:
    """A table: the law of a code given the `order` codes before it (0 or 1), learnt by counting.

    Codes never seen after another have the law of codes in general, in the proportion of one sighting.
    """

    def __init__(self, codes: Codes, order: int) -> None:
        counts = np.bincount(codes, minlength=N).astype(float) + 0.1
        self._plain = counts / counts.sum()
        self._order = order
        self._table = np.tile(self._plain, (N, 1))
        if order:
            np.add.at(self._table, (codes[:-1], codes[1:]), 1.0)
            self._table /= self._table.sum(axis=1, keepdims=True)

    def nats(self, codes: Codes) -> float:
        """See `Predictor`."""
        return float(-np.log(self._table[codes[:-1], codes[1:]]).mean())

    def sample(self, n: int, chance: np.random.Generator) -> Codes:
        """See `Predictor`."""
        sums = self._table.cumsum(axis=1)
        drawn = [mulaw.SILENCE]
        for uniform in chance.random(n):
            drawn.append(min(N - 1, int(np.searchsorted(sums[drawn[-1]], uniform))))
        return np.array(drawn[1:])


class Uniform:
    """Knows nothing."""

    def nats(self, codes: Codes) -> float:
        """See `Predictor`; ln 256 whatever the codes are."""
        return math.log(N)

    def sample(self, n: int, chance: np.random.Generator) -> Codes:
        """See `Predictor`."""
        return chance.integers(0, N, n)


class Linear:
    """The next sample is a weighted sum of the last 16, give or take an error in proportion to their loudness.

    The error has Laplace's law; the probability of a code is that of the amplitudes which it stands for.
    """

    def __init__(self, codes: Codes) -> None:
        heard, wanted = self._windows(_amplitudes(codes))
        loud = _loudness(heard)
        # Each equation is divided by its loudness: a relative error counts the same in soft and in loud singing.
        self._weights = np.linalg.lstsq(heard / loud[:, None], wanted / loud, rcond=None)[0]
        self._spread = float(np.abs((wanted - heard @ self._weights) / loud).mean())

    def nats(self, codes: Codes) -> float:
        """See `Predictor`."""
        heard, _ = self._windows(_amplitudes(codes))
        return float(-np.log(self._law(heard)[np.arange(len(heard)), codes[_ORDER:]]).mean())

    def sample(self, n: int, chance: np.random.Generator) -> Codes:
        """See `Predictor`."""
        heard = np.zeros(_ORDER)
        drawn = np.empty(n, np.int64)
        for place, uniform in enumerate(chance.random(n)):
            drawn[place] = min(N - 1, int(np.searchsorted(self._law(heard[None])[0].cumsum(), uniform)))
            heard = np.append(heard[1:], _AMPLITUDES[drawn[place]])
        return drawn

    def _windows(self, amplitudes: Floats) -> tuple[Floats, Floats]:
        return np.lib.stride_tricks.sliding_window_view(amplitudes, _ORDER)[:-1], amplitudes[_ORDER:]

    def _law(self, heard: Floats) -> Floats:
        """A probability for each code, `[T, 256]`; a thousandth is spread evenly."""
        middle, spread = (heard @ self._weights)[:, None], self._spread * _loudness(heard)[:, None]
        away = (_EDGES[None] - middle) / spread
        below = np.where(away < 0, 0.5 * np.exp(np.minimum(away, 0)), 1 - 0.5 * np.exp(-np.maximum(away, 0)))
        below[:, 0], below[:, -1] = 0.0, 1.0
        return 0.999 * np.diff(below, axis=1) + 0.001 / N


def _amplitudes(codes: Codes) -> Floats:
    return _AMPLITUDES[codes]


def _loudness(heard: Floats) -> Floats:
    """RMS of windows `[T, n]`, and a little, so that silence can be divided by."""
    return np.asarray(np.sqrt(np.square(heard).mean(axis=1)) + 1e-3)


_AMPLITUDES: Floats = mulaw.decode(torch.arange(N)).numpy().astype(float)
_EDGES: Floats = np.concatenate([[-1.0], (_AMPLITUDES[1:] + _AMPLITUDES[:-1]) / 2, [1.0]])


def predictors(codes: Codes) -> dict[str, Predictor]:
    """Learn each of them from codes; the least knowing first."""
    return {"nothing": Uniform(), "histogram": Markov(codes, 0), "previous": Markov(codes, 1), "linear": Linear(codes)}


def corpus() -> tuple[Codes, Codes]:
    """Codes to learn from, and held-out codes."""
    names = ("syn_bass", "syn_child", "syn_tenor")
    learnt = [_codes(path) for name in names for path in sorted((ROOT / "demo" / "singers" / name).glob("*.flac"))]
    return np.concatenate(learnt), _codes(ROOT / "demo" / "arirang.flac")


def _codes(path: Path) -> Codes:
    clip = files.read(path)
    measured = level.measure(clip.samples, clip.sample_rate)
    gain_db = _LEVEL_DBFS - level.sung_level_dbfs(measured.frame_dbfs)
    samples = resample.resample(level.apply_gain(clip.samples, gain_db), clip.sample_rate, RATE)
    return mulaw.encode(torch.from_numpy(samples)).numpy()


def main() -> None:
    """Print the table."""
    learnt, held_out = corpus()
    for name, predictor in predictors(learnt).items():
        print(f"| {name} | {predictor.nats(held_out):.2f} |")


if __name__ == "__main__":
    main()
