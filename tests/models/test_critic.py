"""The critic: chance at first, and it learns to tell."""

from __future__ import annotations

import math

import pytest
import torch

from moksori.models import critic as critics
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


def test_its_shape_by_hand(critic: Critic) -> None:
    """Strides of 2 twice: a moment every 4 frames, the whole at once; no slope but 0.2."""
    mel = torch.randn(2, 10, 40)
    assert critic.of_moments(mel).shape == (2, 6, 10)
    assert critic.of_wholes(mel).shape == (2, 6, 1)
    slopes = [part.negative_slope for part in critic.modules() if isinstance(part, torch.nn.LeakyReLU)]
    assert slopes == [0.2] * 7


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


class TestOfManySingers:
    """Fifty singers, of whom eight are told apart at a time."""

    @pytest.fixture(autouse=True)
    def few(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(critics, "MOST_SINGERS", 8)

    @pytest.fixture
    def critic(self) -> Critic:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return Critic(CriticConfig(16), n_mels=10, n_singers=50)

    def test_those_of_the_batch_are_among_them_and_each_other_stands_for_some(self, critic: Critic) -> None:
        chance = torch.Generator().manual_seed(0)
        own = torch.tensor([7, 3, 49, 7])
        seen: set[int] = set()
        for _ in range(40):
            among = critic.candidates(own, chance)
            assert among is not None and len(among.singers) == 8
            assert set(own.tolist()) <= set(among.singers.tolist()) and among.singers.tolist() == sorted(among.singers)
            counts = dict(zip(among.singers.tolist(), among.log_counts.exp().tolist(), strict=True))
            assert [counts[number] for number in (3, 7, 49)] == [1.0] * 3
            assert sum(counts.values()) == pytest.approx(50)
            seen |= counts.keys()
        assert len(seen) > 45

    def test_where_all_score_alike_the_loss_is_that_of_all(self, critic: Critic) -> None:
        mel, singer = torch.randn(3, 10, 40) - 5.0, torch.tensor([1, 30, 30])
        with torch.no_grad():
            for net in (critic.of_moments, critic.of_wholes):
                net[-1].weight.zero_(), net[-1].bias.zero_()
        among = critic.candidates(singer, torch.Generator().manual_seed(0))
        for loss in (critic.loss_real, critic.loss_fake):
            assert loss(mel, singer, among).item() == pytest.approx(math.log(100), rel=1e-5)

    def test_with_everybody_among_them_the_loss_is_the_plain_one(self, critic: Critic) -> None:
        mel, singer = torch.randn(3, 10, 40) - 5.0, torch.tensor([1, 30, 30])
        everybody = critics.Candidates(torch.arange(50), torch.zeros(50))
        for loss in (critic.loss_real, critic.loss_fake):
            torch.testing.assert_close(loss(mel, singer, everybody), loss(mel, singer))

    def test_only_their_rows_learn(self, critic: Critic) -> None:
        mel, singer = torch.randn(3, 10, 40) - 5.0, torch.tensor([1, 30, 30])
        among = critic.candidates(singer, torch.Generator().manual_seed(0))
        assert among is not None
        critic.loss_real(mel, singer, among).backward()
        moved = critic.of_moments[-1].weight.grad.abs().sum(dim=(1, 2)).nonzero()[:, 0]
        assert moved.tolist() == [*among.singers.tolist(), *(among.singers + 50).tolist()]

    def test_few_are_all_told_apart_and_no_chance_is_used(self) -> None:
        chance = torch.Generator().manual_seed(0)
        before = chance.get_state()
        assert Critic(CriticConfig(16), 10, 8).candidates(torch.tensor([1]), chance) is None
        assert torch.equal(chance.get_state(), before)
