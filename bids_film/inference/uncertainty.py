"""How sure a network is: entropy per voxel, and the Dice that it expects per structure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bids_film.domain.labels import LabelTable

_SMALLEST = 1e-7


@dataclass(frozen=True, kw_only=True, slots=True)
class Confidence:
    """How sure the network was of one structure, its parts included.

    Attributes
    ----------
    expected_dice : float or None
        Dice with the truth, if each probability was right; 0 to 1. None where it was not found:
        how sure the network is of nothing says little.
    entropy : float or None
        Mean entropy of the structure's voxels, 0 (sure) to 1; None where it was not found.
    """

    expected_dice: float | None = None
    entropy: float | None = None


def measure_entropy(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entropy of each voxel's probabilities, as a share of the highest that is possible.

    Parameters
    ----------
    probabilities : ndarray
        Shape (structures + 1, X, Y, Z); they sum to one along the first axis.

    Returns
    -------
    ndarray
        float32, shape (X, Y, Z); 0 where one channel is certain, 1 where all are equally likely.
    """
    entropy = np.zeros(probabilities.shape[1:], dtype=np.float32)
    # Channel by channel: the whole would need a second array of the size of all probabilities.
    for channel in probabilities:
        entropy -= channel * np.log(np.maximum(channel, np.float32(_SMALLEST)))
    share: NDArray[np.float32] = entropy / np.float32(np.log(len(probabilities)))
    return share.clip(0, 1)


def measure_confidence(
    probabilities: NDArray[np.float32], entropy: NDArray[np.float32], table: LabelTable
) -> Mapping[str, Confidence]:
    """Sum up how sure the network was of each structure.

    The expected Dice takes the probabilities for the truth: twice the probability inside the mask,
    over the mask's size and all probability (Li et al., "Estimating model performance under domain
    shifts with class-specific confidence scores", MICCAI 2022).

    Parameters
    ----------
    probabilities : ndarray
        Shape (structures + 1, X, Y, Z), channels in the order of `table` after background.
    entropy : ndarray
        Of `measure_entropy`, shape (X, Y, Z).
    table : LabelTable

    Returns
    -------
    Mapping[str, Confidence]
        By name of the structure.
    """
    winners = probabilities.argmax(axis=0)
    found = {}
    for structure in table:
        channels = list(table.channels_of(structure.name))
        likely = probabilities[channels].sum(axis=0)
        mask = np.isin(winners, channels)
        size, mass = int(mask.sum()), float(likely.sum(dtype=np.float64))
        if not size:
            found[structure.name] = Confidence()
            continue
        common = float(likely[mask].sum(dtype=np.float64))
        found[structure.name] = Confidence(
            expected_dice=2 * common / (size + mass), entropy=float(entropy[mask].mean())
        )
    return found
