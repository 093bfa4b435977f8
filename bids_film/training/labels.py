"""Reference labels of a scan: which files hold them, and how they become one label map."""

from __future__ import annotations

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_film.domain.errors import ScanError
from bids_film.domain.patterns import fill_pattern, find_files, is_listed
from bids_film.domain.scan import Scan
from bids_film.domain.volume import Grid, Volume
from bids_film.domain.words import name_some
from bids_film.images.geometry import GRID_TOLERANCE_MM, same_grid
from bids_film.images.resample import resample_to_grid
from bids_film.inference.companions import ReadVolume
from bids_film.model.header import hash_file
from bids_film.training.settings import TargetStructure

_LEAST_INSIDE = 0.5
_HALF = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """What experts drew on a scan.

    Attributes
    ----------
    labels : ndarray
        int16: structure index of each voxel on the image's grid, 0 for background; a structure
        is painted over the one that contains it.
    annotated : frozenset[str]
        Names of the structures whose label file exists; the others may be anywhere.
    files : tuple[Path, ...]
        The label files.
    notes : tuple[str, ...]
        Such as that a label file lay on another grid.
    shares : ndarray or None
        Share of each structure in each voxel, its parts left out, float32, shape
        (structures, X, Y, Z); None where labels are taken as they are drawn.
    """

    labels: NDArray[np.int16]
    annotated: frozenset[str]
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()
    shares: NDArray[np.float32] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Labelled:
    """Scans told apart by whether there is anything to learn from.

    Attributes
    ----------
    scans : tuple[Scan, ...]
        With a label file for at least one structure.
    without : tuple[Scan, ...]
        Without any.
    """

    scans: tuple[Scan, ...]
    without: tuple[Scan, ...]


def find_labels(scan: Scan, structures: Sequence[TargetStructure]) -> dict[str, Path]:
    """Find the label files that exist for a scan: structure name to file."""
    paths = {target.name: fill_pattern(scan, target.labels) for target in structures}
    return {name: path for name, path in paths.items() if path is not None and is_listed(path)}


def find_labelled(scans: Sequence[Scan], structures: Sequence[TargetStructure]) -> Labelled:
    """Tell scans with labels from those without."""
    has_labels = [bool(find_labels(scan, structures)) for scan in scans]
    return Labelled(
        scans=tuple(itertools.compress(scans, has_labels)),
        without=tuple(itertools.compress(scans, [not found for found in has_labels])),
    )


def hash_image(scan: Scan) -> str:
    """SHA-256 of a scan's image; empty where it is gone by now."""
    return hash_file(scan.path) if scan.path.is_file() else ""


def hash_voxels(volume: Volume) -> str:
    """SHA-256 of a scan's voxels as numbers, whatever file they are kept in."""
    digest = hashlib.sha256(repr(volume.data.shape).encode())
    digest.update(np.ascontiguousarray(volume.data, dtype=np.float32).data)
    return digest.hexdigest()


def hash_scan(
    scan: Scan,
    structures: Sequence[TargetStructure] = (),
    *,
    companions: Sequence[str] = (),
    image: str | None = None,
) -> str:
    """SHA-256 over the hashes of a scan's image, its label files and its companions.

    A file that is gone by now has none.

    Parameters
    ----------
    scan : Scan
    structures : Sequence[TargetStructure]
        Of which the labels are.
    companions : Sequence[str]
        `Preprocessing.companions`.
    image : str or None
        What `hash_image` gave, so that the image is not read again.
    """
    paths = dict.fromkeys(find_labels(scan, structures).values())
    paths |= dict.fromkeys(path for path in find_files(scan, companions) if path)
    hashes = [hash_image(scan) if image is None else image]
    hashes += [hash_file(path) for path in paths if path != scan.path and path.is_file()]
    return hashlib.sha256(" ".join(filter(None, hashes)).encode()).hexdigest()


