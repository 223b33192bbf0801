"""A song on its way through a model; that it comes out well is tested in `tests/conversion`."""

from __future__ import annotations

import numpy as np
import torch

from moksori.audio import level
from moksori.generation.songs import latents
from moksori.generation.songs.chunks import UNCUT
from moksori.generation.songs.codes import CodeSong
from moksori.models.autoencoder import Autoencoder


def test_what_is_told_lies_where_the_model_is(tiny_model: Autoencoder) -> None:
    """Once the latent stayed on the CPU, where the engine had encoded, and the singer was on the GPU.

    Device "meta" stands for a GPU: sizes without values.
    """
    rate, encode = tiny_model.config.sample_rate, latents.encode_for(tiny_model.encoder, "float32")
    sound = np.random.default_rng(0).uniform(-0.5, 0.5, 1000).astype(np.float32)
    elsewhere = tiny_model.to("meta")
    vector, measured = elsewhere.singers.table.weight[0].detach(), level.measure(sound, rate)
    song = CodeSong(elsewhere, encode, vector, None, 0, UNCUT, measured, iter([sound]))
    (part,) = song.parts()
    assert part.conditioning.frames.device == torch.device("meta")
