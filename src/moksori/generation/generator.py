"""Many clips at once, one sample after another: the loop around a backend.

A backend answers one question, "which scores does the next code have?"; this loop asks it for every sample and picks
the codes. Streams run in lockstep, so that each weight that is read serves all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from moksori.errors import UserError
from moksori.generation import sampling
from moksori.generation.reference import ReferenceBackend
from moksori.generation.streaming import StreamingBackend
from moksori.models.conditions import Conditioning
from moksori.models.wavenet import WaveNet

Progress = Callable[[int], None]
"""Called now and then with the number of samples (of one stream) generated since the last call."""


class Backend(Protocol):
    """A way to score the next code. Making one copies or borrows the decoder's weights, never changes them."""

    def start(self, conditioning: Conditioning) -> Any:
        """State before the first sample of B clips.

        Args:
            conditioning: frames `[B, C, F]`; for a decoder without a condition `[B, 0, F]`, which gives the length.
        """

    def step(self, state: Any, previous: Tensor | None) -> tuple[Tensor, Any]:
        """Score the next code.

        Args:
            state: from `start` or the last step; it is used up.
            previous: codes `[B]` of the sample before; None before the first.

        Returns:
            Logits `[B, 256]`, and the state for the next step.
        """


BACKENDS: dict[str, Callable[[WaveNet], Backend]] = {
    "streaming": StreamingBackend,
    "reference": ReferenceBackend,
}
DEFAULT_BACKEND = "streaming"


def backend_for(decoder: WaveNet, name: str = DEFAULT_BACKEND) -> Backend:
    """Make a backend by name.

    Raises:
        UserError: no backend of that name; the known ones are listed.
    """
    if name not in BACKENDS:
        raise UserError(f"unknown generation backend {name!r}; known backends are {', '.join(BACKENDS)}")
    return BACKENDS[name](decoder)


def generate(
    backend: Backend,
    conditioning: Conditioning,
    uniforms: Tensor,
    temperature: float = 1.0,
    progress: Progress | None = None,
) -> Tensor:
    """Sample B clips in lockstep.

    Args:
        backend: see `backend_for`.
        conditioning: frames `[B, C, F]`.
        uniforms: `[B, T]` in [0, 1), T at most the condition's length; one number a sample, see `sampling.uniforms`.
        temperature: see `sampling.pick`.
        progress: told every 100 samples or so; an exception it raises ends the generation.

    Returns:
        Codes `[B, T]` int64.

    Raises:
        ValueError: the shapes do not fit each other, or the decoder scores NaN.
    """
    n_streams, n_samples = uniforms.shape
    if conditioning.frames.shape[0] != n_streams or n_samples > conditioning.n_samples:
        raise ValueError(
            f"uniforms {list(uniforms.shape)} do not fit a condition of {conditioning.frames.shape[0]} streams "
            f"and {conditioning.n_samples} samples"
        )
    uniforms = uniforms.to(conditioning.frames.device)
    # Made outside the inference mode, so that training may take gradients of what is computed from it.
    codes = torch.empty(n_streams, n_samples, dtype=torch.int64, device=uniforms.device)
    with torch.inference_mode():
        state = backend.start(conditioning)
        previous: Tensor | None = None
        for position in range(n_samples):
            logits, state = backend.step(state, previous)
            previous = sampling.pick(logits, uniforms[:, position], temperature)
            codes[:, position] = previous
            if progress is not None and (position + 1) % 100 == 0:
                progress(100)
    if progress is not None and n_samples % 100:
        progress(n_samples % 100)
    return codes
