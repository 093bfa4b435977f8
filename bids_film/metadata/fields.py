"""Metadata fields that a model can read: what they are called and which values make sense."""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal

from bids_film.domain.errors import MetadataError, UsageError
from bids_film.domain.records import check_key, from_mapping

_EMPTY: Mapping[str, str] = MappingProxyType({})
_BLANKS = re.compile(r"[\s_]+")
_HYPHENS = re.compile(r"(?<!^)-|^-(?![0-9])")
_ZERO_FRACTION = re.compile(r"([+-]?[0-9]+)\.0+")
_TELLING = {"levels": "categorical", "aliases": "categorical", "plausible": "continuous"}


@dataclass(frozen=True, kw_only=True, slots=True)
class CategoricalField:
    """A field with levels, such as the scanner's manufacturer.

    Attributes
    ----------
    name : str
        BIDS key, entity or column, such as ``Manufacturer``.
    keys : tuple[str, ...]
        Further keys or columns under which it is looked up, in this order.
    levels : tuple[str, ...]
        Values that mean something; empty takes every text, and a fit takes those that it saw.
    aliases : Mapping[str, str]
        Other ways of writing a level; ``*`` at the end stands for any ending.
    description : str
    """

    name: str
    keys: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=lambda: _EMPTY, hash=False)
    description: str = ""

    def __post_init__(self) -> None:
        _check_names(self.name, self.keys)
        written = [normalise_level(level) for level in self.levels]
        if "" in written or len(set(written)) != len(written):
            raise MetadataError(
                f"field {self.name}: expected levels that differ in more than case and blanks, "
                f"got {', '.join(map(repr, self.levels))}"
            )
        strange = [target for target in self.aliases.values() if target not in self.levels]
        if self.levels and strange:
            raise MetadataError(
                f"field {self.name}: an alias stands for {strange[0]!r}, which is none of its "
                f"levels {', '.join(self.levels)}"
            )

    def find_level(self, text: str) -> str | None:
        """Level that a text means, whatever its case, blanks, underscores and hyphens; or None."""
        wanted = normalise_level(text)
        return _level_index(self.levels, tuple(self.aliases.items())).find(wanted)


@dataclass(frozen=True, kw_only=True, slots=True)
class ContinuousField:
    """A field with a number, such as the echo time.

    Attributes
    ----------
    name : str
        BIDS key, entity or column, such as ``EchoTime``.
    keys : tuple[str, ...]
        Further keys or columns under which it is looked up, in this order.
    unit : str
        In which values are kept; empty for plain numbers.
    plausible : tuple[float, float]
        Lowest and highest number that can be right; others are never used.
    scale : "linear" or "log"
        How the network sees it: log where ratios matter and not differences.
    nominal : tuple[float, ...]
        Values by which scanners are called; a number within 5 % of one is taken as that one
        (2.89362 T is a 3 T scanner).
    description : str
    """

    name: str
    keys: tuple[str, ...] = ()
    unit: str = ""
    plausible: tuple[float, float]
    scale: Literal["linear", "log"] = "linear"
    nominal: tuple[float, ...] = ()
    description: str = ""

    def __post_init__(self) -> None:
        _check_names(self.name, self.keys)
        low, high = self.plausible
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise MetadataError(
                f"field {self.name}: expected a plausible range [low, high] of finite numbers "
                f"with low < high, got [{low}, {high}]"
            )
        if self.scale == "log" and low <= 0:
            raise MetadataError(
                f"field {self.name}: a log scale needs a plausible range above 0, got "
                f"[{low}, {high}]",
                hint='give a lowest value above 0, or scale = "linear"',
            )
        if not all(low <= value <= high and value > 0 for value in self.nominal):
            raise MetadataError(
                f"field {self.name}: expected positive nominal values within {low}–{high}, got "
                f"{list(self.nominal)}"
            )


Field = CategoricalField | ContinuousField


def field_to_dict(item: Field) -> dict[str, Any]:
    """Write a field as plain values for JSON or TOML."""
    kind = "categorical" if isinstance(item, CategoricalField) else "continuous"
    content: dict[str, Any] = {"kind": kind}
    for entry in fields(item):
        value = getattr(item, entry.name)
        if isinstance(value, tuple):
            value = list(value)
        content[entry.name] = dict(value) if isinstance(value, Mapping) else value
    return content


def field_from_dict(content: Mapping[str, Any], *, where: str = "metadata field") -> Field:
    """Read a field from plain values, as JSON or TOML give them.

    Parameters
    ----------
    content : Mapping
        The attributes of `CategoricalField` or `ContinuousField`, and ``kind`` ("categorical" or
        "continuous"), which can be left out where ``levels`` or ``plausible`` tell it.
    where : str
        What a message names: a file and section.

    Raises
    ------
    UsageError
        For an unknown key (naming the nearest right one), a missing one or a wrong type.
    MetadataError
        Where the values do not fit together.
    """
    if not isinstance(content, Mapping):
        raise UsageError(f"{where}: expected a table of keys and values, got {content!r}")
    if "name" in content:
        where = f"{where} {content['name']!r}"
    kind = _read_kind(content, where)
    own = {key: value for key, value in content.items() if key != "kind"}
    if kind == "categorical":
        return from_mapping(CategoricalField, own, where=where)
    return from_mapping(ContinuousField, own, where=where)


@functools.lru_cache(maxsize=8192)
def normalise_level(text: str) -> str:
    """Bring a text to the form in which levels are compared.

    Case, blanks, underscores and hyphens do not count (a minus sign before a number does), and
    ``2.0`` is ``2``: tables that went through a spreadsheet have the one for the other.
    """
    plain = _BLANKS.sub("", unicodedata.normalize("NFKC", text).casefold())
    number = _ZERO_FRACTION.fullmatch(plain)
    return number[1] if number else _HYPHENS.sub("", plain)


@dataclass(frozen=True, kw_only=True, slots=True)
class _LevelIndex:
    exact: Mapping[str, str]
    prefixes: tuple[tuple[str, str], ...]

    def find(self, wanted: str) -> str | None:
        if wanted in self.exact:
            return self.exact[wanted]
        return next((level for start, level in self.prefixes if wanted.startswith(start)), None)


@functools.lru_cache(maxsize=1024)
def _level_index(levels: tuple[str, ...], aliases: tuple[tuple[str, str], ...]) -> _LevelIndex:
    # A level's own name comes before any alias of another one.
    exact = {normalise_level(alias): level for alias, level in aliases if not alias.endswith("*")}
    exact |= {normalise_level(level): level for _, level in aliases}
    exact |= {normalise_level(level): level for level in levels}
    prefixes = [(normalise_level(a[:-1]), level) for a, level in aliases if a.endswith("*")]
    return _LevelIndex(
        exact=exact, prefixes=tuple(sorted(prefixes, key=lambda pair: -len(pair[0])))
    )


def _read_kind(content: Mapping[str, Any], where: str) -> str:
    told = {kind for key, kind in _TELLING.items() if key in content}
    kind = content["kind"] if "kind" in content else next(iter(told)) if len(told) == 1 else None
    if kind is None:
        raise UsageError(
            f"{where}: it does not say what kind of field it is",
            hint='write kind = "categorical" or kind = "continuous"',
        )
    check_key(str(kind), ("categorical", "continuous"), where=f"{where}: kind")
    return str(kind)


def _check_names(name: str, keys: tuple[str, ...]) -> None:
    if not all(key.strip() for key in (name, *keys)):
        raise MetadataError(
            f"a metadata field needs a name and keys that are not blank, got {name!r}, {keys!r}"
        )
