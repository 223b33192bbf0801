"""Voice packages: a voice to pass on, in one file or folder, and the checks of whoever receives it.

    moksori.json         what is in it, each file with its SHA-256; singers and terms
    voice.safetensors    the voice
    README.md            its card
    presets.toml         its presets, if it has any
    report.json          figures of an evaluation, and report.md in words, if there is one; no sounds

A folder of these is a repository for the hub as it stands (`hub`). A file is a zip of them. What is received is only
ever copied: names that are not on this list are refused, and so is what does not have the sum that is listed.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from moksori import atomic, checkpoint, documents, hub, presets, run_files
from moksori.audio import pitch
from moksori.checkpoint import Provenance
from moksori.errors import ModelFileError, UserError
from moksori.models import kinds

MANIFEST, CARD, VOICE = "moksori.json", "README.md", hub.VOICE
FORMAT = 1
_REPORT = ("report.json", "report.md")
_KNOWN = (VOICE, CARD, presets.IN_RUN, *_REPORT)
_LONGEST = {VOICE: 2 << 30}  # bytes
_LONGEST_OTHER = 16 << 20
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same voice makes the same file


@dataclass(frozen=True)
class Received:
    """What came out of a package."""

    voice: Path
    others: tuple[Path, ...]
    singers: tuple[str, ...]
    terms: str


def contents(model: Path | None, report: Path | None = None) -> dict[str, bytes]:
    """The files of a package by name.

    Args:
        model: a model file, or a run's folder; None for the shipped voice.
        report: folder of an evaluation, of which figures and words go along, no sounds.

    Raises:
        ModelFileError: no voice there.
        UserError: its terms are not stated, its presets cannot be read, or there is no such report.
    """
    with resources.as_file(run_files.shipped_voice() if model is None else run_files.model_file(model)) as path:
        read, provenance = checkpoint.read_model(path)
        weights = path.read_bytes()
    if not kinds.is_converter(read):
        raise UserError(f"{path}: holds a WaveNet by itself, which is no voice to convert to")
    if not provenance.licence_note.strip():
        raise UserError(
            f"{path}: says nothing of its terms, and whoever receives it has to know; state them with moksori train "
            "--licence (going on with --max-steps 0 is enough)"
        )
    files = {VOICE: weights, CARD: card(read.singers.names, provenance).encode()}
    kept = presets.of(model)
    if kept:
        files[presets.IN_RUN] = "\n".join(presets.text(name, preset) for name, preset in kept.items()).encode()
    if report is not None:
        there = [name for name in _REPORT if (report / name).is_file()]
        if _REPORT[0] not in there:
            raise UserError(f"{report}: no {_REPORT[0]} in it; expected the folder that moksori evaluate -o made")
        files |= {name: (report / name).read_bytes() for name in there}
    manifest = {
        "format": FORMAT,
        "singers": list(read.singers.names),
        "terms": provenance.licence_note,
        "made_by": provenance.software,
        "files": {name: {"sha256": _sum(content), "bytes": len(content)} for name, content in sorted(files.items())},
    }
    return {MANIFEST: json.dumps(manifest, ensure_ascii=False, indent=1).encode(), **files}


def write(place: Path, files: Mapping[str, bytes], *, is_replaced: bool = False) -> None:
    """Write a package: a zip if the name has a suffix, else a folder.

    Raises:
        UserError: something is there already, or the disk refused.
    """
    if place.exists() and not is_replaced:
        raise UserError(f"{place}: exists already; use --force to overwrite it, or another name")
    try:
        if not place.suffix:
            place.mkdir(parents=True, exist_ok=True)
            for name, content in files.items():
                atomic.write(place / name, content)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(place) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), content, zipfile.ZIP_DEFLATED)
    except OSError as error:
        raise UserError(f"{place}: cannot be written ({error.strerror}); choose another place with -o") from error


def receive(package: Path, voice: Path, *, is_replaced: bool = False) -> Received:
    """Check a package, and put its voice under a name; card, presets and report go beside it.

    Args:
        package: a zip, or a folder.
        voice: NAME.safetensors; the others become NAME.md, NAME.presets.toml, NAME.report.json, NAME.report.md.
        is_replaced: files of those names may go.

    Raises:
        UserError: no package, a damaged one, or one with files in it that have no place there.
        ModelFileError: its voice is damaged or foreign.
    """
    files = _checked(package)
    places = {
        VOICE: voice,
        CARD: voice.with_suffix(".md"),
        presets.IN_RUN: voice.with_suffix(presets.SUFFIX),
        **{name: voice.with_suffix(f".{name}") for name in _REPORT},
    }
    taken = [places[name] for name in files if places[name].exists()]
    if taken and not is_replaced:
        raise UserError(f"{taken[0]}: exists already; use --force to overwrite it, or another name with -o")
    if presets.IN_RUN in files:
        presets.parse(_text(package, presets.IN_RUN, files), f"{package}, {presets.IN_RUN}")
    try:
        voice.parent.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(voice) as part:  # its own checks come first: under its name it is a voice
            part.write_bytes(files[VOICE])
            try:
                read, provenance = checkpoint.read_model(part)
            except ModelFileError as error:
                raise ModelFileError(str(error).replace(str(part), f"{package}, {VOICE}")) from error
            if not kinds.is_converter(read):
                raise UserError(f"{package}: {VOICE} is no voice to convert to")
        others = [places[name] for name in files if name != VOICE]
        for name, content in files.items():
            if name != VOICE:
                atomic.write(places[name], content)
    except OSError as error:
        raise UserError(f"{voice}: cannot be written ({error.strerror}); choose another place with -o") from error
    return Received(voice, tuple(others), read.singers.names, provenance.licence_note)


def card(singers: tuple[str, ...], provenance: Provenance) -> str:
    """A voice's card: who sings, from where to where, by which training, under which terms."""
    ranges = provenance.ranges
    measured = [
        checkpoint.measured_from(_cell(name), seconds)
        for name in singers
        if (seconds := provenance.measured_seconds(name))
    ]
    rows = [f"| {_cell(name)} | {_range(ranges[name]) if name in ranges else 'not known'} |" for name in singers]
    figures = [f"| {_cell(name.replace('_', ' '))} | {value:.3f} |" for name, value in provenance.figures.items()]
    return "\n".join(
        [
            "---",
            "library_name: moksori",
            "tags: [singing-voice-conversion]",
            "---",
            "",
            "# A voice for Moksori",
            "",
            "| singer | range in training |",
            "| --- | --- |",
            *rows,
            "",
            *(["; ".join(measured) + ".", ""] if measured else []),
            f"Recipe {provenance.recipe or 'without a name'}, {provenance.steps:,} steps, by {provenance.software}.",
            "",
            "## Terms",
            "",
            provenance.licence_note.strip(),
            "",
            *(f"- {_cell(name)}: {_cell(provenance.rights.get(name, 'no rights stated'))}" for name in singers),
            "",
            "These are voices of people who were asked, or invented ones; say of a conversion that it is one.",
            "",
            *(["## Held-out figures", "", "| | |", "| --- | --- |", *figures, ""] if figures else []),
            "## Use",
            "",
            "    moksori import PACKAGE -o voice.safetensors",
            f"    moksori convert song.mp3 -m voice.safetensors -s {singers[0]}",
            "",
        ]
    )


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())


