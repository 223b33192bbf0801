"""Request bodies as frozen dataclasses (schemas): what a page may ask for, read strictly, so that a wrong request is
refused in words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeVar

from moksori import settings
from moksori.errors import UserError

RECIPES = ("adapt", "swift", "small", "melody", "paper", "smoke")


@dataclass(frozen=True)
class ConversionRequest:
    """A song, who shall sing it, and how."""

    song: str = ""  # its id
    voice: str = "shipped"  # its id
    shares: dict[str, float] = field(default_factory=dict)  # singer -> share
    transpose: str = "auto"  # auto, nearest, or semitones
    keep_breaths: bool = False
    loudness: str = "follow"

    def __post_init__(self) -> None:
        if not self.shares:
            raise ValueError('nobody is to sing; expected shares such as {"kumi": 1}')


@dataclass(frozen=True)
class TrainingRequest:
    """How to train."""

    recipe: str = "swift"
    base: str = ""  # id of the voice to begin from; "": the recipe's own
    minutes: float = 30.0
    licence: str = ""  # terms of the recordings
    is_judged: bool = False  # afterwards, on recordings that were held back

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ValueError(f"recipe is {self.recipe!r}; expected one of {', '.join(RECIPES)}")
        if not 0.1 <= self.minutes <= 60 * 24 * 30:
            raise ValueError(f"minutes is {self.minutes:g}; expected 0.1 to 43200")


@dataclass(frozen=True)
class SingersRequest:
    """Singers to rename, and singers to leave out, in a copy of a voice."""

    renamed: dict[str, str] = field(default_factory=dict)  # old name -> new one
    removed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.renamed and not self.removed:
            raise ValueError("nobody is to be renamed or left out")


@dataclass(frozen=True)
class EnrolmentRequest:
    """A singer to enrol in a copy of a voice."""

    voice: str = "shipped"  # its id
    singer: str = ""
    licence: str = ""  # terms of the recordings


@dataclass(frozen=True)
class MixupRequest:
    """How many mix weights to draw from which Beta distribution."""

    parameter: float = 0.2
    n: int = 20_000


@dataclass(frozen=True)
class LeaksRequest:
    """Whose encoder a probe is to read, on the recordings of which training."""

    training: str = ""  # its id
    voice: str = "shipped"  # its id


Schema = TypeVar(
    "Schema", ConversionRequest, TrainingRequest, SingersRequest, EnrolmentRequest, MixupRequest, LeaksRequest
)


def parse(schema: type[Schema], body: Any) -> Schema:
    """A request body, decoded from JSON, as one of the schemas of this module.

    Raises:
        UserError: no object, an unknown key, a wrong type, or a value that the schema refuses.

    >>> parse(ConversionRequest, {"song": "a", "shares": {"kumi": 2}}).shares
    {'kumi': 2.0}
    """
    if not isinstance(body, dict) or not all(isinstance(key, str) for key in body):
        raise UserError("the request is not a JSON object")
    return settings.build(schema, body, "the request")


def transposition(text: str) -> float | str:
    """What is asked of the key: "auto", "nearest" or semitones.

    Raises:
        UserError: none of these.

    >>> transposition("-3"), transposition("auto")
    (-3.0, 'auto')
    """
    if text in ("auto", "nearest"):
        return text
    try:
        return float(text)
    except ValueError as error:
        raise UserError(f"transpose is {text[:20]!r}; expected auto, nearest, or semitones") from error
