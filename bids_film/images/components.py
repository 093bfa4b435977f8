"""Connected pieces of a mask: keep the largest, drop the small, fill what is enclosed.

Pieces are connected through faces, edges and corners, and holes through faces only: a surface that
is closed in one sense must not leak in the other. An axis with a single voxel does not count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_film.images.measures import bounding_box

Mask = NDArray[np.bool_]


def keep_largest(mask: Mask) -> Mask:
    """Keep the piece with most voxels, the first of several equal ones; `mask` if there is one."""
    return _keep_pieces(mask, 1.0, at_most=1)


def drop_small(mask: Mask, *, least_fraction: float) -> Mask:
    """Drop pieces that have fewer voxels than a fraction (0 to 1) of the largest one has."""
    return _keep_pieces(mask, least_fraction)


def fill_holes(mask: Mask) -> Mask:
    """Add background that the mask encloses; what reaches the edge of the image is no hole."""
    box = bounding_box(mask)
    inside = np.squeeze(mask[box], axis=_flat_axes(mask))
    # Background around the box makes all that is outside one piece.
    background = np.pad(~inside.astype(bool, copy=False), 1, constant_values=True)
    pieces, count = _label(background, connectivity=1)
    if count <= 1:
        return mask
    core = pieces[(slice(1, -1),) * pieces.ndim]
    filled = mask.copy()
    filled[box] = (core != pieces.flat[0]).reshape(filled[box].shape)
    return filled


def _keep_pieces(mask: Mask, least_fraction: float, *, at_most: int | None = None) -> Mask:
    box = bounding_box(mask)
    inside = np.squeeze(mask[box], axis=_flat_axes(mask))
    pieces, count = _label(inside, connectivity=inside.ndim)
    if count <= 1:
        return mask
    sizes = np.bincount(pieces.ravel(), minlength=count + 1)
    sizes[0] = 0
    wanted = sizes >= max(1.0, least_fraction * sizes.max())
    wanted[np.flatnonzero(wanted)[at_most:] if at_most else []] = False
    kept = np.zeros_like(mask)
    kept[box] = wanted[pieces].reshape(kept[box].shape)
    return kept


def _label(mask: Mask, *, connectivity: int) -> tuple[NDArray[np.int32], int]:
    structure = ndimage.generate_binary_structure(mask.ndim, connectivity)
    pieces = np.zeros(mask.shape, dtype=np.int32)
    return pieces, int(ndimage.label(mask, structure, output=pieces))


def _flat_axes(mask: Mask) -> tuple[int, ...]:
    """Axes of a single voxel, but for one axis that has to stay."""
    flat = tuple(axis for axis, size in enumerate(mask.shape) if size == 1)
    return flat[1:] if len(flat) == mask.ndim else flat
