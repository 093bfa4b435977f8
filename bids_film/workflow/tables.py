"""Tables over many scans: TSV with a JSON data dictionary beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_film.derivatives.atomic import write_text_atomically
from bids_film.derivatives.tables import format_text

_SMALL = 1e-4
"""Below, as p values are, six digits after the point are too few."""

Cell = str | float | None
Row = dict[str, Cell]
"""Column to cell; what a row does not have is ``n/a``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of a table.

    Attributes
    ----------
    description : str
    unit : str
        Empty for text and numbers without one.
    """

    description: str
    unit: str = ""


def write_table(
    path: Path, columns: Mapping[str, Column], rows: Sequence[Mapping[str, Cell]]
) -> None:
    """Write a TSV and its data dictionary; what a row does not have is ``n/a``.

    Parameters
    ----------
    path : Path
        Ends in ``.tsv``; the dictionary gets ``.json``.
    """
    lines = ["\t".join(columns)]
    lines += ["\t".join(_format_cell(row.get(name)) for name in columns) for row in rows]
    dictionary = {
        name: {"Description": column.description} | ({"Units": column.unit} if column.unit else {})
        for name, column in columns.items()
    }
    write_text_atomically(
        path.with_suffix(".json"), json.dumps(dictionary, indent=2, ensure_ascii=False) + "\n"
    )
    write_text_atomically(path, "\n".join(lines) + "\n")


def remove_table(path: Path) -> None:
    """Remove a table of an earlier run, and its data dictionary, where they are."""
    path.with_suffix(".json").unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _format_cell(value: Cell) -> str:
    if value is None or value != value:  # noqa: PLR0124 only NaN differs from itself
        return "n/a"
    if isinstance(value, str):
        return format_text(value)
    if 0 < abs(value) < _SMALL:
        return f"{value:.3g}"
    return f"{value:.6f}".rstrip("0").rstrip(".")
