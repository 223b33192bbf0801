"""Moksori (목소리, "voice"): the same song, sung by another singer.

>>> import moksori
>>> sorted(moksori.__all__)
['Clip', 'Soloist', 'UserError', 'Voice', '__version__', 'evaluate', 'load', 'load_wavenet', 'train']

The names below are loaded when they are first asked for, so that `import moksori` costs nothing and no import circle
can start here; nobody inside the package imports the package itself. What it does do is to keep dependencies from
telling anybody that it runs, and children that are forked from waiting for ever.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from moksori import surroundings

__version__ = "0.1.0"
__all__ = ["Clip", "Soloist", "UserError", "Voice", "__version__", "evaluate", "load", "load_wavenet", "train"]

surroundings.forbid_telemetry()
surroundings.one_thread_after_a_fork()

_HOMES = {
    "Clip": ("moksori.audio.clip", "Clip"),
    "Soloist": ("moksori.soloist", "Soloist"),
    "UserError": ("moksori.errors", "UserError"),
    "Voice": ("moksori.conversion", "Voice"),
    "evaluate": ("moksori.workflow", "evaluate"),
    "load": ("moksori.conversion", "load"),
    "load_wavenet": ("moksori.soloist", "load"),
    "train": ("moksori.workflow", "train"),
}

if TYPE_CHECKING:
    from moksori.audio.clip import Clip
    from moksori.conversion import Voice, load
    from moksori.errors import UserError
    from moksori.soloist import Soloist
    from moksori.soloist import load as load_wavenet
    from moksori.workflow import evaluate, train


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        module, own_name = _HOMES[name]
        return getattr(import_module(module), own_name)
    raise AttributeError(f"module 'moksori' has no attribute {name!r}; it has {', '.join(__all__)}")
