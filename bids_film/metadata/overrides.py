"""Metadata that the user gives: on the command line, or in a table."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_film.domain.errors import MetadataError, UsageError
from bids_film.domain.scan import MetadataSource, SourceKind
from bids_film.metadata.fields import Field
from bids_film.metadata.parse import Status, is_missing
from bids_film.metadata.resolve import resolve

Row = Mapping[str, str]
"""Column to text; labels without ``sub-`` and ``ses-``, and an empty session for all of them."""

_PARTICIPANT, _SESSION = "participant_id", "session_id"
_LINE_END = re.compile(r"\r\n|\n|\r")


def read_overrides(assignments: Sequence[str]) -> MetadataSource:
    """Read ``FIELD=VALUE`` from the command line.

    Raises
    ------
    UsageError
        Where one is not of that form, or a field comes twice.
    """
    values: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals or not name:
            raise UsageError(
                f"--metadata: expected FIELD=VALUE, got {assignment!r}",
                hint="such as --metadata MagneticFieldStrength=3 Manufacturer=Siemens",
            )
        if values.setdefault(name, value) != value:
            raise UsageError(f"--metadata: {name} is given as {values[name]!r} and as {value!r}")
    return MetadataSource(kind=SourceKind.COMMAND_LINE, values=values)


def check_overrides(given: MetadataSource, fields: Sequence[Field]) -> None:
    """Refuse what was typed for nothing: a name that is no field, a value that cannot be used.

    Parameters
    ----------
    given : MetadataSource
        Of `read_overrides`.
    fields : Sequence[Field]
        Those of the model.

    Raises
    ------
    UsageError
        Naming the nearest field, or what is wrong with the value.
    """
    # A typing mistake here would otherwise let the dataset's value win, for every scan.
    values = resolve(fields, [given])
    names = [field.name for field in fields]
    for name in given.values:
        if name in {value.key for value in values}:
            continue
        near = difflib.get_close_matches(name, names, n=1)
        listed = f"its fields: {', '.join(names)}" if names else "it reads no metadata"
        hint = f"did you mean {near[0]!r}?" if near else listed
        raise UsageError(f"--metadata {name}: the model has no such field", hint=hint)
    for value in values:
        if not value.status.usable and value.status is not Status.MISSING:
            raise UsageError(
                f"--metadata {value.key}={value.raw}: {value.note}",
                hint=f"{value.key}=n/a makes the field unknown to the model",
            )


def read_metadata_file(path: Path) -> list[Row]:
    """Read a tab-separated table: ``participant_id``, maybe ``session_id``, and a column a field.

    Every cell stays the text that it is. A row without session holds for all sessions.

    Raises
    ------
    MetadataError
        Where the file cannot be read, lacks ``participant_id``, names a column twice, a row has
        another number of cells than the header, or two rows are about the same participant and
        session.
    """
    lines = [(n, line) for n, line in enumerate(_read_lines(path), start=1) if line.strip()]
    if not lines:
        raise MetadataError(f"{path} is empty", hint="write a header with participant_id, and rows")
    columns = _read_header(lines[0][1], path)
    rows: list[Row] = []
    lines_of: dict[tuple[str, str], int] = {}
    for number, line in lines[1:]:
        row = _read_row(line, columns, where=f"{path}, line {number}")
        first = lines_of.setdefault((row[_PARTICIPANT], row.get(_SESSION, "")), number)
        if first != number:
            raise MetadataError(
                f"{path}: lines {first} and {number} are both about {_name_row(row)}",
                hint="keep one of them, or tell them apart by a column session_id",
            )
        rows.append(row)
    return rows


def metadata_file_source(
    rows: Sequence[Row], entities: Mapping[str, str], path: Path
) -> MetadataSource | None:
    """Take what the table says of a scan.

    Cells of the session's row come first; where they are missing, the participant's row without
    session speaks.

    Parameters
    ----------
    rows : Sequence[Mapping[str, str]]
        Of `read_metadata_file`.
    entities : Mapping[str, str]
        Of the scan.
    path : Path
        Of the table.

    Returns
    -------
    MetadataSource or None
        None where no row is about the scan.
    """
    own = [row for row in rows if row[_PARTICIPANT] == entities["sub"]]
    values: dict[str, str] = {}
    for session in dict.fromkeys(("", entities.get("ses", ""))):
        for row in own:
            if row.get(_SESSION, "") == session:
                given = {name: cell for name, cell in row.items() if not is_missing(cell)}
                values = {**row, **values, **given}
    for column in (_PARTICIPANT, _SESSION):
        values.pop(column, None)
    if not values:
        return None
    return MetadataSource(kind=SourceKind.METADATA_FILE, file=path.name, values=values)


def _read_lines(path: Path) -> list[str]:
    try:
        return _LINE_END.split(path.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise MetadataError(
            f"cannot read the metadata file {path}: {problem.strerror}",
            hint="check the path given to --metadata-file",
        ) from problem
    except UnicodeDecodeError as problem:
        raise MetadataError(
            f"the metadata file {path} is not text in UTF-8",
            hint="save it as tab-separated text with the encoding UTF-8",
        ) from problem


def _read_header(line: str, path: Path) -> tuple[str, ...]:
    names = [name.strip() for name in line.rstrip().split("\t")]
    columns = tuple(n.casefold() if n.casefold() in (_PARTICIPANT, _SESSION) else n for n in names)
    if _PARTICIPANT not in columns:
        commas = len(columns) == 1 and ("," in line or ";" in line)
        raise MetadataError(
            f"{path}: expected a column {_PARTICIPANT}, got {', '.join(columns)}",
            hint="it looks comma-separated: save it as tab-separated text"
            if commas
            else "the columns are participant_id, maybe session_id, and the model's fields",
        )
    repeated = sorted({name for name in columns if columns.count(name) > 1})
    if repeated:
        raise MetadataError(f"{path}: there is more than one column {', '.join(repeated)}")
    return columns


def _read_row(line: str, columns: tuple[str, ...], *, where: str) -> Row:
    cells = [cell.strip() for cell in line.split("\t")]
    while len(cells) > len(columns) and not cells[-1]:
        cells.pop()
    if len(cells) != len(columns):
        raise MetadataError(
            f"{where}: expected {len(columns)} cells, as in the header, got {len(cells)}",
            hint="write n/a where a value is missing, and one tab between two cells",
        )
    row = dict(zip(columns, cells, strict=True))
    row[_PARTICIPANT] = row[_PARTICIPANT].removeprefix("sub-")
    if not row[_PARTICIPANT]:
        raise MetadataError(f"{where}: it does not say which participant it is about")
    if _SESSION in row:
        session = row[_SESSION].removeprefix("ses-")
        row[_SESSION] = "" if session.casefold() == "n/a" else session
    return row


def _name_row(row: Row) -> str:
    session = row.get(_SESSION, "")
    return f"participant {row[_PARTICIPANT]}" + (f", session {session}" if session else "")
