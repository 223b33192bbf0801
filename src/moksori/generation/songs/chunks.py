"""A song as many short chains: where to cut it, and how to join what was generated.

A chain of samples cannot be generated in parallel with itself, but a song can be cut. Each chunk is started early, a
receptive field before its own part, so that where its part begins its memory is full:

    cuts              |                    |                    |
    chunk 0    [======|==]
    chunk 1      [~~~~|====================|==]                    ~ warm-up, thrown away
    chunk 2                           [~~~~|====================|==]

Both neighbours sing the seam. They draw the same uniforms there (`sampling.uniforms` goes by absolute position), so
they often fall into step; once they agree over a whole receptive field they are the same chain, and the song is
switched over without a trace. Otherwise they are cross-faded where the song is quiet, at the lag that fits best.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from moksori.audio import bands, frames
from moksori.audio.clip import Samples

Codes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ChunkConfig:
    """How a song is cut."""

    streams: int = 32  # a song is cut into so many chunks, or into more if they got too long
    shortest_seconds: float = 2.0  # a chunk's own part is about this long or longer, unless the song is shorter
    longest_seconds: float = 12.0  # and about this long or shorter, however many chunks that takes
    search_seconds: float = 0.75  # a cut moves this far from its nominal place to a quieter one
    fade_seconds: float = 0.02
    lag_seconds: float = 0.005  # a faded chunk is moved by at most this much to meet its neighbour in phase

    def __post_init__(self) -> None:
        if self.streams < 1:
            raise ValueError(f"chunk streams must be at least 1, not {self.streams}")
        if min(self.search_seconds, self.fade_seconds, self.lag_seconds) < 0:
            raise ValueError(f"search, fade and lag of chunks must not be negative: {self}")
        # `plan` may bring two cuts as near as a quarter of this; seams must not meet.
        if not max(0.1, 5 * (self.fade_seconds + self.lag_seconds)) <= self.shortest_seconds <= self.longest_seconds:
            raise ValueError(
                f"chunks must last at least 0.1 s and 5 times fade and lag together, and the shortest no longer than "
                f"the longest: {self}"
            )

    def half_fade_samples(self, sample_rate: int) -> int:
        """Samples from the middle of a fade to its end."""
        return round(self.fade_seconds / 2 * sample_rate)

    def lag_samples(self, sample_rate: int) -> int:
        """Samples that a faded chunk may be moved either way."""
        return round(self.lag_seconds * sample_rate)


UNCUT = ChunkConfig(streams=1, longest_seconds=float("inf"))
"""A song as a single chain, without seams."""


@dataclass(frozen=True)
class Chunk:
    """A stretch of the song, in samples at the model's rate."""

    start: int  # own part: from this cut
    stop: int  # to this one
    first: int  # generation begins here, a multiple of the hop
    last: int  # and ends here


