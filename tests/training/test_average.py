"""The running average of the weights, by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from moksori.training.average import Average


def _model(value: float) -> nn.Linear:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, value)
    return model


def _set(model: nn.Linear, value: float) -> None:
    nn.init.constant_(model.weight, value)


def test_the_mean_moves_as_stated() -> None:
    model = _model(0.0)
    average = Average(model, 0.5)
    _set(model, 8.0)
    average.add(1)  # decay 2 / 11
    mean = 8.0 * 9 / 11
    assert average.tensors()["weight"].item() == pytest.approx(mean)
    average.add(1000)  # decay 0.5 from now on
    assert average.tensors()["weight"].item() == pytest.approx((mean + 8.0) / 2)


def test_the_model_that_is_trained_never_has_it() -> None:
    model = _model(1.0)
    average = Average(model, 0.9)
    _set(model, 5.0)
    assert average.model.weight.item() == 1.0
    assert model.weight.item() == 5.0
    assert average.model.weight.data_ptr() != model.weight.data_ptr()


def test_what_is_measured_is_not_averaged() -> None:
    model = _model(1.0)
    model.register_buffer("measured", torch.ones(1))
    average = Average(model, 0.9)
    for take_over in (lambda: average.add(1), lambda: average.restore(average.tensors())):
        model.measured += 1.0
        take_over()
        assert average.model.measured.item() == model.measured.item()


def test_without_a_decay_there_is_none() -> None:
    model = _model(1.0)
    average = Average(model, 0.0)
    _set(model, 5.0)
    average.add(3)
    assert average.model is model
    assert average.tensors() == {}
    average.restore({})


def test_it_comes_back_where_it_was_left() -> None:
    model = _model(1.0)
    average, other = Average(model, 0.9), Average(_model(3.0), 0.9)
    _set(model, 5.0)
    average.add(50)
    other.restore({name: tensor.clone() for name, tensor in average.tensors().items()})
    assert torch.equal(other.tensors()["weight"], average.tensors()["weight"])


@pytest.mark.parametrize("tensors", [{}, {"other": torch.zeros(1, 1)}, {"weight": torch.zeros(2, 1)}])
def test_averages_of_another_model_are_refused(tensors: dict[str, torch.Tensor]) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Average(_model(1.0), 0.9).restore(tensors)


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_decays_that_make_no_sense_are_refused(decay: float) -> None:
    with pytest.raises(ValueError, match="decay is"):
        Average(_model(1.0), decay)
