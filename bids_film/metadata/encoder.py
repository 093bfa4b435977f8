"""Metadata values to the numbers that the network reads, as fitted on the training data."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_film.domain.errors import BidsFilmError, MetadataError, ModelFileError
from bids_film.domain.records import from_mapping
from bids_film.metadata.fields import (
    CategoricalField,
    ContinuousField,
    Field,
    field_from_dict,
    field_to_dict,
)
from bids_film.metadata.fitting import Statistics, fit_levels, fit_statistics, to_number
from bids_film.metadata.parse import Status
from bids_film.metadata.resolve import FieldValue, join_notes
from bids_film.metadata.units import format_range

MetadataValues = Mapping[str, str | float | None]
"""Field to its value; None where it is not known."""

_CONTINUOUS_WIDTH = 2
_ROUNDING = 0.01
"""Share of a value by which it may leave the training range without a word."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Encoded:
    """Metadata of one scan as the network takes them.

    Attributes
    ----------
    vector : ndarray
        float32, shape (width,).
    known : ndarray
        1 where a field is known and 0 where not, float32, shape (fields,).
    """

    vector: NDArray[np.float32]
    known: NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Encoder:
    """Encodes each field in a span of its own.

    A categorical field of K levels becomes a one-hot of K. A continuous field becomes its
    standardised value, clamped to the range of the training data, and a 1. The span of a field that
    is not known is zero: the network puts a learned embedding there.

    Attributes
    ----------
    fields : tuple[Field, ...]
        Categorical ones with the levels that the training data had.
    statistics : Mapping[str, Statistics]
        Of each continuous field, by name.

    Raises
    ------
    MetadataError
        Where fields and statistics do not fit together.
    """

    fields: tuple[Field, ...] = ()
    statistics: Mapping[str, Statistics] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        _check_fields(self.fields)
        _check_statistics(self.fields, self.statistics)

    @staticmethod
    def fit(fields: Sequence[Field], rows: Sequence[MetadataValues]) -> Encoder:
        """Fit an encoder to the training data.

        Of the levels that a field declares, those are kept that the data have: for another one the
        network would have weights that nothing ever trained. Such a level is unknown to the model.

        Parameters
        ----------
        fields : Sequence[Field]
        rows : Sequence[Mapping[str, str | float | None]]
            Values of each training scan, as `resolve` gives them.

        Raises
        ------
        MetadataError
            For a field of which no training scan has a value.
        """
        fitted: list[Field] = []
        statistics: dict[str, Statistics] = {}
        for entry in fields:
            seen = [value for row in rows if (value := row.get(entry.name)) is not None]
            if not seen:
                raise MetadataError(
                    f"none of the {len(rows)} training scans has a usable value of the metadata "
                    f"field {entry.name!r}",
                    hint="leave it out of the recipe's fields, or give it in the sidecars or in "
                    "participants.tsv",
                )
            if isinstance(entry, CategoricalField):
                fitted.append(fit_levels(entry, [str(value) for value in seen]))
            else:
                fitted.append(entry)
                statistics[entry.name] = fit_statistics(entry, seen)
        return Encoder(fields=tuple(fitted), statistics=statistics)

    @property
    def width(self) -> int:
        """Length of the vector."""
        return sum(_width(entry) for entry in self.fields)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Where each field lies in the vector, as (start, stop)."""
        stops = np.cumsum([0, *(_width(entry) for entry in self.fields)]).tolist()
        return tuple(itertools.pairwise(stops))

    def encode(self, values: MetadataValues) -> Encoded:
        """Encode one scan's values.

        A field that is absent, None, or has a level that training did not have is not known.

        Raises
        ------
        MetadataError
            Where a continuous field is given a text, or a number that is not finite or, on a
            logarithmic scale, not above 0.
        """
        vector = np.zeros(self.width, dtype=np.float32)
        known = np.zeros(len(self.fields), dtype=np.float32)
        for index, (entry, (start, stop)) in enumerate(zip(self.fields, self.spans, strict=True)):
            part = self._encode_value(entry, values.get(entry.name))
            if part is not None:
                vector[start:stop] = part
                known[index] = 1
        return Encoded(vector=vector, known=known)

    def check(self, value: FieldValue) -> FieldValue:
        """Mark a level that training did not have, or a number outside the range that it had.

        Such a level becomes unknown; such a number is kept, and the network sees the nearest end of
        the range.
        """
        entry = self._find_field(value.field)
        if value.value is None:
            return value
        if isinstance(entry, CategoricalField):
            level = entry.find_level(str(value.value))
            if level is not None:
                return replace(value, value=level)
            trained_on = self.trained_on(entry.name)
            note = f"the model was not trained on {value.value!r}, only on {trained_on}"
            note = join_notes(value.note, note)
            return replace(value, value=None, status=Status.UNKNOWN_LEVEL, note=note)
        low, high = self.range_of(entry.name)
        number = to_number(entry, value.value)
        slack = _ROUNDING * max(abs(number), min(abs(low), abs(high)))
        if low - slack <= number <= high + slack:
            return value
        note = f"outside the training range {self.trained_on(entry.name)}: its nearest end is used"
        return replace(value, outside_range=True, note=join_notes(value.note, note))

    def range_of(self, name: str) -> tuple[float, float]:
        """Lowest and highest value of a continuous field in training, in its unit."""
        entry, stats = self._find_field(name), self.statistics[name]
        if isinstance(entry, ContinuousField) and entry.scale == "log":
            # Twelve digits take off what logarithm and exponential leave behind.
            return float(f"{math.exp(stats.low):.12g}"), float(f"{math.exp(stats.high):.12g}")
        return stats.low, stats.high

    def trained_on(self, name: str) -> str:
        """Levels or range of a field in training, in words."""
        entry = self._find_field(name)
        if isinstance(entry, CategoricalField):
            return ", ".join(entry.levels)
        return format_range(*self.range_of(name), entry.unit)

    def to_dict(self) -> dict[str, Any]:
        """Write as plain values for JSON."""
        return {
            "fields": [field_to_dict(entry) for entry in self.fields],
            "statistics": {name: asdict(entry) for name, entry in self.statistics.items()},
        }

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> Encoder:
        """Read what `to_dict` wrote.

        Raises
        ------
        ModelFileError
            Where a part is missing, of the wrong type, or does not fit the others.
        """
        try:
            return Encoder(
                fields=tuple(field_from_dict(entry) for entry in content["fields"]),
                statistics={
                    str(name): from_mapping(Statistics, entry, where=f"statistics of {name}")
                    for name, entry in content["statistics"].items()
                },
            )
        except KeyError as problem:
            raise ModelFileError(f"the metadata encoder lacks {problem}") from problem
        except (BidsFilmError, TypeError, AttributeError, ValueError, ArithmeticError) as problem:
            raise ModelFileError(f"the metadata encoder cannot be read: {problem}") from problem

    def _find_field(self, name: str) -> Field:
        for entry in self.fields:
            if entry.name == name:
                return entry
        known = ", ".join(entry.name for entry in self.fields) or "none"
        raise MetadataError(f"the encoder has no field {name!r}; its fields: {known}")

    def _encode_value(self, entry: Field, value: str | float | None) -> list[float] | None:
        if value is None:
            return None
        if isinstance(entry, CategoricalField):
            level = entry.find_level(str(value))
            return None if level is None else [float(level == one) for one in entry.levels]
        number = to_number(entry, value)
        stats = self.statistics[entry.name]
        scaled = math.log(number) if entry.scale == "log" else number
        clamped = min(max(scaled, stats.low), stats.high)
        return [(clamped - stats.mean) / stats.deviation, 1.0]


def _width(entry: Field) -> int:
    return len(entry.levels) if isinstance(entry, CategoricalField) else _CONTINUOUS_WIDTH


def _check_fields(fields: Sequence[Field]) -> None:
    names = [entry.name for entry in fields]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise MetadataError(f"metadata fields come twice: {', '.join(repeated)}")
    for entry in fields:
        if isinstance(entry, CategoricalField) and not entry.levels:
            raise MetadataError(f"field {entry.name}: it has no levels", hint="fit an encoder")


def _check_statistics(fields: Sequence[Field], statistics: Mapping[str, Statistics]) -> None:
    expected = {entry.name for entry in fields if isinstance(entry, ContinuousField)}
    if set(statistics) != expected:
        raise MetadataError(
            f"expected statistics of {sorted(expected)}, got those of {sorted(statistics)}"
        )
    for name, stats in statistics.items():
        finite = all(math.isfinite(number) for number in asdict(stats).values())
        if not (finite and stats.deviation > 0 and stats.low <= stats.high):
            raise MetadataError(f"field {name}: its statistics cannot be right: {stats}")
