"""What a page asks for, as frozen settings: read strictly, so that a wrong request is refused in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from moksori import settings
from moksori.errors import UserError

RECIPES = ("adapt", "swift", "small", "melody", "paper", "smoke")


@dataclass(frozen=True)
class Wish:
    """A song, who shall sing it, and how."""

    song: str = ""  # the studio's name of it
    voice: str = "shipped"  # the studio's name of it
    shares: dict[str, float] = field(default_factory=dict)  # singer -> share
    transpose: str = "auto"  # auto, nearest, or semitones
    keep_breaths: bool = False
    loudness: str = "follow"

    def __post_init__(self) -> None:
        if not self.shares:
            raise ValueError('nobody is to sing; expected shares such as {"kumi": 1}')


@dataclass(frozen=True)
class TrainingWish:
    """How to train."""

    recipe: str = "swift"
    base: str = ""  # the studio's name of the voice to begin from; "": the recipe's own
    minutes: float = 30.0
    licence: str = ""  # terms of the recordings
    is_judged: bool = False  # afterwards, on recordings that were held back

    def __post_init__(self) -> None:
        if self.recipe not in RECIPES:
            raise ValueError(f"recipe is {self.recipe!r}; expected one of {', '.join(RECIPES)}")
        if not 0.1 <= self.minutes <= 60 * 24 * 30:
            raise ValueError(f"minutes is {self.minutes:g}; expected 0.1 to 43200")


@dataclass(frozen=True)
class SingersWish:
    """Who is called otherwise in a copy of a voice, and who is left out."""

    renamed: dict[str, str] = field(default_factory=dict)  # old name -> new one
    removed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.renamed and not self.removed:
            raise ValueError("nobody is to be renamed or left out")


@dataclass(frozen=True)
class EnrolWish:
    """A singer who is to be taken up by a voice."""

    voice: str = "shipped"  # the studio's name of it
    singer: str = ""
    licence: str = ""  # terms of the recordings


@dataclass(frozen=True)
class SharesWish:
    """How many draws of which law of mixup."""

    parameter: float = 0.2
    n: int = 20_000


@dataclass(frozen=True)
class LeaksWish:
    """Of which recordings, and from whose latent, singer and pitch are to be read."""

    training: str = ""  # the studio's name of it: its recordings
    voice: str = "shipped"


def wish(told: Any) -> Wish:
    """A wish from JSON.

    Raises:
        UserError: an unknown key, a wrong type, or a share that is not positive.

    >>> wish({"song": "a", "shares": {"kumi": 2}}).shares
    {'kumi': 2.0}
    """
    return settings.build(Wish, table(told), "the request")


def training_wish(told: Any) -> TrainingWish:
    """A wish for a training from JSON; raises as `wish` does."""
    return settings.build(TrainingWish, table(told), "the request")


def table(told: Any) -> dict[str, Any]:
    """A JSON object.

    Raises:
        UserError: it is something else.
    """
    if not isinstance(told, dict) or not all(isinstance(key, str) for key in told):
        raise UserError("the request is not a JSON object")
    return told


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
