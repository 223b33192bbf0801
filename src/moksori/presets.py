"""Presets of a voice: options of a conversion under a name, in a TOML file beside the model.

    voice.safetensors    the voice
    voice.presets.toml   its presets; `presets.toml` in the folder of a training run

    [stage]
    about = "for the loud passages of the set"
    singer = "minho"
    transpose = "nearest"
    detail = 0.9

What a preset leaves out is as `moksori convert` has it, and what is said beside it wins.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from moksori import atomic, documents, ownership, run_files, settings
from moksori.errors import UserError

SUFFIX = ".presets.toml"
IN_RUN = "presets.toml"
_LONGEST = 1 << 20  # bytes


@dataclass(frozen=True)
class Preset:
    """Options of a conversion; None where a preset says nothing."""

    about: str = ""  # for people
    singer: str | None = None  # one, or several with commas between
    mix: str | None = None  # such as a=0.7,b=0.3
    transpose: str | None = None  # auto, nearest, or semitones
    repair_octaves: bool | None = None
    keep_breaths: bool | None = None
    loudness: str | None = None  # follow or normalise
    detail: float | None = None  # 0..1
    temperature: float | None = None
    seed: int | None = None
    backend: str | None = None

    def __post_init__(self) -> None:
        if self.singer is not None and self.mix is not None:
            raise ValueError("singer and mix both say who sings; leave one of them out")

    @property
    def options(self) -> dict[str, Any]:
        """What it says, by the names of the options of `moksori convert`."""
        said = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in said.items() if name != "about" and value is not None}


OPTIONS = tuple(field.name for field in dataclasses.fields(Preset) if field.name not in ("about", "singer"))
"""What a preset may say beside who sings, by the names of options."""


def beside(model: Path) -> Path:
    """Where the presets of a model file, or of a run's folder, are kept.

    >>> beside(Path("songs/kumi.safetensors")).as_posix()
    'songs/kumi.presets.toml'
    """
    return model / IN_RUN if model.is_dir() else model.with_suffix(SUFFIX)


def of(model: Path | None) -> dict[str, Preset]:
    """The presets of a voice by name; of the shipped one for None; none where there is no file.

    A model file in the folder of a run has those of the run, unless it has its own.

    Raises:
        UserError: the file cannot be read, or a preset is none; the message names it and the key.
    """
    with _file(model) as path:
        if not path.is_file():
            return {}
        try:
            if path.stat().st_size > _LONGEST:
                raise UserError(f"{path}: larger than {_LONGEST >> 20} MB; presets are a few lines each")
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: the presets cannot be read ({error}); expected TOML in UTF-8") from error
        return parse(text, str(path))


def parse(text: str, where: str) -> dict[str, Preset]:
    """Read presets from TOML, a table each.

    Raises:
        UserError: naming `where`, the preset and the key.

    >>> parse('[stage]\\ntranspose = "nearest"', "here")["stage"].options
    {'transpose': 'nearest'}
    """
    try:
        tables = documents.from_toml(text)
    except ValueError as error:
        raise UserError(f"{where}: not valid TOML: {error}") from error
    found = {}
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise UserError(f"{where}: {name!r} stands alone; expected a table for each preset, such as [stage]")
        found[name] = settings.build(Preset, _with_words(table), f"{where}, preset {name}")
    return found


def _with_words(table: Mapping[str, Any]) -> dict[str, Any]:
    """Semitones may be written as a number."""
    semitones = table.get("transpose")
    return {**table, "transpose": f"{semitones:g}"} if type(semitones) in (int, float) else dict(table)


def named(name: str, model: Path | None) -> Preset:
    """One preset of a voice.

    Raises:
        UserError: there is none of that name; the message lists those there are.
    """
    known = of(model)
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        meant = f"; did you mean {close[0]}?" if close else ""
        there = f"it has {', '.join(known)}" if known else f"it has none; they stand in {_place(model)}"
        raise UserError(f"this voice has no preset named {name!r}; {there}{meant}")
    return known[name]


def keep(name: str, preset: Preset, model: Path | None, *, is_replaced: bool = False) -> Path:
    """Write a preset beside a model; what else its file holds stays as it is, comments and all.

    Args:
        name: of the preset.
        preset: what it says.
        model: the voice's file, or a run's folder.
        is_replaced: one of that name is taken out of the file first.

    Returns:
        The file.

    Raises:
        UserError: the voice is the shipped one, there is such a preset, or the disk refused.
    """
    if model is None:
        raise UserError("the shipped voice lies among the package's own files; copy it, and name the copy with -m")
    if not name.strip():
        raise UserError("a preset needs a name, such as stage")
    with ownership.turn(beside(model).parent):
        return _kept(name, preset, model, is_replaced=is_replaced)


def _kept(name: str, preset: Preset, model: Path, *, is_replaced: bool) -> Path:
    place, known = beside(model), of(model)
    if name in known and not is_replaced:
        raise UserError(f"{place}: has a preset named {name!r} already; use --force to replace it, or another name")
    table = text(name, preset)
    try:
        old = place.read_text(encoding="utf-8") if place.is_file() else ""
        if name in known:
            old = _without(old, name)
        both = f"{old.rstrip()}\n\n{table}".lstrip()
        parse(both, str(place))
        atomic.write(place, both.encode())
    except OSError as error:
        raise UserError(f"{place}: cannot be written ({error.strerror})") from error
    return place


def _without(content: str, name: str) -> str:
    """A file's text without the table of one preset: from its head to the next."""
    lines, is_kept = [], True
    for line in content.splitlines():
        if line.lstrip().startswith("["):
            is_kept = name not in parse(line, "")
        if is_kept:
            lines.append(line)
    return "\n".join(lines)


def text(name: str, preset: Preset) -> str:
    """A preset as its table in the file.

    >>> print(text("stage", Preset(singer="minho", detail=0.9)), end="")
    [stage]
    singer = "minho"
    detail = 0.9
    """
    said = ({"about": preset.about} if preset.about else {}) | preset.options
    lines = [f"{key} = {_toml(value)}" for key, value in said.items()]
    return "\n".join([f"[{_toml(name) if not _is_bare(name) else name}]", *lines]) + "\n"


def _toml(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _is_bare(name: str) -> bool:
    return name.isascii() and bool(name) and all(letter.isalnum() or letter in "-_" for letter in name)


def _place(model: Path | None) -> str:
    return f"voices/{IN_RUN}" if model is None else str(beside(model))


def _file(model: Path | None) -> AbstractContextManager[Path]:
    if model is None:
        return resources.as_file(resources.files("moksori") / "voices" / IN_RUN)
    own = beside(model)
    if not own.is_file() and model.name in (run_files.BEST, run_files.MODEL):
        own = model.parent / IN_RUN
    return nullcontext(own)
