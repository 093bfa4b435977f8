"""Robust intensities: scans differ by orders of magnitude, and single voxels by more."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bids_film.domain.errors import ScanError

CEILING = 1.5
"""What lies far above the upper percentile becomes this. Vessels and enhancing lesions are among
the brightest voxels and stay distinct up to here; below the lower percentile there is mostly air,
so 0 is the floor, and background is 0 whether a scan's skull is stripped or not."""

_SAMPLES = 500_000
_ENOUGH_SAMPLES = 50_000
MASKED_SHARE = 0.1
"""Zeros among the voxels from which on they are what was masked out."""


def normalise(
    data: NDArray[Any],
    *,
    percentiles: tuple[float, float] = (0.5, 99.5),
    foreground: Literal["nonzero", "all"] = "nonzero",
) -> NDArray[np.float32]:
    """Scale intensities so that the two percentiles become 0 and 1, and clip what lies far outside.

    A scan times any positive number gives the same result; with foreground ``all`` so does a scan
    plus any number. Percentiles of a large image are those of a regular lattice of its voxels:
    always the same, and the same for a scan that is stored in another order if it is reoriented
    before.

    Parameters
    ----------
    data : ndarray
        Any shape, finite.
    percentiles : tuple[float, float]
    foreground : str
        Voxels that the percentiles are taken of. With ``nonzero``, where many voxels of a scan that
        has negative values are exactly zero (standardised and masked), these become 0 too.

    Returns
    -------
    ndarray
        float32 of the same shape and memory order, from 0 to `CEILING`.

    Raises
    ------
    ScanError
        Where all voxels of the foreground are equal: there is nothing to see.
    """
    image = np.asarray(data, dtype=np.float32)
    low, high = _find_range(image, percentiles, foreground)
    scaled = np.clip(image, low, low + CEILING * (high - low))
    scaled -= np.float32(low)
    scaled /= np.float32(high - low)
    if foreground == "nonzero" and low < 0 < high:
        background = image == 0
        if background.mean() > MASKED_SHARE:
            scaled[background] = 0
    return scaled


def _find_range(
    image: NDArray[np.float32], percentiles: tuple[float, float], foreground: str
) -> tuple[float, float]:
    sample = _sample(image, foreground)
    low, high = _percentiles(sample, percentiles)
    if not high > low:
        # A constant background fills the image; what differs from it is the foreground.
        low, high = _percentiles(sample[sample != low], percentiles)
    if not high > low:
        found = "all but zero voxels are equal" if image.any() else "every voxel is zero"
        raise ScanError(
            f"expected an image with contrast, but {found}",
            hint="look at the scan: it is blank, or a mask in place of an image",
        )
    return low, high


def _percentiles(
    sample: NDArray[np.float32], percentiles: tuple[float, float]
) -> tuple[float, float]:
    if not sample.size:
        return float("nan"), float("nan")
    low, high = np.percentile(sample, percentiles).tolist()
    return low, high


def _sample(image: NDArray[np.float32], foreground: str) -> NDArray[np.float32]:
    """Take a lattice of the foreground's voxels: enough for a percentile, always the same."""
    step = max(1, round((image.size / _SAMPLES) ** (1 / max(image.ndim, 1))))
    lattice = image[(slice(None, None, step),) * image.ndim]
    sample = lattice[lattice != 0] if foreground == "nonzero" else lattice.ravel()
    if step > 1 and sample.size < _ENOUGH_SAMPLES:
        return image[image != 0] if foreground == "nonzero" else image.ravel()
    return sample
