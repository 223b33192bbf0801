"""The registry of kinds of model, by the `kind` of their settings: where a recipe or a model file becomes a net.

A kind is one record here. What stands on higher floors it names, and it is found when it is asked for: the class in
`training.media` that trains it, and what in `generation.songs` makes a song of a recording. Both are looked up by name,
as entry points of packages are: nothing here imports upwards, and nobody on the way asks which kind it has.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from moksori import settings
from moksori.models.autoencoder import Autoencoder, ModelConfig
from moksori.models.solo import Solo, SoloConfig
from moksori.models.source_filter_model import SourceFilterModel, SourceFilterModelConfig

if TYPE_CHECKING:
    from typing_extensions import TypeIs

Config = ModelConfig | SourceFilterModelConfig | SoloConfig
Converter = Autoencoder | SourceFilterModel  # what makes another voice of a recording
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
    def melody_hop_samples(self) -> int:
        """Hop of the melody conditioning (pitch and level), in samples; 0 where there is none."""

    @property
    def has_detail(self) -> bool:
        """Whether some of the song's own sound goes along, so that the pitch of the recording itself is needed."""

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
    trained_by: str  # "module:name" of a `training.media.base.Medium`
    sung_by: str = ""  # "module:name" that makes a `generation.songs.base.Song` of a request; "": it converts nothing

    @property
    def converts(self) -> bool:
        """Whether it makes another voice of a recording."""
        return bool(self.sung_by)

    def medium(self) -> Any:
        """The class that trains such models."""
        return _found(self.trained_by)

    def song(self) -> Any:
        """What makes a song of a request."""
        return _found(self.sung_by)


def _found(name: str) -> Any:
    """What a `module:name` names."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            "wavenet",
            ModelConfig,
            Autoencoder,
            trained_by="moksori.training.media.codes:CodeMedium",
            sung_by="moksori.generation.songs.codes:song",
        ),
        Kind(
            "source-filter",
            SourceFilterModelConfig,
            SourceFilterModel,
            trained_by="moksori.training.media.features:FeatureMedium",
            sung_by="moksori.generation.songs.detail:song",
        ),
        Kind(
            "wavenet-alone",
            SoloConfig,
            Solo,
            trained_by="moksori.training.media.solo:SoloMedium",
        ),
    )
}

AnyConfig = Annotated[Config, settings.OneOf(lambda: [kind.config for kind in KINDS.values()])]
"""Settings of any kind, for `settings.build`: that of the record whose name they give as their `kind`."""


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


def is_source_filter(model: Model) -> TypeIs[SourceFilterModel]:
    """Whether a model says controls of harmonics and noise."""
    return isinstance(model, SourceFilterModel)


def samples_codes(model: Converter) -> TypeIs[Autoencoder]:
    """Whether a model converts by sampling codes, so that a backend has something to compute."""
    return isinstance(model, Autoencoder)
