"""Voices on the Hugging Face hub: `hf://user/name@revision` becomes a file on this machine.

Nothing but `voice.safetensors` is ever asked for, and a revision is a commit's full name, so that what is loaded today
is what was looked at yesterday. The file then goes through `checkpoint.read_model` like any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from moksori.errors import ModelFileError, UserError

VOICE = "voice.safetensors"
_FORM = "hf://USER/NAME@COMMIT, such as hf://mina/duo@ followed by the 40 hex digits of a commit"


@dataclass(frozen=True)
class Reference:
    """A voice on the hub."""

    repository: str  # user/name
    commit: str  # 40 hex digits


def is_reference(path: str | Path) -> bool:
    """Whether a path names the hub; `Path` makes one slash of two."""
    return re.match(r"hf:/", str(path)) is not None


def reference(path: str | Path) -> Reference:
    """Read `hf://user/name@revision`.

    Raises:
        UserError: it is none, or its revision is not a commit's full name.

    >>> reference("hf://mina/duo@" + 40 * "a").repository
    'mina/duo'
    """
    found = re.fullmatch(r"hf:/{1,2}([\w.-]+/[\w.-]+)(?:@(.*))?", str(path))
    if found is None or ".." in found[1]:
        raise UserError(f"{path}: names no voice on the hub; expected {_FORM}")
    if not re.fullmatch("[0-9a-f]{40}", found[2] or ""):
        said = f"revision {found[2]!r} can move" if found[2] else "no revision is named"
        raise UserError(f"{path}: {said}, and with it what is loaded; expected {_FORM}")
    return Reference(found[1], found[2])


def fetch(path: str | Path, endpoint: str | None = None, cache: Path | None = None) -> Path:
    """Fetch the voice that a reference names, or find it among those fetched before.

    Args:
        path: see `reference`.
        endpoint: another hub than the public one.
        cache: where fetched files are kept; None for where huggingface_hub keeps them.

    Raises:
        UserError: no such reference, or huggingface_hub is not installed.
        ModelFileError: the hub has no such voice, or cannot be reached.
    """
    wanted = reference(path)
    try:
        import huggingface_hub
        from huggingface_hub import errors
    except ImportError as error:
        raise UserError(f"{path}: needs huggingface_hub; pip install 'moksori[hub]'") from error
    try:
        found = huggingface_hub.hf_hub_download(
            wanted.repository, VOICE, revision=wanted.commit, endpoint=endpoint, cache_dir=cache
        )
    except errors.LocalEntryNotFoundError as error:
        raise ModelFileError(f"{path}: not fetched yet, and the hub cannot be reached; try again online") from error
    except errors.HfHubHTTPError as error:
        raise ModelFileError(
            f"{path}: the hub has no {VOICE} there ({type(error).__name__}); check user, name and commit"
        ) from error
    return Path(found)
