"""Perceptual loss of words: a conversion shall have the features of its source in the encoder of a speech recogniser.

    source's envelopes at the conversion's pitch --expected log-mel--> Whisper's encoder --> frames ---.
    conversion's envelopes ------------------------expected log-mel--> Whisper's encoder --> frames --- angle

Whisper was taught on speech of a hundred languages, so its frames say what is said; the voice is in what stays the
same throughout a clip, and the mean of each clip is taken off. It is there while training only: a voice does
not hold it, and sings without it.

Source: as a perceptual loss (Johnson et al. 2016, section 3.2), through a recogniser instead of a net for images.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor
from torch.nn import functional

from moksori.audio import features
from moksori.models.expectation import WhisperExpectation
from moksori.models.synthesiser import Controls, SynthesiserConfig
from moksori.models.whisper_encoder import WhisperEncoder

NAME = "base"  # multilingual
DESCRIPTION = "taught to keep the words by Whisper base (OpenAI, MIT licence), which is no part of it"
_LAYERS = (0.6, 1.0)  # how deep: what is said, in a few tens of milliseconds and in a word
_SHARE = 0.75  # of a batch's clips that it listens to, for the sake of time


class WordsTeacher:
    """Perceptual loss: distance of Whisper's features of a conversion and of its source. Holds no parameters."""

    def __init__(self, config: SynthesiserConfig, encoder: WhisperEncoder, device: torch.device) -> None:
        """Make the tables of the expected log-mels.

        Raises:
            ValueError: the synthesiser's hop is not Whisper's.
        """
        self._encoder = encoder
        self._converted = WhisperExpectation(config, device)
        as_measured = dataclasses.replace(config, n_bands=features.N_BANDS)
        self._source = self._converted if config == as_measured else WhisperExpectation(as_measured, device)

    @classmethod
    def published(cls, config: SynthesiserConfig, device: torch.device) -> WordsTeacher:
        """With the encoder of the extra `words`.

        Raises:
            Unavailable: Whisper's weights are not installed.
            ValueError: the synthesiser's hop is not Whisper's.
        """
        return cls(config, WhisperEncoder.published(NAME, device, torch.bfloat16), device)

    def distance(self, converted: Controls, source: Controls) -> Tensor:
        """Mean cosine distance of features of a conversion and of its source: 0 for alike, 1 for unlike; a scalar.

        Args:
            converted: `[B, ...]`, F frames.
            source: what was converted, at the pitch of the conversion; envelopes as they are measured.
        """
        n_clips = max(1, round(len(source.f0_hz) * _SHARE))
        with torch.autocast(source.f0_hz.device.type, enabled=False):
            with torch.no_grad():
                wanted = self._listen(source, self._source, n_clips)
            found = self._listen(converted, self._converted, n_clips)
        angles = [1.0 - functional.cosine_similarity(*pair, dim=2).mean() for pair in zip(found, wanted, strict=True)]
        return torch.stack(angles).mean()

    def _listen(self, controls: Controls, expectation: WhisperExpectation, n_clips: int) -> list[Tensor]:
        selected = Controls(
            controls.f0_hz[:n_clips], controls.harmonics[:n_clips].float(), controls.noise[:n_clips].float()
        )
        wanted = [round(depth * self._encoder.n_layers) - 1 for depth in _LAYERS]
        frames = self._encoder.layers(expectation.of(selected), wanted)
        return [layer - layer.mean(dim=1, keepdim=True) for layer in frames]
