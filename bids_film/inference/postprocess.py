"""What anatomy allows: pieces that cannot be are taken out, and holes are closed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from bids_film.domain.labels import LabelTable
from bids_film.images.boxes import bounding_box, grow_box
from bids_film.images.components import find_holes, keep_largest, keep_largest_each
from bids_film.model.config import Postprocessing

Labels = NDArray[np.uint16]


def postprocess(
    labels: Labels, table: LabelTable, settings: Postprocessing, *, slices: bool = False
) -> Labels:
    """Keep the largest piece of what can only have one, and close what is enclosed.

    Parameters
    ----------
    labels : ndarray
        Structure indices, shape (X, Y, Z).
    table : LabelTable
    settings : Postprocessing
    slices : bool
        Whether those of the last axis were segmented one by one: a piece goes on over one in which
        nothing was found.

    Returns
    -------
    ndarray
        Labels with the other pieces turned into background, those of structures with parts first;
        then, with ``fill_holes``, background that structures enclose turned into the nearest of
        them.
    """
    wholes = [table.indices_of(name) for name in settings.keep_largest]
    if settings.keep_largest_whole:
        wholes.insert(0, tuple(structure.index for structure in table))
    result = labels.copy()
    for indices in wholes:
        if len(indices) > 1 or slices:
            mask = result > 0 if len(indices) == len(table) else np.isin(result, indices)
            kept = keep_largest(mask, over_gaps=slices)
            if kept is not mask:
                result[mask & ~kept] = 0
    if not slices and (singles := [only for only, *others in wholes if not others]):
        result = keep_largest_each(result, singles)
    if settings.fill_holes:
        _close(result)
    return result


def _close(labels: Labels) -> None:
    box = bounding_box(labels > 0)
    # No hole reaches the edge of the box: it would be open there.
    labels = labels[box]
    holes = find_holes(labels > 0)
    if not holes.any():
        return
    for number, box in enumerate(ndimage.find_objects(holes), start=1):
        if box is not None:
            # One voxel more on each side holds the structures that enclose the hole.
            around = grow_box(box, [1] * labels.ndim, labels.shape)
            own, hole = labels[around], holes[around] == number
            nearest = ndimage.distance_transform_edt(
                own == 0, return_distances=False, return_indices=True
            )
            own[hole] = own[tuple(nearest)][hole]
