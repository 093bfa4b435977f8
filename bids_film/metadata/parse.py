"""One raw value to what it means for a field: typed, or with the reason why it cannot be used."""

from __future__ import annotations

import math
import numbers
import re
import reprlib
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from bids_film.metadata.fields import CategoricalField, ContinuousField, Field, normalise_level
from bids_film.metadata.units import (
    Unit,
    convert,
    find_unit,
    format_number,
    format_quantity,
    format_range,
    list_units,
)

_MISSING = frozenset(
    {
        "", "n/a", "na", "#n/a", "<na>", "nan", "none", "null", "nil", "-", "--", ".", "?",
        "unknown", "unk", "missing", "undefined", "unspecified", "notavailable", "notapplicable",
        "notspecified", "notknown", "anonymized", "anonymised", "anonymous", "anon",
    }
)  # fmt: skip
"""What tables hold where nothing is known, in the form of `normalise_level`."""

_MISSING_CODES = frozenset({-1.0, -9.0, -99.0, -999.0, -9999.0, 999.0, 9999.0})
"""Numbers that tables hold where nothing is known."""

_QUANTITY = re.compile(
    r"(?P<bound>(?:[>≥]=?)?)\s*"
    r"(?P<number>[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?)"
    r"\s*(?P<plus>\+?)\s*(?P<unit>[^0-9]*[23]?)"
)
_DECIMAL_COMMA = re.compile(r"(?:[+-]?0*,[0-9]+)|(?:[^,]*,(?![0-9]{3}(?![0-9])).*)")
_NOMINAL_TOLERANCE = 0.05
_MAX_SUGGESTIONS = 2

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = 60


class Status(StrEnum):
    """What became of a raw value."""

    USED = "used"
    CONVERTED = "converted"
    MISSING = "missing"
    UNKNOWN_LEVEL = "unknown level"
    IMPLAUSIBLE = "implausible"
    INVALID = "invalid"

    @property
    def usable(self) -> bool:
        """Whether there is a value that a network can be given."""
        return self in (Status.USED, Status.CONVERTED)


@dataclass(frozen=True, kw_only=True, slots=True)
class Parsed:
    """What a raw value means for a field.

    Attributes
    ----------
    value : str, float or None
        A level or a number in the field's unit; None wherever the status is not usable.
    status : Status
    note : str
        What a reader should know: what was converted, or why the value is not used and what it
        probably should be.
    """

    value: str | float | None = None
    status: Status
    note: str = ""


def parse_value(field: Field, raw: Any, *, unit: str | None = None) -> Parsed:
    """Find out what a raw value means for a field; never raises, whatever a file holds.

    Parameters
    ----------
    field : Field
    raw : Any
        As JSON, a table or the command line give it; a list of one counts as its value.
    unit : str, optional
        That the file declares for it; a unit within the value itself comes first.
    """
    while isinstance(raw, list | tuple) and len(raw) == 1:
        raw = raw[0]
    if raw is None or (isinstance(raw, list | tuple) and not raw):
        return Parsed(status=Status.MISSING)
    if isinstance(raw, str):
        return _parse_text(field, raw, unit)
    if isinstance(raw, bool):
        return _parse_flag(field, raw=raw)
    if isinstance(raw, numbers.Real):
        return _parse_number(field, raw, unit)
    what = "several values" if isinstance(raw, list | tuple) else f"a {type(raw).__name__}"
    return _invalid(f"expected one value, got {what}: {show_raw(raw)}")


def is_missing(text: str) -> bool:
    """Whether a text says that nothing is known."""
    return normalise_level(text) in _MISSING or text.strip().casefold() in _MISSING


def show_raw(raw: Any) -> str:
    """Write a raw value for a message, shortened where it is long."""
    try:
        return _repr.repr(raw)
    except (ValueError, RecursionError):
        return f"a very large {type(raw).__name__}"


def _parse_text(field: Field, text: str, unit: str | None) -> Parsed:
    if isinstance(field, CategoricalField):
        # A level may be called "none" or "unknown"; n/a is what BIDS itself reserves.
        level = field.find_level(text) if normalise_level(text) != "n/a" else None
        if level is not None:
            return Parsed(value=level, status=Status.USED)
        if is_missing(text):
            return Parsed(status=Status.MISSING)
        return _parse_other_text(field, text)
    if is_missing(text):
        return Parsed(status=Status.MISSING)
    return _parse_quantity(field, text, unit)


def _parse_other_text(field: CategoricalField, text: str) -> Parsed:
    if not field.levels:
        return Parsed(value=" ".join(text.split()), status=Status.USED)
    note = f"{show_raw(text)} is none of the levels {', '.join(field.levels)}"
    if _is_code(text) and not any(_is_code(level) for level in field.levels):
        note += "; numbers stand for other things in each study: write the level itself"
    return Parsed(status=Status.UNKNOWN_LEVEL, note=note)


def _parse_flag(field: Field, *, raw: bool) -> Parsed:
    if isinstance(field, CategoricalField):
        return _parse_text(field, "true" if raw else "false", None)
    return _invalid(f"expected a number, got {str(raw).lower()}")


