"""The registry of kinds of model, by the `kind` of their settings: where a recipe or a model file becomes a net.

A kind is one record here. What stands on higher floors it names, and it is found when it is asked for: the class in
`training.media` that trains it.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from moksori.models.autoencoder import Autoencoder, ModelConfig
from moksori.models.solo import Solo, SoloConfig
from moksori.models.swift import Swift, SwiftConfig

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Config = ModelConfig | SwiftConfig | SoloConfig
Converter = Autoencoder | Swift  # what makes another voice of a recording
Model = Converter | Solo


class Settings(Protocol):
    """What the settings of every kind tell."""

    @property
    def kind(self) -> str:
        """A key of `KINDS`."""

    @property
    def sample_rate(self) -> int:
        """Hz."""

    @property
    def latent_hop_samples(self) -> int:
        """Samples a latent frame lasts."""

    @property
    def depth(self) -> int:
        """Layers of the nets that convert, all together."""

    @property
    def receptive_field(self) -> int | None:
        """Past samples that the score of a code depends on; None where no codes are sampled."""

    @property
    def longest_cycle(self) -> int:
        """Layers of the longest cycle of doubling dilations; 0 where there is none."""


@dataclass(frozen=True)
class Kind:
    """One kind of model."""

    name: str  # `kind` in its settings
    config: type[Any]  # its settings, see `Settings`
    model: type[Any]  # made of settings and the singers' names
    converts: bool  # makes another voice of a recording
    trained_by: str  # "module:class", a `training.media.base.Medium`

    def medium(self) -> type[Any]:
        """The class that trains such models."""
        return _found(self.trained_by)


def _found(name: str) -> type[Any]:
    """The class of a `module:class`."""
    module, _, attribute = name.partition(":")
    found: type[Any] = getattr(importlib.import_module(module), attribute)
    return found


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "wavenet",
            ModelConfig,
            Autoencoder,
            converts=True,
            trained_by="moksori.training.media.codes:CodeMedium",
        ),
        Kind(
            "source-filter",
            SwiftConfig,
            Swift,
            converts=True,
            trained_by="moksori.training.media.features:FeatureMedium",
        ),
        Kind(
            "wavenet-alone",
            SoloConfig,
            Solo,
            converts=False,
            trained_by="moksori.training.media.solo:SoloMedium",
        ),
    )
}


def build(config: Config, singer_names: Sequence[str]) -> Model:
    """An untrained model; its first weights come from the global generator."""
    model: Model = KINDS[config.kind].model(config, singer_names)
    return model


def converts(config: Settings) -> bool:
    """Whether models of these settings make another voice of a recording."""
    return KINDS[config.kind].converts


# Where a caller is written for one kind, it asks here whether it has one: nobody else looks at classes.


def is_converter(model: Model) -> TypeIs[Converter]:
    """Whether a model makes another voice of a recording."""
    return KINDS[model.config.kind].converts


def is_solo(model: Model) -> TypeIs[Solo]:
    """Whether a model is a WaveNet by itself."""
    return isinstance(model, Solo)


def are_of_solo(config: Config) -> TypeIs[SoloConfig]:
    """Whether settings are those of a WaveNet by itself."""
    return isinstance(config, SoloConfig)


def are_of_autoencoder(config: Config) -> TypeIs[ModelConfig]:
    """Whether settings are those of the published system."""
    return isinstance(config, ModelConfig)


def is_source_filter(model: Model) -> TypeIs[Swift]:
    """Whether a model says controls of harmonics and noise, so that no codes are sampled."""
    return isinstance(model, Swift)


def is_autoencoder(model: Model) -> TypeIs[Autoencoder]:
    """Whether a model converts by sampling codes."""
    return isinstance(model, Autoencoder)
