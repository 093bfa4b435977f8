"""Metadata values to the numbers that the network reads, as fitted on the training data."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_film.domain.errors import BidsFilmError, InputError, ModelFileError
from bids_film.domain.records import from_mapping
from bids_film.metadata.fields import (
    CategoricalField,
    ContinuousField,
    Field,
    field_from_dict,
    field_to_dict,
)
from bids_film.metadata.parse import Status
from bids_film.metadata.resolve import FieldValue

MetadataValues = Mapping[str, str | float | None]
"""Field to its value; None where it is not known."""

_FLAT = 1e-6
_CONTINUOUS_WIDTH = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """How a continuous field was distributed in training, after its logarithm where it has one."""

    mean: float
    deviation: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
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
    standardised value, kept to the range of the training data, and a 1. The span of a field that is
    not known is zero: the network puts a learned embedding there.

    Attributes
    ----------
    fields : tuple[Field, ...]
        Categorical ones with the levels that were fitted.
    statistics : Mapping[str, Statistics]
        Of each continuous field.
    """

    fields: tuple[Field, ...] = ()
    statistics: Mapping[str, Statistics] = field(default_factory=dict)

    @staticmethod
    def fit(fields: Sequence[Field], rows: Sequence[MetadataValues]) -> Encoder:
        """Fit an encoder to the training data.

        Parameters
        ----------
        fields : Sequence[Field]
        rows : Sequence[Mapping[str, str | float | None]]
            Values of each training scan.

        Raises
        ------
        InputError
            For a field that no training scan has a value of.
        """
        fitted: list[Field] = []
        statistics: dict[str, Statistics] = {}
        for entry in fields:
            seen = [value for row in rows if (value := row.get(entry.name)) is not None]
            if not seen and not (isinstance(entry, CategoricalField) and entry.levels):
                raise InputError(
                    f"no training scan has a usable value of the metadata field {entry.name!r}",
                    hint="leave it out of [metadata] fields, or supply it with --metadata-file",
                )
            if isinstance(entry, CategoricalField):
                levels = entry.levels or tuple(sorted({str(value) for value in seen}))
                fitted.append(replace(entry, levels=levels))
            else:
                fitted.append(entry)
                statistics[entry.name] = _fit_statistics(entry, [float(value) for value in seen])
        return Encoder(fields=tuple(fitted), statistics=statistics)

    @property
    def spans(self) -> tuple[tuple[int, int], ...]:
        """Where each field lies in the vector, as (start, stop)."""
        ends = np.cumsum([_width(entry) for entry in self.fields]).tolist()
        return tuple(zip([0, *ends[:-1]], ends, strict=True)) if ends else ()

    @property
    def width(self) -> int:
        """Length of the vector."""
        return sum(_width(entry) for entry in self.fields)

    def encode(self, values: MetadataValues) -> Encoded:
        """Encode one scan's values; fields that are absent or None are not known."""
        vector = np.zeros(self.width, dtype=np.float32)
        known = np.zeros(len(self.fields), dtype=np.float32)
        for index, (entry, (start, _)) in enumerate(zip(self.fields, self.spans, strict=True)):
            value = values.get(entry.name)
            if isinstance(entry, CategoricalField):
                if value in entry.levels:
                    vector[start + entry.levels.index(str(value))] = 1
                    known[index] = 1
            elif isinstance(value, int | float) and _is_usable(entry, value):
                vector[start : start + 2] = self._standardise(entry, value), 1
                known[index] = 1
        return Encoded(vector=vector, known=known)

    def check(self, value: FieldValue) -> FieldValue:
        """Mark a level that was not seen in training, or a number outside what was."""
        entry = {known.name: known for known in self.fields}[value.field]
        if value.value is None:
            return value
        if isinstance(entry, CategoricalField):
            if value.value in entry.levels:
                return value
            note = f"not among the levels of the training data: {', '.join(entry.levels)}"
            return replace(
                value, value=None, status=Status.UNKNOWN_LEVEL, note=_join(value.note, note)
            )
        low, high = self.range_of(entry.name)
        if low <= float(value.value) <= high:
            return value
        unit = f" {entry.unit}" if entry.unit else ""
        note = f"outside the training range {low:.4g}–{high:.4g}{unit}: used as its nearest end"
        return replace(value, outside_range=True, note=_join(value.note, note))

    def range_of(self, name: str) -> tuple[float, float]:
        """Lowest and highest value of a continuous field in training, in its unit."""
        entry = next(known for known in self.fields if known.name == name)
        stats = self.statistics[name]
        slack = _FLAT * max(1.0, abs(stats.high))
        low, high = stats.low - slack, stats.high + slack
        if isinstance(entry, ContinuousField) and entry.scale == "log":
            return math.exp(low), math.exp(high)
        return low, high

    def describe_training(self, name: str) -> str:
        """Describe what a field was in the training data: its levels, or its range with unit."""
        entry = next(known for known in self.fields if known.name == name)
        if isinstance(entry, CategoricalField):
            return ", ".join(entry.levels)
        low, high = self.range_of(name)
        return f"{low:.4g}–{high:.4g} {entry.unit}".rstrip()

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
            Where a part is missing, of the wrong type, or not a number.
        """
        try:
            encoder = Encoder(
                fields=tuple(field_from_dict(entry) for entry in content["fields"]),
                statistics={
                    str(name): from_mapping(Statistics, entry, where=f"statistics of {name}")
                    for name, entry in content["statistics"].items()
                },
            )
            _check(encoder)
        except (BidsFilmError, KeyError, TypeError, AttributeError, ValueError) as problem:
            raise ModelFileError(f"the metadata encoder cannot be read: {problem}") from problem
        return encoder

    def _standardise(self, entry: ContinuousField, value: float) -> float:
        stats = self.statistics[entry.name]
        number = math.log(value) if entry.scale == "log" else float(value)
        return (min(max(number, stats.low), stats.high) - stats.mean) / stats.deviation


def _fit_statistics(entry: ContinuousField, seen: Sequence[float]) -> Statistics:
    numbers = np.log(seen) if entry.scale == "log" else np.asarray(seen)
    deviation = float(numbers.std())
    return Statistics(
        mean=float(numbers.mean()),
        deviation=deviation if deviation > _FLAT else 1.0,
        low=float(numbers.min()),
        high=float(numbers.max()),
    )


def _width(entry: Field) -> int:
    return len(entry.levels) if isinstance(entry, CategoricalField) else _CONTINUOUS_WIDTH


def _is_usable(entry: ContinuousField, value: float) -> bool:
    return math.isfinite(value) and (entry.scale != "log" or value > 0)


def _join(first: str, second: str) -> str:
    return f"{first}; {second}" if first else second


def _check(encoder: Encoder) -> None:
    names = [entry.name for entry in encoder.fields]
    if len(set(names)) != len(names):
        raise ValueError(f"a field comes twice: {names}")
    for entry in encoder.fields:
        if isinstance(entry, CategoricalField):
            if not entry.levels or len(set(entry.levels)) != len(entry.levels):
                raise ValueError(f"expected different levels of {entry.name}, got {entry.levels}")
            continue
        numbers = asdict(encoder.statistics[entry.name]).values()
        if not all(math.isfinite(number) for number in numbers):
            raise ValueError(f"the statistics of {entry.name} are not finite")
        if encoder.statistics[entry.name].deviation <= 0:
            raise ValueError(f"the deviation of {entry.name} is not positive")
