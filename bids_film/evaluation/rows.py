"""Rows of an evaluation's table, as they are measured and as they are read back."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

Row = Mapping[str, str | float | None]
"""One scan's measures of one structure, with ``participant_id``, ``scan`` and ``structure``; and
``dataset`` where it is not of the first dataset, ``person`` where labels are not people."""

UNKNOWN = "n/a"


def number(row: Row, column: str) -> float:
    """Read a cell as a number; NaN where it is none."""
    value = row.get(column)
    try:
        return math.nan if value is None else float(value)
    except ValueError:
        return math.nan


def identify_scan(row: Row) -> tuple[str, str]:
    """Tell scans apart: datasets that were evaluated together may have scans of the same path."""
    return _read_text(row, "dataset"), str(row["scan"])


def identify_person(row: Row) -> str:
    """Tell people apart: those of two datasets may have the same label."""
    return f"{_read_text(row, 'dataset')} {_read_text(row, 'person') or row['participant_id']}"


def _read_text(row: Row, column: str) -> str:
    value = row.get(column)
    return "" if value in (None, UNKNOWN) else str(value)


def mean_defined(values: Sequence[float]) -> float:
    """Average what is no NaN; NaN where nothing is."""
    defined = [value for value in values if not math.isnan(value)]
    return statistics.fmean(defined) if defined else math.nan
