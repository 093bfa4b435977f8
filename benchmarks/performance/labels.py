"""From probabilities to a label map on the scan's grid: time and memory, ours and the usual ways.

python -m benchmarks.performance.labels [--threads N] [--write]
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from benchmarks.performance.timing import Row, find_peak_mb, make_parser, parse_arguments, publish
from bids_film.images.resample import resize_argmax

CHANNELS, SMALL, LARGE = 33, (128, 128, 96), (256, 256, 192)
Probabilities = NDArray[np.float32]


def main() -> None:
    """Run each way in a process of its own, and print the table."""
    if len(sys.argv) == 3 and sys.argv[1] == "--way":  # noqa: PLR2004 (this script, as a child)
        _run_way(sys.argv[2])
        return
    arguments = parse_arguments(make_parser(__doc__))
    rows = []
    for way in WAYS:
        command = [sys.executable, "-m", "benchmarks.performance.labels", "--way", way]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        seconds, peak_mb = map(float, done.stdout.split())
        rows.append(Row(way=way, seconds=seconds, memory_mb=peak_mb))
    title = (
        f"{CHANNELS} probabilities of {' × '.join(map(str, SMALL))} voxels to labels of "
        f"{' × '.join(map(str, LARGE))} (the memory includes the probabilities themselves, "
        f"{CHANNELS * np.prod(SMALL) * 4 / 2**20:,.0f} MB)"
    )
    publish("labels", {title: rows}, arguments)


def _resize_by_torch(probabilities: Probabilities) -> NDArray[np.uint8]:
    resized = functional.interpolate(
        torch.from_numpy(probabilities)[None], LARGE, mode="trilinear", align_corners=False
    )
    return resized[0].argmax(dim=0).byte().numpy()


def _resize_by_scipy(probabilities: Probabilities) -> NDArray[np.uint8]:
    factors = [new / old for new, old in zip(LARGE, SMALL, strict=True)]
    resized = np.stack(
        [
            ndimage.zoom(channel, factors, order=1, mode="nearest", grid_mode=True)
            for channel in probabilities
        ]
    )
    return resized.argmax(axis=0).astype(np.uint8)


WAYS: Mapping[str, Callable[[Probabilities], object]] = {
    "bids_film: block by block, structure by structure": lambda maps: resize_argmax(maps, LARGE),
    "torch interpolate, then argmax": _resize_by_torch,
    "scipy zoom of each channel, then argmax (as nnU-Net's export does)": _resize_by_scipy,
}


def _run_way(way: str) -> None:
    probabilities = _draw_probabilities()
    started = perf_counter()
    WAYS[way](probabilities)
    print(perf_counter() - started, find_peak_mb())


def _draw_probabilities() -> Probabilities:
    """Blobs of structures in background, as a network gives them."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(CHANNELS, 16, 16, 12)).astype(np.float32)
    smooth = functional.interpolate(torch.from_numpy(6 * logits)[None], SMALL, mode="trilinear")
    return torch.softmax(smooth[0], dim=0).numpy()


if __name__ == "__main__":
    main()
