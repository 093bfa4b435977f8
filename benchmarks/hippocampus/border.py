"""What the border between anterior and posterior hippocampus costs, which experts draw as a plane.

Behind one coronal plane all is posterior, before it all is anterior: where that plane lies is one
decision, of the expert and of the network alike, and one slice more or less moves voxels by the
dozen from one part to the other.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bids_film.images.measures import dice

Labels = NDArray[np.integer[Any]]
"""1 anterior, 2 posterior; the second axis runs from posterior to anterior."""


def compare(found: Labels, reference: Labels) -> dict[str, float]:
    """Compare both parts together, and each where the border is drawn by the reference's plane."""
    own, plane = find_plane(found), find_plane(reference)
    moved = split(found > 0, plane)
    return {
        "both parts as one": dice(found > 0, reference > 0),
        "anterior, with the expert's plane": dice(moved == 1, reference == 1),
        "posterior, with the expert's plane": dice(moved == 2, reference == 2),  # noqa: PLR2004
        "slices between the planes": abs(own - plane),
        "voxels beyond the expert's own plane": float(
            np.mean(split(reference > 0, plane)[reference > 0] != reference[reference > 0])
        ),
    }


def find_plane(labels: Labels) -> int:
    """Find the slice from which on all is anterior, with the fewest voxels on the wrong side."""
    anterior, posterior = ((labels == part).sum(axis=(0, 2)) for part in (1, 2))
    behind, before = np.append(0, anterior.cumsum()), np.append(0, posterior.cumsum())
    return int(np.argmin(behind + before[-1] - before))


def split(mask: NDArray[np.bool_], plane: int) -> Labels:
    """Divide a mask by a plane."""
    parts = np.where(np.arange(mask.shape[1]) >= plane, 1, 2)
    return mask * parts[:, None]


def describe(scans: list[dict[str, float]]) -> list[str]:
    """Write the means over scans as a table."""
    means = pd.DataFrame(scans).mean()
    return [
        "| | mean |",
        "| --- | --- |",
        *(f"| {name} | {value:.3f} |" for name, value in means.items()),
    ]
