"""Checkpoints and model files: safetensors and nothing else, whole or not at all.

Two kinds of file share one way of writing. A *model file* is what people pass on: weights, the settings that rebuild
the model, the singers, where it came from and under which terms. A *training state* is what a run resumes from:
weights, optimiser moments, counters. Both are written beside their place and moved there when complete; both carry a
checksum of their tensors, and are read strictly: every tensor expected, of the expected shape, finite, and no other.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import hashlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from moksori import atomic, documents, settings, surroundings
from moksori.audio import decoders
from moksori.audio.pitch import PitchRange
from moksori.errors import ModelFileError, UserError
from moksori.models import kinds, roster
from moksori.models.kinds import Model

FORMAT_VERSION = "1"
_MAX_LAYERS = 20  # a cycle: dilations up to half a million samples; more would only fill the memory
_HEADER_SUM = "header_sha256"
_KINDS = {
    "model": "a model",
    "training-state": "the state of a training run",
    "judge": "a judge",
    "separator": "a separator",
}


@dataclass(frozen=True)
class Provenance:
    """Where a model came from; what its header tells besides how to rebuild it."""

    software: str = ""  # "moksori 0.1.0"
    recipe: str = ""  # name of the recipe
    steps: int = 0  # training steps taken
    training_seconds: float = 0.0
    data_fingerprint: str = ""  # of the prepared corpus
    level_dbfs: float = -23.0  # sung level that the model was trained at; sources are brought to it
    licence_note: str = ""  # terms of the recordings and of the weights
    figures: dict[str, float] = field(default_factory=dict)  # last held-out figures, by name
    ranges: dict[str, PitchRange] = field(default_factory=dict)  # of each singer whose pitch was heard
    lineage: tuple[str, ...] = ()  # what it was made of: the voice that training began from, singers taken up later
    rights: dict[str, str] = field(default_factory=dict)  # singer -> what they agreed to, where it was stated
    layer_peaks: tuple[float, ...] = ()  # largest input of each decoder layer, for int8

    def __post_init__(self) -> None:
        if not -100.0 <= self.level_dbfs <= 20.0:
            raise ValueError(f"level_dbfs is {self.level_dbfs}; a level that is sung at is between -100 and 20 dBFS")

    def measured_seconds(self, singer: str) -> float:
        """Seconds of the takes that a singer was measured from, untrained; 0.0 for everybody who was trained."""
        found = (re.match(re.escape(singer) + _MEASURED, line) for line in self.lineage)
        return next((float(match[1]) for match in found if match), 0.0)


_MEASURED = r": measured from (\d+(?:\.\d+)?) s of takes, not trained"


def measured_from(singer: str, seconds: float) -> str:
    """What the lineage says of a singer who is known by takes alone; see `Provenance.measured_seconds`.

    >>> Provenance(lineage=(measured_from("mina", 31.2),)).measured_seconds("mina")
    31.0
    """
    return f"{singer}: measured from {max(1.0, seconds):.0f} s of takes, not trained"


AnyModel = TypeVar("AnyModel", bound=Model)


class Trained(Generic[AnyModel]):
    """A model that is ready to sing, with what its file tells of it."""

    def __init__(self, model: AnyModel, provenance: Provenance) -> None:
        model.eval()
        self._model = model
        self.provenance = provenance

    @property
    def model(self) -> AnyModel:
        """The model."""
        return self._model

    @property
    def singers(self) -> tuple[str, ...]:
        """Names of the singers of its training data."""
        return self._model.singers.names

    @property
    def sample_rate(self) -> int:
        """Rate at which it works, Hz."""
        return self._model.config.sample_rate


@dataclass(frozen=True)
class _Described:
    """The header's settings of a model, of whichever kind."""

    config: kinds.AnyConfig


def write_model(
    path: Path, model: Model, provenance: Provenance, *, is_half: bool = False, is_new: bool = False
) -> None:
    """Write a model file; in half precision it takes half the room, and is read as if it had been rounded.

    Raises:
        ModelFileError: the disk refused, or the file was to be new, and another program wrote one meanwhile.
        ValueError: a weight is not finite.
    """
    header = {
        "config": json.dumps(settings.plain(model.config)),
        "singers": json.dumps(list(model.singers.names), ensure_ascii=False),
        "provenance": json.dumps(settings.plain(provenance), ensure_ascii=False),
    }
    tensors = {name: tensor.half() if is_half else tensor for name, tensor in model.state_dict().items()}
    write(path, "model", tensors, header, is_new=is_new)


def read_model(path: Path, device: torch.device | str = "cpu") -> tuple[Model, Provenance]:
    """Rebuild a model from its file, ready to convert.

    Raises:
        ModelFileError: not a model file of ours, damaged, or its weights do not fit its settings.
        UserError: the device does not exist here.
    """
    device = check_device(device)
    with in_float32():
        return _read_model(path, device)


