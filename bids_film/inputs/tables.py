"""The TSV files of BIDS, read strictly as text, and their data dictionaries."""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_film.domain.errors import MetadataError

NOT_AVAILABLE = "n/a"
_LINE_END = re.compile(r"\r\n|\n|\r")
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row of a table.

    Attributes
    ----------
    line : int
        Line of the file, the header being line 1.
    values : Mapping[str, str]
        Column to text, exactly as found.
    """

    line: int
    values: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A TSV file.

    Attributes
    ----------
    path : Path
    columns : tuple[str, ...]
        Names without surrounding blanks.
    rows : tuple[Row, ...]
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def read_table(path: Path, *, required: str) -> Table:
    """Read a TSV file; every value stays the text that it is, so that ``0050`` keeps its zeros.

    A byte order mark, Windows line ends, blank lines, blanks around column names and empty cells
    beyond the last column are harmless and read over.

    Parameters
    ----------
    path : Path
    required : str
        Column that must be there; another case of its letters is accepted and corrected.

    Raises
    ------
    MetadataError
        Where the file is not text in UTF-8, has no header, lacks the column, names a column twice,
        or has a row with another number of cells than the header.
    """
    numbered = [
        (number, line)
        for number, line in enumerate(_LINE_END.split(_read_text(path)), start=1)
        if line.strip()
    ]
    if not numbered:
        raise MetadataError(
            f"{path} is empty; a table with the column {required!r} is expected.",
            hint="Fill it, or remove the file.",
        )
    columns = _read_columns(numbered[0][1], path, required)
    rows = tuple(_read_row(number, line, columns, path) for number, line in numbered[1:])
    return Table(path=path, columns=columns, rows=rows)


def index_rows(table: Table, keys: Sequence[tuple[str, str]]) -> dict[tuple[str, ...], Row]:
    """Find rows by the values of key columns.

    Parameters
    ----------
    table : Table
    keys : Sequence[tuple[str, str]]
        Column, and the prefix that is taken off its values (``("participant_id", "sub-")``).

    Raises
    ------
    MetadataError
        Where two rows have the same keys and do not say the same.
    """
    found: dict[tuple[str, ...], Row] = {}
    for row in table.rows:
        key = tuple(_read_key(row.values[column], prefix) for column, prefix in keys)
        first = found.setdefault(key, row)
        if first is row:
            continue
        differing = [name for name in table.columns if first.values[name] != row.values[name]]
        name = " and ".join(row.values[column].strip() for column, _ in keys)
        if set(differing) - {column for column, _ in keys}:
            raise MetadataError(
                f"{table.path} has two rows for {name}, lines {first.line} and {row.line}, that "
                f"differ in {', '.join(differing)}.",
                hint="Keep one row; values that change between sessions belong in a sessions.tsv.",
            )
        _LOG.warning("%s: line %d repeats line %d (%s)", table.path, row.line, first.line, name)
    return found


def find_row(rows: Mapping[tuple[str, ...], Row], key: Sequence[str]) -> Row | None:
    """Find the row of a key, or the one whose second part is not given: it holds for any."""
    return rows.get(tuple(key)) or rows.get((*key[:1], NOT_AVAILABLE))


def _read_key(text: str, prefix: str) -> str:
    label = text.strip().removeprefix(prefix)
    return NOT_AVAILABLE if label.casefold() in ("", NOT_AVAILABLE) else label


def read_units(*dictionaries: Path) -> dict[str, str]:
    """Units that data dictionaries declare for columns; the first file that has one wins.

    Raises
    ------
    MetadataError
        Where a file is there, but is not a JSON object.
    """
    units: dict[str, str] = {}
    for path in dictionaries:
        for column, description in (read_json(path) if os.path.lexists(path) else {}).items():
            unit = description.get("Units") if isinstance(description, dict) else None
            if isinstance(unit, str) and unit.strip():
                units.setdefault(column.strip(), unit.strip())
    return units


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON file that must hold an object.

    Raises
    ------
    MetadataError
        Where it cannot be read, holds something else, or gives a key twice with two values.
    """
    text = _read_text(path)
    try:
        content = json.loads(text, object_pairs_hook=_refuse_repeated)
    except (ValueError, RecursionError) as error:
        raise MetadataError(
            f"{path} is not valid JSON: {error}.", hint="Correct the file at the place named."
        ) from error
    if not isinstance(content, dict):
        raise MetadataError(
            f"{path} holds a {type(content).__name__}, but BIDS metadata is a JSON object.",
            hint='Write {"Key": value, …}.',
        )
    return content


def _refuse_repeated(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    # Python would take the last value without a word.
    content = dict(pairs)
    if len(content) < len(pairs):
        for key, value in pairs:
            if content[key] != value:
                raise ValueError(f"the key {key!r} is given twice, with two values")
    return content


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        if not path.is_symlink():
            raise MetadataError(f"{path} is not there.") from error
        raise MetadataError(
            f"{path} is a link to a file that is not there.",
            hint=f"Its content was not fetched: datalad get {path}",
        ) from error
    except OSError as error:
        raise MetadataError(f"{path} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise MetadataError(
            f"{path} is not text in UTF-8: byte {error.start} is {error.object[error.start]:#04x}.",
            hint="Save it anew as plain text with the encoding UTF-8.",
        ) from error


def _explain_missing(header: str, columns: tuple[str, ...], required: str) -> str:
    if len(columns) == 1 and ("," in header or ";" in header):
        return "It looks comma-separated: BIDS tables are tab-separated, save it as such."
    if required.endswith("_id"):
        return f"Name the column of labels {required!r}."
    return "It may be the table of another step than the one that is asked for."


def _read_columns(header: str, path: Path, required: str) -> tuple[str, ...]:
    names = [name.strip() for name in header.split("\t")]
    while names and not names[-1]:
        names.pop()
    columns = tuple(required if name.casefold() == required else name for name in names)
    if required not in columns:
        raise MetadataError(
            f"{path} has no column {required!r}; its columns are: {', '.join(columns)}.",
            hint=_explain_missing(header, columns, required),
        )
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise MetadataError(
            f"{path} has more than one column {', '.join(map(repr, repeated))}.",
            hint="Give each column a name of its own.",
        )
    return columns


def _read_row(number: int, line: str, columns: tuple[str, ...], path: Path) -> Row:
    cells = line.split("\t")
    extra = cells[len(columns) :]
    if len(cells) < len(columns) or any(cell.strip() for cell in extra):
        raise MetadataError(
            f"{path}, line {number} has {len(cells)} cells, but the header names {len(columns)} "
            "columns.",
            hint="Write n/a where a value is missing, and separate cells by one tab each.",
        )
    return Row(line=number, values=dict(zip(columns, cells, strict=False)))