def plan(
    n_samples: int,
    sample_rate: int,
    hop_samples: int,
    receptive_field: int,
    frame_dbfs: npt.NDArray[np.float64],
    config: ChunkConfig,
) -> list[Chunk]:
    """Cut a song at its quiet places.

    Args:
        n_samples: length of the song, at least 1.
        sample_rate: of the model, Hz.
        hop_samples: of the latent.
        receptive_field: samples of warm-up.
        frame_dbfs: level of the song in equal frames from its start to its end.
        config: lengths, and the number of chunks.

    Returns:
        Chunks whose own parts tile `[0, n_samples)`; a single chunk is the exact chain, without seams.
    """
    seconds = n_samples / sample_rate
    length = min(max(seconds / config.streams, config.shortest_seconds), config.longest_seconds)
    n_chunks = max(1, round(seconds / length))
    nominal = [n_samples * i // n_chunks for i in range(1, n_chunks)]
    reach = min(round(config.search_seconds * sample_rate), n_samples // n_chunks // 3)
    cuts = [0, *(_quietest(cut, reach, n_samples, frame_dbfs) for cut in nominal), n_samples]
    margin = config.half_fade_samples(sample_rate) + config.lag_samples(sample_rate)
    end = frames.padded_length(n_samples, hop_samples)
    return [
        Chunk(
            start=start,
            stop=stop,
            first=max(0, start - margin - receptive_field) // hop_samples * hop_samples,
            last=min(end, stop + margin),
        )
        for start, stop in itertools.pairwise(cuts)
    ]


def _quietest(cut: int, reach: int, n_samples: int, frame_dbfs: npt.NDArray[np.float64]) -> int:
    """Centre of the quietest frame within reach of a cut; the nearest one if several are equally quiet."""
    centres = (np.arange(len(frame_dbfs)) + 0.5) * n_samples / len(frame_dbfs)
    near = np.flatnonzero(np.abs(centres - cut) <= reach)
    if not len(near):
        return cut
    order = np.lexsort((np.abs(centres[near] - cut), frame_dbfs[near]))
    return int(centres[near[order[0]]])


@dataclass
class SeamCount:
    """How the chunks of a song met."""

    exact: int = 0  # the chains agreed over a receptive field
    faded: int = 0


@dataclass(frozen=True)
class _Take:
    """A generated chunk, as it stands in the song."""

    chunk: Chunk
    codes: Codes  # [last - first]
    n_bands: int
    lag: int = 0  # it is read this many samples later than it was generated

    @functools.cached_property
    def _waveform(self) -> Samples:
        """The chunk as a whole: a band's filter reaches beyond a stretch."""
        return bands.sound_of(self.codes, self.n_bands)

    def lagged(self, lag: int) -> _Take:
        """The same chunk, read so many samples later."""
        moved = replace(self, lag=lag)
        moved.__dict__["_waveform"] = self._waveform  # it is the same
        return moved

    def sound(self, start: int, stop: int) -> Samples:
        """Waveform between two places of the song; the chunk reaches that far."""
        begin, end = (place - self.chunk.first + self.lag for place in (start, stop))
        assert 0 <= begin <= end <= len(self.codes)
        return self._waveform[begin:end]

    def continues(self, before: _Take, receptive_field: int) -> bool:
        """Is this, from its cut on, the chain that the chunk before it would have gone on with?

        It is if both have the same codes over a receptive field before the cut, or since the beginning of the song.
        """
        cut = self.chunk.start
        begin = max(0, cut - receptive_field)
        if before.lag or begin < max(self.chunk.first, before.chunk.first):
            return False
        old, new = (take.codes[begin - take.chunk.first : cut - take.chunk.first] for take in (before, self))
        return np.array_equal(old, new)


@dataclass
class Joiner:
    """Joins chunks, given one after another, to one waveform."""

    sample_rate: int  # of the model, Hz
    receptive_field: int
    config: ChunkConfig
    seams: SeamCount = field(default_factory=SeamCount)
    n_bands: int = 1  # of the codes
    _latest: _Take | None = None
    _done: int = 0  # samples handed out

    def push(self, chunk: Chunk, codes: Codes) -> Samples:
        """Take the next chunk and return the samples that are settled.

        Args:
            chunk: as planned, in order.
            codes: its codes `[last - first]`.

        Returns:
            Float samples `[n]`, from where the last call stopped to this chunk's cut, or to the end of the fade there.
        """
        take, before = _Take(chunk, codes, self.n_bands), self._latest
        if before is None:
            self._latest = take
            return np.zeros(0, np.float32)
        if take.continues(before, self.receptive_field):
            self.seams.exact += 1
            self._latest = take
            return self._hand_out(before.sound(self._done, chunk.start))
        self.seams.faded += 1
        half = self.config.half_fade_samples(self.sample_rate)
        seam = chunk.start - half, chunk.start + half
        settled, old = before.sound(self._done, seam[0]), before.sound(*seam)
        self._latest = self._best_lagged(take, seam, old)
        return self._hand_out(np.concatenate([settled, crossfade(old, self._latest.sound(*seam))]))

    def finish(self, n_samples: int) -> Samples:
        """The rest of the song, up to its length; at least one chunk has been pushed."""
        assert self._latest is not None
        return self._hand_out(self._latest.sound(self._done, n_samples))

    def _hand_out(self, samples: Samples) -> Samples:
        self._done += len(samples)
        return samples

    def _best_lagged(self, take: _Take, seam: tuple[int, int], old: Samples) -> _Take:
        """The take with the lag at which it resembles the old sound most over the seam; the least of equal ones."""
        reach = self.config.lag_samples(self.sample_rate)
        latest = min(reach, take.chunk.last - take.chunk.stop)  # nothing was generated beyond the end of the song
        lagged = [take.lagged(lag) for lag in sorted(range(-reach, latest + 1), key=abs)]
        return max(lagged, key=lambda candidate: correlation(old, candidate.sound(*seam)))


def correlation(a: Samples, b: Samples) -> float:
    """Normalised correlation of two waveforms of one length, in [-1, 1]; 0 if either is silent."""
    power = float(a @ a) * float(b @ b)
    return float(a @ b) / power**0.5 if power > 0 else 0.0


def crossfade(old: Samples, new: Samples) -> Samples:
    """Fade from one waveform to the other with the power kept.

    With weights w and 1 - w, and two sounds of equal power and correlation r, the power of the sum is
    w^2 + (1 - w)^2 + 2 r w (1 - w); dividing by its root is a linear fade for r = 1, an equal-power fade for r = 0.
    Sounds in opposite phase (r < 0) are faded as for r = 0: near r = -1 the division would blow up what is left.
    """
    w = (np.arange(len(old), dtype=np.float32) + 0.5) / max(len(old), 1)
    r = max(0.0, correlation(old, new))
    weight = np.sqrt(w**2 + (1 - w) ** 2 + 2 * r * w * (1 - w))
    faded: Samples = (((1 - w) * old + w * new) / weight).astype(np.float32)
    return faded
