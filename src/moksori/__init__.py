"""Moksori (목소리, "voice"): the same song, sung by another singer.

>>> import moksori
>>> sorted(moksori.__all__)
['Clip', 'UserError', 'Voice', '__version__', 'load']

The names below are loaded when they are first asked for, so that `import moksori` costs nothing and no import circle
can start here; nobody inside the package imports the package itself.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["Clip", "UserError", "Voice", "__version__", "load"]

_HOMES = {
    "Clip": "moksori.audio.clip",
    "UserError": "moksori.errors",
    "Voice": "moksori.conversion",
    "load": "moksori.conversion",
}

if TYPE_CHECKING:
    from moksori.audio.clip import Clip
    from moksori.conversion import Voice, load
    from moksori.errors import UserError


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'moksori' has no attribute {name!r}; it has {', '.join(__all__)}")
