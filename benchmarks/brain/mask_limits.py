"""What a label map can reach at most: against masks that overlap, and at a network's spacing.

The masks of gray and white matter that nilearn carries for the MNI152 template hold each voxel
whose probability is 0.2 or more, so that they overlap; no label map does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from nilearn.datasets import load_mni152_gm_template, load_mni152_wm_template
from numpy.typing import NDArray

from bids_film.domain.volume import Grid
from bids_film.images.measures import dice
from bids_film.images.resample import resize, resize_argmax

Masks = Mapping[str, NDArray[np.bool_]]
"""Of gray matter, then of white matter."""


def measure_likeliest(masks: Masks) -> dict[str, float]:
    """Dice of the template's own likeliest tissue, by its own probabilities, against the masks."""
    gray, white = (
        np.asarray(load(resolution=1).dataobj)
        for load in (load_mni152_gm_template, load_mni152_wm_template)
    )
    likeliest = np.stack([1 - gray - white, gray, white]).argmax(axis=0)
    return {
        name: dice(likeliest == channel, mask)
        for channel, (name, mask) in enumerate(masks.items(), start=1)
    }


def find_highest(masks: Masks) -> float:
    """Highest Dice that one label map can reach against both masks at once."""
    gray, white = masks.values()
    shared = np.count_nonzero(gray & white)
    given_to_gray = np.arange(shared + 1)
    reached = [
        2 * own / (own + mask.sum())
        for mask, own in (
            (gray, gray.sum() - shared + given_to_gray),
            (white, white.sum() - given_to_gray),
        )
    ]
    return float(np.minimum(*reached).max())


def measure_coarse(
    labels: NDArray[np.integer], grid: Grid, spacing_mm: Sequence[float]
) -> dict[int, float]:
    """Dice of each label with itself, once its shares in larger voxels were brought back.

    A network that finds every share, and no more, reaches that.
    """
    indices = np.unique(labels)
    shares = np.stack([labels == index for index in indices]).astype(np.float32)
    sizes = zip(grid.shape, grid.spacing_mm, spacing_mm, strict=True)
    coarse = resize(shares, [round(size * old / new) for size, old, new in sizes])
    back = indices[resize_argmax(coarse, grid.shape)]
    return {int(i): dice(back == i, labels == i) for i in indices if i}
