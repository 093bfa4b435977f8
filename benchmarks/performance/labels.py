"""From probabilities to a label map on the scan's grid: time and memory, ours and the usual ways.

    python -m benchmarks.performance.labels --peers FOLDER [--threads N] [--write]

FOLDER: nnU-Net's own export and what it imports (``pip install --no-deps --target FOLDER nnunetv2
acvl_utils batchgenerators batchgeneratorsv2 dynamic_network_architectures scikit-image imageio
lazy_loader tifffile SimpleITK blosc2==2.7.1 ndindex msgpack numexpr py-cpuinfo
connected-components-3d fft-conv-pytorch einops``).
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from benchmarks.performance.timing import (
    Row,
    find_peak_mb,
    make_parser,
    parse_arguments,
    publish,
    try_peer,
)
from bids_film.images.resample import resize_argmax

CHANNELS, SMALL, LARGE = 33, (128, 128, 96), (256, 256, 192)
Probabilities = NDArray[np.float32]


def main() -> None:
    """Run each way in a process of its own, and print the table."""
    parser = make_parser(__doc__, peers=True)
    parser.add_argument("--way", choices=tuple(WAYS), help="run this one, in this process")
    arguments = parse_arguments(parser)
    if arguments.way:
        _run_way(arguments.way)
        return
    rows = [row for way in WAYS for row in try_peer(way, partial(_measure_way, way))]
    title = (
        f"{CHANNELS} probabilities of {' × '.join(map(str, SMALL))} voxels to labels of "
        f"{' × '.join(map(str, LARGE))} (the memory includes the probabilities themselves, "
        f"{CHANNELS * np.prod(SMALL) * 4 / 2**20:,.0f} MB)"
    )
    publish("labels", {title: rows}, arguments)


def _measure_way(way: str) -> Row:
    command = [sys.executable, "-m", "benchmarks.performance.labels", *sys.argv[1:], "--way", way]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "ModuleNotFoundError" in done.stderr:
        raise ImportError(done.stderr.splitlines()[-1])
    if done.returncode:
        raise SystemExit(f"{way}:\n{done.stderr[-2000:]}")
    seconds, peak_mb = map(float, done.stdout.split()[-2:])
    return Row(way=way, seconds=seconds, memory_mb=peak_mb)


def _resize_by_torch(probabilities: Probabilities) -> NDArray[np.uint8]:
    resized = functional.interpolate(
        torch.from_numpy(probabilities)[None], LARGE, mode="trilinear", align_corners=False
    )
    return resized[0].argmax(dim=0).byte().numpy()


def _export_by_nnunet(probabilities: Probabilities) -> Callable[[], object]:
    """Make nnU-Net's own last step, by the plan that it makes for such a scan of 1 mm."""
    from nnunetv2.inference.export_prediction import (  # noqa: PLC0415 (a peer that may be absent)
        convert_predicted_logits_to_segmentation_with_correct_shape as export,
    )
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager  # noqa: PLC0415

    spacing = [new / old for new, old in zip(LARGE, SMALL, strict=True)]
    resampling = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    configuration = {
        "architecture": {},
        "spacing": spacing,
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": resampling,
    }
    plans = PlansManager(
        {
            "transpose_forward": [0, 1, 2],
            "transpose_backward": [0, 1, 2],
            "configurations": {"3d_fullres": configuration},
        }
    )
    labels = {"background": 0} | {f"structure {index}": index for index in range(1, CHANNELS)}
    properties = {
        "spacing": [1.0, 1.0, 1.0],
        "shape_before_cropping": LARGE,
        "shape_after_cropping_and_before_resampling": LARGE,
        "bbox_used_for_cropping": [[0, size] for size in LARGE],
    }
    return partial(
        export,
        torch.from_numpy(probabilities).log(),
        plans,
        plans.get_configuration("3d_fullres"),
        plans.get_label_manager({"labels": labels}),
        properties,
        num_threads_torch=torch.get_num_threads(),
    )


WAYS: Mapping[str, Callable[[Probabilities], Callable[[], object]]] = {
    "bids_film: block by block, structure by structure": lambda maps: partial(
        resize_argmax, maps, LARGE
    ),
    "torch interpolate, then argmax": lambda maps: partial(_resize_by_torch, maps),
    "nnU-Net's export, of logits": _export_by_nnunet,
}
"""What makes ready, and gives the call that is timed."""


def _run_way(way: str) -> None:
    call = WAYS[way](_draw_probabilities())
    started = perf_counter()
    call()
    print(perf_counter() - started, find_peak_mb())


def _draw_probabilities() -> Probabilities:
    """Blobs of structures in background, as a network gives them."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(CHANNELS, 16, 16, 12)).astype(np.float32)
    smooth = functional.interpolate(torch.from_numpy(6 * logits)[None], SMALL, mode="trilinear")
    return torch.softmax(smooth[0], dim=0).numpy()


if __name__ == "__main__":
    main()
