"""Measures per scan to one line per structure, over all scans or by a column's values."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bids_film.evaluation.rows import (
    UNKNOWN,
    Row,
    identify_person,
    identify_scan,
    mean_defined,
    number,
)
from bids_film.evaluation.statistics import (
    Interval,
    PairedTest,
    adjust_holm,
    bootstrap_mean,
    compare_pairs,
)

MEASURES = (
    "dice", "surface_dice", "hd95_mm", "assd_mm", "lesion_f1", "volume_difference_percent", "ece",
)  # fmt: skip
"""What is summarised and compared."""

_MOST_LEVELS = 6
_NO_PAIR = (math.nan, math.nan)


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """One measure of one structure.

    Attributes
    ----------
    structure, measure : str
    level : str
        Value of the column by which scans were divided; empty for all scans.
    interval : Interval
    median : float
    undefined : int
        Scans on which the measure has no value, such as a distance to an empty mask.
    """

    structure: str
    measure: str
    level: str = ""
    interval: Interval
    median: float
    undefined: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """One measure of one structure by two models on the same scans.

    Attributes
    ----------
    structure, measure : str
    first, second : float
        Means over the scans on which both have a value.
    test : PairedTest
        Second minus first.
    p_holm : float
        Adjusted for all that was compared.
    """

    structure: str
    measure: str
    first: float
    second: float
    test: PairedTest
    p_holm: float


def summarise(rows: Sequence[Row], *, by: str = "") -> list[Summary]:
    """Average every measure of every structure.

    Parameters
    ----------
    rows : Sequence[Row]
    by : str
        Column whose values divide the scans. A column of more than six different numbers divides
        them at its median.
    """
    level_of = find_levels(rows, by)
    levels = sorted(set(level_of), key=_sort_key)
    return [
        _summarise_one(
            [row for i, row in enumerate(rows) if level_of[i] == level and _is_of(row, structure)],
            structure=structure,
            measure=measure,
            level=level,
        )
        for structure in dict.fromkeys(str(row["structure"]) for row in rows)
        for level in levels
        for measure in MEASURES
    ]


def compare(first: Sequence[Row], second: Sequence[Row]) -> list[Comparison]:
    """Compare two models on the scans and structures that both have.

    Parameters
    ----------
    first, second : Sequence[Row]

    Returns
    -------
    list of Comparison
        Empty where they have nothing in common.
    """
    own = {(identify_scan(row), row["structure"]): row for row in first}
    pairs = [
        (own[identify_scan(row), row["structure"]], row)
        for row in second
        if (identify_scan(row), row["structure"]) in own
    ]
    drawn = list(_compare_all(pairs))
    adjusted = adjust_holm([test.p for *_, test in drawn])
    return [
        Comparison(
            structure=structure,
            measure=measure,
            first=mean_defined(values[0]),
            second=mean_defined(values[1]),
            test=test,
            p_holm=p_holm,
        )
        for (structure, measure, values, test), p_holm in zip(drawn, adjusted, strict=True)
    ]


def find_levels(rows: Sequence[Row], column: str) -> list[str]:
    """Find the level of each row's value: itself, or a half of the range of many numbers.

    Levels depend on all rows: find them before the rows are divided. Without a column all are "".
    """
    if not column:
        return [""] * len(rows)
    texts = [str(row.get(column) if row.get(column) is not None else UNKNOWN) for row in rows]
    numbers = [number(row, column) for row in rows]
    known = sorted({value for value in numbers if not math.isnan(value)})
    if len(known) <= _MOST_LEVELS:
        return texts
    middle = statistics.median(value for value in numbers if not math.isnan(value))
    return [
        UNKNOWN if math.isnan(value) else f"{'up to' if value <= middle else 'above'} {middle:g}"
        for value in numbers
    ]


def _summarise_one(rows: Sequence[Row], *, structure: str, measure: str, level: str) -> Summary:
    values = [number(row, measure) for row in rows]
    defined = [value for value in values if not math.isnan(value)]
    return Summary(
        structure=structure,
        measure=measure,
        level=level,
        interval=bootstrap_mean(values, [identify_person(row) for row in rows]),
        median=statistics.median(defined) if defined else math.nan,
        undefined=len(values) - len(defined),
    )


def _compare_all(
    pairs: Sequence[tuple[Row, Row]],
) -> Iterator[tuple[str, str, tuple[list[float], list[float]], PairedTest]]:
    for structure in dict.fromkeys(str(row["structure"]) for row, _ in pairs):
        own = [pair for pair in pairs if _is_of(pair[0], structure)]
        participants = [identify_person(row) for row, _ in own]
        for measure in MEASURES:
            values = [(number(one, measure), number(other, measure)) for one, other in own]
            defined = [pair if not math.isnan(sum(pair)) else _NO_PAIR for pair in values]
            sides = ([one for one, _ in defined], [other for _, other in defined])
            yield structure, measure, sides, compare_pairs(*sides, participants)


def _is_of(row: Row, structure: str) -> bool:
    return row["structure"] == structure


def _sort_key(level: str) -> tuple[bool, float, str]:
    value = number({"level": level}, "level")
    return (level == UNKNOWN, value if not math.isnan(value) else 0.0, level)
