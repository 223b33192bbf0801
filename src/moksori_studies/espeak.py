"""Speech by eSpeak NG, a synthesiser of rules and formants, called in this process: the teacher of the speech study.

    speak("안녕하세요.", "ko+f2")  ->  16-bit samples at its own rate

The library and its data come with the package `espeakng-loader`, or from Debian's `libespeak-ng1`. eSpeak NG is under
the GPL, version 3 or later; what it says is not.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from moksori.errors import UserError

VOICES = ("ko", "ko+f2", "ko+m3", "ko+f5")
"""A language, and after the plus one of eSpeak's variants: another voice of the same rules."""

_SYNCHRONOUS, _UTF8, _DO_NOT_EXIT = 2, 1, 0x8000
_RATE, _RANGE = 1, 4  # parameters: words a minute; how far the pitch moves
_OK = 0


@dataclass(frozen=True)
class _Library:
    """The loaded library, and what its callback collects."""

    functions: Any
    sample_rate: int
    collected: list[npt.NDArray[np.int16]]
    callback: Any  # kept, so that it is not collected while the library calls it


def sample_rate() -> int:
    """Of everything it says, Hz."""
    return _library().sample_rate


def speak(text: str, voice: str, words_a_minute: int = 150) -> npt.NDArray[np.int16]:
    """Say a text.

    Args:
        text: any.
        voice: see `VOICES`.
        words_a_minute: how fast.

    Returns:
        Samples `[T]`. Its voices flutter by chance: said again it is the same to the ear, not to the sample.

    Raises:
        UserError: the library is not there, or has no such voice.
    """
    library = _library()
    language, _, variant = voice.partition("+")
    if library.functions.espeak_SetVoiceByName(voice.encode()) != _OK or (variant and not _has_variant(variant)):
        raise UserError(f"eSpeak NG has no voice {voice!r}; try {', '.join(VOICES)}")
    library.functions.espeak_SetParameter(_RATE, words_a_minute, 0)
    library.collected.clear()
    said = text.encode() + b"\0"
    library.functions.espeak_Synth(said, len(said), 0, 0, 0, _UTF8, None, None)
    library.functions.espeak_Synchronize()
    if not library.collected:
        raise UserError(f"eSpeak NG says nothing to {text!r} in {language}")
    return np.concatenate(library.collected)


def _has_variant(variant: str) -> bool:
    """Whether there is such a variant; the library itself takes the plain voice in place of one that is unknown."""
    try:
        import espeakng_loader
    except ImportError:
        return True  # whoever brings another library brings its voices
    from pathlib import Path

    return (Path(espeakng_loader.get_data_path()) / "voices" / "!v" / variant).is_file()


@functools.cache
def _library() -> _Library:
    path, data = _found()
    try:
        functions = ctypes.CDLL(path)
    except OSError as error:
        raise UserError(f"{path}: eSpeak NG cannot be loaded ({error})") from error
    rate = functions.espeak_Initialize(_SYNCHRONOUS, 0, data, _DO_NOT_EXIT)
    if rate <= 0:
        raise UserError(f"{path}: eSpeak NG does not start; is its data beside it?")
    collected: list[npt.NDArray[np.int16]] = []

    def take(samples: Any, n_samples: int, events: Any) -> int:
        if n_samples > 0:
            collected.append(np.ctypeslib.as_array(samples, (n_samples,)).copy())
        return 0

    kind: Callable[..., Any] = ctypes.CFUNCTYPE(
        ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
    )
    callback = kind(take)
    functions.espeak_SetSynthCallback(callback)
    return _Library(functions, rate, collected, callback)


def _found() -> tuple[str, bytes | None]:
    """Where the library is, and its data; None for where it looks by itself."""
    try:
        import espeakng_loader
    except ImportError:
        path = ctypes.util.find_library("espeak-ng")
        if path is None:
            raise UserError(
                "eSpeak NG is not installed; it speaks for the study: pip install espeakng-loader, or on Debian "
                "apt install libespeak-ng1"
            ) from None
        return path, None
    return str(espeakng_loader.get_library_path()), str(espeakng_loader.get_data_path()).encode()
