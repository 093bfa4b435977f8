"""What anatomy allows: pieces that cannot be are taken out, and holes are closed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_film.domain.labels import LabelTable
from bids_film.images.components import fill_holes, keep_largest
from bids_film.images.measures import bounding_box, grow_box
from bids_film.model.config import Postprocessing

Labels = NDArray[np.uint16]
Box = tuple[slice, ...]


def postprocess(labels: Labels, table: LabelTable, settings: Postprocessing) -> Labels:
    """Keep the largest piece of what can only have one, and close what is enclosed.

    Parameters
    ----------
    labels : ndarray
        Structure indices, shape (X, Y, Z).
    table : LabelTable
    settings : Postprocessing

    Returns
    -------
    ndarray
        Labels with the other pieces turned into background; then, with ``fill_holes``, background
        that structures enclose turned into the nearest of them.
    """
    wholes = [table.indices_of(name) for name in settings.keep_largest]
    if settings.keep_largest_whole:
        wholes.insert(0, tuple(structure.index for structure in table))
    result = labels.copy()
    # Each structure is looked at in its own box: there may be many, each small.
    boxes = ndimage.find_objects(result)
    for indices in wholes:
        box = _join([boxes[index - 1] for index in indices if index <= len(boxes)])
        if box is not None:
            own = result[box]
            mask = _find(own, indices, table)
            if mask.any():
                own[mask & ~keep_largest(mask)] = 0
    if settings.fill_holes:
        _close(result)
    return result


def _find(labels: Labels, indices: Sequence[int], table: LabelTable) -> NDArray[np.bool_]:
    """Find the voxels of some structures; of one or all, without looking each up among many."""
    if len(indices) == 1:
        found: NDArray[np.bool_] = labels == indices[0]
        return found
    return labels > 0 if len(indices) == len(table) else np.isin(labels, indices)


def _join(boxes: Sequence[Box | None]) -> Box | None:
    """Smallest box around all of some boxes; None around none."""
    found = [box for box in boxes if box is not None]
    if not found:
        return None
    return tuple(
        slice(min(part.start for part in parts), max(part.stop for part in parts))
        for parts in zip(*found, strict=True)
    )


def _close(labels: Labels) -> None:
    inside = labels > 0
    box = bounding_box(inside)
    # No hole reaches the edge of the box: it would be open there.
    labels, inside = labels[box], inside[box]
    enclosed = fill_holes(inside) & ~inside
    if not enclosed.any():
        return
    holes, _ = ndimage.label(enclosed)
    for number, box in enumerate(ndimage.find_objects(holes), start=1):
        # One voxel more on each side holds the structures that enclose the hole.
        around = grow_box(box, [1] * labels.ndim, labels.shape)
        own, hole = labels[around], holes[around] == number
        nearest = ndimage.distance_transform_edt(
            own == 0, return_distances=False, return_indices=True
        )
        own[hole] = own[tuple(nearest)][hole]
