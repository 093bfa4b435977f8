"""Scans that a review rejected: the list that the group page exports, or one written by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from bids_film.domain.errors import UsageError
from bids_film.inputs.tables import read_table

REJECTED = "reject"
_DECISIONS = ("accept", REJECTED, "undecided", "n/a", "")
_HINT = "export it from the review of the group page, or write a TSV with a column 'scan'"


def read_exclusions(path: Path) -> Mapping[str, str]:
    """Read which scans are left out, and why.

    A row is left out where its ``decision`` is ``reject``; in a list without that column, each is.

    Parameters
    ----------
    path : Path
        TSV with a column ``scan`` (path relative to the input dataset), and ``decision`` and
        ``note`` where wanted; or JSON, a list of objects with the same keys.

    Returns
    -------
    Mapping[str, str]
        Scan to note.

    Raises
    ------
    UsageError
        Where the file is not such a list.
    MetadataError
        Where it is a TSV that cannot be read.
    """
    if not path.exists() or path.is_dir():
        raise UsageError(f"--exclude-list: {path} is not there", hint=_HINT)
    rows = _read_json(path) if path.suffix == ".json" else _read_tsv(path)
    excluded = {}
    for row in rows:
        decision = str(row.get("decision", REJECTED)).strip().lower()
        if decision not in _DECISIONS:
            raise UsageError(
                f"{path}: the decision on {row['scan']} is {decision!r}; expected accept or reject",
                hint=_HINT,
            )
        if decision == REJECTED:
            note = str(row.get("note", "") or "").strip()
            # A path from `find` begins with ./, which no scan's own does.
            scan = PurePosixPath(str(row["scan"]).strip()).as_posix()
            excluded[scan] = "" if note == "n/a" else note
    return excluded


def _read_tsv(path: Path) -> list[Mapping[str, Any]]:
    return [_fold_keys(row.values) for row in read_table(path, required="scan").rows]


def _read_json(path: Path) -> list[Mapping[str, Any]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError) as problem:
        raise UsageError(f"{path} cannot be read as JSON: {problem}", hint=_HINT) from problem
    if not isinstance(rows, list) or not all(isinstance(r, dict) and "scan" in r for r in rows):
        raise UsageError(f"{path}: expected a list of objects with the key 'scan'", hint=_HINT)
    return [_fold_keys(row) for row in rows]


def _fold_keys(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read keys in any case: a row is left out where no decision is seen."""
    return {key.strip().casefold(): value for key, value in row.items()}
