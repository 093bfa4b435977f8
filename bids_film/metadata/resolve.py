"""The value of each field for a scan, and the file that it was found in."""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from typing import Any

from bids_film.domain.errors import ScanError
from bids_film.domain.scan import MetadataSource, SourceKind
from bids_film.metadata.fields import CategoricalField, ContinuousField, Field, normalise_level
from bids_film.metadata.parse import Status, parse_value, show_raw
from bids_film.metadata.units import find_unit, format_quantity

_TABLES = (SourceKind.SCANS_TSV, SourceKind.SESSIONS_TSV, SourceKind.PARTICIPANTS_TSV)
_SAME = 0.02
"""Two files that differ by less say the same: one of them is rounded."""

_BRACKETS = re.compile(r"(?P<base>.*\S)\s*[\[({](?P<unit>[^\[\](){}]+)[\])}]\s*")
_LAST_WORD = re.compile(r"(?P<base>.*[^\W_])[\W_]+(?P<unit>[^\W\d_]{2,}[23]?)")


class MetadataPolicy(StrEnum):
    """What to do with a scan of which a field is not known."""

    USE_UNKNOWN = "use-unknown"
    ERROR = "error"


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldValue:
    """What is known of a field for a scan, and where from.

    Attributes
    ----------
    field : str
        Name of the field.
    value : str, float or None
        A level, or a number in the field's unit; None where it is not known.
    raw : Any
        As found.
    status : Status
    source : SourceKind or None
        None where no source speaks of the field.
    file, key : str
        File, relative to the dataset, and key or column in it.
    note : str
        What a reader should know: what was converted, what was not used and why, and which other
        file says otherwise.
    outside_range : bool
        Whether a number lies outside the range of the training data.
    """

    field: str
    value: str | float | None = None
    raw: Any = None
    status: Status = Status.MISSING
    source: SourceKind | None = None
    file: str = ""
    key: str = ""
    note: str = ""
    outside_range: bool = False


def resolve(fields: Sequence[Field], sources: Sequence[MetadataSource]) -> tuple[FieldValue, ...]:
    """Find a value for each field: the first source that speaks of it decides.

    A source is asked for the field's name, then for its further keys, then for either without
    regard to case, blanks, underscores, hyphens and a unit at the end (``Echo Time [ms]``). A
    missing value lets the next source speak, but for the command line and sidecars: there it is an
    answer, and makes the field unknown. A value that cannot be used makes it unknown as well: a
    farther file must not speak for a nearer one that says otherwise.

    Parameters
    ----------
    fields : Sequence[Field]
    sources : Sequence[MetadataSource]
        In order of precedence.

    Returns
    -------
    tuple[FieldValue, ...]
        One per field, in their order.
    """
    lookups = [_Lookup(source) for source in sources]
    return tuple(_resolve_field(field, lookups) for field in fields)


def check_policy(values: Sequence[FieldValue], policy: MetadataPolicy) -> None:
    """Refuse a scan of which a field is not known, where the policy says so.

    Raises
    ------
    ScanError
        Naming each field and why it is not known.
    """
    unknown = [value for value in values if value.value is None]
    if policy is not MetadataPolicy.ERROR or not unknown:
        return
    listed = "; ".join(f"{value.field} ({_explain_unknown(value)})" for value in unknown)
    raise ScanError(
        f"metadata that the model reads are not known: {listed}",
        hint="supply them with --metadata or --metadata-file, "
        "or allow --on-missing-metadata use-unknown",
    )


def join_notes(*notes: str) -> str:
    """Put notes into one."""
    return "; ".join(note for note in notes if note)


@dataclass(frozen=True, slots=True)
class _Reading:
    """One way to read a column's name."""

    name: str
    unit: str = ""
    bracketed: bool = False

    def fits(self, field: Field) -> bool:
        """Whether what was taken off the name is what the field can have there."""
        if isinstance(field, CategoricalField):
            return self.bracketed or not self.unit
        return not self.unit or find_unit(self.unit, field.unit) is not None


class _Lookup:
    """Finds the keys of a source that may speak of a field."""

    def __init__(self, source: MetadataSource) -> None:
        self.source = source
        self._readings: Mapping[str, list[tuple[str, _Reading]]] | None = None

    def find(self, field: Field) -> Iterator[tuple[str, str | None]]:
        """Keys with the unit that file or key declare, the best match first."""
        values, units = self.source.values, self.source.units
        wanted = dict.fromkeys((field.name, *field.keys))
        exact = [name for name in wanted if name in values]
        for key in exact:
            yield key, units.get(key)
        # Most fields are found by their name; only for the others is every key looked at.
        if self._readings is None:
            self._readings = _index_keys(values)
        for name in dict.fromkeys(normalise_level(name) for name in wanted):
            for key, reading in self._readings.get(name, ()):
                if key not in exact and reading.fits(field):
                    exact.append(key)
                    yield key, units.get(key) or reading.unit or None


