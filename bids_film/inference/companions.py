"""Scans of other contrasts that a network sees together with the one it segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from bids_film.domain.patterns import find_files
from bids_film.domain.scan import Scan
from bids_film.domain.volume import Volume
from bids_film.images.geometry import GRID_TOLERANCE_MM, same_grid
from bids_film.images.resample import resample_to_grid


class ReadVolume(Protocol):
    """Reads a NIfTI file; label maps as integers, shares as numbers from 0 to 1."""

    def __call__(self, path: Path, *, labels: bool = False, shares: bool = False) -> Volume:
        """Read one file."""
        ...


def read_with_companions(scan: Scan, patterns: Sequence[str], *, read: ReadVolume) -> Volume:
    """Read a scan, and the others that the network sees with it, brought onto its grid.

    They must lie in the same place in the world (co-registered); nothing is aligned here. A
    companion that is not there is left out: the network has learned to do without.

    Parameters
    ----------
    scan : Scan
    patterns : Sequence[str]
        `Preprocessing.companions`.
    read : ReadVolume

    Raises
    ------
    ScanError
        Where one of the files cannot be used.
    """
    volume = read(scan.path)
    companions: list[Volume | None] = []
    notes: list[str] = []
    for pattern, path in zip(patterns, find_files(scan, patterns), strict=True):
        if path is None:
            companions.append(None)
            notes.append(f"no file {pattern}: segmented without")
            continue
        found = read(path)
        if not same_grid(found.grid, volume.grid, tolerance_mm=GRID_TOLERANCE_MM):
            moved = resample_to_grid(found.data, found.grid, volume.grid)
            if not moved.any():
                companions.append(None)
                notes.append(f"{path.name} does not lie where the scan does: segmented without")
                continue
            found = Volume(data=moved, grid=volume.grid)
            notes.append(f"{path.name} lies on another grid: resampled onto that of the scan")
        companions.append(found)
    return replace(volume, companions=tuple(companions), notes=(*volume.notes, *notes))
