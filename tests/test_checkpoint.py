"""Files on disk: whole or not at all, strict, and never run as code."""

from __future__ import annotations

import errno
import json
import os
import resource
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from moksori import checkpoint
from moksori.audio.pitch import PitchRange
from moksori.checkpoint import Provenance
from moksori.errors import ModelFileError, UserError
from moksori.models.autoencoder import Autoencoder

PROVENANCE = Provenance("moksori 0", "tiny", 7, 1.5, "abc", -23.0, "ours; free", {"cross_entropy": 5.5})


@pytest.fixture
def model_file(tmp_path: Path, tiny_model: Autoencoder) -> Path:
    path = tmp_path / "model.safetensors"
    checkpoint.write_model(path, tiny_model, PROVENANCE)
    return path


def _forge(path: Path, tensors: dict[str, Tensor], header: dict[str, str]) -> None:
    """Write a file whose checksums are right, whatever it says."""
    header = {**header, "sha256": checkpoint.fingerprint(tensors)}
    save_file(tensors, path, {**header, "header_sha256": checkpoint._header_checksum(header)})


def _forge_header(path: Path, change: Callable[[dict[str, str]], None]) -> None:
    tensors, header = checkpoint.read(path, "model")
    change(header)
    _forge(path, tensors, header)


def _forge_config(path: Path, part: str, **values: Any) -> None:
    def change(header: dict[str, str]) -> None:
        config = json.loads(header["config"])
        (config[part] if part else config).update(values)
        header["config"] = json.dumps(config)

    _forge_header(path, change)


def test_a_model_comes_back_as_it_was(model_file: Path, tiny_model: Autoencoder) -> None:
    model, provenance = checkpoint.read_model(model_file)
    assert provenance == PROVENANCE
    assert model.config == tiny_model.config
    assert model.singers.names == tiny_model.singers.names
    assert not model.training
    for name, tensor in tiny_model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name
    codes = torch.randint(0, 256, (1, 80), generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.encode(codes), tiny_model.encode(codes))


def test_reading_draws_no_random_numbers(model_file: Path) -> None:
    before = torch.get_rng_state()
    checkpoint.read_model(model_file)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_model_read_can_be_trained_on(model_file: Path) -> None:
    model, _ = checkpoint.read_model(model_file)
    assert all(parameter.requires_grad and not parameter.is_meta for parameter in model.parameters())


def test_a_mark_on_the_singers_survives(tmp_path: Path, tiny_model: Autoencoder) -> None:
    tiny_model.singers.names = ("소리꾼", 'Zoë "Z" 🎤')
    checkpoint.write_model(tmp_path / "m.safetensors", tiny_model, PROVENANCE)
    assert checkpoint.read_model(tmp_path / "m.safetensors")[0].singers.names == tiny_model.singers.names


def test_state_of_any_type_comes_back(tmp_path: Path) -> None:
    tensors = {
        "f": torch.tensor([1.5, -2.0]),
        "d": torch.tensor(3.0, dtype=torch.float64),
        "i": torch.tensor([2**40]),
        "empty": torch.zeros(0, dtype=torch.float64),
        "turned": torch.arange(6.0).reshape(2, 3).T,
        "half": torch.tensor([0.5], dtype=torch.bfloat16),
    }
    path = tmp_path / "state.safetensors"
    checkpoint.write(path, "training-state", tensors, {"run": "{}"})
    back, header = checkpoint.read(path, "training-state")
    assert header["run"] == "{}"
    assert back.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(back[name], tensor), name
        assert back[name].dtype == tensor.dtype


# Damage


def test_a_flipped_bit_is_noticed_or_says_nothing(model_file: Path) -> None:
    content = model_file.read_bytes()
    header_length = 8 + struct.unpack("<Q", content[:8])[0]
    n_unnoticed = 0
    for place in [*range(0, header_length, 7), *range(header_length, len(content), 41)]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << place % 8
        model_file.write_bytes(damaged)
        try:
            model, provenance = checkpoint.read_model(model_file)
        except ModelFileError:
            continue
        # A flip in the padding, or in the name of the header's checksum, changes nothing that is read.
        assert provenance == PROVENANCE, place
        assert model.singers.names == ("bass", "tenor"), place
        n_unnoticed += 1
    assert n_unnoticed <= 4


