"""What anatomy allows: pieces that cannot be are taken out; nothing is added."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bids_film.domain.labels import LabelTable
from bids_film.images.components import keep_largest
from bids_film.model.config import Postprocessing


def postprocess(
    labels: NDArray[np.uint16], table: LabelTable, settings: Postprocessing
) -> NDArray[np.uint16]:
    """Keep the largest piece of what can only have one.

    Parameters
    ----------
    labels : ndarray
        Structure indices, shape (X, Y, Z).
    table : LabelTable
    settings : Postprocessing

    Returns
    -------
    ndarray
        Labels with the other pieces turned into background.
    """
    wholes = [table.indices_of(name) for name in settings.keep_largest]
    if settings.keep_largest_whole:
        wholes.insert(0, tuple(structure.index for structure in table))
    for indices in wholes:
        mask = np.isin(labels, indices)
        if mask.any():
            labels = np.where(mask & ~keep_largest(mask), labels.dtype.type(0), labels)
    return labels
