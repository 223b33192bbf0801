"""Every kind of model, by its settings: where a recipe or a model file becomes a net."""

from __future__ import annotations

from collections.abc import Sequence

from moksori.models.autoencoder import Autoencoder, ModelConfig
from moksori.models.solo import Solo, SoloConfig
from moksori.models.swift import Swift, SwiftConfig

Config = ModelConfig | SwiftConfig | SoloConfig
Converter = Autoencoder | Swift  # what makes another voice of a recording
Model = Converter | Solo


def build(config: Config, singer_names: Sequence[str]) -> Model:
    """An untrained model; its first weights come from the global generator."""
    if isinstance(config, SoloConfig):
        return Solo(config, singer_names)
    return Swift(config, singer_names) if isinstance(config, SwiftConfig) else Autoencoder(config, singer_names)
