"""Where the voxels of a NIfTI file lie, judged from its header alone."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from bids_film.domain.errors import ScanError
from bids_film.domain.volume import QFORM_KEYS, Affine, Grid
from bids_film.images.geometry import have_opposite_sides, largest_shift_mm

_LONGEST_AXIS = 2**15 - 1
_MAX_VOXELS = 2**31
_BYTES_PER_VOXEL = 4
_BELIEVABLE_MM = (0.01, 100.0)
"""A voxel of 1 mm whose header says micrometres is far more common than one of 0.001 mm."""
_DISAGREEMENT_VOXELS = 0.1
_MM_PER_UNIT = {1: 1000.0, 3: 0.001}
_SPATIAL_UNIT_BITS = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedGrid:
    """A grid with what a reader should know of how it was found.

    Attributes
    ----------
    grid : Grid
    notes : tuple[str, ...]
    """

    grid: Grid
    notes: tuple[str, ...] = ()


def make_grid(header: Any, path: Path) -> CheckedGrid:
    """Find shape and affine.

    The sform is used where its code is positive, else the qform where its code is, else the voxel
    sizes alone, which say nothing of the orientation.

    Parameters
    ----------
    header : nibabel.Nifti1Header or nibabel.Nifti2Header
    path : Path
        Named in error messages.

    Raises
    ------
    ScanError
        Where the image is not one 2-D or 3-D volume of real numbers, is absurdly large, or its
        voxels have no valid size or orientation.
    """
    stored_shape = tuple(int(size) for size in header.get_data_shape())
    shape = _spatial_shape(stored_shape, path)
    _check_type(header, path)
    _check_size(stored_shape, header, path)
    qform_code, sform_code = int(header["qform_code"]), int(header["sform_code"])
    if sform_code <= 0:
        _check_voxel_sizes(header, path)
    sform = np.asarray(header.get_sform(), dtype=np.float64)
    qform = _read_qform(header, path, needed=qform_code > 0 and sform_code <= 0)
    if sform_code > 0:
        affine = sform
    elif qform_code > 0:
        affine = qform
    else:
        affine = np.asarray(header.get_base_affine(), dtype=np.float64)
    to_mm, unit_notes = _find_scale_to_mm(affine, int(header["xyzt_units"]))
    _check_affine(to_mm * affine, "sform" if sform_code > 0 else "qform", path)
    notes = []
    if min(qform_code, sform_code) > 0:
        notes += _compare(to_mm * sform, to_mm * qform, shape)
    elif max(qform_code, sform_code) <= 0:
        notes.append("no qform and no sform: the orientation is unknown, left and right as well")
    grid = Grid(
        shape=shape,
        stored_shape=stored_shape,
        affine=to_mm * affine,
        qform=qform,
        sform=sform,
        qform_code=qform_code,
        sform_code=sform_code,
        qform_numbers=_read_qform_numbers(header),
        xyzt_units=int(header["xyzt_units"]),
    )
    return CheckedGrid(grid=grid, notes=(*notes, *unit_notes))


def _spatial_shape(stored: tuple[int, ...], path: Path) -> tuple[int, int, int]:
    shown = " × ".join(map(str, stored))
    if len(stored) < 2 or min(stored) < 1:  # noqa: PLR2004 - an image has two dimensions
        raise ScanError(
            f"{path} has the shape {shown or '()'}, but a 2-D or 3-D image is needed.",
            hint="The header is damaged, or this is not an image: convert it anew.",
        )
    volumes = math.prod(stored[3:])
    if volumes > 1:
        raise ScanError(
            f"{path} holds {volumes} volumes ({shown}), but one is needed.",
            hint="Take one volume or their mean, such as by fslroi or nibabel's four_to_three.",
        )
    x, y, z = (*stored[:3], 1)[:3]
    return x, y, z


def _check_type(header: Any, path: Path) -> None:
    try:
        dtype = header.get_data_dtype()
    except (HeaderDataError, KeyError) as error:
        raise ScanError(
            f"{path} declares the data type {int(header['datatype'])}, which NIfTI does not have.",
            hint="The header is damaged: copy or convert the image anew.",
        ) from error
    if dtype.kind not in "iufb":
        kind = "complex numbers" if dtype.kind == "c" else "colours (RGB)"
        raise ScanError(
            f"{path} holds {kind}, but real numbers are needed.",
            hint="Store the magnitude or one channel as numbers.",
        )


def _check_size(shape: tuple[int, ...], header: Any, path: Path) -> None:
    if max(shape) > _LONGEST_AXIS:
        raise ScanError(
            f"{path} has {max(shape)} voxels along an axis; NIfTI-1, in which label maps are "
            f"written, holds at most {_LONGEST_AXIS}.",
            hint="Crop or resample the image first.",
        )
    voxels = math.prod(shape)
    stored_bytes = voxels * header.get_data_dtype().itemsize
    needed_bytes = stored_bytes + voxels * _BYTES_PER_VOXEL
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if voxels > _MAX_VOXELS or needed_bytes > memory_bytes:
        raise ScanError(
            f"{path} declares {' × '.join(map(str, shape))} voxels, which need "
            f"{needed_bytes / 1e9:.0f} GB; this machine has {memory_bytes / 1e9:.0f} GB.",
            hint="The header is damaged, or the image must be cropped or resampled first.",
        )


def _read_qform(header: Any, path: Path, *, needed: bool) -> Affine:
    if header["pixdim"][0] == 0:
        # As the NIfTI standard says of a handedness that was left out.
        header = header.copy()
        header["pixdim"][0] = 1
    try:
        with np.errstate(invalid="ignore"):
            return np.asarray(header.get_qform(), dtype=np.float64)
    except (HeaderDataError, ValueError) as error:
        if needed:
            raise ScanError(
                f"{path} has a qform that cannot be used: {error}.",
                hint="Correct the header, such as by copying that of the original image.",
            ) from error
        return np.eye(4)


def _read_qform_numbers(header: Any) -> tuple[float, ...]:
    stored = (*header["pixdim"][:4], *(header[key] for key in QFORM_KEYS))
    return tuple(float(value) for value in stored)


def _check_voxel_sizes(header: Any, path: Path) -> None:
    dimensions = min(3, len(header.get_data_shape()))
    sizes = [float(size) for size in header["pixdim"][1 : dimensions + 1]]
    if not all(math.isfinite(size) and size > 0 for size in sizes):
        raise ScanError(
            f"{path} has the voxel size {' × '.join(f'{size:g}' for size in sizes)} mm; each must "
            "be positive.",
            hint="Correct pixdim in the header, or convert the image anew.",
        )


def _check_affine(affine: Affine, name: str, path: Path) -> None:
    linear = affine[:3, :3]
    spacing = np.sqrt((linear**2).sum(axis=0))
    # The determinant of the axes' directions: it does not depend on the voxel size.
    usable = np.isfinite(affine).all() and (spacing > 0).all()
    if not usable or abs(np.linalg.det(linear / spacing)) < 1e-3:  # noqa: PLR2004 - about 0.06°
        raise ScanError(
            f"{path} has an affine ({name}) that is singular: it does not say where the voxels "
            "lie.",
            hint="Correct qform and sform of the header, or convert the image anew.",
        )


def _compare(sform: Affine, qform: Affine, shape: tuple[int, int, int]) -> list[str]:
    apart_mm = largest_shift_mm(sform, qform, shape)
    smallest_mm = float(np.sqrt((sform[:3, :3] ** 2).sum(axis=0)).min())
    if apart_mm <= _DISAGREEMENT_VOXELS * smallest_mm:
        return []
    if have_opposite_sides(sform, qform):
        return ["qform and sform contradict each other on left and right: the sform is used"]
    return [f"qform and sform differ by up to {apart_mm:.1f} mm: the sform is used"]


def _find_scale_to_mm(affine: Affine, xyzt_units: int) -> tuple[NDArray[np.float64], list[str]]:
    """Find what to multiply the rows of an affine by."""
    factor = _MM_PER_UNIT.get(xyzt_units & _SPATIAL_UNIT_BITS, 1.0)
    if factor == 1.0:
        return np.ones((4, 1)), []
    name = "metres" if factor > 1 else "micrometres"
    to_mm = np.array([[factor], [factor], [factor], [1.0]])
    spacing = np.sqrt(((to_mm * affine)[:3, :3] ** 2).sum(axis=0))
    low, high = _BELIEVABLE_MM
    if not ((spacing >= low) & (spacing <= high)).all():
        return np.ones((4, 1)), [
            f"the header declares {name}, which cannot be: read as millimetres"
        ]
    return to_mm, [f"the header declares {name}: converted to millimetres"]