def _range(bounds: pitch.PitchRange) -> str:
    return f"{pitch.note_name(bounds.low_hz)} to {pitch.note_name(bounds.high_hz)}"


def _checked(package: Path) -> dict[str, bytes]:
    """The files of a package, with their checksums verified."""
    files = _read(package)
    try:
        manifest = documents.from_json(files.pop(MANIFEST))
        listed: dict[str, Any] = manifest["files"]
        format_, sums = manifest["format"], {name: entry["sha256"] for name, entry in listed.items()}
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{package}: no readable {MANIFEST} in it; expected what moksori pack made") from error
    if format_ != FORMAT:
        raise UserError(f"{package}: format {format_!r}, this is Moksori for format {FORMAT}; update Moksori")
    if sums.keys() != files.keys() or VOICE not in files:
        raise UserError(
            f"{package}: {MANIFEST} tells of {', '.join(sorted(sums)) or 'nothing'}, but there "
            f"is {', '.join(sorted(files)) or 'nothing'}; get it again"
        )
    for name, content in files.items():
        if _sum(content) != sums[name]:
            raise UserError(f"{package}: {name} is damaged, its checksum is not the one listed; get it again")
    return files


def _read(package: Path) -> dict[str, bytes]:
    """What a package holds by name, no more than it may."""
    try:
        if package.is_dir():
            return _read_folder(package)
        with documents.opened_zip(package) as archive:
            names = archive.namelist()
            _refuse_strangers(package, names)
            return {name: _read_some(package, archive, name) for name in names}
    except FileNotFoundError:
        raise UserError(f"{package}: no such file or folder; expected what moksori pack made") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{package}: cannot be read as a package ({error}); expected what moksori pack made") from error


def _read_folder(package: Path) -> dict[str, bytes]:
    # A clone of a repository has hidden files of its own; they are not looked at.
    paths = [path for path in sorted(package.iterdir()) if not path.name.startswith(".")]
    _refuse_strangers(package, [path.name for path in paths])
    for path in paths:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > _longest(path.name):
            raise UserError(f"{package}: {path.name} is no ordinary file, or too large")
    return {path.name: path.read_bytes() for path in paths}


def _read_some(package: Path, archive: zipfile.ZipFile, name: str) -> bytes:
    longest = _longest(name)
    content = documents.unpacked(archive, name, longest)
    if len(content) > longest:
        raise UserError(f"{package}: {name} is larger than {longest >> 20} MB")
    return content


def _refuse_strangers(package: Path, names: list[str]) -> None:
    strangers = sorted(set(names) - {MANIFEST, *_KNOWN})
    if strangers or len(set(names)) < len(names):
        what = f"{strangers[0]!r} has no place in a package" if strangers else "a name is in it twice"
        raise UserError(f"{package}: {what}; expected {MANIFEST}, {', '.join(_KNOWN)}")


def _longest(name: str) -> int:
    return _LONGEST.get(name, _LONGEST_OTHER)


def _text(package: Path, name: str, files: Mapping[str, bytes]) -> str:
    try:
        return files[name].decode()
    except UnicodeDecodeError as error:
        raise UserError(f"{package}: {name} is no text in UTF-8") from error


def _sum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
