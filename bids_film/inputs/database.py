"""Whether a saved index of a dataset still says what is on disk; pybids itself never looks."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from pathlib import Path

from bids_film.domain.errors import UsageError
from bids_film.inputs.folders import newest_change_ns

DATABASE_FILE = "layout_index.sqlite"
"""Name that pybids gives to an index."""

_RECORD_FILE = "bids_film_index.json"
_LOG = logging.getLogger(__name__)


class State(StrEnum):
    """What a database folder holds."""

    ABSENT = "no index yet"
    CURRENT = "up to date"
    STALE = "out of date"
    FOREIGN = "made by another program"


def inspect(folder: Path, root: Path, available: Sequence[str], asked: Iterable[str]) -> State:
    """Compare a saved index with the dataset.

    Parameters
    ----------
    folder : Path
        The database folder.
    root : Path
        Root of the dataset.
    available : Sequence[str]
        Labels of all participants that are on disk.
    asked : Iterable[str]
        Those whose folders are looked into for added and removed files.
    """
    if not (folder / DATABASE_FILE).exists():
        return State.ABSENT
    try:
        record = json.loads((folder / _RECORD_FILE).read_text(encoding="utf-8"))
        changes = dict(record["newest_change_ns"])
    except FileNotFoundError:
        return State.FOREIGN
    except (OSError, ValueError, KeyError, TypeError):
        return State.STALE
    if record.get("root") != str(root) or changes.keys() != set(available):
        return State.STALE
    same = all(changes[label] == newest_change_ns(root / f"sub-{label}") for label in asked)
    return State.CURRENT if same else State.STALE


def rebuild(
    folder: Path, root: Path, available: Sequence[str], build: Callable[[Path], object]
) -> None:
    """Index a dataset anew; other processes find the old index or the new one, never a part.

    Parameters
    ----------
    folder : Path
        The database folder; made where it does not exist.
    root : Path
        Root of the dataset.
    available : Sequence[str]
        Labels of all participants that are on disk.
    build : Callable[[Path], object]
        Writes `DATABASE_FILE` into the folder that it is given.

    Raises
    ------
    UsageError
        Where the folder cannot be written to.
    """
    _LOG.info("Indexing all %d participants of %s into %s", len(available), root, folder)
    # Taken before the files are listed: a file added meanwhile makes the index stale, not silent.
    changes = {label: newest_change_ns(root / f"sub-{label}") for label in available}
    record = {"root": str(root), "newest_change_ns": changes}
    temporary: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder, prefix=".building-"))
        build(temporary)
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
