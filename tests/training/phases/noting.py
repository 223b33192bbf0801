"""A `Latent` whose numbers can be worked out by hand, and which writes down what its losses are asked."""

from __future__ import annotations

import threading
from typing import cast

import torch
from torch import Tensor

from moksori.models.classifier import SingerClassifier
from moksori.models.singers import SingerTable
from moksori.training.phases.base import Adversary, Update

Asked = dict[str, list[list[float]]]


class NotingLatent:
    """Clips are one number each, `[B, 1]`.

    perturbed   a half more
    encode      ten times the inputs
    singers     low has the vector 3, high that of 5
    generate    a hundred times the singer's vector, the latent, and a thousand for each place
    """

    unit = "none"
    is_divisible = True

    def __init__(self) -> None:
        self.singers = SingerTable(["low", "high"], 1)
        self.singers.table.weight = torch.nn.Parameter(torch.tensor([[3.0], [5.0]]))
        self.classifier = cast(SingerClassifier, None)  # no phase asks for it but through `adversaries`
        self.of_loss: Asked = {}
        self.of_adversaries: Asked = {}
        self.sung_in: list[tuple[int, int, bool]] = []  # thread, number of clips, whether gradients are kept

    def perturbed(self, clips: Tensor, generator: torch.Generator) -> Tensor:
        return clips + 0.5

    def encode(self, inputs: Tensor) -> Tensor:
        return 10 * inputs

    def adversaries(self, clips: Tensor, singer: Tensor, z: Tensor) -> list[Adversary]:
        """One whose loss is 4, and one whose loss is 7."""
        self.of_adversaries = {"clips": clips.tolist(), "singer": singer.tolist(), "z": z.tolist()}
        return [
            Adversary("classifier", "confusion", lambda z, generator: torch.tensor(4.0)),
            Adversary("notes", "pitch_confusion", lambda z, generator: torch.tensor(7.0)),
        ]

    def companions(self, clips: Tensor) -> list[Update]:
        """One whose loss is the sum of the clips."""
        return [Update("ear", {"ear": clips.sum()})]

    def loss(self, clips: Tensor, inputs: Tensor, z: Tensor, singer_vectors: Tensor) -> Tensor:
        """2, whatever it is of."""
        given = {"clips": clips, "inputs": inputs, "z": z, "singer_vectors": singer_vectors}
        self.of_loss = {name: tensor.tolist() for name, tensor in given.items()}
        return torch.tensor(2.0)

    def generate(self, inputs: Tensor, z: Tensor, singer_vectors: Tensor, seed: int, first: int = 0) -> Tensor:
        self.sung_in.append((threading.get_ident(), len(inputs), torch.is_grad_enabled()))
        places = torch.arange(first, first + len(inputs))[:, None]
        return 100 * singer_vectors.detach() + z + 1000 * places
