"""The paper's own code, ivadomed's FiLMedUnet, beside a network of the same channels.

    python -m benchmarks.performance.predecessor --python PYTHON [--threads N] [--write]

PYTHON is an interpreter with torch and ivadomed 2.9.10 (``pip install --no-deps
--ignore-requires-python ivadomed==2.9.10``, and what it imports). At the paper's size: 8 images of
two channels and 320 × 256 pixels, depth 4, three tumour types.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

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
from bids_film.inference.memory import keep_memory
from bids_film.model.config import NetworkConfig
from bids_film.model.folding import FoldedUNet
from bids_film.model.unet import arrange, build_network, place_network
from bids_film.training.losses import SegmentationLoss

BATCH, SIZE, TYPES = 8, (320, 256), 3
CHANNELS = (64, 128, 256, 512, 512)


def main() -> None:
    """Time both and print the tables."""
    parser = make_parser(__doc__)
    parser.add_argument("--python", required=True)
    arguments = parse_arguments(parser)
    child = Path(__file__).with_name("predecessor_child.py")
    command = [arguments.python, str(child), *map(str, (arguments.threads, REPEATS, BATCH, *SIZE))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    predicted, trained = (float(word) for word in done.stdout.split()[-2:])
    predictions, steps = time_ours()
    size, peer = f"{BATCH} images of 2 × {SIZE[0]} × {SIZE[1]}", "ivadomed 2.9.10, f32"
    tables = {
        f"Prediction, {size}": [*predictions, Row(way=peer, seconds=predicted)],
        f"A step of training, {size}": [*steps, Row(way=peer, seconds=trained)],
    }
    publish("predecessor", tables, arguments)


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
