"""What a look at the folders tells of a dataset; quick for tens of thousands of participants."""

from __future__ import annotations

import difflib
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bids_film.domain.errors import InputError

_PARTICIPANT_FOLDER = re.compile(r"sub-([a-zA-Z0-9+]+)")
_DESCRIPTION = "dataset_description.json"
_SHOWN_LABELS = 5
_LOG = logging.getLogger(__name__)


def list_participants(root: Path) -> list[str]:
    """Labels, without ``sub-``, of the participants that have a folder, sorted.

    Raises
    ------
    InputError
        Where `root` is not a folder that can be read.
    """
    try:
        with os.scandir(root) as entries:
            found = [
                match[1]
                for entry in entries
                if (match := _PARTICIPANT_FOLDER.fullmatch(entry.name)) and _is_folder(entry)
            ]
    except FileNotFoundError as error:
        raise InputError(
            f"The BIDS dataset {root} does not exist.", hint="Check the first argument."
        ) from error
    except NotADirectoryError as error:
        raise InputError(
            f"{root} is a file, but the folder of a BIDS dataset is needed.",
            hint="Give the folder that holds dataset_description.json.",
        ) from error
    except OSError as error:
        raise InputError(
            f"The BIDS dataset {root} cannot be read: {error.strerror}.",
            hint="Check its permissions; in a container, check that the folder is mounted.",
        ) from error
    return sorted(found)


def check_dataset(root: Path, participants: Sequence[str]) -> None:
    """Check cheaply that a folder is a raw BIDS dataset.

    Raises
    ------
    InputError
        Where dataset_description.json is missing, is not a JSON object, lacks ``Name`` or
        ``BIDSVersion``, declares a derivative, or where there is no ``sub-`` folder.
    """
    file = root / _DESCRIPTION
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError as error:
        raise InputError(
            f"{root} is not a BIDS dataset: it has no {_DESCRIPTION}.", hint=_hint_of_root(root)
        ) from error
    except OSError as error:
        raise InputError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{file} is not valid JSON: {error}.", hint="Correct it, or run the BIDS validator."
        ) from error
    lacking = [
        key
        for key in ("Name", "BIDSVersion")
        if not isinstance(content, dict) or not content.get(key)
    ]
    if lacking:
        raise InputError(
            f"{file} lacks {' and '.join(lacking)}, which BIDS requires.",
            hint="Add what is missing, or go on without this check by --skip-bids-validation.",
        )
    if content.get("DatasetType") == "derivative":
        raise InputError(
            f"{root} calls itself a derivative dataset, but a raw BIDS dataset is expected.",
            hint="Give the raw dataset, or segment this one all the same by "
            "--skip-bids-validation.",
        )
    if not participants:
        raise InputError(
            f"{root} has no participant: not one folder sub-<label> is there.",
            hint=_hint_of_root(root),
        )


def choose_participants(
    available: Sequence[str], asked: Sequence[str] | None, root: Path
) -> list[str]:
    """Those of the available participants that are asked for; all of them for None.

    Parameters
    ----------
    available : Sequence[str]
        Labels without ``sub-``.
    asked : Sequence[str] or None
        Labels with or without ``sub-``.
    root : Path
        Named in the error message.

    Raises
    ------
    InputError
        Where a label is not among the available ones; the message names the nearest.
    """
    if asked is None:
        return list(available)
    labels = dict.fromkeys(label.removeprefix("sub-") for label in asked)
    known = frozenset(available)
    unknown = [label for label in labels if label not in known]
    if unknown:
        raise unknown_label_error("participant", "sub", unknown, available, root)
    return list(labels)


def unknown_label_error(
    noun: str,
    key: str,
    unknown: Sequence[str],
    available: Sequence[str],
    root: Path,
    *,
    among: str = "",
) -> InputError:
    """Build the error for labels that a dataset does not have, naming the nearest that it has.

    `among` says whose labels were looked at, where those were not all.
    """
    near = list(dict.fromkeys(n for label in unknown for n in _nearest(label, available)))
    if near:
        hint = "Did you mean " + " or ".join(f"{key}-{label}" for label in near) + "?"
    elif available:
        shown = ", ".join(f"{key}-{label}" for label in available[:_SHOWN_LABELS])
        more = len(available) - _SHOWN_LABELS
        hint = f"There are: {shown}" + (f" and {more} more." if more > 0 else ".")
    else:
        hint = f"There are no {noun}s{among or ' in the dataset'}."
    names = ", ".join(f"{key}-{label}" for label in unknown)
    return InputError(f"No {noun} {names}{among} in {root}.", hint=hint)


def list_files(folder: Path, *, depth: int = 2) -> Iterator[str]:
    """Paths of the files in a participant's folder, without hidden ones, as pybids has them.

    A link to nowhere is a file: the content of an annexed one may be got later.

    Parameters
    ----------
    folder : Path
    depth : int
        Levels of folders below it that are looked into: BIDS has a session's and a datatype's.
    """
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except OSError as error:
        _LOG.warning("%s is left out: it cannot be read: %s", folder, error.strerror)
        return
    for entry in entries:
        if not _is_folder(entry):
            yield entry.path
        elif depth:
            yield from list_files(Path(entry.path), depth=depth - 1)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def newest_change_ns(folder: Path) -> int:
    """Time at which an entry was last added to or removed from a folder or one below it."""
    newest = folder.stat().st_mtime_ns
    try:
        with os.scandir(folder) as entries:
            below = [Path(entry.path) for entry in entries if _is_folder(entry)]
    except PermissionError:
        return newest  # nothing of it is listed either
    return max([newest, *(newest_change_ns(path) for path in below)])


def _nearest(label: str, available: Iterable[str]) -> list[str]:
    # A number written with other leading zeros is the likeliest mistake: spreadsheets eat them.
    stripped = label.lstrip("0")
    same_number = [other for other in available if other.lstrip("0") == stripped]
    return same_number[:2] or difflib.get_close_matches(label, available, n=1)


def _hint_of_root(root: Path) -> str:
    below = sorted(path.parent.name for path in root.glob(f"*/{_DESCRIPTION}"))
    if below:
        return f"Give the folder of one dataset, such as {root / below[0]}."
    if _PARTICIPANT_FOLDER.fullmatch(root.name):
        return f"This is a participant's folder; give the dataset's, {root.parent}."
    return (
        "Give the folder that holds dataset_description.json and the sub-<label> folders, or go on "
        "without this check by --skip-bids-validation."
    )
