"""What labels that exclude each other can reach against the MNI152 template's tissue masks.

The masks of gray and white matter that nilearn carries hold each voxel whose probability is 0.2 or
more, so that they overlap; no label map does.
"""

from __future__ import annotations

import numpy as np
from nilearn.datasets import (
    load_mni152_gm_mask,
    load_mni152_gm_template,
    load_mni152_wm_mask,
    load_mni152_wm_template,
)

from bids_film.images.measures import dice


def measure_likeliest() -> dict[str, float]:
    """Dice of the template's own likeliest tissue, by its own probabilities, against the masks."""
    gray, white = (
        np.asarray(load(resolution=1).dataobj)
        for load in (load_mni152_gm_template, load_mni152_wm_template)
    )
    likeliest = np.stack([1 - gray - white, gray, white]).argmax(axis=0)
    return {
        name: dice(likeliest == channel, mask)
        for channel, (name, mask) in enumerate(_read_masks().items(), start=1)
    }


def find_highest() -> float:
    """Highest Dice that one label map can reach against both masks at once."""
    gray, white = _read_masks().values()
    shared, count = np.count_nonzero(gray & white), np.arange(np.count_nonzero(gray & white) + 1)
    reached = [
        2 * own / (own + mask.sum())
        for mask, own in (
            (gray, gray.sum() - shared + count),
            (white, white.sum() - count),
        )
    ]
    return float(np.minimum(*reached).max())


def _read_masks() -> dict[str, np.ndarray]:
    loads = {"gray-matter": load_mni152_gm_mask, "white-matter": load_mni152_wm_mask}
    return {
        name: np.asarray(load(resolution=1).dataobj).astype(bool) for name, load in loads.items()
    }