def with_singers(
    model: AnyModel, provenance: Provenance, renamed: Mapping[str, str], removed: Collection[str]
) -> tuple[AnyModel, Provenance]:
    """A copy of a voice in which some singers have other names, and some are left out.

    A singer who is left out leaves no vector, range, terms or line of lineage. What their recordings did to the weights
    that all singers share stays: only training without them takes that away.

    Args:
        model: stays as it is.
        provenance: of the model.
        renamed: old name -> new one.
        removed: who is left out.

    Raises:
        UserError: a singer whom the model does not know, an empty name, two of one name, or nobody left.
    """
    known = model.singers.names
    if unknown := [name for name in (*renamed, *removed) if name not in known]:
        raise UserError(f"this voice has no singer named {unknown[0]!r}; it knows {', '.join(known)}")
    if bad := [old for old, new in renamed.items() if not new.strip()]:
        raise UserError(f"no new name is given for {', '.join(bad)}")
    staying = [name for name in known if name not in removed]
    kept = {renamed.get(name, name): name for name in staying}  # new name -> old one
    if len(kept) != len(staying):
        raise UserError("two singers would have one name; choose another")
    if not kept:
        raise UserError("nobody would be left to sing; a voice needs at least one singer")
    changed = dataclasses.replace(
        provenance,
        ranges={new: provenance.ranges[old] for new, old in kept.items() if old in provenance.ranges},
        rights={new: provenance.rights[old] for new, old in kept.items() if old in provenance.rights},
        lineage=tuple(
            f"{renamed.get(who, who)}{colon}{line}" if colon else who
            for who, colon, line in (line.partition(": ") for line in provenance.lineage)
            if not (colon and who in removed)
        ),
    )
    return roster.with_singers(model, kept), changed


def check_device(name: torch.device | str) -> str:
    """Choose a device: "auto" takes a GPU if there is one.

    Raises:
        UserError: the device does not exist here.
    """
    if not isinstance(name, str | torch.device):
        raise TypeError(f"device is {name!r}; expected 'cpu', 'cuda', 'cuda:1' or 'auto'")
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].partition(". ")[0]  # torch may go on for sixty lines
        raise UserError(f"device {str(name)!r} cannot be used here ({reason}); use auto or cpu") from error
    return str(name)


@contextlib.contextmanager
def in_float32() -> Iterator[None]:
    """Work in the precision of the weights, on the CPU where no device is named, whatever the caller's program chose.

    Both choices are of the whole process, so they are changed only where they are others. In a forked child torch is
    kept to one thread, see `surroundings`.
    """
    surroundings.keep_to_one_thread()
    precision, device = torch.get_default_dtype(), torch.get_default_device()
    with contextlib.ExitStack() as stack:
        if device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        if precision != torch.float32:
            torch.set_default_dtype(torch.float32)
            stack.callback(torch.set_default_dtype, precision)
        yield


def _read_model(path: Path, device: str) -> tuple[Model, Provenance]:
    tensors, header = read(path, "model")
    tensors = {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in tensors.items()}
    try:
        config = settings.build(_Described, {"config": _json(path, header, "config")}, str(path)).config
        provenance = settings.build(Provenance, _json(path, header, "provenance"), f"{path}, provenance")
        _refuse_absurd_sizes(path, config, tensors)
        with torch.device("meta"):  # shapes without memory: a header may ask for any size
            model = kinds.build(config, _singers(path, header))
    except ModelFileError:
        raise
    except (UserError, ValueError, TypeError, OverflowError, RuntimeError) as error:
        raise ModelFileError(f"{path}: its header does not describe a model ({error})") from error
    check_fit(model, tensors, str(path))
    model.load_state_dict(tensors, assign=True)
    return model.eval().to(device), provenance


