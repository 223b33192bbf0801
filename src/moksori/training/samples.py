"""Short held-out clips, converted by the model in training, to listen to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import torch

from moksori.audio import mulaw
from moksori.audio.clip import Clip
from moksori.data.segments import Segment
from moksori.generation import generator, sampling
from moksori.models.autoencoder import Autoencoder


@torch.no_grad()
def render(model: Autoencoder, segments: Sequence[Segment], seed: int) -> Iterator[tuple[str, Clip]]:
    """Convert each segment to the next singer in the table, all in lockstep.

    Args:
        model: any state of training.
        segments: at least 1, of one length.
        seed: of the uniforms.

    Yields:
        A name that tells source and target, and the sound.
    """
    table = model.singers
    device = table.table.weight.device
    codes = torch.stack([segment.codes for segment in segments]).to(device)
    targets = [(segment.singer + 1) % len(table.names) for segment in segments]
    conditioning = model.conditioning(model.encode(codes), table(torch.tensor(targets, device=device)))
    uniforms = torch.stack([sampling.uniforms(seed, i, 0, codes.shape[1]) for i in range(len(segments))])
    converted = generator.generate(generator.backend_for(model.decoder), conditioning, uniforms)
    for segment, target, row in zip(segments, targets, mulaw.decode(converted).cpu(), strict=True):
        stem = PurePosixPath(segment.source).stem
        name = f"{stem}.{table.names[segment.singer]}-to-{table.names[target]}"
        yield name, Clip(row.numpy(), model.config.sample_rate)
