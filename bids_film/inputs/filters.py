"""Filters that say which scans of a dataset are wanted, as pybids and fMRIPrep users write them."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from bids_film.domain.entities import ENTITY_ORDER
from bids_film.domain.errors import UsageError

ANY = "*"
"""Filter value: the entity must be there, whatever its value."""

DEFAULT_FILTERS: Mapping[str, Any] = MappingProxyType({"datatype": "anat", "part": [None, "mag"]})
"""Holds for every entity that a caller's filters do not name; phase images show no anatomy."""

_FILE_PARTS = ("suffix", "datatype", "extension")
_INDEX_ENTITIES = frozenset({"run", "echo", "flip", "inv", "split", "chunk"})
_LONG_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "subject": "sub", "participant": "sub", "session": "ses", "acquisition": "acq",
        "nucleus": "nuc", "volume": "voi", "ceagent": "ce", "tracer": "trc", "staining": "stain",
        "reconstruction": "rec", "direction": "dir", "modality": "mod", "inversion": "inv",
        "mtransfer": "mt", "processing": "proc", "hemisphere": "hemi", "segmentation": "seg",
        "resolution": "res", "density": "den", "description": "desc",
    }
)  # fmt: skip
_SHOWN = MappingProxyType({"sub": "subject", "ses": "session", "acq": "acquisition"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Filters:
    """Filters in one form: short entity name, ``suffix``, ``datatype`` or ``extension`` to values.

    Attributes
    ----------
    wanted : Mapping[str, tuple[str | None, ...]]
        A scan matches where, for each key, its value is among the given ones; None stands for an
        absent entity and ``*`` for a present one of any value.
    """

    wanted: Mapping[str, tuple[str | None, ...]]

    def __str__(self) -> str:
        return ", ".join(
            f"{_SHOWN.get(key, key)}={'|'.join('(absent)' if v is None else v for v in values)}"
            for key, values in self.wanted.items()
        )


def read_filter_file(path: Path) -> dict[str, Any]:
    """Read a JSON file of filters: ``{"suffix": ["T1w", "T2w"], "acquisition": null}``.

    Returns
    -------
    dict[str, Any]
        Short entity name, or ``suffix``, ``datatype``, ``extension``, to a list of values.

    Raises
    ------
    UsageError
        Where the file cannot be read, is not a JSON object, or names an unknown entity.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"The filter file {path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(
            f"The filter file {path} is not valid JSON: {error}.",
            hint='Write an object, such as {"suffix": "T1w", "acquisition": null}.',
        ) from error
    if not isinstance(content, dict):
        raise UsageError(
            f"The filter file {path} holds a {type(content).__name__}, not a JSON object.",
            hint='Write an object, such as {"suffix": "T1w", "acquisition": null}.',
        )
    wanted = parse_filters(content, origin=f"The filters of {path}").wanted
    return {key: list(values) for key, values in wanted.items()}


def parse_filters(filters: Mapping[str, Any], *, origin: str = "The filters") -> Filters:
    """Bring filters into one form.

    Parameters
    ----------
    filters : Mapping[str, Any]
        Entity, by its long or its short name, to a value or a list of values; None means that the
        entity is absent, ``*`` that it is there.
    origin : str
        What an error message names as the place of the filters.

    Raises
    ------
    UsageError
        Where an entity is unknown, comes twice, or has a value that no file name can have.
    """
    wanted: dict[str, tuple[str | None, ...]] = {}
    for name, value in filters.items():
        key = _short_name(name, origin)
        if key in wanted:
            raise UsageError(
                f"{origin} name the entity {name!r} twice, by its long and short name."
            )
        values = value if isinstance(value, list | tuple) else [value]
        if not values:
            raise UsageError(
                f"{origin} give an empty list for {name!r}, which no scan can match.",
                hint=f'Leave {name!r} out, or use "*" for any value and null for none.',
            )
        wanted[key] = tuple(_parse_value(key, name, item, origin) for item in values)
    return Filters(wanted=wanted)


def with_defaults(filters: Filters) -> Filters:
    """Add `DEFAULT_FILTERS` for what the filters do not name."""
    return Filters(wanted={**parse_filters(DEFAULT_FILTERS).wanted, **filters.wanted})


def matches(filters: Filters, parts: Mapping[str, str]) -> bool:
    """Whether a file matches.

    Parameters
    ----------
    filters : Filters
    parts : Mapping[str, str]
        Short entity names, ``suffix``, ``datatype`` and ``extension`` of the file.
    """
    return all(
        any(_value_matches(key, value, parts.get(key) or None) for value in values)
        for key, values in filters.wanted.items()
    )


def _value_matches(key: str, wanted: str | None, found: str | None) -> bool:
    if wanted is None or found is None:
        return wanted is found
    if key in _INDEX_ENTITIES and wanted.isdecimal() and found.isdecimal():
        return int(wanted) == int(found)
    return wanted in (ANY, found)


def _short_name(name: str, origin: str) -> str:
    short = _LONG_NAMES.get(name, name)
    if short in ENTITY_ORDER or short in _FILE_PARTS:
        return short
    known = [*_LONG_NAMES, *ENTITY_ORDER, *_FILE_PARTS]
    nearest = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
    raise UsageError(
        f"{origin} name {name!r}, which is not a BIDS entity.",
        hint=f"Did you mean {nearest[0]!r}?"
        if nearest
        else 'Filters name entities ("subject", "session", …), "suffix" or "datatype".',
    )


def _parse_value(key: str, name: str, value: Any, origin: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int):
        nested = isinstance(value, Mapping)
        raise UsageError(
            f"{origin} give {value!r} for {name!r}; a text, null or a list of them is needed.",
            hint="Write the filters at the top level: there are no named queries here."
            if nested
            else 'Use a text such as "T1w", "*" for any value, null for none.',
        )
    text = str(value)
    if key == "extension" and text != ANY:
        return "." + text.lstrip(".")
    return text.removeprefix(f"{key}-")
