"""The critic: chance at first, and it learns to tell."""

from __future__ import annotations

import math

import pytest
import torch

from moksori.models.critic import Critic, CriticConfig


@pytest.fixture
def critic() -> Critic:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Critic(CriticConfig(16), n_mels=10, n_singers=3)


def test_an_untaught_critic_guesses_among_recorded_and_made(critic: Critic) -> None:
    mel, singer = torch.randn(6, 10, 40) - 5.0, torch.arange(6) % 3
    for loss in (critic.loss_real(mel, singer), critic.loss_fake(mel, singer)):
        assert loss.item() == pytest.approx(math.log(6), abs=0.3)


def test_it_learns_who_sings_and_what_is_made(critic: Critic) -> None:
    chance = torch.Generator().manual_seed(0)
    adam = torch.optim.Adam(critic.parameters(), 3e-3)

    def sounds(is_made: bool) -> tuple[torch.Tensor, torch.Tensor]:
        singer = torch.randint(3, (16,), generator=chance)
        mel = torch.randn(16, 10, 40, generator=chance) - 5.0
        mel[torch.arange(16), singer] += 3.0  # each singer has a band of their own
        mel[:, 9] += 3.0 * is_made  # and what is made hums
        return mel, singer

    for _ in range(60):
        loss = critic.loss_real(*sounds(False)) + critic.loss_fake(*sounds(True))
        adam.zero_grad(), loss.backward(), adam.step()
    mel, singer = sounds(False)
    assert critic.loss_real(mel, singer).item() < 0.3
    assert critic.loss_real(mel, (singer + 1) % 3).item() > 2.0
    assert critic.loss_fake(mel, singer).item() > 2.0


def test_both_nets_have_a_say(critic: Critic) -> None:
    mel, singer = torch.randn(2, 10, 40) - 5.0, torch.tensor([0, 1])
    critic.loss_real(mel, singer).backward()
    assert all(p.grad is not None and p.grad.any() for p in critic.parameters())


def test_steady_sounds_have_finite_gradients(critic: Critic) -> None:
    mel = torch.full((1, 10, 40), -5.0, requires_grad=True)  # no spread at all
    critic.loss_real(mel, torch.tensor([0])).backward()
    assert mel.grad is not None and torch.isfinite(mel.grad).all()


def test_no_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        CriticConfig(0)