def load_strictly(module: torch.nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Give a module exactly the tensors it has; see `check_fit`.

    Raises:
        ModelFileError: naming the first tensor that does not fit; the module is as it was.
    """
    check_fit(module, tensors, where)
    module.load_state_dict(tensors)


def check_fit(module: torch.nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Compare tensors with those of a module: none missing, none left over, each of its shape and type.

    Raises:
        ModelFileError: naming the first tensor that does not fit.
    """
    own = module.state_dict()
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    if missing or extra:
        raise ModelFileError(
            f"{where}: tensors do not fit the model: missing {missing[:3] or 'none'}, unknown {extra[:3] or 'none'}"
        )
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape or tensor.dtype != own[name].dtype:
            raise ModelFileError(
                f"{where}: tensor {name} is {tensor.dtype} {list(tensor.shape)}, "
                f"expected {own[name].dtype} {list(own[name].shape)}"
            )


def write(
    path: Path, kind: str, tensors: Mapping[str, Tensor], header: Mapping[str, str], *, is_new: bool = False
) -> None:
    """Write tensors and text under a name, atomically: the old file stays until the new one is complete.

    Args:
        path: destination; its folder exists.
        kind: "model", "training-state", "judge" or "separator".
        tensors: name -> tensor; floating ones must be finite.
        header: name -> text (JSON where it is more than a word).
        is_new: nothing may lie there by then.

    Raises:
        ModelFileError: the disk refused (full, read-only, no such folder), or something lies there.
        ValueError: a tensor is not finite; a damaged state must not replace a good one.
    """
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    for name, tensor in contiguous.items():
        if not _is_finite(tensor):
            raise ValueError(f"tensor {name} is not finite; refusing to write it to {path}")
    metadata = {**header, "moksori_kind": kind, "moksori_format": FORMAT_VERSION, "sha256": fingerprint(contiguous)}
    _replace(path, save(contiguous, {**metadata, _HEADER_SUM: _header_checksum(metadata)}), is_new=is_new)


def read(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read what `write` wrote.

    Returns:
        The tensors by name, and the header.

    Raises:
        ModelFileError: missing, not safetensors, of another kind or version, damaged, or not finite.
    """
    if not path.is_file():
        raise ModelFileError(f"{path}: no such file; expected {_KINDS[kind]} (.safetensors)")
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            _check_header(path, kind, header)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError) as error:
        raise ModelFileError(
            f"{path}: not a safetensors file, or cut short ({error}); other formats can run code and are refused"
        ) from error
    if _header_checksum(header) != header.get(_HEADER_SUM) or fingerprint(tensors) != header.get("sha256"):
        raise ModelFileError(f"{path}: damaged, its checksum does not fit its content; copy it again from its source")
    broken = [name for name, tensor in tensors.items() if not _is_finite(tensor)]
    if broken:
        raise ModelFileError(
            f"{path}: tensor {broken[0]} holds NaN or infinity, so it cannot be used; take an earlier copy"
        )
    return tensors, header


def _check_header(path: Path, kind: str, header: Mapping[str, str]) -> None:
    found = header.get("moksori_kind")
    if found is None:
        raise ModelFileError(f"{path}: a safetensors file, but not one of Moksori; expected {_KINDS[kind]}")
    if found != kind:
        raise ModelFileError(f"{path}: holds {_KINDS.get(found, repr(found))}; expected {_KINDS[kind]}")
    version = header.get("moksori_format")
    if version != FORMAT_VERSION:
        raise ModelFileError(
            f"{path}: format version {version}, this is Moksori for version {FORMAT_VERSION}; update Moksori"
        )


def _json(path: Path, header: Mapping[str, str], key: str) -> Any:
    try:
        return documents.from_json(header[key])
    except (KeyError, ValueError) as error:
        raise ModelFileError(f"{path}: its header has no readable {key!r}") from error


def _singers(path: Path, header: Mapping[str, str]) -> list[str]:
    names = _json(path, header, "singers")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ModelFileError(f"{path}: its header does not list singers by name")
    return names


def _refuse_absurd_sizes(path: Path, config: kinds.Config, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a header that asks for more layers than the file holds, or for times that no sound has.

    Widths need no check here: the model is built without memory, and its shapes are then compared with the file's.
    """
    if config.depth > len(tensors) or config.longest_cycle > _MAX_LAYERS:
        raise ModelFileError(f"{path}: its header describes a larger model than the file holds")
    if config.sample_rate > decoders.MAX_RATE or config.latent_hop_samples > config.sample_rate:
        raise ModelFileError(
            f"{path}: its header asks for {config.sample_rate} Hz and latent frames of {config.latent_hop_samples} "
            f"samples; expected at most {decoders.MAX_RATE} Hz and a second"
        )


def _is_finite(tensor: Tensor) -> bool:
    return not tensor.is_floating_point() or bool(torch.isfinite(tensor).all())


def _header_checksum(header: Mapping[str, str]) -> str:
    """SHA-256 over all words of a header but this one; the tensors' checksum is among them."""
    words = sorted((key, value) for key, value in header.items() if key != _HEADER_SUM)
    return hashlib.sha256(json.dumps(words).encode()).hexdigest()


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes, types and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _replace(path: Path, content: bytes, *, is_new: bool) -> None:
    """Put bytes under a name; see `atomic.write`."""
    try:
        atomic.write(path, content, is_new=is_new)
    except FileExistsError as error:
        raise ModelFileError(
            f"{path}: was written by another program meanwhile, and is not replaced; choose another place"
        ) from error
    except OSError as error:
        advice = "is the disk full?" if error.errno == errno.ENOSPC else "choose another place"
        raise ModelFileError(f"{path}: cannot be written ({error.strerror}); {advice}") from error
