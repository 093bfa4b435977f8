"""Connected pieces of a mask: keep the largest, drop the small, find what is enclosed.

Pieces are connected through faces, edges and corners, and holes through faces only: a surface that
is closed in one sense must not leak in the other. An axis with a single voxel does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

import cc3d
import numpy as np
from numpy.typing import NDArray

from bids_film.images.boxes import bounding_box

Mask = NDArray[np.bool_]
Labels = NDArray[np.uint16]
Value = TypeVar("Value", bound=np.generic)

_NEIGHBOURS = {(1, 1): 6, (2, 1): 4, (2, 2): 8, (3, 1): 6, (3, 3): 26}
"""Axes of a mask, and those of a step, to the number of neighbours."""


def keep_largest(mask: Mask, *, over_gaps: bool = False) -> Mask:
    """Keep the piece with most voxels, the first of several equal ones; `mask` if there is one.

    With `over_gaps`, what lies in one place before and after a slice, along the last axis, is of
    one piece, whatever is in the slice.
    """
    joined = mask
    if over_gaps:
        joined = mask.copy()
        joined[..., 1:-1] |= mask[..., :-2] & mask[..., 2:]
    box, pieces, count = _find_pieces(joined)
    if count <= 1:
        return mask
    sizes = _count_voxels(np.where(_squeeze(mask, box), pieces, 0) if over_gaps else pieces)
    return _select(mask, box, pieces, np.arange(len(sizes)) == np.argmax(sizes))


def keep_largest_each(labels: Labels, values: Sequence[int]) -> Labels:
    """Keep the largest piece of each of some labels, as `keep_largest` does, in one go.

    Parameters
    ----------
    labels : ndarray
        Shape (X, Y, Z); 0 is background.
    values : Sequence[int]
        Labels of which one piece is kept; others stay as they are.

    Returns
    -------
    ndarray
        Labels with the other pieces turned into background; `labels` if there are none.
    """
    box, pieces, count = _find_pieces(labels)
    if not count:
        return labels
    own, numbers = _squeeze(labels, box).flatten(), pieces.ravel()
    # Runs of voxels of one piece are far fewer than voxels.
    starts = np.concatenate([[0], np.flatnonzero(numbers[1:] != numbers[:-1]) + 1])
    lengths = np.diff(starts, append=len(numbers))
    piece_of = numbers[starts]
    label_of = np.zeros(count + 1, labels.dtype)
    label_of[piece_of] = own[starts]
    sizes = np.bincount(piece_of, weights=lengths, minlength=count + 1)
    kept = np.ones(count + 1, dtype=np.bool_)
    for value in values:
        several = np.flatnonzero(label_of == value)
        if len(several):
            kept[several] = several == several[np.argmax(sizes[several])]
    if kept.all():
        return labels
    own[np.repeat(~kept[piece_of], lengths)] = 0
    result = labels.copy()
    result[box] = own.reshape(result[box].shape)
    return result


def find_holes(mask: Mask) -> NDArray[np.integer[Any]]:
    """Give each piece of background that the mask encloses a number of its own; 0 elsewhere.

    What reaches the edge of the image is no hole.
    """
    box = bounding_box(mask)
    # Background around the box makes all that is outside one piece.
    background = np.pad(~_squeeze(mask, box), 1, constant_values=True)
    pieces, count = _label(background, connectivity=1)
    holes = np.zeros(mask.shape, pieces.dtype)
    if count == 1:
        return holes
    outside, core = pieces.flat[0], pieces[(slice(1, -1),) * pieces.ndim]
    holes[box] = np.where(core == outside, 0, core).reshape(holes[box].shape)
    return holes


def _find_pieces(
    image: Mask | Labels,
) -> tuple[tuple[slice, ...], NDArray[np.integer[Any]], int]:
    """Give each piece within the bounding box a number, from 1; and how many there are."""
    box = bounding_box(image.astype(np.bool_, copy=False))
    inside = _squeeze(image, box)
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
    kept[box] = wanted[pieces].reshape(kept[box].shape) & mask[box]
    return kept


def _squeeze(image: NDArray[Value], box: tuple[slice, ...]) -> NDArray[Value]:
    """Crop, without the axes along which the whole image has a single voxel."""
    inside = image[box]
    kept = [size for size, whole in zip(inside.shape, image.shape, strict=True) if whole > 1]
    return inside.reshape(kept or inside.shape)


def _label(image: NDArray[Any], *, connectivity: int) -> tuple[NDArray[np.integer[Any]], int]:
    """Give each piece of one label, or of a mask, a number from 1.

    `connectivity` is how many axes one step may go along.
    """
    # For masks that reach the edge cc3d expects too few pieces, and ends with an error.
    padded = np.pad(image, 1)
    pieces, count = cc3d.connected_components(
        padded, connectivity=_NEIGHBOURS[image.ndim, connectivity], return_N=True
    )
    return pieces[(slice(1, -1),) * image.ndim], int(count)
