"""A voice's own ear in a pitch tracker's place: the melody of a song as the model hears it, see `models.ear`."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import torch

from moksori.audio import pitch
from moksori.audio.clip import Clip, Samples
from moksori.audio.pitch import PitchTrack, Tracker
from moksori.audio.resample import StreamResampler
from moksori.models import kinds
from moksori.models.ear import Ear
from moksori.models.kinds import Converter

_STRETCH_FRAMES = 1000  # heard at a time

Frames = npt.NDArray[np.float64]


class EarTracker:
    """Tracks the pitch with a model's ear. Frames are those of `pitch.PitchTracker`: each has what the ear heard next
    to it.
    """

    def __init__(self, ear: Ear) -> None:
        self._ear = ear

    def track(self, clip: Clip) -> PitchTrack:
        """Track a whole clip; see `pitch.PitchTracker.track`."""
        return self.track_blocks([clip.samples], clip.sample_rate)

    def track_blocks(self, blocks: Iterable[Samples], sample_rate: int) -> PitchTrack:
        """Track a recording that comes in mono blocks `[n]`. It is kept at the ear's rate: 2 MB a minute at 8 kHz."""
        config, n_samples = self._ear.spectral, 0
        resampler, parts = StreamResampler(sample_rate, config.sample_rate), []
        for block in blocks:
            n_samples += len(block)
            parts.append(resampler.push(block))
        f0_hz, confidence = self._heard(np.concatenate([*parts, resampler.flush()]).astype(np.float32))
        seconds = np.arange(pitch.n_frames(n_samples, sample_rate)) * pitch.HOP_SECONDS
        nearest = np.rint(seconds * (config.sample_rate / config.hop_samples)).astype(int).clip(0, len(f0_hz) - 1)
        is_voiced = confidence[nearest] >= pitch.VOICED_CONFIDENCE
        hz = np.where(is_voiced, f0_hz[nearest], 0.0)
        return PitchTrack(hz, confidence[nearest], is_voiced, pitch.HOP_SECONDS)

    def _heard(self, sound: Samples) -> tuple[Frames, Frames]:
        """Pitch and confidence at the ear's frames, stretch by stretch with what it looks at on either side."""
        hop, edge = self._ear.spectral.hop_samples, self._ear.context_frames
        device = next(self._ear.parameters()).device
        pitches, confidences = [np.zeros(0)], [np.zeros(0)]
        n_frames = -(-len(sound) // hop)
        for first in range(0, n_frames, _STRETCH_FRAMES):
            last = min(first + _STRETCH_FRAMES, n_frames)
            before, behind = min(first, edge), min(n_frames - last, edge)
            stretch = sound[(first - before) * hop : (last + behind) * hop]
            f0_hz, confidence = self._ear.heard(torch.from_numpy(stretch)[None].to(device))
            own = slice(before, before + last - first)
            pitches.append(f0_hz[0, own].double().cpu().numpy())
            confidences.append(confidence[0, own].double().cpu().numpy())
        return np.concatenate(pitches), np.concatenate(confidences)


def tracker_of(model: Converter) -> Tracker:
    """Who tells a voice the pitch: its own ear, if it has one, else the tracker that all others have."""
    if kinds.samples_codes(model) and model.ear is not None:
        return EarTracker(model.ear)
    return pitch.PitchTracker()
