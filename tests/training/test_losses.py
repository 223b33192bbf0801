"""Losses by hand, and weights applied in one place, once."""

from __future__ import annotations

import math

import pytest
import torch

from moksori.training import losses
from moksori.training.losses import LossWeights


def test_a_net_that_knows_nothing_pays_ln_256() -> None:
    codes = torch.tensor([[0, 128, 255]])
    assert losses.reconstruction(torch.zeros(1, 256, 3), codes).item() == pytest.approx(math.log(256), abs=1e-6)


def test_reconstruction_is_the_mean_over_samples() -> None:
    # Column 0 is certain and right (loss 0), column 1 gives the true code e^2 against 255 ones.
    logits = torch.zeros(1, 256, 2)
    logits[0, 7, 0] = 1e4
    logits[0, 9, 1] = 2.0
    by_hand = (0.0 + math.log(math.e**2 + 255) - 2.0) / 2
    assert losses.reconstruction(logits, torch.tensor([[7, 9]])).item() == pytest.approx(by_hand, rel=1e-6)


def test_classifier_loss_by_hand() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])  # 3/4 on the right singer, then a guess
    by_hand = (-math.log(3 / 4) - math.log(1 / 2)) / 2
    assert losses.classifier(logits, torch.tensor([0, 1])).item() == pytest.approx(by_hand, rel=1e-6)


def test_confusion_is_minus_the_classifier_loss() -> None:
    logits, singer = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1])
    assert losses.confusion(logits, singer).item() == -losses.classifier(logits, singer).item()


def test_the_note_loss_is_the_mean_over_frames_that_have_a_note() -> None:
    logits = torch.zeros(1, 4, 3)
    logits[0, 1, 0] = math.log(5.0)  # 5/8 on note 1, which it is; frame 1 has none; of frame 2 it can only guess
    logits[0, 0, 1] = 100.0
    by_hand = (-math.log(5 / 8) - math.log(1 / 4)) / 2
    assert losses.notes(logits, torch.tensor([[1, -1, 3]])).item() == pytest.approx(by_hand, rel=1e-6)
    one = losses.notes(logits, torch.tensor([[1, -1, -1]])).item()
    assert one == pytest.approx(-math.log(5 / 8), rel=1e-6)
    assert losses.notes(logits, torch.tensor([[-1, -1, -1]])).item() == 0.0


def test_the_envelope_loss_by_hand() -> None:
    """Two bands of harmonics, then two of noise; the last frame is 41 dB under the loudest, and does not count."""
    true = torch.ones(2, 4, 3)
    expected = true.clone()
    expected[0, :2, 0] += torch.tensor([0.5, -0.1])  # harmonics of a voiced frame: 0.6 in all
    expected[0, :2, 1] += 9.0  # of an unvoiced one, where they play no part
    expected[0, 2:, 1] -= torch.tensor([0.2, 0.4])  # noise: 0.6 in all
    expected[:, :, 2] += 7.0
    is_voiced = torch.tensor([[True, False, True], [True, True, True]])
    level_dbfs = torch.tensor([[-20.0, -59.0, -61.0], [-50.0, -89.0, -91.0]])  # each beside the loudest of its own clip
    tones, sung = 3, 4  # frames that are voiced as well; frames that count
    by_hand = (0.6 / tones + 0.6 / sung) / 2 / 2
    found = losses.envelope_distance(expected, true, is_voiced, level_dbfs)
    assert found.item() == pytest.approx(by_hand, rel=1e-5)
    never = losses.envelope_distance(expected, true, torch.zeros_like(is_voiced), level_dbfs)
    assert never.item() == pytest.approx(0.6 / sung / 2 / 2, rel=1e-5)  # without a voiced frame noise alone counts


def test_losses_are_computed_in_float32_whatever_the_net_runs_in() -> None:
    logits = torch.zeros(1, 256, 2, dtype=torch.bfloat16)
    assert losses.reconstruction(logits, torch.zeros(1, 2, dtype=torch.int64)).dtype == torch.float32


def test_each_loss_is_weighted_once() -> None:
    named = {"reconstruction": torch.tensor(3.0), "confusion": torch.tensor(-0.5)}
    weights = LossWeights(reconstruction=2.0, confusion=0.1, classifier=7.0)
    assert losses.total(named, weights).item() == pytest.approx(2.0 * 3.0 - 0.1 * 0.5)


def test_the_gradient_of_the_total_is_the_weight() -> None:
    loss = torch.tensor(3.0, requires_grad=True)
    losses.total({"confusion": loss}, LossWeights(confusion=0.25)).backward()
    assert loss.grad is not None
    assert loss.grad.item() == 0.25


def test_lambda_is_the_papers_by_default() -> None:
    assert LossWeights().confusion == 0.01


def test_an_unknown_loss_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\['style'\].*reconstruction, confusion, classifier"):
        losses.total({"style": torch.tensor(1.0)}, LossWeights())


def test_no_loss_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="none given"):
        losses.total({}, LossWeights())


def test_a_negative_weight_is_refused() -> None:
    with pytest.raises(ValueError, match="confusion"):
        LossWeights(confusion=-0.01)


def test_distances_of_spectra_and_latents_by_hand() -> None:
    expected = {512: torch.tensor([[[1.0, 2.0]]]), 1024: torch.tensor([[[0.0]]])}
    true = {512: torch.tensor([[[0.0, 0.0]]]), 1024: torch.tensor([[[0.5]]])}
    assert losses.spectral_distance(expected, true).item() == pytest.approx((1.5 + 0.5) / 2)
    z, goal = torch.tensor([[[3.0]]]), torch.tensor([[[2.0]]], requires_grad=True)
    assert losses.latent_distance(z, goal).item() == pytest.approx(0.25, abs=1e-5)
    assert not losses.latent_distance(z, goal).requires_grad
