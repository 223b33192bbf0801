"""Probing classifier: how much of the singer is left in the latent, asked of a net that is new to it.

The confusion network of the training cannot tell: it is half of a game, and an encoder may have learnt to fool just
this one. A fresh probe is trained on the finished, frozen latents of training recordings and tried on held-out ones.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from moksori.evaluation.judges import fitting
from moksori.models.classifier import ClassifierConfig, SingerClassifier


def accuracy(
    train_z: Tensor, train_singer: Tensor, test_z: Tensor, test_singer: Tensor, seed: int, n_steps: int = 300
) -> float:
    """Train a fresh classifier on latents, and return its accuracy on others.

    Args:
        train_z: `[N, D, F]`, scaled inside by their own mean and deviation.
        train_singer: `[N]`, numbers from 0.
        test_z: `[M, D, F]`.
        test_singer: `[M]`.
        seed: of the probe's first weights and of its batches.
        n_steps: Adam steps of 64 latents.

    Returns:
        Share of test latents whose singer is named rightly, 0..1; chance is the share of the commonest singer.

    Raises:
        ValueError: nothing to train on, or nothing to test on.
    """
    if not len(train_z) or not len(test_z):
        raise ValueError("a probe needs latents to train on and latents to be tried on")
    mean, deviation = train_z.mean(dim=(0, 2), keepdim=True), train_z.std(dim=(0, 2), keepdim=True) + 1e-6
    train_z, test_z = (train_z - mean) / deviation, (test_z - mean) / deviation
    generator = torch.Generator().manual_seed(seed)
    with fitting.seeded(seed):
        probe = SingerClassifier(ClassifierConfig(), train_z.shape[1], int(train_singer.max()) + 1).to(train_z.device)
    adam = torch.optim.Adam(probe.parameters(), lr=1e-3)
    for _ in range(n_steps):
        chosen = torch.randint(len(train_z), (64,), generator=generator)
        loss = functional.cross_entropy(probe(train_z[chosen]), train_singer[chosen])
        adam.zero_grad()
        torch.autograd.backward(loss)
        adam.step()
    with torch.no_grad():
        return float((probe(test_z).argmax(dim=1) == test_singer).double().mean())
