"""What a field was like in the training data: levels, or the distribution of its numbers."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bids_film.domain.errors import MetadataError
from bids_film.metadata.fields import CategoricalField, ContinuousField, normalise_level

_CONSTANT = 1e-6
"""Deviation below which a field had one value in training, up to rounding."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """How a continuous field was distributed in training.

    Attributes
    ----------
    mean, deviation, low, high : float
        Of the values, or of their natural logarithms where the field's scale is "log".
    """

    mean: float
    deviation: float
    low: float
    high: float


def fit_levels(entry: CategoricalField, seen: Sequence[str]) -> CategoricalField:
    """Keep the levels that were seen; where none are declared, the spelling that is used most.

    Raises
    ------
    MetadataError
        Where no value is one of the levels that are declared.
    """
    if entry.levels:
        found = {entry.find_level(value) for value in seen}
        levels = tuple(level for level in entry.levels if level in found)
    else:
        counts = Counter(entry.find_level(value) or value for value in seen)
        spellings: dict[str, str] = {}
        for value, _ in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])):
            spellings.setdefault(normalise_level(value), value)
        levels = tuple(sorted(spellings.values()))
    if not levels:
        raise MetadataError(
            f"none of the training scans has one of the levels {', '.join(entry.levels)} of the "
            f"metadata field {entry.name!r}"
        )
    canonical = {normalise_level(level): level for level in levels}
    aliases = {
        alias: canonical[normalise_level(level)]
        for alias, level in entry.aliases.items()
        if normalise_level(level) in canonical
    }
    return replace(entry, levels=levels, aliases=aliases)


def fit_statistics(entry: ContinuousField, seen: Sequence[str | float]) -> Statistics:
    """Describe the distribution of the values that were seen, at least one.

    Raises
    ------
    MetadataError
        Where one is not a number that the field's scale can show.
    """
    numbers = [to_number(entry, value) for value in seen]
    scaled = np.log(numbers) if entry.scale == "log" else np.asarray(numbers)
    deviation = float(scaled.std())
    return Statistics(
        mean=float(scaled.mean()),
        deviation=deviation if deviation > _CONSTANT else 1.0,
        low=float(scaled.min()),
        high=float(scaled.max()),
    )


def to_number(entry: ContinuousField, value: str | float) -> float:
    """Take a value as the number that it must be.

    Raises
    ------
    MetadataError
        For a text, a number that is not finite, and on a log scale one that is not positive.
    """
    number = math.nan if isinstance(value, str | bool) else float(value)
    if not math.isfinite(number) or (entry.scale == "log" and number <= 0):
        what = "a positive number" if entry.scale == "log" else "a finite number"
        raise MetadataError(
            f"field {entry.name}: expected {what}, got {value!r}",
            hint="parse_value turns what a dataset says into the number",
        )
    return number
