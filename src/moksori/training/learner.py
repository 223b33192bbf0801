"""A learner: some of the model's parameters with the optimiser that moves them, and no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from moksori.training import schedules
from moksori.training.schedules import LearningRateConfig


class Diverged(Exception):
    """A loss or a gradient that no step may follow; the loop answers by going back to the last good state."""


@dataclass(frozen=True)
class OptimiserConfig:
    """Adam and what is done to its gradients."""

    learning_rate: LearningRateConfig = field(default_factory=LearningRateConfig)
    beta1: float = 0.9
    beta2: float = 0.999
    clip_value: float = 0.0  # gradients are clipped to +- this value; 0 leaves them alone
    clip_norm: float = 0.0  # their norm, over all parameters, is scaled down to this; 0 leaves it alone

    def __post_init__(self) -> None:
        if self.clip_value < 0 or self.clip_norm < 0:
            raise ValueError(f"clip_value and clip_norm must not be negative: {self}")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1):
            raise ValueError(f"beta1 and beta2 must be in [0, 1): {self}")


class Learner:
    """Adam with gradient clipping for its own parameters; gradients for other parameters are never computed."""

    def __init__(self, named_parameters: Iterable[tuple[str, nn.Parameter]], config: OptimiserConfig) -> None:
        self._named = dict(named_parameters)
        self._config = config
        self._parameters = list(self._named.values())
        betas = (config.beta1, config.beta2)
        self._adam = torch.optim.Adam(self._parameters, lr=config.learning_rate.initial, betas=betas, fused=True)

    def gradients(self, loss: Tensor, *, is_checked: bool = True) -> list[Tensor | None]:
        """The gradient of a scalar for each of the learner's parameters, None where it has none; changes nothing.

        Raises:
            Diverged: the loss is not finite, and `is_checked`.
        """
        if is_checked and not torch.isfinite(loss):
            raise Diverged(f"the loss is {loss.item()}")
        return list(torch.autograd.grad(loss, self._parameters, allow_unused=True))

    def step(self, gradients: Sequence[Tensor | None], step: int) -> None:
        """Take one Adam step.

        Args:
            gradients: as `gradients` gives them.
            step: training step from 0, for the learning rate.

        Raises:
            Diverged: a gradient is not finite; no parameter was changed.
        """
        present = [gradient for gradient in gradients if gradient is not None]
        if not torch.isfinite(torch.stack(torch._foreach_norm(present)).sum()):
            raise Diverged("a gradient is not finite")
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        if self._config.clip_value > 0:
            nn.utils.clip_grad_value_(self._parameters, self._config.clip_value)
        if self._config.clip_norm > 0:
            nn.utils.clip_grad_norm_(self._parameters, self._config.clip_norm)
        for group in self._adam.param_groups:
            group["lr"] = schedules.learning_rate(self._config.learning_rate, step)
        self._adam.step()
        self._adam.zero_grad(set_to_none=True)

    def tensors(self) -> dict[str, Tensor]:
        """Adam's memory by parameter name, for a training state."""
        memory = {}
        for name, parameter in self._named.items():
            for key, value in self._adam.state.get(parameter, {}).items():
                memory[f"{name}/{key}"] = value
        return memory

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take up Adam's memory where `tensors` left it; parameters that had none start without.

        Raises:
            ValueError: memory of a parameter that the learner does not have, or of another shape; nothing was taken up.
        """
        for key, value in tensors.items():
            name, _, word = key.rpartition("/")
            if name not in self._named or (word != "step" and value.shape != self._named[name].shape):
                raise ValueError(f"Adam's memory {key} {list(value.shape)} fits no parameter of this learner")
        self._adam.state.clear()
        for name, parameter in self._named.items():
            memory = {key.rpartition("/")[2]: value for key, value in tensors.items() if key.startswith(f"{name}/")}
            if memory:
                # The fused form keeps its step count, too, beside the parameter.
                self._adam.state[parameter] = {key: value.clone().to(parameter.device) for key, value in memory.items()}


def learners_for(
    model: nn.Module, config: OptimiserConfig, adversaries: Mapping[str, OptimiserConfig]
) -> dict[str, Learner]:
    """One learner for each adversary, and one for all other parameters, called the autoencoder.

    Args:
        model: to be trained.
        config: for all but the adversaries.
        adversaries: name of a part of the model -> how it is moved.
    """
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    learners = {}
    for name, own in adversaries.items():
        part = {key: named.pop(key) for key in list(named) if key.startswith(f"{name}.")}
        learners[name] = Learner(part.items(), own)
    return learners | {"autoencoder": Learner(named.items(), config)}
