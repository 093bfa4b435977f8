"""Paths of files that belong to a scan, as patterns with placeholders."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from bids_film.domain.entities import ENTITY_ORDER
from bids_film.domain.errors import UsageError
from bids_film.domain.records import check_key
from bids_film.domain.scan import Scan

PLACEHOLDERS = ("folder", "stem", "entities", "suffix", *ENTITY_ORDER)
"""What a pattern may hold in braces."""


def fill_pattern(scan: Scan, pattern: str) -> Path | None:
    """Fill a pattern's placeholders for a scan; None where the scan lacks an entity it asks for.

    See `TargetStructure.labels` for the placeholders.
    """
    folder = scan.path.parent.relative_to(scan.dataset_root).as_posix()
    parts = {
        **scan.entities,
        "folder": folder,
        "stem": scan.stem,
        "entities": scan.stem.removesuffix(f"_{scan.suffix}"),
        "suffix": scan.suffix,
    }
    try:
        return scan.dataset_root / pattern.format_map(parts)
    except KeyError:
        return None


def find_files(scan: Scan, patterns: Sequence[str]) -> tuple[Path | None, ...]:
    """Find the file of each pattern; None where a scan doesn't have it."""
    paths = [fill_pattern(scan, pattern) for pattern in patterns]
    return tuple(path if path is not None and is_listed(path) else None for path in paths)


def is_listed(path: Path) -> bool:
    """Whether a dataset has a file; a link counts, also where its content was not fetched."""
    return path.is_file() or path.is_symlink()


def check_pattern(pattern: str, *, where: str) -> None:
    """Refuse a pattern that names the same file for every scan, or one outside of the dataset.

    Raises
    ------
    UsageError
    """
    try:
        parsed = list(string.Formatter().parse(pattern))
    except ValueError as problem:
        raise UsageError(f"{where} = {pattern!r}: {problem}") from problem
    names = [name for _, name, _, _ in parsed if name is not None]
    for name in names:
        check_key(name, PLACEHOLDERS, where=where)
    if not names:
        raise UsageError(
            f"{where} = {pattern!r} names the same file for every scan",
            hint="use placeholders such as {folder} and {stem}",
        )
    path = PurePosixPath(pattern)
    if path.is_absolute() or ".." in path.parts:
        raise UsageError(
            f"{where} = {pattern!r} leads out of the dataset",
            hint="give a path relative to the dataset's root",
        )
