"""Batched autoregressive generation: many clips at once, one sample after another; the loop around a backend.

A backend scores the next code of all its streams from the codes before, or picks some codes in a row. Streams run in
lockstep, so that each weight that is read serves all of them. A backend that works beside itself is given the streams
in shares, one a thread; which share a stream is in changes nothing in it.
"""

from __future__ import annotations

import functools
import math
import queue
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any, Protocol

import torch
from torch import Tensor

from moksori.data import threads
from moksori.errors import UserError
from moksori.generation.backends.fused import FusedBackend
from moksori.generation.backends.graphed import GraphBackend
from moksori.generation.backends.reference import ReferenceBackend
from moksori.generation.backends.streaming import StreamingBackend
from moksori.generation.engine import trial
from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet
from moksori.progress import OnProgress, Progress, ignored

Advance = Callable[[int], None]
"""Called by a thread with the number of samples of each of its streams since the last call."""


class Backend(Protocol):
    """A way to generate. Making one copies or borrows the decoder's weights, never changes them."""

    is_parallel: bool  # threads may use it side by side, each with a state of its own
    worker_streams: int  # streams that a thread serves best

    def start(self, conditioning: Conditioning) -> Any:
        """State before the first sample of B clips.

        Args:
            conditioning: frames `[B, C, F]`; for a decoder without a condition `[B, 0, F]`, which gives the length.
        """

    def step(self, state: Any, previous: Tensor | None) -> tuple[Tensor, Any]:
        """Score the next code.

        Args:
            state: from `start` or the last call; it is used up.
            previous: codes `[B]` of the sample before; None before the first.

        Returns:
            Logits `[B, 256]`, and the state for the next call.
        """

    def sample(self, state: Any, previous: Tensor | None, uniforms: Tensor, temperature: float) -> tuple[Tensor, Any]:
        """Pick the next n codes, each from the scores of `step` by `sampling.pick`.

        Args:
            state: as of `step`.
            previous: as of `step`.
            uniforms: `[B, n]`.
            temperature: see `sampling.pick`.

        Returns:
            Codes `[B, n]`, and the state for the next call.

        Raises:
            NonFiniteError: the scores are not finite.
        """

    def narrow(self, state: Any, n_streams: int) -> Any:
        """State of the first n streams, when the others are over; None if such a backend cannot go on without them.

        Args:
            state: as of `step`.
            n_streams: at least 1.
        """

    def call_samples(self, n_streams: int) -> int:
        """How many samples to ask for at a time, so that a call takes some hundredths of a second."""


AUTO = "auto"
_TORCH: dict[str, Callable[[WaveNet], Backend]] = {
    "streaming": StreamingBackend,
    "graph": GraphBackend,
    "fused": FusedBackend,
    "fused16": functools.partial(FusedBackend, dtype=torch.float16),
    "reference": ReferenceBackend,
}
ENGINE = ("float32", "bfloat16", "int8")
"""Names of the engine's ways to generate, which bring their own threads; torch is free for the rest of the work."""

BACKENDS = (*ENGINE, *_TORCH)
"""Names of the ways to generate: the engine at three precisions; torch with ring buffers, step by step or replayed by a
GPU; kernels of our own for a GPU, in float32 and float16; and the slow definition."""


def usual_backend(decoder: WaveNet) -> str:
    """The name that "auto" stands for: the engine where it works, torch elsewhere.

    On a GPU that is "streaming": "graph" and "fused" are the faster ones in principle, but have to be asked for until
    they have been measured there.
    """
    weight = decoder.first.weight
    verdict = trial.verdict() if weight.device.type == "cpu" and weight.dtype == torch.float32 else None
    is_able = verdict is not None and verdict.usual_precision in verdict.precisions
    return verdict.usual_precision if verdict is not None and is_able else "streaming"


def check_temperature(temperature: float) -> None:
    """Refuse a temperature that no law of codes has.

    Raises:
        UserError: it is negative, without bounds, or no number.
    """
    if not 0 <= temperature < math.inf:
        raise UserError(f"temperature is {temperature}; expected a number from 0 (tame) to 1 (as learned)")


def check_name(name: str) -> None:
    """Refuse the name of no backend.

    Raises:
        UserError: the known ones are listed.
    """
    if name not in (AUTO, *BACKENDS):
        raise UserError(f"unknown generation backend {name!r}; known backends are {', '.join((AUTO, *BACKENDS))}")


def backend_for(decoder: WaveNet, name: str = AUTO, layer_peaks: Sequence[float] = ()) -> Backend:
    """Make a backend by name.

    Args:
        decoder: what to generate with.
        name: one of `BACKENDS`, or "auto".
        layer_peaks: for "int8": how large the inputs of each layer get, see `calibration`.

    Raises:
        UserError: no backend of that name (the known ones are listed), or it does not work here, and why.
        ValueError: the weights are not finite.
    """
    check_name(name)
    if name == AUTO:
        name = usual_backend(decoder)
    if name in _TORCH:
        return _TORCH[name](decoder)
    trial.require(name)
    if name == "int8" and not layer_peaks:
        raise UserError(
            "this model was never calibrated for int8; models are when they are trained. Train it for a step more, or "
            "choose another backend"
        )
    from moksori.generation.engine.backend import EngineBackend

    return EngineBackend(decoder, name, layer_peaks, tier_name=trial.verdict().tier)


