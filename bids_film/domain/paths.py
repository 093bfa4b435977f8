"""Paths as the user gave them, made to last; and files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

TEMPORARY_PATTERN = ".bids-film-*.tmp"
"""What temporary files are called; the output's `.bidsignore` names it."""


def make_absolute(path: Path) -> Path:
    """Absolute path without ``..``; links stay, so that messages show the path that was given."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve() would follow links


def name_temporary(folder: Path) -> Path:
    """Name a file of a folder that nobody else writes."""
    return folder / TEMPORARY_PATTERN.replace("*", secrets.token_hex(8))


def write_whole(path: Path, content: bytes | Callable[[BinaryIO], None]) -> None:
    """Write a file so that a reader, or a crash, finds the old one or the new one, never a half.

    Parameters
    ----------
    path : Path
    content : bytes or callable
        The bytes, or what writes them to the open binary stream that it is given.
    """
    temporary = name_temporary(path.parent)
    try:
        # "x" obeys the umask; the tempfile module would leave files that colleagues cannot read.
        with temporary.open("xb") as stream:
            if callable(content):
                content(stream)
            else:
                stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
