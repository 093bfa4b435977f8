"""Mappings (TOML, JSON) to frozen dataclasses, strictly."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from bids_film.domain.errors import UsageError

Record = TypeVar("Record")


def from_mapping(record: type[Record], content: Any, *, where: str) -> Record:
    """Build a dataclass from a mapping, and its dataclass fields from theirs.

    Parameters
    ----------
    record : type
        A dataclass whose field types are plain: numbers, text, booleans, Literal, tuples, mappings,
        unions of these, and further dataclasses.
    content : Mapping
        As TOML or JSON give it.
    where : str
        What the message names: a file and section.

    Raises
    ------
    UsageError
        For an unknown key (naming the nearest right one), a missing key, or a wrong type.
    """
    if not isinstance(content, Mapping):
        raise UsageError(f"{where}: expected a table of keys and values, got {content!r}")
    hints = typing.get_type_hints(record)
    fields = {item.name: item for item in dataclasses.fields(record)}  # type: ignore[arg-type]
    for key in content:
        check_key(str(key), fields, where=where)
    missing = [
        name
        for name, item in fields.items()
        if name not in content
        and item.default is dataclasses.MISSING
        and item.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise UsageError(f"{where}: missing {', '.join(missing)}", hint="add it to the file")
    values = {
        key: convert(hints[key], value, where=f"{where}: {key}") for key, value in content.items()
    }
    return record(**values)


def check_key(key: str, known: typing.Iterable[str], *, where: str, what: str = "key") -> None:
    """Refuse a key (or `what` it is) that is not known, naming the nearest one.

    Raises
    ------
    UsageError
    """
    choices = list(known)
    if key in choices:
        return
    near = difflib.get_close_matches(key, choices, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known {what}s: {', '.join(choices)}"
    raise UsageError(f"{where}: unknown {what} {key!r}", hint=hint)


def convert(kind: Any, value: Any, *, where: str) -> Any:
    """Check a plain value against a type hint; lists become tuples, tables become dataclasses.

    Raises
    ------
    UsageError
        Where the value is not of that type.
    """
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _convert_union(get_args(kind), value, where=where)
    if origin is Literal:
        return _convert_literal(get_args(kind), value, where=where)
    if origin is tuple:
        return _convert_tuple(get_args(kind), value, where=where)
    if origin is not None and isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping):
            raise UsageError(f"{where}: expected a table, got {value!r}")
        item_kind = get_args(kind)[1]
        return {
            str(key): convert(item_kind, item, where=f"{where}.{key}")
            for key, item in value.items()
        }
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return from_mapping(kind, value, where=where)
    return _convert_plain(kind, value, where=where)


def _convert_literal(choices: tuple[Any, ...], value: Any, *, where: str) -> Any:
    # 3.0 equals 3, but would be written as 3.0 and then not be read as the integer that it is.
    if not any(type(value) is type(choice) and value == choice for choice in choices):
        listed = ", ".join(map(repr, choices))
        raise UsageError(f"{where}: expected one of {listed}, got {value!r}")
    return value


def _convert_union(kinds: tuple[Any, ...], value: Any, *, where: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    problems = []
    for kind in kinds:
        if kind is type(None):
            continue
        try:
            return convert(kind, value, where=where)
        except UsageError as problem:
            problems.append(problem)
    raise problems[-1]


def _convert_tuple(kinds: tuple[Any, ...], value: Any, *, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise UsageError(f"{where}: expected a list, got {value!r}")
    if len(kinds) == 2 and kinds[1] is Ellipsis:  # noqa: PLR2004 (tuple[item, ...])
        return tuple(convert(kinds[0], item, where=where) for item in value)
    if len(value) != len(kinds):
        raise UsageError(f"{where}: expected {len(kinds)} values, got {len(value)}: {value!r}")
    return tuple(convert(kind, item, where=where) for kind, item in zip(kinds, value, strict=True))


def _convert_plain(kind: Any, value: Any, *, where: str) -> Any:
    if kind is Any:
        return value
    if kind in (None, type(None)):
        kind = type(None)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return _convert_integer(value, where=where)
    wrong_bool = isinstance(value, bool) and kind is not bool
    if wrong_bool or not isinstance(value, kind):
        raise UsageError(f"{where}: expected {kind.__name__}, got {value!r}")
    return value


def _convert_integer(value: int, *, where: str) -> float:
    try:
        return float(value)
    except OverflowError as problem:
        raise UsageError(f"{where}: the number is too large") from problem


def is_table(value: object) -> bool:
    """Whether a value of a TOML file is a table, or a list of tables."""
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(entry, dict) for entry in value)
    )
