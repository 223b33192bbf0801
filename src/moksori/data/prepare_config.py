"""How recordings become clips: the settings of a preparation."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field

from moksori.audio import decoders, level
from moksori.data import stretches

VERSION = 4  # of what is measured and how; raise it, and every clip is made again


@dataclass(frozen=True)
class PrepareConfig:
    """How recordings become clips."""

    sample_rate: int = 24000  # Hz, of the clips
    level_dbfs: float = -23.0  # sung level that every recording is brought to
    ceiling_dbfs: float = -1.0  # no peak passes this; a recording with high peaks stays quieter
    min_seconds: float = 0.5  # of singing; a recording with less is skipped
    trim: level.TrimConfig = field(default_factory=level.TrimConfig)  # what counts as singing
    validation_share: float = 0.1  # of a singer's recordings
    test_share: float = 0.1
    split_seed: int = 0
    stretches: stretches.StretchConfig = field(default_factory=stretches.StretchConfig)  # how long takes are cut
    singer: str = ""  # whose recordings lie right in the folder; "" for the folder's own name
    workers: int = 0  # threads; 0 is one for each core. The result does not depend on it
    rights: str = ""  # what singers agreed to who have no CONSENT file of their own, see `rights`
    layout: str = ""  # a name of `layouts`, where paths say who sings; "": a folder for each singer

    def __post_init__(self) -> None:
        """Refuse settings that no corpus can have."""
        if not decoders.MIN_RATE <= self.sample_rate <= decoders.MAX_RATE:
            raise ValueError(f"sample_rate is {self.sample_rate}; expected {decoders.MIN_RATE}..{decoders.MAX_RATE} Hz")
        if self.level_dbfs > 0 or self.ceiling_dbfs > 0 or self.min_seconds < 0 or self.workers < 0:
            raise ValueError("level_dbfs and ceiling_dbfs should be 0 or less, min_seconds and workers 0 or more")
        if min(self.validation_share, self.test_share) < 0 or self.validation_share + self.test_share >= 1:
            raise ValueError("validation_share and test_share should be 0 or more and leave something for training")

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what a clip depends on: rate, levels and trimming, not splits or workers."""
        kept = (self.sample_rate, self.level_dbfs, self.ceiling_dbfs, self.min_seconds, dataclasses.astuple(self.trim))
        return hashlib.sha256(json.dumps([VERSION, kept]).encode()).hexdigest()
