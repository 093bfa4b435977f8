"""The files of a dataset by a saved index of pybids; the only importer of pybids.

Whether an index still says what is on disk is checked here: pybids itself never looks.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from bids.layout import BIDSLayout, BIDSLayoutIndexer
from sqlalchemy.exc import SQLAlchemyError

from bids_film.domain.errors import UsageError
from bids_film.inputs.folders import newest_change_ns

DATABASE_FILE = "layout_index.sqlite"
"""Name that pybids gives to an index."""

_RECORD_FILE = "bids_film_index.json"
_LOG = logging.getLogger(__name__)


class _State(StrEnum):
    """What a database folder holds."""

    ABSENT = "no index yet"
    CURRENT = "up to date"
    STALE = "out of date"
    FOREIGN = "made by another program"


def list_files(
    folder: Path, root: Path, available: Sequence[str], asked: Sequence[str]
) -> list[str]:
    """Paths of all files, as an index has them that fits the dataset; made where there is none.

    Parameters
    ----------
    folder : Path
        The database folder; made where it does not exist.
    root : Path
        Root of the dataset.
    available : Sequence[str]
        Labels of all participants that are on disk.
    asked : Sequence[str]
        Those whose folders are looked into for added and removed files.

    Raises
    ------
    UsageError
        Where the folder cannot be written to, or another program's index does not fit.
    """
    state = _inspect(folder, root, available, asked)
    if state in (_State.CURRENT, _State.FOREIGN):
        older = state is _State.FOREIGN and _is_older(folder / DATABASE_FILE, root, asked)
        files = None if older else _read(folder, root, asked)
        if files is not None:
            return files
        if state is _State.FOREIGN:
            raise UsageError(
                f"{folder / DATABASE_FILE} was made by another program and does not fit "
                f"{root} as it is now.",
                hint="Name another folder by --bids-database-dir; the index is made there.",
            )
    elif state is _State.STALE:
        _LOG.warning("The index in %s is out of date with %s: making it anew", folder, root)
    _rebuild(folder, root, available)
    return _list(BIDSLayout(root, validate=False, database_path=folder))


def _read(folder: Path, root: Path, asked: Sequence[str]) -> list[str] | None:
    """Files of a saved index; None where it is of another dataset, incomplete or damaged."""
    try:
        layout = BIDSLayout(root, validate=False, database_path=folder)
        files = _list(layout)
    except (ValueError, SQLAlchemyError, AttributeError) as error:
        _LOG.warning("The index in %s cannot be used: %s", folder, error)
        return None
    # Not by layout.get_subjects(), which takes 3 s for 3,000 participants: it reads every tag.
    known = {file.removeprefix(f"{root}/").partition("/")[0] for file in files}
    complete = known.issuperset(f"sub-{label}" for label in asked)
    return files if layout.root == str(root) and complete else None


def _is_older(index: Path, root: Path, asked: Iterable[str]) -> bool:
    """Whether files came or went since the index was written, which says nothing of it itself."""
    written = index.stat().st_mtime_ns
    return any(newest_change_ns(root / f"sub-{label}") > written for label in asked)


def _list(layout: BIDSLayout) -> list[str]:
    files: list[str] = layout.get(return_type="file", scope="self")
    return files


def _inspect(folder: Path, root: Path, available: Sequence[str], asked: Iterable[str]) -> _State:
    """Compare a saved index with the dataset."""
    if not (folder / DATABASE_FILE).exists():
        return _State.ABSENT
    try:
        record = json.loads((folder / _RECORD_FILE).read_text(encoding="utf-8"))
        changes = dict(record["newest_change_ns"])
    except FileNotFoundError:
        return _State.FOREIGN
    except (OSError, ValueError, KeyError, TypeError):
        return _State.STALE
    if record.get("root") != str(root) or changes.keys() != set(available):
        return _State.STALE
    same = all(changes[label] == newest_change_ns(root / f"sub-{label}") for label in asked)
    return _State.CURRENT if same else _State.STALE


def _rebuild(folder: Path, root: Path, available: Sequence[str]) -> None:
    """Index a dataset anew; other processes find the old index or the new one, never a part."""
    _LOG.info("Indexing all %d participants of %s into %s", len(available), root, folder)
    # Taken before the files are listed: a file added meanwhile makes the index stale, not silent.
    changes = {label: newest_change_ns(root / f"sub-{label}") for label in available}
    record = {"root": str(root), "newest_change_ns": changes}
    temporary: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".building-"))
        # Metadata is not indexed: pybids merges the sidecars of a scan, and which file gave a value
        # would be lost. SourceReader reads them by the same rules and keeps them apart.
        indexer = BIDSLayoutIndexer(index_metadata=False)
        BIDSLayout(root, validate=False, indexer=indexer, database_path=temporary)
        (temporary / _RECORD_FILE).write_text(json.dumps(record), encoding="utf-8")
        for name in (DATABASE_FILE, _RECORD_FILE):
            (temporary / name).replace(folder / name)
    except OSError as error:
        raise UsageError(
            f"The database folder {folder} cannot be written to: {error.strerror or error}.",
            hint="Name a folder that you may write to by --bids-database-dir, or leave it out.",
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                shutil.rmtree(temporary)
