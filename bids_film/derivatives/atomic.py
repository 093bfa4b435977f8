"""Files that are there whole or not at all, and the folder into which they may go."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from bids_film.domain.errors import UsageError
from bids_film.domain.paths import TEMPORARY_PATTERN, name_temporary, write_whole

_PROBE_BYTES = 1 << 16


def write_atomically(path: Path, content: bytes | Callable[[BinaryIO], None]) -> None:
    """Write a file so that a reader, or a crash, finds the old one or the new one, never a half.

    Parameters
    ----------
    path : Path
        The folder is made where it is missing.
    content : bytes or callable
        The bytes, or what writes them to the open binary stream that it is given.

    Raises
    ------
    UsageError
        Where the folder or the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, content)
    except OSError as problem:
        raise UsageError(
            f"cannot write {path}: {problem.strerror or problem}",
            hint="check that the output folder is writable and that its disk has space left",
        ) from problem


def write_text_atomically(path: Path, text: str) -> None:
    """Write text as UTF-8 with its line feeds as they are, see `write_atomically`."""
    # Half a surrogate, which JSON can hold, is written as its escape.
    write_atomically(path, text.encode("utf-8", "backslashreplace"))


def check_output_folder(output: Path, bids_root: Path) -> None:
    """Refuse an output folder that would mix results into the input dataset.

    Two layouts that the BIDS specification itself describes are allowed: results below the input's
    ``derivatives``, and an input below the output's ``sourcedata``.

    Raises
    ------
    UsageError
        Where the output is the input, or one lies inside the other in any other way.
    """
    target, source = output.resolve(), bids_root.resolve()
    hint = f"give a folder of its own, such as {bids_root / 'derivatives' / 'bids-film'}"
    if target == source:
        raise UsageError(f"the output folder {output} is the input dataset itself", hint=hint)
    if target.is_relative_to(source) and not _lies_below(target, source / "derivatives"):
        raise UsageError(
            f"the output folder {output} lies inside the input dataset, which is only read",
            hint=hint,
        )
    if source.is_relative_to(target) and not _lies_below(source, target / "sourcedata"):
        raise UsageError(f"the output folder {output} contains the input dataset", hint=hint)


def _lies_below(folder: Path, parent: Path) -> bool:
    return folder != parent and folder.is_relative_to(parent)


@contextmanager
def hold_folder(folder: Path, *, to_read: bool = False) -> Iterator[None]:
    """Keep other runs from replacing files of a folder that belong together; waits for its turn.

    The kernel gives the folder free when the process ends, however that is: no lock is ever stale.
    Who holds it alone removes what a killed run left half-written in it. On a file system without
    locks, nothing is held, and nothing removed.

    Parameters
    ----------
    folder : Path
        Made where it is missing.
    to_read : bool
        Whether others may hold it to read as well.

    Raises
    ------
    UsageError
        Where it cannot be made or opened.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as problem:
        raise UsageError(
            f"cannot write into {folder}: {problem.strerror or problem}",
            hint="check that the output folder is writable and that its disk has space left",
        ) from problem
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_SH if to_read else fcntl.LOCK_EX)
            if not to_read:
                for left in folder.glob(TEMPORARY_PATTERN):
                    left.unlink()
        yield
    finally:
        os.close(descriptor)


def check_inside(folder: Path, output: Path) -> None:
    """Refuse a folder of the output that is, or lies behind, a link to somewhere else.

    Raises
    ------
    UsageError
    """
    if not folder.resolve().is_relative_to(output.resolve()):
        raise UsageError(
            f"{folder} leads out of the output folder, to {folder.resolve()}",
            hint="remove the link, or give the folder that it leads to as OUTPUT_DIR",
        )


def check_writable(folder: Path) -> None:
    """Make a folder and write a file in it, so that a long run does not find out at its end.

    Raises
    ------
    UsageError
        Where that is not possible.
    """
    probe = name_temporary(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            # A full disk takes empty files.
            probe.write_bytes(bytes(_PROBE_BYTES))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as problem:
        raise UsageError(
            f"cannot write into {folder}: {problem.strerror or problem}",
            hint="give a folder that you may write to, on a disk with space left",
        ) from problem