def read_reference(
    scan: Scan,
    structures: Sequence[TargetStructure],
    grid: Grid,
    *,
    read: ReadVolume,
    soft: bool = False,
) -> Reference:
    """Read a scan's label files onto its image's grid.

    Parameters
    ----------
    scan : Scan
    structures : Sequence[TargetStructure]
    grid : Grid
        Of the image.
    read : ReadVolume
    soft : bool
        Whether a file without ``values`` holds shares: a voxel belongs to a structure from one half
        on, and the shares are kept.

    Raises
    ------
    ScanError
        Where there is no label file, a file cannot be read, or it lies elsewhere than the image.
    """
    files = find_labels(scan, structures)
    if not files:
        tried = sorted({str(fill_pattern(scan, target.labels)) for target in structures})
        raise ScanError(f"no label file for {scan.relative_path}; looked for {', '.join(tried)}")
    soft_files = {files[t.name] for t in structures if soft and t.name in files and not t.values}
    maps: dict[Path, NDArray[Any]] = {}
    notes: list[str] = []
    for path in dict.fromkeys(files.values()):
        volume = read(path, shares=True) if path in soft_files else read(path, labels=True)
        maps[path], note = _fit_to_grid(volume, grid, path)
        notes += [f"{path.name}: {own}" for own in volume.notes] + ([note] if note else [])
    used: set[Path] = set()
    painted = np.zeros(grid.shape, dtype=np.int16)
    whole: dict[str, NDArray[np.float32]] = {}
    for target in sort_by_depth(structures):
        if target.name in files:
            data = maps[files[target.name]]
            share = np.isin(data, target.values) if target.values else data
            if share.any():
                used.add(files[target.name])
            painted[share >= _HALF if files[target.name] in soft_files else share > 0] = (
                target.index
            )
            if soft:
                whole[target.name] = share.astype(np.float32).clip(0, 1)
    for path, data in maps.items():
        if path not in used and data.any():
            values = [str(value) for value in np.unique(data[data != 0])]
            notes.append(f"{path.name} holds {name_some(values)}, none of which is of a structure")
    return Reference(
        shares=_leave_out_parts(whole, structures, grid) if soft else None,
        labels=painted,
        annotated=frozenset(files),
        files=tuple(maps),
        notes=tuple(notes),
    )


def _leave_out_parts(
    whole: Mapping[str, NDArray[np.float32]], structures: Sequence[TargetStructure], grid: Grid
) -> NDArray[np.float32]:
    """Take the shares of parts off that of their container, so that all add up to one at most."""
    shares = np.zeros((len(structures), *grid.shape), dtype=np.float32)
    for place, target in enumerate(structures):
        if target.name in whole:
            parts = [
                whole[t.name] for t in structures if t.part_of == target.name and t.name in whole
            ]
            shares[place] = (
                (whole[target.name] - sum(parts)).clip(0, 1) if parts else whole[target.name]
            )
    shares /= np.maximum(shares.sum(axis=0), 1)
    return shares


def sort_by_depth(structures: Sequence[TargetStructure]) -> list[TargetStructure]:
    """Sort structures so that each comes after the one it is part of."""
    children: Mapping[str, list[TargetStructure]] = defaultdict(list)
    for target in structures:
        children[target.part_of].append(target)
    ordered = list(children[""])
    for target in ordered:
        ordered.extend(children[target.name])
    return ordered


def _fit_to_grid(labels: Volume, grid: Grid, path: Path) -> tuple[NDArray[Any], str]:
    """Bring a label map onto the image's grid, with a note where it wasn't there."""
    if same_grid(labels.grid, grid, tolerance_mm=GRID_TOLERANCE_MM):
        return labels.data, ""
    _check_inside(labels, grid, path)
    soft = labels.data.dtype.kind == "f"
    fitted = resample_to_grid(labels.data, labels.grid, grid, order=1 if soft else 0)
    how = "linearly" if soft else "nearest voxel"
    return fitted, f"{path.name} lies on another grid than its image: resampled ({how})"


def _check_inside(labels: Volume, grid: Grid, path: Path) -> None:
    """Refuse labels of which most lie outside of the image.

    Raises
    ------
    ScanError
    """
    voxels = np.argwhere(labels.data > 0)
    if not len(voxels):
        return
    to_image = np.linalg.inv(grid.affine) @ labels.grid.affine
    places = voxels @ to_image[:3, :3].T + to_image[:3, 3]
    inside = ((places > -1) & (places < np.array(grid.shape))).all(axis=1).mean()
    if inside < _LEAST_INSIDE:
        raise ScanError(
            f"only {inside:.0%} of the labels in {path} lie inside of the image: grid "
            f"{labels.grid.shape} at {np.round(labels.grid.affine[:3, 3], 1).tolist()} mm, image "
            f"{grid.shape} at {np.round(grid.affine[:3, 3], 1).tolist()} mm",
            hint="check that the labels were drawn on this image and saved with its affine",
        )