def test_a_file_cut_anywhere_is_refused(model_file: Path) -> None:
    content = model_file.read_bytes()
    for length in [*range(0, 40), *range(40, len(content), 97), len(content) - 1]:
        model_file.write_bytes(content[:length])
        with pytest.raises(ModelFileError):
            checkpoint.read_model(model_file)


def test_bytes_after_the_end_are_refused(model_file: Path) -> None:
    model_file.write_bytes(model_file.read_bytes() + b"x")
    with pytest.raises(ModelFileError):
        checkpoint.read_model(model_file)


def test_the_message_about_damage_says_what_to_do(model_file: Path) -> None:
    content = bytearray(model_file.read_bytes())
    content[-1] ^= 1
    model_file.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"model\.safetensors: damaged.*copy it again"):
        checkpoint.read_model(model_file)


def test_a_changed_word_in_the_header_is_damage(model_file: Path) -> None:
    content = model_file.read_bytes()
    assert content.count(b"tenor") == 1
    model_file.write_bytes(content.replace(b"tenor", b"tenos"))
    with pytest.raises(ModelFileError, match="damaged"):
        checkpoint.read_model(model_file)


# Foreign files


class _Bomb:
    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self._marker,))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".ckpt", ".pth"])
@pytest.mark.parametrize("is_torch", [False, True])
def test_a_pickle_is_refused_and_not_run(tmp_path: Path, suffix: str, is_torch: bool) -> None:
    import pickle

    marker, path = tmp_path / "ran", tmp_path / f"bomb{suffix}"
    if is_torch:
        torch.save(_Bomb(marker), path)
    else:
        path.write_bytes(pickle.dumps(_Bomb(marker)))
    for read in (checkpoint.read_model, lambda p: checkpoint.read(p, "training-state")):
        with pytest.raises(ModelFileError, match="not a safetensors file"):
            read(path)
    assert not marker.exists()
    pickle.loads(pickle.dumps(_Bomb(marker)))
    assert marker.exists()  # the bomb is a live one


