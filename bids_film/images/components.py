"""Connected pieces of a mask: keep the largest, drop the small, fill what is enclosed.

Pieces are connected through faces, edges and corners, and holes through faces only: a surface that
is closed in one sense must not leak in the other. An axis with a single voxel does not count.
"""

from __future__ import annotations

from typing import Any

import cc3d
import numpy as np
from numpy.typing import NDArray

from bids_film.images.measures import bounding_box

Mask = NDArray[np.bool_]

_NEIGHBOURS = {(1, 1): 6, (2, 1): 4, (2, 2): 8, (3, 1): 6, (3, 3): 26}
"""Axes of a mask, and those of a step, to the number of neighbours."""


def keep_largest(mask: Mask) -> Mask:
    """Keep the piece with most voxels, the first of several equal ones; `mask` if there is one."""
    box, pieces, count = _find_pieces(mask)
    if count <= 1:
        return mask
    sizes = _count_voxels(pieces)
    return _select(mask, box, pieces, np.arange(len(sizes)) == np.argmax(sizes))


def drop_small(mask: Mask, *, least_fraction: float) -> Mask:
    """Drop pieces that have fewer voxels than a fraction (0 to 1) of the largest one has."""
    box, pieces, count = _find_pieces(mask)
    if count <= 1:
        return mask
    sizes = _count_voxels(pieces)
    return _select(mask, box, pieces, (sizes > 0) & (sizes >= least_fraction * sizes.max()))


def fill_holes(mask: Mask) -> Mask:
    """Add background that the mask encloses; what reaches the edge of the image is no hole."""
    box = bounding_box(mask)
    inside = _squeeze(mask, box)
    # Background around the box makes all that is outside one piece.
    background = np.pad(~inside, 1, constant_values=True)
    pieces, count = _label(background, connectivity=1)
    if count == 1:
        return mask
    outside = pieces == pieces.flat[0]
    core = outside[(slice(1, -1),) * outside.ndim]
    filled = mask.copy()
    filled[box] = ~core.reshape(filled[box].shape)
    return filled


def _find_pieces(mask: Mask) -> tuple[tuple[slice, ...], NDArray[np.integer[Any]], int]:
    """Give each piece within the mask's bounding box a number, from 1; and how many there are."""
    box = bounding_box(mask)
    inside = _squeeze(mask, box)
    return box, *_label(inside, connectivity=inside.ndim)


def _count_voxels(pieces: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
    """Voxels of each piece; none for the background."""
    # Without the background, most of a box: what is counted is copied as eight bytes for each.
    return np.asarray(np.bincount(pieces[pieces > 0], minlength=1), dtype=np.int64)


def _select(
    mask: Mask, box: tuple[slice, ...], pieces: NDArray[np.integer[Any]], wanted: NDArray[np.bool_]
) -> Mask:
    if np.count_nonzero(wanted) >= len(wanted) - 1:
        return mask
    kept = np.zeros_like(mask)
    kept[box] = wanted[pieces].reshape(kept[box].shape)
    return kept


def _squeeze(mask: Mask, box: tuple[slice, ...]) -> Mask:
    """Crop, without the axes along which the whole image has a single voxel."""
    inside = mask[box].astype(bool, copy=False)
    kept = [size for size, whole in zip(inside.shape, mask.shape, strict=True) if whole > 1]
    return inside.reshape(kept or inside.shape)


def _label(mask: Mask, *, connectivity: int) -> tuple[NDArray[np.integer[Any]], int]:
    """Give each piece a number; `connectivity` is how many axes one step may go along."""
    # For masks that reach the edge cc3d expects too few pieces, and ends with an error.
    padded = np.pad(mask, 1)
    pieces, count = cc3d.connected_components(
        padded, connectivity=_NEIGHBOURS[mask.ndim, connectivity], return_N=True
    )
    return pieces[(slice(1, -1),) * mask.ndim], int(count)
