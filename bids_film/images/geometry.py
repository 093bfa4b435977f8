"""Grids: how an image is brought to RAS order and to another spacing, and exactly back.

Axes are permuted and flipped, never rotated: an oblique image stays on its own axes, so that no
voxel is interpolated twice and the way back is exact.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nibabel.orientations import io_orientation
from numpy.typing import NDArray

from bids_film.domain.errors import ScanError
from bids_film.domain.planes import SlicePlane
from bids_film.domain.volume import Affine, Grid

_NORMAL_AXIS = {"sagittal": 0, "coronal": 1, "axial": 2}

# Voxel sizes that differ by less are the same: headers round.
_THICKER_BY = 1.01

GRID_TOLERANCE_MM = 0.1
"""Images of one scan whose grids differ nowhere by more lie on the same one: headers round."""

_ROUNDING = 1e-6
"""Cosine that is no more than the rounding of a right angle's."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """How stored voxels become voxels in closest RAS(+) order, the slice axis last.

    Attributes
    ----------
    axes : tuple[int, int, int]
        Stored axis of each new axis.
    flips : tuple[bool, bool, bool]
        Whether each new axis runs against its stored one.
    shape : tuple[int, int, int]
        Shape after reordering.
    spacing_mm : tuple[float, float, float]
        Voxel size after reordering.
    affine : Affine
        Affine after reordering: the same voxels lie at the same place in the world.
    """

    axes: tuple[int, int, int]
    flips: tuple[bool, bool, bool]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    affine: Affine


def plan_ras(grid: Grid, *, plane: SlicePlane = "axial") -> Plan:
    """Plan the way to closest RAS(+) order, with the slice axis of `plane` last.

    Parameters
    ----------
    grid : Grid
    plane : str
        ``axial`` gives plain RAS order. ``thickest`` takes the axis that has a single voxel as
        slice axis, else the one of the largest voxel size; axial where they are equal.

    Raises
    ------
    ScanError
        Where the affine maps the voxels onto a plane, a line or a point.
    """
    orientation = io_orientation(grid.affine)
    if not np.isfinite(orientation).all() or not np.linalg.det(grid.affine[:3, :3]):
        raise ScanError(
            f"expected an affine with three independent axes, got {grid.affine[:3].tolist()}",
            hint="repair the qform or sform in the file's header",
        )
    stored = [int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in range(3)]
    flips = [bool(orientation[axis, 1] < 0) for axis in stored]
    last = _find_slice_axis(grid, stored, plane)
    order = [axis for axis in range(3) if axis != last] + [last]
    axes = (stored[order[0]], stored[order[1]], stored[order[2]])
    flipped = (flips[order[0]], flips[order[1]], flips[order[2]])
    shape = (grid.shape[axes[0]], grid.shape[axes[1]], grid.shape[axes[2]])
    spacing = grid.spacing_mm
    return Plan(
        axes=axes,
        flips=flipped,
        shape=shape,
        spacing_mm=(spacing[axes[0]], spacing[axes[1]], spacing[axes[2]]),
        affine=grid.affine @ _to_stored(axes, flipped, shape),
    )


def reorient(data: NDArray[Any], plan: Plan) -> NDArray[Any]:
    """Bring the three last axes of stored data into the plan's order; a view."""
    lead = data.ndim - 3
    turned = data.transpose(*range(lead), *(lead + axis for axis in plan.axes))
    return np.flip(turned, axis=_flipped_axes(plan, lead))


def restore(data: NDArray[Any], plan: Plan) -> NDArray[Any]:
    """Undo `reorient`; a view."""
    lead = data.ndim - 3
    stored = np.argsort(plan.axes).tolist()
    turned = np.flip(data, axis=_flipped_axes(plan, lead))
    return turned.transpose(*range(lead), *(lead + axis for axis in stored))


def resampled_shape(
    shape: Sequence[int], spacing_mm: Sequence[float], target_mm: Sequence[float]
) -> tuple[int, ...]:
    """Voxels that cover the same field of view at another spacing; a target of 0 keeps an axis."""
    return tuple(
        max(1, round(size * spacing / target)) if target else size
        for size, spacing, target in zip(shape, spacing_mm, target_mm, strict=True)
    )


def resampled_affine(affine: Affine, shape: Sequence[int], new_shape: Sequence[int]) -> Affine:
    """Affine of a grid with another shape that covers the same field of view.

    The outer corners of the two grids coincide, not the centres of their outermost voxels.

    Parameters
    ----------
    affine : Affine
        Of the grid with `shape`.
    shape, new_shape : Sequence[int]
        Three sizes each.
    """
    scale = np.array(shape) / np.array(new_shape)
    to_old = np.diag([*scale, 1.0])
    to_old[:3, 3] = (scale - 1) / 2
    return np.asarray(affine @ to_old, dtype=np.float64)


def largest_shift_mm(one: Affine, other: Affine, shape: Sequence[int]) -> float:
    """How far apart two affines put the outer corners of a grid of that shape, at most."""
    corners = itertools.product(*((-0.5, size - 0.5) for size in shape))
    places = np.array([[*corner, 1.0] for corner in corners])
    return float(np.linalg.norm((places @ (one - other).T)[:, :3], axis=1).max())


def have_opposite_sides(one: Affine, other: Affine) -> bool:
    """Whether two affines put the voxels of one side of a head on opposite sides.

    One is the mirror image of the other, however turned or moved; or their directions from left to
    right are more than a right angle apart.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        first, second = (
            form[:3, :3] / np.linalg.norm(form[:3, :3], axis=0) for form in (one, other)
        )
        mirrored = np.linalg.det(first) * np.linalg.det(second) < 0
        return bool(mirrored or first[0] @ second[0] < -_ROUNDING)


def same_grid(one: Grid, other: Grid, *, tolerance_mm: float = 1e-3) -> bool:
    """Whether two grids have the same shape and every voxel at the same place in the world."""
    if one.shape != other.shape:
        return False
    return largest_shift_mm(one.affine, other.affine, one.shape) <= tolerance_mm


def _find_slice_axis(grid: Grid, stored: Sequence[int], plane: SlicePlane) -> int:
    if plane != "thickest":
        return _NORMAL_AXIS[plane]
    single = [axis for axis in range(3) if grid.shape[stored[axis]] == 1]
    candidates = single or [0, 1, 2]
    sizes = {axis: grid.spacing_mm[stored[axis]] for axis in candidates}
    return max(axis for axis in candidates if sizes[axis] * _THICKER_BY >= max(sizes.values()))


def _flipped_axes(plan: Plan, lead: int) -> tuple[int, ...]:
    return tuple(lead + axis for axis, flip in enumerate(plan.flips) if flip)


def _to_stored(
    axes: Sequence[int], flips: Sequence[bool], shape: Sequence[int]
) -> NDArray[np.float64]:
    """Matrix from reordered voxel indices to stored ones."""
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    for new, (axis, flip, size) in enumerate(zip(axes, flips, shape, strict=True)):
        matrix[axis, new] = -1 if flip else 1
        matrix[axis, 3] = size - 1 if flip else 0
    return matrix