@pytest.mark.parametrize("content", [b"", b"hello", b"{}", b"\x00" * 100, b"\xff" * 100, b"RIFF" + b"\x00" * 40])
def test_what_is_no_model_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"m\.safetensors"):
        checkpoint.read_model(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.safetensors", tmp_path):
        with pytest.raises(ModelFileError, match="no such file; expected a model"):
            checkpoint.read_model(path)


def test_safetensors_of_others_are_refused(tmp_path: Path) -> None:
    save_file({"x": torch.zeros(1)}, tmp_path / "m.safetensors", {"format": "pt"})
    with pytest.raises(ModelFileError, match="not one of Moksori"):
        checkpoint.read_model(tmp_path / "m.safetensors")


def test_the_other_kind_is_refused(tmp_path: Path, model_file: Path) -> None:
    with pytest.raises(ModelFileError, match="holds a model; expected the state of a training run"):
        checkpoint.read(model_file, "training-state")
    state = tmp_path / "s.safetensors"
    checkpoint.write(state, "training-state", {}, {})
    with pytest.raises(ModelFileError, match="holds the state of a training run; expected a model"):
        checkpoint.read_model(state)


def test_a_later_format_is_refused(model_file: Path) -> None:
    _forge_header(model_file, lambda header: header.update(moksori_format="2"))
    with pytest.raises(ModelFileError, match=r"format version 2.*update"):
        checkpoint.read_model(model_file)


# Tensors that do not fit


def _without(tensors: dict[str, Tensor], name: str) -> None:
    del tensors[name]


def _renamed(tensors: dict[str, Tensor], name: str) -> None:
    tensors["elsewhere"] = tensors.pop(name)


def _extra(tensors: dict[str, Tensor], name: str) -> None:
    tensors["elsewhere"] = torch.zeros(1)


def _reshaped(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = tensors[name].flatten()


def _retyped(tensors: dict[str, Tensor], name: str) -> None:
    tensors[name] = tensors[name].double()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without, r"missing \['encoder.stem.weight'\], unknown none"),
        (_renamed, r"missing \['encoder.stem.weight'\], unknown \['elsewhere'\]"),
        (_extra, r"missing none, unknown \['elsewhere'\]"),
        (_reshaped, r"encoder.stem.weight is torch.float32 \[12\], expected torch.float32 \[4, 1, 3\]"),
        (_retyped, r"encoder.stem.weight is torch.float64 .* expected torch.float32"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(
    model_file: Path, change: Callable[[dict[str, Tensor], str], None], message: str
) -> None:
    tensors, header = checkpoint.read(model_file, "model")
    change(tensors, "encoder.stem.weight")
    _forge(model_file, tensors, header)
    with pytest.raises(ModelFileError, match=message):
        checkpoint.read_model(model_file)


def test_a_module_refused_its_tensors_is_as_it_was(tiny_model: Autoencoder) -> None:
    before = {name: tensor.clone() for name, tensor in tiny_model.state_dict().items()}
    other = {name: tensor + 1 for name, tensor in before.items()}
    other["singers.table.weight"] = torch.zeros(1)
    with pytest.raises(ModelFileError, match=r"here: tensor singers\.table\.weight"):
        checkpoint.load_strictly(tiny_model, other, "here")
    for name, tensor in tiny_model.state_dict().items():
        assert torch.equal(tensor, before[name]), name


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_is_neither_written_nor_read(model_file: Path, tiny_model: Autoencoder, bad: float) -> None:
    content = model_file.read_bytes()
    tensors, header = checkpoint.read(model_file, "model")
    with torch.no_grad():
        tiny_model.decoder.hidden.bias[0] = bad
    with pytest.raises(ValueError, match=r"decoder\.hidden\.bias is not finite"):
        checkpoint.write_model(model_file, tiny_model, PROVENANCE)
    assert model_file.read_bytes() == content
    tensors["decoder.hidden.bias"][0] = bad
    _forge(model_file, tensors, header)
    with pytest.raises(ModelFileError, match=r"decoder\.hidden\.bias holds NaN or infinity"):
        checkpoint.read_model(model_file)


# Headers that lie


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("encoder", {"channels": 10**7}),
        ("encoder", {"channels": 10**30}),
        ("encoder", {"blocks": 10**9}),
        ("encoder", {"kernel_size": 10**9 + 1}),
        ("encoder", {"hop_samples": 10**9}),
        ("encoder", {"layers": 10**4}),
        ("decoder", {"residual_channels": 10**6}),
        ("decoder", {"layers": 40, "blocks": 1}),
        ("classifier", {"channels": 10**6}),
        ("classifier", {"dropout_probability": float("nan")}),
        ("classifier", {"dropout_probability": 10**400}),
        ("", {"singer_channels": 10**9}),
        ("", {"sample_rate": 10**12}),
        ("", {"colour": "blue"}),
        ("", {"encoder": 5}),
        ("", {"encoder": []}),
    ],
)
def test_an_absurd_config_is_refused_before_it_costs_memory(
    model_file: Path, part: str, values: dict[str, Any]
) -> None:
    _forge_config(model_file, part, **values)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelFileError, match=r"model\.safetensors"):
        checkpoint.read_model(model_file)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak < 50_000  # kB


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("config", "[" * 100_000),
        ("config", "not json"),
        ("config", "5"),
        ("config", "9" * 5000),
        ("provenance", "[1]"),
        ("provenance", '{"level_dbfs": NaN}'),
        ("provenance", '{"level_dbfs": "loud"}'),
        ("singers", "5"),
        ("singers", '"ab"'),
        ("singers", "[1, 2]"),
        ("singers", '[["a"], ["b"]]'),
        ("singers", '["a", "a"]'),
        ("singers", '["a", "b", "c"]'),
        ("singers", "[]"),
    ],
)
def test_a_header_that_is_no_description_is_refused(model_file: Path, key: str, text: str) -> None:
    _forge_header(model_file, lambda header: header.update({key: text}))
    with pytest.raises(ModelFileError, match=r"model\.safetensors"):
        checkpoint.read_model(model_file)


@pytest.mark.parametrize("key", ["config", "provenance", "singers"])
def test_a_header_without_a_part_is_refused(model_file: Path, key: str) -> None:
    _forge_header(model_file, lambda header: header.pop(key))  # type: ignore[arg-type, return-value]
    with pytest.raises(ModelFileError, match=f"no readable '{key}'"):
        checkpoint.read_model(model_file)


@pytest.mark.parametrize("shape", [[2**40], [2**62, 4], [2**64], [-1], [1.5]])
def test_an_absurd_shape_is_refused_before_it_costs_memory(tmp_path: Path, shape: list[float]) -> None:
    path = tmp_path / "m.safetensors"
    table = {
        "__metadata__": {"moksori_kind": "model", "moksori_format": "1", "sha256": ""},
        "x": {"dtype": "F32", "shape": shape, "data_offsets": [0, 4]},
    }
    text = json.dumps(table).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))
    with pytest.raises(ModelFileError, match="not a safetensors file"):
        checkpoint.read_model(path)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**40, 10**9])
