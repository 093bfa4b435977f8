"""Dice and 95th percentile Hausdorff distance, ours and MONAI's, on the same masks.

python -m benchmarks.performance.measures [--write]
"""

from __future__ import annotations

import numpy as np
import torch
from monai.metrics import compute_dice, compute_hausdorff_distance
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.performance.timing import Row, make_parser, parse_arguments, publish, take_best
from bids_film.images.measures import dice, hausdorff95_mm

SHAPE, SPACING_MM = (192, 192, 160), (1.0, 1.0, 1.2)


def main() -> None:
    """Draw two masks, time both libraries and compare what they say."""
    arguments = parse_arguments(make_parser(__doc__))
    rng = np.random.default_rng(1)
    one, other = (_draw_blob(rng) for _ in range(2))
    ours = dice(one, other), hausdorff95_mm(one, other, SPACING_MM)
    first, second = (torch.from_numpy(mask)[None, None] for mask in (one, other))

    def compute_theirs() -> tuple[float, float]:
        overlap = compute_dice(first, second)
        distance = compute_hausdorff_distance(first, second, percentile=95, spacing=SPACING_MM)
        return float(overlap), float(distance)

    theirs = compute_theirs()
    rows = [
        Row(
            way="bids_film",
            seconds=take_best(lambda: (dice(one, other), hausdorff95_mm(one, other, SPACING_MM))),
            note=f"Dice {ours[0]:.4f}, HD95 {ours[1]:.3f} mm",
        ),
        Row(
            way="MONAI",
            seconds=take_best(compute_theirs),
            note=f"Dice {theirs[0]:.4f}, HD95 {theirs[1]:.3f} mm",
        ),
    ]
    size = " × ".join(map(str, SHAPE))
    publish("measures", {f"Dice and HD95 of two masks of {size} voxels": rows}, arguments)


def _draw_blob(rng: np.random.Generator) -> NDArray[np.bool_]:
    noise = ndimage.gaussian_filter(rng.normal(size=SHAPE).astype(np.float32), 12)
    distance = np.linalg.norm(np.indices(SHAPE) - np.reshape(SHAPE, (3, 1, 1, 1)) / 2, axis=0)
    blob: NDArray[np.bool_] = (noise / noise.std() - distance / 25) > -1.5  # noqa: PLR2004
    return blob


if __name__ == "__main__":
    main()
