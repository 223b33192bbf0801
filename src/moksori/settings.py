"""Serialisation of frozen dataclasses (settings): from plain mappings and back, strictly.

Every Config of the project is a frozen dataclass of plain values (numbers, words, flags, other Configs; where several
Configs may stand, see `OneOf`, the key `kind` chooses). Recipes arrive as TOML, model files carry JSON; both pass
through `build`, which refuses what it does not know instead of ignoring it.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import io
import math
import sys
import textwrap
import tokenize
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

from moksori.errors import UserError

Settings = TypeVar("Settings")


@dataclasses.dataclass(frozen=True)
class OneOf:
    """A note on a field's type, `Annotated[A | B, OneOf(choices)]`: the key `kind` chooses one of several dataclasses.

    The choices are asked for when a table is read, so they may grow; the first is the one where no kind is named.
    """

    choices: Callable[[], Sequence[Any]]


@dataclasses.dataclass(frozen=True)
class FormerName:
    """A note on a field's type, `Annotated[bool, FormerName("old")]`: in files of before the field is `old`."""

    name: str


def build(
    kind: type[Settings], values: Mapping[str, Any], where: str, given: Mapping[str, Any] | None = None
) -> Settings:
    """Make a dataclass from a mapping whose keys and types must fit it.

    Args:
        kind: a dataclass; fields may be dataclasses themselves.
        values: field name -> value; a missing key takes the field's default.
        where: what a message calls this mapping, e.g. `recipe small.toml [decoder]`.
        given: fields that the mapping says nothing of.

    Raises:
        UserError: an unknown key (the known ones are listed), a missing one, a value of the wrong type or range.

    >>> @dataclasses.dataclass(frozen=True)
    ... class Pool:
    ...     hop_samples: int = 800
    >>> build(Pool, {"hop_samples": 160}, "here")
    Pool(hop_samples=160)
    """
    if not dataclasses.is_dataclass(kind):
        raise TypeError(f"{kind!r} is not a dataclass")
    if not isinstance(values, Mapping):
        raise UserError(f"{where}: expected a table, not {values!r:.60}")
    given = given or {}
    values = _renamed(kind, values, where)
    fields = {field.name: field for field in dataclasses.fields(kind) if field.name not in given}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise UserError(f"{where}: unknown key {', '.join(unknown)}; known keys are {', '.join(fields)}")
    hints = _hints(kind)
    built = {name: _value(hints[name], value, f"{where}, key {name}") for name, value in values.items()}
    missing = [name for name, field in fields.items() if name not in built and _is_required(field)]
    if missing:
        raise UserError(f"{where}: missing key {', '.join(missing)}")
    try:
        return kind(**built, **given)
    except ValueError as error:
        raise UserError(f"{where}: {error}") from error


@functools.lru_cache(maxsize=64)
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


@functools.lru_cache(maxsize=64)
def _former_names(kind: Any) -> dict[str, str]:
    """Former name -> name, of the fields that had one."""
    return {
        note.name: name
        for name, hint in _hints(kind).items()
        for note in getattr(hint, "__metadata__", ())
        if isinstance(note, FormerName)
    }


def _renamed(kind: Any, values: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """A mapping whose keys are the names of today, see `FormerName`."""
    renamed = {old: new for old, new in _former_names(kind).items() if old in values}
    for old, new in renamed.items():
        if new in values:
            raise UserError(f"{where}: key {old} is the former name of {new}; keep {new} alone")
    return {renamed.get(key, key): value for key, value in values.items()} if renamed else values


def plain(settings: Any) -> dict[str, Any]:
    """The mapping from which `build` makes equal settings; only JSON types."""
    return {field.name: _plain(getattr(settings, field.name)) for field in dataclasses.fields(settings)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    return plain(value) if dataclasses.is_dataclass(value) else value


@functools.lru_cache(maxsize=64)
def comments(kind: Any) -> dict[str, str]:
    """What the source says of the fields of a dataclass: the comment beside each, or the lines of comment above it.

    Nothing where there is no source to read.
    """
    found: dict[str, str] = {}
    for owner in reversed(inspect.getmro(kind)):
        if "__dataclass_fields__" in vars(owner):
            try:
                found |= _comments_in(textwrap.dedent(inspect.getsource(owner)))
            except (OSError, TypeError):
                continue
    return found


def _comments_in(source: str) -> dict[str, str]:
    """The comments of the fields of a class.

    >>> _comments_in("class Pool:\\n    hop: int = 800  # samples\\n    # of the mean\\n    power: float = 1.0\\n")
    {'hop': 'samples', 'power': 'of the mean'}
    """
    tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    beside = {token.start[0]: token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT}
    alone = {number for number in beside if source.splitlines()[number - 1].lstrip().startswith("#")}
    (kind,) = ast.parse(source).body
    assert isinstance(kind, ast.ClassDef)
    found = {}
    for node in kind.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            first = node.lineno
            while first - 1 in alone:
                first -= 1
            lines = [beside[number] for number in (*range(first, node.lineno), node.end_lineno) if number in beside]
            if lines:
                found[node.target.id] = " ".join(lines)
    return found


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _of_kind(choices: Sequence[Any], value: Any, where: str) -> Any:
    """The dataclass whose default `kind` is the one that a table names; the first one where it names none."""
    if not isinstance(value, Mapping):
        return choices[0]
    kinds = {choice.kind: choice for choice in choices}
    kind = value.get("kind", choices[0].kind)
    if kind not in kinds:
        raise UserError(f"{where}: unknown kind {kind!r}; known kinds are {', '.join(kinds)}")
    return kinds[kind]


def _value(hint: Any, value: Any, where: str) -> Any:
    """Check one value against its annotation; an integer may stand where a fraction is asked for."""
    if typing.get_origin(hint) is Annotated:
        hint, *notes = typing.get_args(hint)
        for note in notes:
            if isinstance(note, OneOf):
                hint = _of_kind(note.choices(), value, where)
    if isinstance(hint, types.UnionType):
        if value is None and type(None) in hint.__args__:
            return None
        (hint,) = (choice for choice in hint.__args__ if choice is not type(None))  # of several, see `OneOf`
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: expected a table of settings, not {value!r:.60}")
        return build(hint, value, where)
    if typing.get_origin(hint) is dict:
        if not isinstance(value, Mapping):
            raise UserError(f"{where}: expected a table, not {value!r:.60}")
        _, value_hint = typing.get_args(hint)
        return {key: _value(value_hint, item, f"{where}, key {key}") for key, item in value.items()}
    if (container := typing.get_origin(hint)) in (tuple, list, Sequence):  # a list in TOML and JSON
        if not isinstance(value, list | tuple):
            raise UserError(f"{where}: expected a list, not {value!r:.60}")
        hints = typing.get_args(hint)
        if container is not tuple or hints[-1] is Ellipsis:
            hints = hints[:1] * len(value)
        container = list if container is list else tuple
        if len(hints) != len(value):
            raise UserError(f"{where}: expected {len(hints)} values, not {len(value)}")
        items = enumerate(zip(hints, value, strict=True), start=1)
        return container(_value(item_hint, item, f"{where}, number {place}") for place, (item_hint, item) in items)
    if hint is Any:
        return value
    if hint is float and type(value) is int and abs(value) <= sys.float_info.max:
        return float(value)
    if type(value) is not hint:
        raise UserError(f"{where}: expected {hint.__name__}, not {value!r:.60}")
    if hint is float and not math.isfinite(value):
        raise UserError(f"{where}: expected a finite number, not {value!r:.60}")
    return value
