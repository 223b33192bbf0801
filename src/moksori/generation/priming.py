"""Priming (continuation): the codes of a recording are given first, then new ones are sampled."""

from __future__ import annotations

import torch
from torch import Tensor

from moksori.generation.generator import Backend
from moksori.models.conditions import Conditioning
from moksori.progress import OnProgress, Progress


def go_on(
    backend: Backend,
    conditioning: Conditioning,
    given: Tensor,
    uniforms: Tensor,
    temperature: float = 1.0,
    progress: OnProgress | None = None,
) -> Tensor:
    """Sample what follows after codes that are given.

    The given codes pass through the backend one by one, whatever it would have picked (teacher forcing), so that its
    memory is full when the first new code is drawn. Codes further back than a receptive field change nothing.

    Args:
        backend: see `generator.backend_for`.
        conditioning: of the given codes and the new ones together.
        given: codes `[B, P]`, P at least 1.
        uniforms: `[B, T]` in [0, 1), for the new codes; P + T is at most the condition's length.
        temperature: see `sampling.pick`.
        progress: called now and then with the number of new samples.

    Returns:
        The new codes, `[B, T]` int64.

    Raises:
        ValueError: no code is given, or the shapes do not fit each other.
    """
    (n_streams, n_given), n_new = given.shape, uniforms.shape[1]
    fits = len(uniforms) == len(conditioning.frames) == n_streams and n_given + n_new <= conditioning.n_samples
    if not n_given or not fits:
        raise ValueError(
            f"given codes {list(given.shape)} and uniforms {list(uniforms.shape)} do not fit a condition of "
            f"{len(conditioning.frames)} streams and {conditioning.n_samples} samples"
        )
    uniforms = uniforms.to(conditioning.frames.device)
    codes = torch.empty(n_streams, n_new, dtype=torch.int64, device=uniforms.device)
    with torch.inference_mode():
        state, previous = backend.start(conditioning), None
        for position in range(n_given):
            _, state = backend.step(state, previous)
            previous = given[:, position]
        n_at_once = backend.call_samples(n_streams)
        for start in range(0, n_new, n_at_once):
            picked, state = backend.sample(state, previous, uniforms[:, start : start + n_at_once], temperature)
            codes[:, start : start + n_at_once] = picked
            previous = picked[:, -1]
            if progress is not None:
                progress(Progress(min(start + n_at_once, n_new), n_new))
    return codes
