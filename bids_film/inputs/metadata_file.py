"""Metadata that the user gives in a table: a row per participant, or per session of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_film.domain.errors import MetadataError
from bids_film.domain.scan import MetadataSource, SourceKind
from bids_film.inputs.tables import read_table
from bids_film.metadata.parse import is_missing

GivenRow = Mapping[str, str]
"""Column to text; labels without ``sub-`` and ``ses-``, and an empty session for all of them."""

_PARTICIPANT, _SESSION = "participant_id", "session_id"
_EXPECTED = (
    "It is a table in UTF-8, separated by tabs, with participant_id, maybe session_id, and the "
    "model's fields as columns; write n/a where a value is missing."
)


def read_metadata_file(path: Path) -> list[GivenRow]:
    """Read a tab-separated table: ``participant_id``, maybe ``session_id``, and a column a field.

    Every cell stays the text that it is. A row without session holds for all sessions.

    Raises
    ------
    MetadataError
        As for `read_table`, and where two columns are of sessions, a row is about no participant,
        or two are about the same participant and session.
    """
    try:
        table = read_table(path, required=_PARTICIPANT)
    except MetadataError as problem:
        raise MetadataError(f"--metadata-file: {problem.message}", hint=_EXPECTED) from problem
    named = [column for column in table.columns if column.casefold() == _SESSION]
    if len(named) > 1:
        raise MetadataError(
            f"{path} has more than one column of sessions: {', '.join(named)}.", hint=_EXPECTED
        )
    rows: list[GivenRow] = []
    lines_of: dict[tuple[str, str], int] = {}
    for row in table.rows:
        given = _read_labels(row.values)
        if not given[_PARTICIPANT]:
            raise MetadataError(
                f"{path}, line {row.line} does not say which participant it is about."
            )
        first = lines_of.setdefault((given[_PARTICIPANT], given[_SESSION]), row.line)
        if first != row.line:
            raise MetadataError(
                f"{path}: lines {first} and {row.line} are both about {_name(given)}.",
                hint=f"Keep one of them, or tell them apart by a column {_SESSION}.",
            )
        rows.append(given)
    return rows


def metadata_file_source(
    rows: Sequence[GivenRow], entities: Mapping[str, str], path: Path
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
            if row[_SESSION] == session:
                given = {name: cell for name, cell in row.items() if not is_missing(cell)}
                values = {**row, **values, **given}
    for column in (_PARTICIPANT, _SESSION):
        values.pop(column, None)
    if not values:
        return None
    return MetadataSource(kind=SourceKind.METADATA_FILE, file=path.name, values=values)


def _read_labels(values: Mapping[str, str]) -> GivenRow:
    cells = {
        _SESSION if name.casefold() == _SESSION else name: cell.strip()
        for name, cell in values.items()
    }
    session = cells.get(_SESSION, "").removeprefix("ses-")
    return {
        **cells,
        _PARTICIPANT: cells[_PARTICIPANT].removeprefix("sub-"),
        _SESSION: "" if session.casefold() == "n/a" else session,
    }


def _name(row: GivenRow) -> str:
    session = row[_SESSION]
    return f"participant {row[_PARTICIPANT]}" + (f", session {session}" if session else "")
