"""An image in memory, and the grid on which it lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Affine = NDArray[np.float64]
"""Voxel index to millimetres in RAS+ world space, shape (4, 4)."""

QFORM_KEYS = ("quatern_b", "quatern_c", "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z")
"""Header keys of `Grid.qform_numbers` after ``pixdim[0:4]``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Where the voxels of a NIfTI file lie: all that an output must share with its input.

    Attributes
    ----------
    shape : tuple[int, int, int]
        Spatial shape; a 2-D image has a last axis of 1.
    stored_shape : tuple[int, ...]
        Shape as the file stores it: ``(x, y)``, ``(x, y, z)`` or ``(x, y, z, 1)``.
    affine : Affine
        The affine that is used, shape (4, 4).
    qform, sform : Affine
        Both affines as the header stores them.
    qform_code, sform_code : int
    qform_numbers : tuple[float, ...]
        What the header stores of the qform: ``pixdim[0:4]``, then `QFORM_KEYS`. Empty where the
        qform alone says it all.
    xyzt_units : int
        The header's raw unit byte.
    """

    shape: tuple[int, int, int]
    stored_shape: tuple[int, ...]
    affine: Affine
    qform: Affine
    sform: Affine
    qform_code: int
    sform_code: int
    qform_numbers: tuple[float, ...] = ()
    xyzt_units: int = 2

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Voxel size along each stored axis, to six digits.

        Of the rest a qform says otherwise than an sform; counted in voxels, it would be one more.
        """
        x, y, z = (float(f"{size:.6g}") for size in np.linalg.norm(self.affine[:3, :3], axis=0))
        return x, y, z

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Volume:
    """A scan's voxels with the grid on which they lie.

    Attributes
    ----------
    data : ndarray
        float32 for images, an integer type for label maps; shape ``grid.shape``; finite.
    grid : Grid
    notes : tuple[str, ...]
        What a reader should know of how the file was read, such as "qform and sform differ by
        2.1 mm: sform used" or "12 voxels were NaN: set to 0".
    companions : tuple[Volume or None, ...]
        Other contrasts on the same grid, for networks that see several; None for a missing one.
    """

    data: NDArray[Any]
    grid: Grid
    notes: tuple[str, ...] = field(default=())
    companions: tuple[Volume | None, ...] = ()