def test_an_absurd_length_of_the_header_is_refused(tmp_path: Path, length: int) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}")
    with pytest.raises(ModelFileError, match="not a safetensors file"):
        checkpoint.read_model(path)


# Writing


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_the_old_file(
    model_file: Path, tiny_model: Autoencoder, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    content = model_file.read_bytes()

    def refuse(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(ModelFileError, match=r"cannot be written \(No space left on device\)"):
        checkpoint.write_model(model_file, tiny_model, Provenance())
    assert model_file.read_bytes() == content
    assert list(model_file.parent.iterdir()) == [model_file]


def test_a_file_size_limit_leaves_the_old_file(model_file: Path) -> None:
    # A real refusal in the middle of writing: the process may not write files above 1 kB.
    content = model_file.read_bytes()
    script = (
        "import resource, signal, sys, torch\n"
        "from pathlib import Path\n"
        "from moksori import checkpoint, errors\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    checkpoint.write(Path(sys.argv[1]), 'model', {'x': torch.zeros(10000)}, {})\n"
        "except errors.ModelFileError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(model_file)], capture_output=True, text=True, encoding="utf-8", check=True
    )
    assert "cannot be written (File too large)" in done.stdout
    assert model_file.read_bytes() == content
    assert list(model_file.parent.iterdir()) == [model_file]


def test_an_interrupt_while_writing_leaves_the_old_file(
    model_file: Path, tiny_model: Autoencoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = model_file.read_bytes()

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write_model(model_file, tiny_model, Provenance())
    assert model_file.read_bytes() == content
    assert list(model_file.parent.iterdir()) == [model_file]


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be written"):
        checkpoint.write(tmp_path / "no" / "m.safetensors", "model", {}, {})


def test_a_model_file_tells_no_paths(model_file: Path) -> None:
    assert str(Path.home()).encode() not in model_file.read_bytes()
    assert b"/tmp" not in model_file.read_bytes()


def test_who_is_left_out_is_named_nowhere_and_who_is_renamed_is_everywhere(
    tmp_path: Path, tiny_model: Autoencoder
) -> None:
    """Once the rights that a singer had stated stayed, and the line on how they came."""
    low, high = PitchRange(80.0, 100.0, 150.0), PitchRange(120.0, 200.0, 300.0)
    origin = Provenance(
        ranges={"bass": low, "tenor": high},
        rights={"bass": "all", "tenor": "none"},
        lineage=("began from a voice: x", "tenor: enrolled, the vector alone", "bass: enrolled, the vector alone"),
    )
    model, changed = checkpoint.with_singers(tiny_model, origin, {"bass": "Jun"}, ["tenor"])
    assert model.singers.names == ("Jun",) and changed.ranges == {"Jun": low} and changed.rights == {"Jun": "all"}
    assert changed.lineage == ("began from a voice: x", "Jun: enrolled, the vector alone")
    checkpoint.write_model(tmp_path / "changed.safetensors", model, changed)
    content = (tmp_path / "changed.safetensors").read_bytes()
    assert b"Jun" in content and b"tenor" not in content and b"bass" not in content
    assert tiny_model.singers.names == ("bass", "tenor")


@pytest.mark.parametrize(
    ("renamed", "removed", "message"),
    [
        ({"alto": "x"}, [], "no singer named 'alto'; it knows bass, tenor"),
        ({}, ["alto"], "no singer named 'alto'"),
        ({"bass": "tenor"}, [], "two singers would have one name"),
        ({"bass": " "}, [], "no new name is given for bass"),
        ({}, ["bass", "tenor"], "nobody would be left"),
    ],
)
def test_singers_that_make_no_voice_are_refused(
    tiny_model: Autoencoder, renamed: dict[str, str], removed: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        checkpoint.with_singers(tiny_model, PROVENANCE, renamed, removed)


def test_two_singers_exchange_their_names(tiny_model: Autoencoder) -> None:
    model, _ = checkpoint.with_singers(tiny_model, PROVENANCE, {"bass": "tenor", "tenor": "bass"}, [])
    assert model.singers.names == ("tenor", "bass")
    assert torch.equal(model.singers.table.weight, tiny_model.singers.table.weight)
