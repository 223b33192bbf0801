"""Parts of a batch add up to the batch."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from torch import Tensor

from moksori.data.batches import Batch
from moksori.models.autoencoder import Autoencoder
from moksori.training import losses, shards
from moksori.training.learner import OptimiserConfig, learners_for
from moksori.training.shards import Differentiated

CPU = torch.device("cpu")


def _batch(n: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    return Batch(torch.randint(0, 256, (n, 160), generator=generator), torch.arange(n) % 2)


@pytest.mark.parametrize("n_shards", [1, 2, 4])
def test_a_batch_is_cut_into_equal_parts_in_order(n_shards: int) -> None:
    batch = _batch(4)
    parts = shards.split(batch, n_shards, CPU)
    assert [len(part.clips) for part in parts] == [4 // n_shards] * n_shards
    assert torch.equal(torch.cat([part.clips for part in parts]), batch.clips)
    assert torch.equal(torch.cat([part.singer for part in parts]), batch.singer)


def test_a_gpu_is_given_the_whole_batch() -> None:
    """Two threads with half a batch each kept it half as busy."""
    assert shards.n_parts(2, CPU) == 2
    assert shards.n_parts(2, torch.device("cuda")) == 1


def test_a_team_computes_in_its_precision() -> None:
    x = torch.ones(2, 2)
    with shards.Team(1, is_half=True).forward():
        assert (x @ x).dtype == torch.bfloat16
    with shards.Team(1).forward():
        assert (x @ x).dtype == torch.float32


def test_two_shards_give_the_gradient_of_one(tiny_model: Autoencoder) -> None:
    learner = learners_for(tiny_model, OptimiserConfig(), {"classifier": OptimiserConfig()})["autoencoder"]

    def work(batch: Batch) -> Differentiated:
        z = tiny_model.encode(batch.clips)
        loss = losses.reconstruction(tiny_model.logits(batch.clips, z, tiny_model.singers(batch.singer)), batch.clips)
        return Differentiated("autoencoder", {"reconstruction": loss.item()}, loss.item(), learner.gradients(loss))

    whole = shards.mean(shards.Team(1).side_by_side(work, shards.split(_batch(4), 1, CPU)))
    halves = shards.mean(shards.Team(2).side_by_side(work, shards.split(_batch(4), 2, CPU)))
    assert halves.total == pytest.approx(whole.total, rel=1e-6)
    assert halves.losses["reconstruction"] == pytest.approx(whole.losses["reconstruction"], rel=1e-6)
    for one, two in zip(whole.gradients, halves.gradients, strict=True):
        if one is None:  # the last layer's residual output leads nowhere
            assert two is None
            continue
        assert two is not None
        torch.testing.assert_close(two, one, atol=1e-7, rtol=1e-4)


def test_a_part_is_worked_on_by_the_same_thread_every_time() -> None:
    """Where two threads took turns, the last bit of gradients depended on who was first, and runs did not resume."""
    team = shards.Team(2)

    def work(late_seconds: float) -> int:
        time.sleep(late_seconds)
        return threading.get_ident()

    first = team.side_by_side(work, [0.02, 0.0])
    assert len(set(first)) == 2
    assert all(team.side_by_side(work, late) == first for late in ([0.0, 0.02], [0.02, 0.0], [0.0, 0.0]))
    with pytest.raises(ValueError, match="3 parts for a team of 2"):
        team.side_by_side(work, [0.0] * 3)


def _part(gradients: list[Tensor | None], loss: float = 0.0) -> Differentiated:
    return Differentiated("autoencoder", {"reconstruction": loss}, 2 * loss, gradients)


def test_a_mean_by_hand() -> None:
    mean = shards.mean([_part([torch.tensor([1.0, 5.0]), None], 1.0), _part([torch.tensor([3.0, -5.0]), None], 3.0)])
    assert mean.losses == {"reconstruction": 2.0}
    assert mean.total == 4.0
    assert mean.gradients[0] is not None
    assert mean.gradients[0].tolist() == [2.0, 0.0]
    assert mean.gradients[1] is None


def test_a_part_without_a_gradient_counts_as_zero() -> None:
    (gradient,) = shards.mean([_part([torch.tensor([4.0])]), _part([None])]).gradients
    assert gradient is not None
    assert gradient.tolist() == [2.0]


def test_the_mean_leaves_its_parts_alone() -> None:
    parts = [_part([torch.tensor([1.0])]), _part([torch.tensor([3.0])])]
    shards.mean(parts)
    assert [part.gradients[0].item() for part in parts if part.gradients[0] is not None] == [1.0, 3.0]


def test_results_come_in_order_whoever_is_first() -> None:
    def work(i: int) -> int:
        time.sleep(0.02 * (3 - i))
        return i

    assert shards.Team(3).side_by_side(work, range(3)) == [0, 1, 2]


def test_parts_run_at_the_same_time() -> None:
    barrier = threading.Barrier(2, timeout=10)  # one after the other would wait here for ever
    assert len(shards.Team(2).side_by_side(lambda _: barrier.wait(), range(2))) == 2


def test_an_error_in_a_part_is_an_error() -> None:
    def work(i: int) -> int:
        if i:
            raise KeyError("second part")
        return i

    with pytest.raises(KeyError, match="second part"):
        shards.Team(2).side_by_side(work, range(2))


def test_half_precision_hears_a_step_at_once() -> None:
    """Weights in half precision were kept while any thread was inside: a step in between was heard by chance."""
    layer, sound = torch.nn.Linear(4, 1, bias=False), torch.ones(1, 4)
    team = shards.Team(2, is_half=True)
    with team.forward():
        before = layer(sound).item()
        with torch.no_grad():
            layer.weight += 1.0
        assert layer(sound).item() == pytest.approx(before + 4.0, abs=0.05)
