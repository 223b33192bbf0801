"""Going on from a recording: its codes are heard first, then new ones follow."""

from __future__ import annotations

import torch
from torch import Tensor

from moksori.generation import sampling
from moksori.generation.generator import Backend, Progress
from moksori.models.conditions import Conditioning

_TOLD_EVERY = 100  # samples


def go_on(
    backend: Backend,
    conditioning: Conditioning,
    heard: Tensor,
    uniforms: Tensor,
    temperature: float = 1.0,
    progress: Progress | None = None,
) -> Tensor:
    """Sample what follows after codes that are given.

    The given codes pass through the backend one by one, whatever it would have picked (teacher forcing), so that its
    memory is full when the first new code is drawn. Codes further back than a receptive field change nothing.

    Args:
        backend: see `generator.backend_for`.
        conditioning: of the given codes and the new ones together.
        heard: codes `[B, P]`, P at least 1.
        uniforms: `[B, T]` in [0, 1), for the new codes; P + T is at most the condition's length.
        temperature: see `sampling.pick`.
        progress: told every 100 samples or so, given ones included.

    Returns:
        The new codes, `[B, T]` int64.

    Raises:
        ValueError: no code is given, or the shapes do not fit each other.
    """
    (n_streams, n_heard), n_new = heard.shape, uniforms.shape[1]
    fits = len(uniforms) == len(conditioning.frames) == n_streams and n_heard + n_new <= conditioning.n_samples
    if not n_heard or not fits:
        raise ValueError(
            f"heard {list(heard.shape)} and uniforms {list(uniforms.shape)} do not fit a condition of "
            f"{len(conditioning.frames)} streams and {conditioning.n_samples} samples"
        )
    uniforms = uniforms.to(conditioning.frames.device)
    codes = torch.cat([heard, heard.new_empty(n_streams, n_new)], dim=1)
    with torch.inference_mode():
        state, previous = backend.start(conditioning), None
        for position in range(n_heard + n_new):
            logits, state = backend.step(state, previous)
            if position >= n_heard:
                codes[:, position] = sampling.pick(logits, uniforms[:, position - n_heard], temperature)
            previous = codes[:, position]
            if progress is not None and (position + 1) % _TOLD_EVERY == 0:
                progress(_TOLD_EVERY)
    if progress is not None:
        progress((n_heard + n_new) % _TOLD_EVERY)
    return codes[:, n_heard:].clone()