def _parse_number(field: Field, raw: numbers.Real, unit: str | None) -> Parsed:
    try:
        number = float(raw)
        text = str(int(number)) if number.is_integer() and abs(number) < 1e15 else str(raw)  # noqa: PLR2004 (digits of a float)
    except (ArithmeticError, ValueError, TypeError):
        return _invalid(f"{show_raw(raw)} is beyond all numbers that can be used")
    if math.isnan(number):
        return Parsed(status=Status.MISSING)
    if isinstance(field, CategoricalField):
        return _parse_text(field, text, None)
    return _weigh(field, number, unit, note="")


def _parse_quantity(field: ContinuousField, text: str, declared: str | None) -> Parsed:
    plain = unicodedata.normalize("NFKC", text).replace("\N{MINUS SIGN}", "-").strip()
    match = _QUANTITY.fullmatch(plain)
    if match is None:
        return _invalid(f"expected a number{_name_units(field)}, got {show_raw(text)}")
    number = match["number"]
    if "," in number and not _DECIMAL_COMMA.fullmatch(number):
        return _invalid(f"{show_raw(text)} can be read in two ways: write it without the comma")
    written = match["unit"].strip()
    if written and not _is_unit(written, field.unit):
        return _invalid(f"expected a number{_name_units(field)}, got {show_raw(text)}")
    bound = bool(match["bound"] or match["plus"])
    value = float(number.replace(",", "."))
    note = f"{show_raw(text)} is taken as {format_number(value)}" if bound else ""
    return _weigh(field, value, written or declared, note=note)


def _weigh(field: ContinuousField, number: float, declared: str | None, *, note: str) -> Parsed:
    """Convert a number into the field's unit, and see whether it can be right."""
    declared = "" if declared is None or is_missing(declared) else declared
    if declared and field.unit and not _is_unit(declared, field.unit):
        return _invalid(
            f"the unit {show_raw(declared)} is not known: expected a number{_name_units(field)}"
        )
    unit = find_unit(declared, field.unit) if declared else None
    value = convert(number, unit, field.unit) if unit else number
    notes = [note] if note else []
    converted = bool(note)
    if unit and value != number:
        converted = True
        before, after = format_quantity(number, unit.symbol), format_quantity(value, field.unit)
        notes.append(f"{before} converted to {after}")
    elif declared and not field.unit:
        notes.append(f"the unit {show_raw(declared)} is not known")
    low, high = field.plausible
    if not math.isfinite(value):
        return _invalid(f"expected a finite number, got {value}")
    if not low <= value <= high:
        why = _explain(field, value, has_unit=unit is not None)
        return Parsed(status=Status.IMPLAUSIBLE, note="; ".join([*notes, why]))
    nominal = _find_nominal(field, value)
    if nominal is not None and nominal != value:
        converted = True
        notes.append(f"{format_number(value)} taken as the nominal {format_number(nominal)}")
    return Parsed(
        value=value if nominal is None else nominal,
        status=Status.CONVERTED if converted else Status.USED,
        note="; ".join(notes),
    )


def _explain(field: ContinuousField, value: float, *, has_unit: bool) -> str:
    """Say why a number cannot be right, and what was probably meant."""
    bounds = format_range(*field.plausible, field.unit)
    notes = [f"{format_quantity(value, field.unit)} is outside {bounds}"]
    notes += [
        f"{format_quantity(value, unit.symbol)} would be {format_number(corrected)}"
        for unit, corrected in ([] if has_unit else _suggest(field, value))
    ]
    if value in _MISSING_CODES:
        notes.append("such a number often stands for a missing value, which is written n/a")
    return "; ".join(notes)


def _suggest(field: ContinuousField, value: float) -> list[tuple[Unit, float]]:
    """Units in which a number would be plausible, those first that give a nominal value."""
    low, high = field.plausible
    in_units = [(unit, convert(value, unit, field.unit)) for unit in list_units(field.unit)]
    likely = [pair for pair in in_units if pair[1] != value and low <= pair[1] <= high]
    nominal = [pair for pair in likely if _find_nominal(field, pair[1]) is not None]
    return nominal[:_MAX_SUGGESTIONS] or likely[:1]


def _find_nominal(field: ContinuousField, value: float) -> float | None:
    near = min(field.nominal, key=lambda nominal: abs(nominal - value) / nominal, default=None)
    if near is None or abs(near - value) > _NOMINAL_TOLERANCE * near:
        return None
    return near


def _is_unit(text: str, unit: str) -> bool:
    same = unit != "" and normalise_level(text) == normalise_level(unit)
    return same or find_unit(text, unit) is not None


def _name_units(field: ContinuousField) -> str:
    symbols = [unit.symbol for unit in list_units(field.unit)] or [field.unit]
    return (
        f" (in {field.unit}, or with one of the units {', '.join(symbols)})" if field.unit else ""
    )


def _is_code(text: str) -> bool:
    return text.strip().lstrip("+-").replace(".", "", 1).isdigit()


def _invalid(note: str) -> Parsed:
    return Parsed(status=Status.INVALID, note=note)
