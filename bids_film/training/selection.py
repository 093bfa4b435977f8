"""Which datasets and scans a recipe asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from bids_film.domain.errors import InputError, UsageError
from bids_film.domain.scan import Scan
from bids_film.training.settings import DataSettings


def find_roots(root: Path, data: DataSettings) -> list[Path]:
    """List the roots of all datasets of a recipe, the one of the command line first.

    Raises
    ------
    InputError
        Where one of ``[data] also`` is no folder.
    """
    others = [(root / further).resolve() for further in data.also]
    for further, found in zip(data.also, others, strict=True):
        if not found.is_dir():
            raise InputError(
                f"[data] also: {further!r} is no folder: {found}",
                hint=f"give an absolute path, or one relative to {root}",
            )
    # The first one as it was given: it may be a link to one of the others.
    return [root, *dict.fromkeys(found for found in others if found != root.resolve())]


def keep_present(root: Path, data: DataSettings) -> DataSettings:
    """Leave out further datasets that do not lie beside this one: a model is tried on another."""
    there = tuple(further for further in data.also if (root / further).is_dir())
    return replace(data, also=there)


def leave_out(scans: Sequence[Scan], data: DataSettings, *, strict: bool = True) -> list[Scan]:
    """Take out the scans that ``[data] exclude`` names.

    Raises
    ------
    UsageError
        With `strict`, for a pattern that matches no scan: mostly a typing error.
    """
    for pattern in data.exclude:
        if strict and not any(fnmatchcase(scan.relative_path, pattern) for scan in scans):
            raise UsageError(
                f"[data] exclude: {pattern!r} matches none of {len(scans)} scans",
                hint="patterns are matched with paths such as sub-01/anat/sub-01_T1w.nii.gz",
            )
    return [
        scan
        for scan in scans
        if not any(fnmatchcase(scan.relative_path, pattern) for pattern in data.exclude)
    ]
