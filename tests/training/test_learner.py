"""The learner against `torch.optim.Adam` and against arithmetic on paper."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from moksori.models.autoencoder import Autoencoder
from moksori.training.learner import Diverged, Learner, OptimiserConfig, learners_for
from moksori.training.schedules import LearningRateConfig


def _parameters(seed: int = 0) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return {
        "weight": nn.Parameter(torch.randn(3, 2, generator=generator)),
        "bias": nn.Parameter(torch.randn(2, generator=generator)),
        "idle": nn.Parameter(torch.ones(1)),  # no loss reaches it
    }


def _loss(parameters: dict[str, nn.Parameter], x: Tensor) -> Tensor:
    return ((x @ parameters["weight"] + parameters["bias"]) ** 2).mean()


def _input(step: int) -> Tensor:
    return torch.randn(4, 3, generator=torch.Generator().manual_seed(step))


def _train(learner: Learner, parameters: dict[str, nn.Parameter], steps: range) -> None:
    for step in steps:
        learner.step(learner.gradients(_loss(parameters, _input(step))), step)


def test_a_first_step_by_hand() -> None:
    # Adam's first step is lr * g / (|g| + eps), whatever the size of the gradient.
    parameter = nn.Parameter(torch.tensor([1.0, -2.0]))
    learner = Learner([("p", parameter)], OptimiserConfig(LearningRateConfig(0.1, 1.0, 1)))
    learner.step([torch.tensor([4.0, -0.5])], 0)
    torch.testing.assert_close(parameter.detach(), torch.tensor([0.9, -1.9]), atol=1e-6, rtol=0)


@pytest.mark.parametrize("clip_value", [0.0, 0.05])
def test_steps_equal_those_of_adam(clip_value: float) -> None:
    rate = LearningRateConfig(initial=0.1, decay=0.5, decay_every_steps=2)
    ours, twins = _parameters(), _parameters()
    _train(Learner(ours.items(), OptimiserConfig(rate, clip_value=clip_value)), ours, range(5))
    adam = torch.optim.Adam(twins.values(), fused=True)
    for step in range(5):
        adam.param_groups[0]["lr"] = 0.1 * 0.5 ** (step // 2)
        adam.zero_grad()
        _loss(twins, _input(step)).backward()
        if clip_value:
            nn.utils.clip_grad_value_(twins.values(), clip_value)
        adam.step()
    for name, parameter in ours.items():
        assert torch.equal(parameter, twins[name]), name


def test_memory_of_the_plain_form_of_adam_is_taken_up() -> None:
    """Runs that were begun when Adam was not fused go on; its sums are rounded in another order, no more."""
    twins = _parameters()
    adam = torch.optim.Adam(twins.values(), fused=False)
    for step in range(3):
        adam.zero_grad()
        _loss(twins, _input(step)).backward()
        adam.step()
    memory = {f"{name}/{key}": value for name, p in twins.items() for key, value in adam.state.get(p, {}).items()}
    ours = {name: nn.Parameter(parameter.detach().clone()) for name, parameter in twins.items()}
    learner = Learner(ours.items(), OptimiserConfig(LearningRateConfig(1e-3, 1.0, 1)))
    learner.restore(memory)
    learner.step(learner.gradients(_loss(ours, _input(3))), 3)
    adam.zero_grad()
    _loss(twins, _input(3)).backward()
    adam.step()
    for name, parameter in ours.items():
        torch.testing.assert_close(parameter, twins[name], atol=1e-7, rtol=1e-6)
    assert learner.tensors()["bias/step"].item() == 4


def test_gradients_are_clipped_by_value() -> None:
    parameter = nn.Parameter(torch.zeros(3))
    learner = Learner([("p", parameter)], OptimiserConfig(clip_value=1.0))
    learner.step([torch.tensor([50.0, -3.0, 0.5])], 0)
    # Adam's first moment is (1 - beta_1) g.
    torch.testing.assert_close(learner.tensors()["p/exp_avg"], 0.1 * torch.tensor([1.0, -1.0, 0.5]))


def test_gradients_change_nothing() -> None:
    parameters = _parameters()
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    gradients = Learner(parameters.items(), OptimiserConfig()).gradients(_loss(parameters, _input(0)))
    assert gradients[2] is None  # idle
    for name, parameter in parameters.items():
        assert torch.equal(parameter, before[name])
        assert parameter.grad is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_gradient_that_is_not_finite_raises_and_changes_nothing(bad: float) -> None:
    parameters = _parameters()
    learner = Learner(parameters.items(), OptimiserConfig())
    _train(learner, parameters, range(2))
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    memory = {name: tensor.clone() for name, tensor in learner.tensors().items()}
    gradients = learner.gradients(_loss(parameters, _input(2)))
    assert gradients[1] is not None
    gradients[1][0] = bad
    with pytest.raises(Diverged, match="gradient"):
        learner.step(gradients, 2)
    for name, parameter in parameters.items():
        assert torch.equal(parameter, before[name]), name
    for name, tensor in learner.tensors().items():
        assert torch.equal(tensor, memory[name]), name


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_raises(bad: float) -> None:
    parameters = _parameters()
    with pytest.raises(Diverged, match="the loss is"):
        Learner(parameters.items(), OptimiserConfig()).gradients(_loss(parameters, _input(0)) * bad)


def test_a_learner_restored_goes_on_as_if_never_stopped() -> None:
    straight, stopped = _parameters(), _parameters()
    _train(Learner(straight.items(), OptimiserConfig()), straight, range(8))
    first = Learner(stopped.items(), OptimiserConfig())
    _train(first, stopped, range(3))
    kept = {name: tensor.clone() for name, tensor in first.tensors().items()}
    second = Learner(stopped.items(), OptimiserConfig())
    second.restore(kept)
    _train(second, stopped, range(3, 8))
    for name, parameter in straight.items():
        assert torch.equal(parameter, stopped[name]), name


def test_restoring_copies() -> None:
    parameters = _parameters()
    learner = Learner(parameters.items(), OptimiserConfig())
    _train(learner, parameters, range(2))
    kept = {name: tensor.clone() for name, tensor in learner.tensors().items()}
    before = {name: tensor.clone() for name, tensor in kept.items()}
    learner.restore(kept)
    _train(learner, parameters, range(2, 4))
    for name, tensor in kept.items():
        assert torch.equal(tensor, before[name]), name


def test_restoring_nothing_forgets() -> None:
    parameters = _parameters()
    learner = Learner(parameters.items(), OptimiserConfig())
    _train(learner, parameters, range(2))
    learner.restore({})
    assert learner.tensors() == {}


@pytest.mark.parametrize(
    "strange",
    [{"nobody/exp_avg": torch.zeros(3, 2)}, {"weight/exp_avg": torch.zeros(2, 3)}, {"weight": torch.zeros(1)}],
)
def test_memory_that_fits_no_parameter_is_refused(strange: dict[str, Tensor]) -> None:
    learner = Learner(_parameters().items(), OptimiserConfig())
    with pytest.raises(ValueError, match="fits no parameter"):
        learner.restore(strange)


def test_every_parameter_has_exactly_one_learner(tiny_model: Autoencoder) -> None:
    learners = learners_for(tiny_model, OptimiserConfig(), {"classifier": OptimiserConfig()})
    owned = [parameter for learner in learners.values() for parameter in learner._parameters]
    assert sorted(map(id, owned)) == sorted(map(id, tiny_model.parameters()))
    assert set(map(id, learners["classifier"]._parameters)) == set(map(id, tiny_model.classifier.parameters()))


def test_a_negative_clip_is_refused() -> None:
    with pytest.raises(ValueError, match="clip_value"):
        OptimiserConfig(clip_value=-1.0)


def test_a_row_without_a_gradient_goes_on_by_its_momentum_and_one_that_never_had_any_stays() -> None:
    """The law of the singers' table: Adam is dense, so a singer who is not in a batch moves by the batches before.

    After a gradient g and then none, Adam's means are b1 / (1 + b1) g and b2 / (1 + b2) g^2, unbiased: on paper a step
    of 0.1 * (0.9 / 1.9) / sqrt(0.999 / 1.999) = 0.0670058. A lazy Adam, of touched rows alone, would not move.
    """
    table = nn.Parameter(torch.ones(3, 2))
    learner = Learner([("table", table)], OptimiserConfig(LearningRateConfig(0.1, 1.0, 1)))
    for step, singers in enumerate(([0, 1], [1])):
        learner.step(learner.gradients((2.0 * table[singers]).sum()), step)
    assert torch.equal(table.detach()[2], torch.ones(2))
    torch.testing.assert_close(table.detach()[0], torch.full((2,), 1.0 - 0.1 - 0.0670058), atol=2e-6, rtol=0)
    torch.testing.assert_close(table.detach()[1], torch.full((2,), 1.0 - 0.1 - 0.1), atol=2e-6, rtol=0)
