"""What labels that exclude each other can reach against the MNI152 template's tissue masks.

The masks of gray and white matter that nilearn carries hold each voxel whose probability is 0.2 or
more, so that they overlap; no label map does.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from nilearn.datasets import load_mni152_gm_template, load_mni152_wm_template
from numpy.typing import NDArray

from bids_film.images.measures import dice

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