def _index_keys(keys: Iterable[str]) -> Mapping[str, list[tuple[str, _Reading]]]:
    index: dict[str, list[tuple[str, _Reading]]] = {}
    for key in keys:
        for reading in _read_key(str(key)):
            index.setdefault(reading.name, []).append((key, reading))
    return index


@functools.lru_cache(maxsize=8192)
def _read_key(key: str) -> tuple[_Reading, ...]:
    readings = [_Reading(name=normalise_level(key))]
    for pattern, bracketed in ((_BRACKETS, True), (_LAST_WORD, False)):
        match = pattern.fullmatch(key)
        if match:
            base = match["base"] if bracketed else re.sub(r"(?i)[\W_]+in$", "", match["base"])
            reading = _Reading(
                name=normalise_level(base), unit=match["unit"].strip(), bracketed=bracketed
            )
            readings.append(reading)
    return tuple(readings)


def _resolve_field(field: Field, lookups: Sequence[_Lookup]) -> FieldValue:
    missing: FieldValue | None = None
    for number, lookup in enumerate(lookups):
        own = list(_read_all(field, lookup))
        found = next((one for one in own if one.status is not Status.MISSING), None)
        if found and found.status.usable:
            beside = _find_rival(field, found, own)
            farther = _find_conflict(field, found, lookups[number + 1 :])
            return replace(found, note=join_notes(found.note, beside, farther))
        if found:
            return found
        if own and lookup.source.kind is SourceKind.COMMAND_LINE:
            return replace(own[0], note="withheld on the command line")
        if own and lookup.source.kind is SourceKind.SIDECAR:
            return missing or own[0]
        missing = missing or next(iter(own), None)
    return missing or FieldValue(field=field.name)


def _read_all(field: Field, lookup: _Lookup) -> Iterator[FieldValue]:
    source = lookup.source
    for key, unit in lookup.find(field):
        parsed = parse_value(field, source.values[key], unit=unit)
        yield FieldValue(
            field=field.name,
            value=parsed.value,
            raw=source.values[key],
            status=parsed.status,
            source=source.kind,
            file=source.file,
            key=str(key),
            note=parsed.note,
        )


def _find_rival(field: Field, used: FieldValue, own: Sequence[FieldValue]) -> str:
    """Describe another key, or column, of the same file that says otherwise."""
    for other in own:
        if other.status.usable and not _agree(used.value, other.value):
            return f"{other.key} in {other.file} says {_show_value(field, other.value)}"
    return ""


def _find_conflict(field: Field, used: FieldValue, later: Sequence[_Lookup]) -> str:
    """Describe a sidecar that contradicts a table, or another sidecar that is as near.

    That a nearer table or sidecar overrides a farther one is BIDS' own rule, and that the user
    overrides them all is the user's wish: neither is worth a word.
    """
    for lookup in later:
        if lookup.source.kind is not SourceKind.SIDECAR:
            continue
        if used.source not in _TABLES and not _equally_near(used, lookup.source):
            continue
        found = next((one for one in _read_all(field, lookup) if one.status.usable), None)
        if found is not None:
            shown = _show_value(field, found.value)
            return "" if _agree(used.value, found.value) else f"{found.file} says {shown}"
    return ""


def _equally_near(used: FieldValue, other: MetadataSource) -> bool:
    """Whether BIDS has no rule which of two sidecars comes first: one folder, as many entities."""
    one, two = PurePosixPath(used.file), PurePosixPath(other.file)
    return (
        used.source is SourceKind.SIDECAR
        and one.parent == two.parent
        and one.name.count("_") == two.name.count("_")
    )


def _agree(first: str | float | None, second: str | float | None) -> bool:
    if isinstance(first, str) and isinstance(second, str):
        return normalise_level(first) == normalise_level(second)
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, rel_tol=_SAME)
    return first == second


def _show_value(field: Field, value: str | float | None) -> str:
    if isinstance(field, ContinuousField) and isinstance(value, float):
        return format_quantity(value, field.unit)
    return str(value)


def _explain_unknown(value: FieldValue) -> str:
    if value.note:
        return f"{value.status}: {value.note}"
    return f"{value.key} is {show_raw(value.raw)} in {value.file}" if value.source else "not given"
