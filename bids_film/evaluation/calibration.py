"""Whether probabilities come true: of the voxels given 80 %, 80 % should be the structure.

Counted are the voxels that matter: those that the model gives at least 1 %, or that belong to the
structure. The rest of an image is background that every model is sure of, and would make any model
look calibrated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BINS = 10
"""Of equal width, from 0 to 1."""

_LEAST = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class Reliability:
    """Voxels counted by the probability that they were given.

    Attributes
    ----------
    voxels : ndarray
        How many, float64, shape (BINS,).
    predicted : ndarray
        Sum of their probabilities.
    found : ndarray
        How many of them are the structure.
    """

    voxels: NDArray[np.float64]
    predicted: NDArray[np.float64]
    found: NDArray[np.float64]

    def __add__(self, other: Reliability) -> Reliability:
        """Count the voxels of both."""
        return Reliability(
            voxels=self.voxels + other.voxels,
            predicted=self.predicted + other.predicted,
            found=self.found + other.found,
        )

    @property
    def ece(self) -> float:
        """Expected calibration error, 0 to 1 (Guo et al., ICML 2017); NaN without voxels.

        The mean distance between the probability and the share that is the structure, over bins,
        each weighted by its voxels.
        """
        total = self.voxels.sum()
        if not total:
            return math.nan
        return float(np.abs(self.predicted - self.found).sum() / total)


def count_reliability(probability: NDArray[Any], reference: NDArray[np.bool_]) -> Reliability:
    """Count the voxels of one structure in one scan.

    Parameters
    ----------
    probability : ndarray
        0 to 1, of any float type.
    reference : ndarray of bool
        Same shape.

    Raises
    ------
    ValueError
        Where the two shapes differ.
    """
    if probability.shape != reference.shape:
        raise ValueError(
            f"expected two arrays of the same shape, got {probability.shape} and {reference.shape}"
        )
    counted = (probability >= _LEAST) | reference
    given, true = probability[counted].astype(np.float64), reference[counted].astype(np.float64)
    place = np.minimum((given * BINS).astype(np.intp), BINS - 1)
    return Reliability(
        voxels=np.bincount(place, minlength=BINS).astype(np.float64),
        predicted=np.bincount(place, weights=given, minlength=BINS).astype(np.float64),
        found=np.bincount(place, weights=true, minlength=BINS).astype(np.float64),
    )
