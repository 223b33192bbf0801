"""Held-out figures while training."""

from __future__ import annotations

import pytest
import torch

from moksori.data.segments import Segment
from moksori.models.autoencoder import Autoencoder
from moksori.training import losses
from moksori.training.media.codes import CodeMedium


def _segments(n: int) -> list[Segment]:
    generator = torch.Generator().manual_seed(0)
    return [Segment(torch.randint(0, 256, (80,), generator=generator), i % 2, f"{i}.wav", 0) for i in range(n)]


def _cross_entropy(model: Autoencoder, heard: Segment, conditioning: Segment) -> float:
    """Of one segment, with the latent of another, by the plain way."""
    codes = heard.clip.unsqueeze(0)
    vector = model.singers(torch.tensor([heard.singer]))
    with torch.no_grad():
        logits = model.logits(codes, model.encode(conditioning.clip.unsqueeze(0)), vector)
        return losses.reconstruction(logits, codes).item()


@pytest.mark.parametrize("n", [2, 5, 11])  # more than one batch, and an odd last one
def test_figures_are_means_over_segments_with_own_and_half_way_latents(tiny_model: Autoencoder, n: int) -> None:
    segments = _segments(n)
    figures = CodeMedium(tiny_model).figures(segments)
    own = sum(_cross_entropy(tiny_model, s, s) for s in segments) / n
    other = sum(_cross_entropy(tiny_model, s, segments[i - n // 2]) for i, s in enumerate(segments)) / n
    assert figures["loss"] == pytest.approx(own, abs=1e-5)
    assert figures["shuffled_loss"] == pytest.approx(other, abs=1e-5)


def test_the_classifier_is_asked_for_every_segment(tiny_model: Autoencoder) -> None:
    torch.nn.init.zeros_(tiny_model.classifier.singers.weight)
    tiny_model.classifier.singers.bias.data = torch.tensor([0.0, 1.0])  # it always says the second singer
    assert CodeMedium(tiny_model).figures(_segments(5))["classifier_accuracy"] == pytest.approx(2 / 5)


def test_one_segment_cannot_be_shuffled(tiny_model: Autoencoder) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        CodeMedium(tiny_model).figures(_segments(1))
