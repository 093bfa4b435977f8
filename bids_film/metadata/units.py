"""Units in which metadata are written, and what one is in another."""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

_LARMOR_MHZ_PER_T = 42.577478518
"""Of hydrogen (CODATA 2018): tables give the imaging frequency for the field strength."""

_TINY, _HUGE = 1e-9, 1e12
_NOUNS = frozenset({"year", "month", "week", "day", "degree"})
"""Units that are written as words, and so have a plural."""

_IGNORED = re.compile(r"[\s.^]+")
_WORDS = re.compile(r"[^\W\d_]+(?:\^?[23](?!\d))?|°")


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """A unit with the ways in which it is written.

    Attributes
    ----------
    symbol : str
    size : float
        In the first unit of its dimension.
    names : tuple[str, ...]
        Other ways of writing it, in lower case without blanks and full stops.
    """

    symbol: str
    size: float
    names: tuple[str, ...] = ()


_DIMENSIONS: tuple[tuple[Unit, ...], ...] = (
    (
        Unit(symbol="s", size=1.0, names=("sec", "secs", "second", "seconds")),
        Unit(symbol="ms", size=1e-3, names=("msec", "msecs", "millisecond", "milliseconds")),
        Unit(symbol="us", size=1e-6, names=("usec", "μs", "μsec", "microsecond", "microseconds")),
        Unit(symbol="ns", size=1e-9, names=("nsec", "nanosecond", "nanoseconds")),
        Unit(symbol="min", size=60.0, names=("mins", "minute", "minutes")),
    ),
    (
        Unit(symbol="Hz", size=1.0, names=("hertz",)),
        Unit(symbol="kHz", size=1e3, names=("kilohertz",)),
        Unit(symbol="MHz", size=1e6, names=("megahertz",)),
    ),
    (
        Unit(symbol="T", size=1.0, names=("tesla", "teslas")),
        Unit(symbol="MHz", size=1 / _LARMOR_MHZ_PER_T, names=("megahertz",)),
        Unit(symbol="mT", size=1e-3, names=("millitesla",)),
        Unit(symbol="G", size=1e-4, names=("gauss",)),
        Unit(symbol="kG", size=0.1, names=("kilogauss", "kgauss")),
    ),
    (
        Unit(
            symbol="mm", size=1.0, names=("millimeter", "millimeters", "millimetre", "millimetres")
        ),
        Unit(symbol="m", size=1e3, names=("meter", "meters", "metre", "metres")),
        Unit(symbol="um", size=1e-3, names=("μm", "micron", "microns", "micrometer", "micrometre")),
        Unit(
            symbol="cm", size=10.0, names=("centimeter", "centimeters", "centimetre", "centimetres")
        ),
    ),
    (
        Unit(
            symbol="mm^3", size=1.0, names=("mm3", "cubicmillimeter", "cubicmillimetre", "ul", "μl")
        ),
        Unit(symbol="ml", size=1e3, names=("cm3", "cc", "milliliter", "millilitre")),
    ),
    (
        Unit(symbol="degree", size=1.0, names=("degrees", "deg", "degs", "°")),
        Unit(symbol="rad", size=180 / math.pi, names=("radian", "radians")),
    ),
    (
        Unit(symbol="year", size=1.0, names=("years", "yr", "yrs", "y", "yy", "yyyy", "yo", "a")),
        Unit(symbol="month", size=1 / 12, names=("months", "mo", "mos", "mon", "mth", "mths", "m")),
        Unit(symbol="week", size=7 / 365.25, names=("weeks", "wk", "wks", "w")),
        Unit(symbol="day", size=1 / 365.25, names=("days", "d")),
    ),
    (
        Unit(symbol="kg", size=1.0, names=("kilogram", "kilograms", "kilo", "kilos", "kgs")),
        Unit(symbol="g", size=1e-3, names=("gram", "grams")),
        Unit(symbol="lb", size=0.45359237, names=("lbs", "pound", "pounds")),
    ),
)
"""By dimension; within one, the unit that is mistaken most often comes first."""


def list_units(like: str) -> tuple[Unit, ...]:
    """Units that can be converted into a unit, itself included; empty where it is not known.

    Capitals count where they tell two apart: ``kg`` is no kilogauss.
    """
    exact = (units for units in _DIMENSIONS if any(unit.symbol == like for unit in units))
    folded = (units for units in _DIMENSIONS if _match(_fold(like), units))
    return next(exact, next(folded, ()))


@functools.lru_cache(maxsize=4096)
def find_unit(text: str, like: str) -> Unit | None:
    """Find the unit that a text names, among those that can be converted into a unit.

    Parameters
    ----------
    text : str
        As a person wrote it: ``ms``, ``Months``, ``mm³``, ``Tesla (T)``, ``in years``.
    like : str
        Unit of the field.

    Returns
    -------
    Unit or None
        None where the text names no unit of that dimension, or two different ones.
    """
    units = list_units(like)
    whole = _match(_fold(text), units)
    if whole:
        return whole
    plain = unicodedata.normalize("NFKC", text)
    found = {unit for word in _WORDS.findall(plain) if (unit := _match(_fold(word), units))}
    return found.pop() if len(found) == 1 else None


def convert(value: float, unit: Unit, to: str) -> float:
    """Convert a value into a unit of the same dimension."""
    target = _match(_fold(to), list_units(to))
    if target is None or target == unit:
        return value
    # Twelve digits are more than any table gives, and take 0.030000000000000002 s off 30 ms.
    return float(f"{value * unit.size / target.size:.12g}")


def format_number(value: float) -> str:
    """Write a number to six digits, and without an exponent where it is not enormous."""
    text = f"{value:.6g}"
    if "e-" in text:
        return f"{value:.12f}".rstrip("0").rstrip(".") if abs(value) > _TINY else text
    return f"{value:.0f}" if "e+" in text and abs(value) < _HUGE else text


def format_quantity(value: float, unit: str) -> str:
    """Write a number with its unit: ``2.3 s``, ``45 years``."""
    return f"{format_number(value)} {_pluralise(value, unit)}".rstrip()


def format_range(low: float, high: float, unit: str) -> str:
    """Write a range with its unit: ``1.5–3 T``, ``0–120 years``; one number where both are it.

    Four digits, as ends are often drawn at random.
    """
    low, high = (float(f"{end:.4g}") for end in (low, high))
    if low == high:
        return format_quantity(low, unit)
    return f"{format_number(low)}–{format_number(high)} {_pluralise(high, unit)}".rstrip()


def _pluralise(value: float, unit: str) -> str:
    return f"{unit}s" if value != 1 and unit in _NOUNS else unit


def _match(folded: str, units: Iterable[Unit]) -> Unit | None:
    return next((unit for unit in units if folded in (_fold(unit.symbol), *unit.names)), None)


def _fold(text: str) -> str:
    return _IGNORED.sub("", unicodedata.normalize("NFKC", text)).casefold()