def n_workers(backend: Backend) -> int:
    """Threads that generate side by side: one for each core that this process may use, if the backend allows."""
    return threads.n_cores() if backend.is_parallel else 1


def lockstep_streams(backend: Backend) -> int:
    """Streams at once that keep every worker busy."""
    return n_workers(backend) * backend.worker_streams


def generate(
    backend: Backend,
    conditioning: Conditioning,
    uniforms: Tensor,
    temperature: float = 1.0,
    progress: OnProgress | None = None,
    workers: int = 0,
    lengths: Sequence[int] | None = None,
) -> Tensor:
    """Sample B clips in lockstep.

    Args:
        backend: see `backend_for`.
        conditioning: frames `[B, C, F]`.
        uniforms: `[B, T]` in [0, 1), T at most the condition's length; one number a sample, see `sampling.uniforms`.
        temperature: see `sampling.pick`.
        progress: called with the samples that each clip has, of T, every few hundredths of a second.
        workers: threads; 0 for what `n_workers` says. Their number does not change what is generated.
        lengths: of each clip, at most T; what comes after it is not generated where the backend can leave it out.

    Returns:
        Codes `[B, T]` int64; after the end of a clip anything.

    Raises:
        ValueError: the shapes do not fit each other.
        NonFiniteError: the decoder's scores are not finite.
    """
    n_streams, n_samples = uniforms.shape
    if conditioning.frames.shape[0] != n_streams or n_samples > conditioning.n_samples:
        raise ValueError(
            f"uniforms {list(uniforms.shape)} do not fit a condition of {conditioning.frames.shape[0]} streams "
            f"and {conditioning.n_samples} samples"
        )
    if not temperature >= 0:
        raise ValueError(f"temperature must be a number, and not negative: {temperature}")
    uniforms = uniforms.to(conditioning.frames.device)
    # Made and written in the mode of the caller, who may be training and take gradients of what is computed from it.
    codes = torch.zeros(n_streams, n_samples, dtype=torch.int64, device=uniforms.device)
    n_shares = max(1, min(n_streams, workers or n_workers(backend)))
    own_lengths = [n_samples] * n_streams if lengths is None else list(lengths)
    longest_first = sorted(range(n_streams), key=lambda stream: -own_lengths[stream])
    shares = [longest_first[first::n_shares] for first in range(n_shares)]
    stop, reports = Event(), queue.SimpleQueue[int | None]()

    def work(share: list[int], advance: Advance) -> Tensor:
        own = Conditioning(conditioning.frames[share], conditioning.hop_samples)
        ends = [own_lengths[stream] for stream in share]
        return _sample_share(backend, own, uniforms[share], temperature, ends, advance, stop)

    def work_beside(share: list[int]) -> Tensor:
        try:
            return work(share, reports.put)
        except BaseException:
            stop.set()  # one share is of no use without the others
            raise
        finally:
            reports.put(None)  # whatever became of it, nothing more is to be expected

    progressed = _Progress(n_samples, n_shares, progress or ignored)
    if n_shares == 1:
        codes[shares[0]] = work(shares[0], progressed.add)
        return codes
    with ThreadPoolExecutor(n_shares) as pool:
        jobs = [pool.submit(work_beside, share) for share in shares]
        try:
            progressed.add_all(reports)
        finally:
            stop.set()  # after an exception the workers end with their present call
        for share, job in zip(shares, jobs, strict=True):
            codes[share] = job.result()
    return codes


@torch.inference_mode()
def _sample_share(
    backend: Backend,
    conditioning: Conditioning,
    uniforms: Tensor,
    temperature: float,
    lengths: list[int],
    advance: Advance,
    stop: Event,
) -> Tensor:
    """Codes `[B, T]` of some streams, the longest first, call by call, until cancelled."""
    codes = torch.zeros(uniforms.shape, dtype=torch.int64, device=uniforms.device)
    state, previous, n_streams, position = backend.start(conditioning), None, len(lengths), 0
    while position < lengths[0] and not stop.is_set():
        n_left = sum(length > position for length in lengths)
        if n_left < n_streams and (narrowed := backend.narrow(state, n_left)) is not None:
            state, n_streams = narrowed, n_left
        here = slice(position, min(position + backend.call_samples(n_streams), lengths[0]))
        given = None if previous is None else previous[:n_streams]
        picked, state = backend.sample(state, given, uniforms[:n_streams, here], temperature)
        codes[:n_streams, here] = picked
        previous, position = picked[:, -1], here.stop
        advance(here.stop - here.start)
    if lengths[0] < uniforms.shape[1]:
        advance(uniforms.shape[1] - lengths[0])  # the longest of another share is longer
    return codes


class _Progress:
    """Progress of the shares of the streams, in samples of one stream of all."""

    def __init__(self, n_samples: int, n_shares: int, on_progress: OnProgress) -> None:
        self._n_samples, self._n_shares, self._on_progress = n_samples, n_shares, on_progress
        self._done, self._reported = 0, 0

    def add(self, n_samples: int) -> None:
        """One share has so many more."""
        self._done += n_samples
        if self._done // self._n_shares > self._reported:
            self._reported = self._done // self._n_shares
            self._on_progress(Progress(self._reported, self._n_samples))

    def add_all(self, reports: queue.SimpleQueue[int | None]) -> None:
        """What shares on other threads report, until each has ended, with None."""
        n_left = self._n_shares
        while n_left:
            if (n_samples := reports.get()) is None:
                n_left -= 1
            else:
                self.add(n_samples)
