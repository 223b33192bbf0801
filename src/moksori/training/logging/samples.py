"""Short held-out clips, converted by the model in training, to listen to."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import torch
from torch import Tensor

from moksori.audio import mulaw
from moksori.audio.clip import Clip, Samples
from moksori.data.segments import Segment
from moksori.generation.songs import features as feature_song
from moksori.models.kinds import Converter, Model
from moksori.models.solo import Solo
from moksori.models.swift import Swift
from moksori.training.media import CodeMedium, SoloMedium


@torch.no_grad()
def render(model: Model, segments: Sequence[Segment], seed: int) -> Iterator[tuple[str, Clip]]:
    """Convert each segment to the next singer in the table; a WaveNet by itself sings what it is told of the segment.

    Args:
        model: any state of training.
        segments: at least 1, of one length, in the model's kind of clips.
        seed: of all chance.

    Yields:
        A name that tells source and target, and the sound.
    """
    names = model.singers.names
    if isinstance(model, Solo):
        yield from _alone(model, segments, seed)
        return
    targets = [(segment.singer + 1) % len(names) for segment in segments]
    vectors = model.singers(torch.tensor(targets, device=model.singers.table.weight.device))
    for segment, target, samples in zip(segments, targets, _sung(model, segments, vectors, seed), strict=True):
        stem = PurePosixPath(segment.source).stem
        yield f"{stem}.{names[segment.singer]}-to-{names[target]}", Clip(samples, model.config.sample_rate)


def _alone(model: Solo, segments: Sequence[Segment], seed: int) -> Iterator[tuple[str, Clip]]:
    medium, device = SoloMedium(model), model.singers.table.weight.device
    singers = torch.tensor([segment.singer for segment in segments], device=device)
    told = medium.told(torch.stack([segment.clip for segment in segments]).to(device))
    sung = mulaw.decode(medium.generate(told, model.singers(singers), seed)).cpu()
    for segment, row in zip(segments, sung, strict=True):
        name = f"{PurePosixPath(segment.source).stem}.{model.singers.names[segment.singer]}"
        yield name, Clip(row.numpy(), model.config.sample_rate)


def _sung(model: Converter, segments: Sequence[Segment], vectors: Tensor, seed: int) -> list[Samples]:
    if isinstance(model, Swift):
        return [
            feature_song.sing(model, segment.clip, vector, seed).clip(-1, 1)
            for segment, vector in zip(segments, vectors, strict=True)
        ]
    medium = CodeMedium(model)
    clips = torch.stack([segment.clip for segment in segments]).to(vectors.device)
    sung = medium.generate(clips, medium.encode(clips), vectors, seed)
    return [row.numpy() for row in mulaw.decode(medium.codes(sung)).cpu()]
