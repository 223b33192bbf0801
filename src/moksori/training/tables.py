"""Which clips a model learns from: codes or features, from one corpus."""

from __future__ import annotations

from moksori.data.corpus import Corpus
from moksori.data.excerpts import ExcerptTable
from moksori.data.segments import SegmentTable
from moksori.data.threads import Progress
from moksori.models import kinds
from moksori.models.solo import SoloConfig
from moksori.models.swift import SwiftConfig

AnyTable = SegmentTable | ExcerptTable


def table(
    corpus: Corpus,
    split: str,
    config: kinds.Config,
    n_samples: int,
    *,
    moved_copies: int = 0,
    progress: Progress | None = None,
) -> AnyTable:
    """The table of a split, of clips of `n_samples` at the model's rate, a whole number of its latent frames.

    The first call for a corpus computes a cache, which takes a while; see `segments` and `excerpts` for the errors.
    """
    if isinstance(config, SwiftConfig):
        n_frames = n_samples // config.hop_samples
        return ExcerptTable(corpus, split, config.features, n_frames, moved_copies, progress=progress)
    if isinstance(config, SoloConfig):
        hop, window = config.hop_samples if config.is_told_a_recording else 0, config.mel_window_samples
    else:
        hop, window = config.melody_hop_samples, 0
    return SegmentTable(
        corpus,
        split,
        config.sample_rate,
        n_samples,
        melody_hop_samples=hop,
        mel_window_samples=window,
        progress=progress,
    )
