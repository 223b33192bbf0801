"""Options and report of a conversion: what is asked of it, and what there is to say about it afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

from moksori import arguments
from moksori.audio.transposition import Outside
from moksori.errors import UserError
from moksori.generation import generator
from moksori.generation.songs.chunks import ChunkConfig, SeamCount

TRANSPOSE = ("auto", "nearest")
_FURTHEST = 36  # semitones
LOUDNESS = ("follow", "normalise")


@dataclass(frozen=True)
class ConvertOptions:
    """How to convert; who sings is said apart."""

    seed: int = 0
    transpose: float | str = "auto"  # semitones; or "auto": whole octaves, "nearest": semitones, to the singer's range
    keep_breaths: bool = False  # between the notes, the source itself is heard
    loudness: str = "follow"  # "follow": as loud as the source; "normalise": sung at the level of the training data
    detail: float | None = (
        None  # how much of the source's own sound goes along, 0..1; None: what the voice was made for
    )
    temperature: float = 1.0  # codes: 1 samples the model's own law, 0 takes the most probable code every time
    backend: str = generator.AUTO  # codes: what computes them
    chunks: ChunkConfig = field(default_factory=ChunkConfig)  # codes: where a song is cut
    mark: str = ""  # key of the inaudible mark that the result carries, see `audio.mark`; "": none
    repair_octaves: bool = False  # where the tracker heard an octave too low, and the sound says so

    def __post_init__(self) -> None:
        seed = arguments.whole_number(self.seed, "seed", "0")
        arguments.number(self.temperature, "temperature", "1.0")
        if self.detail is not None:
            arguments.number(self.detail, "detail", "0.5")
        if not isinstance(self.transpose, str):
            arguments.number(self.transpose, "transpose", "-12")
        for name in ("repair_octaves", "keep_breaths"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} is {getattr(self, name)!r}; expected True or False")
        if not isinstance(self.mark, str):
            raise TypeError(f"mark is {self.mark!r}; expected a key, as text, such as `audio.mark.PUBLIC_KEY`; or ''")
        if not isinstance(self.chunks, ChunkConfig):
            raise TypeError(f"chunks is {self.chunks!r}; expected a ChunkConfig")
        object.__setattr__(self, "seed", seed)
        generator.check_temperature(self.temperature)
        if self.detail is not None and not 0 <= self.detail <= 1:
            raise UserError(f"detail is {self.detail}; expected a number from 0 (all anew) to 1 (all of it goes along)")
        is_known = self.transpose in TRANSPOSE if isinstance(self.transpose, str) else abs(self.transpose) <= _FURTHEST
        if not is_known:
            raise UserError(
                f"transpose is {self.transpose}; expected {', '.join(TRANSPOSE)}, or semitones from {-_FURTHEST} to "
                f"{_FURTHEST}"
            )
        generator.check_name(self.backend)
        if self.loudness not in LOUDNESS:
            raise UserError(f"unknown loudness {self.loudness!r}; expected {' or '.join(LOUDNESS)}")


@dataclass
class Report:
    """What there is to say about a conversion."""

    n_samples: int = 0  # of the source, at its own rate
    sample_rate: int = 0
    gain_db: float = 0.0  # given to the source before the model heard it
    transpose_semitones: float = 0.0  # what was sung is so much higher than the source
    has_pitch: bool = True  # anything of the source has one, as far as anybody looked; else nothing was moved
    outside: list[Outside] = field(default_factory=list)  # where that leaves the singer's range
    seams: SeamCount = field(default_factory=SeamCount)
    n_clipped: int = 0  # samples of the result that had to be clipped
    remarks: list[str] = field(default_factory=list)  # what is unusual about the source, and what was done
    measured: dict[str, float] = field(default_factory=dict)  # who of the voice was not trained -> seconds of takes
    note: str = ""  # why the format differs from what was asked, if it does
