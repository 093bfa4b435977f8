"""The paper's own code, ivadomed's FiLMedUnet, beside a network of the same channels.

    python -m benchmarks.performance.predecessor --python PYTHON [--threads N] [--write]

PYTHON is an interpreter with torch and ivadomed 2.9.10 (``pip install --no-deps
--ignore-requires-python ivadomed==2.9.10``, and what it imports). At the paper's size: 8 images of
two channels and 320 × 256 pixels, depth 4, three tumour types. A whole scan, from its file to
labels, is segmented by ivadomed without metadata: with them its `segment_volume` fails.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import nibabel as nib
import numpy as np
import torch
from torch import Tensor

from benchmarks.performance.limits import measure_limits
from benchmarks.performance.networks import compute_in, list_precisions
from benchmarks.performance.timing import (
    REPEATS,
    Row,
    make_parser,
    parse_arguments,
    publish,
    take_best,
)
from benchmarks.performance.training import make_step
from bids_film.derivatives.nifti import write_labels
from bids_film.inference.engine import Engine
from bids_film.inference.memory import keep_memory
from bids_film.inputs.nifti import read_volume
from bids_film.model.checkpoint import load_checkpoint
from bids_film.model.config import NetworkConfig, Postprocessing, Preprocessing
from bids_film.model.folding import FoldedUNet
from bids_film.model.unet import arrange, build_network, place_network
from bids_film.models import find_model
from bids_film.training.losses import SegmentationLoss

BATCH, SIZE, SLICES, TYPES = 8, (320, 256), 24, 3
CHANNELS = (64, 128, 256, 512, 512)


def main() -> None:
    """Time both and print the tables."""
    parser = make_parser(__doc__)
    parser.add_argument("--python", required=True)
    arguments = parse_arguments(parser)
    with tempfile.TemporaryDirectory() as folder:
        scan = write_scan(Path(folder) / "scan.nii.gz")
        predicted, trained, *segmented = time_peer(arguments.python, arguments.threads, scan)
        segmentations = time_scan(scan)
    predictions, steps = time_ours()
    size, peer = f"{BATCH} images of 2 × {SIZE[0]} × {SIZE[1]}", "ivadomed 2.9.10"
    segmentations += [
        Row(way=f"{peer}, its U-Net by {by}, f32", seconds=seconds, note="no metadata; not written")
        for by, seconds in zip(("PyTorch", "ONNX Runtime"), segmented, strict=True)
    ]
    tables = {
        f"Prediction, {size}": [*predictions, Row(way=f"{peer}, f32", seconds=predicted)],
        f"A step of training, {size}": [*steps, Row(way=f"{peer}, f32", seconds=trained)],
        f"A scan of {SIZE[0]} × {SIZE[1]} × {SLICES}, file to labels": segmentations,
    }
    section = "predecessor" if "bf16" in list_precisions() else "predecessor-f32"
    publish("predecessor", tables, arguments, section=section)


def time_peer(python: str, threads: int, scan: Path) -> list[float]:
    """Have the other interpreter time what `predecessor_child` says."""
    child = Path(__file__).with_name("predecessor_child.py")
    numbers = map(str, (threads, REPEATS, BATCH, *SIZE))
    command = [python, str(child), *numbers, str(scan)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"ivadomed failed:\n{done.stderr[-2000:]}")
    return [float(word) for word in done.stdout.split()[-4:]]


def write_scan(path: Path) -> Path:
    """Write noise as a scan of thick slices."""
    rng = np.random.default_rng(1)
    image = rng.normal(100, 20, (*SIZE, SLICES)).astype(np.int16)
    nib.save(nib.Nifti1Image(image, np.diag([1, 1, 3, 1])), path)
    return path


def time_scan(scan: Path) -> list[Row]:
    """Time a whole scan by a conditioned network of the same channels."""
    header, _ = load_checkpoint(find_model("spinalcord"))
    config = replace(header.network, channels=CHANNELS, out_channels=2)
    header = replace(
        header,
        labels=replace(header.labels, structures=header.labels.structures[:1]),
        network=config,
        preprocessing=Preprocessing(spacing_mm=(0.0, 0.0, 0.0), patch=SIZE),
        postprocessing=Postprocessing(),
    )
    network = build_network(config, header.encoder.spans)
    rows = []
    for precision in reversed(list_precisions()):
        engine = Engine(header, network, device=torch.device("cpu"), precision=precision)
        seconds = take_best(partial(segment, engine, scan))
        rows.append(Row(way=f"bids_film, {precision}", seconds=seconds))
    return rows


def segment(engine: Engine, scan: Path) -> None:
    """Segment a scan without metadata, and write its labels beside it."""
    volume = read_volume(scan)
    found = engine.predict(volume, engine.header.encoder.encode({}))
    write_labels(scan.with_name("labels.nii.gz"), found.labels, volume.grid)


def time_ours() -> tuple[list[Row], list[Row]]:
    """Time the prediction of one scan's slices, and a step with a type for each image.

    First in the precision that the program chooses on this machine.
    """
    config = NetworkConfig(dimensions=2, in_channels=2, channels=CHANNELS, out_channels=2)
    network = place_network(build_network(config, [(0, TYPES)]), torch.device("cpu"))
    images = arrange(torch.rand(BATCH, 2, *SIZE))
    labels = torch.randint(0, 2, (BATCH, *SIZE))
    vector, known = torch.eye(TYPES)[torch.arange(BATCH) % TYPES], torch.ones(BATCH, 1)
    network.eval()

    def predict(precision: str) -> None:
        modulations = network.modulations(vector[:1], known[:1])
        FoldedUNet(network, modulations, bfloat16=precision == "bf16")(images)

    with torch.inference_mode():
        predictions = [
            Row(way=f"bids_film, {precision}", seconds=take_best(partial(predict, precision)))
            for precision in reversed(list_precisions())
        ]
        predictions += measure_limits(partial(network, images, vector, known))
    network.train()
    keep_memory()
    loss = SegmentationLoss(parents=(0, 0), name="dice")
    annotated = torch.ones(BATCH, 1, dtype=torch.bool)
    forwards = {"bids_film": network, "bids_film, compiled": torch.compile(network)}

    def lose(forward: Callable[..., Tensor], precision: str) -> Tensor:
        with compute_in(precision):
            logits = forward(images, vector, known)
        return loss([logits], labels, annotated)

    steps = [
        Row(
            way=f"{way}, {precision}",
            seconds=take_best(make_step(network, partial(lose, forward, precision))),
        )
        for precision in reversed(list_precisions())
        for way, forward in forwards.items()
    ]
    steps += measure_limits(make_step(network, partial(lose, network, "f32")))
    return predictions, steps


if __name__ == "__main__":
    main()
