"""What a fold of the hippocampus takes on this machine: by the bundled recipe, by nnU-Net's plan.

    python -m benchmarks.hippocampus.budget --peers FOLDER [--threads N] [--report FILE]

FOLDER has nnU-Net's network (``pip install --no-deps --target FOLDER
dynamic_network_architectures``). A step of each is timed (forward, loss, backward, AdamW), in
float32 and without drawing data, and multiplied by the steps of a fold; nothing is trained.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch
from monai.losses import DiceCELoss
from torch import Tensor, nn

from benchmarks.performance.networks import build_nnunet
from benchmarks.performance.timing import make_parser, parse_arguments, take_best
from benchmarks.performance.training import make_step
from benchmarks.running import write_report
from bids_film.inference.memory import keep_memory
from bids_film.model.unet import arrange, build_network, place_network
from bids_film.models import find_model
from bids_film.training.losses import SegmentationLoss
from bids_film.training.recipe import Recipe, read_recipe

BATCH, STEPS, CHANNELS = 9, 250_000, (32, 64, 128, 256)
"""nnU-Net's plan for this task, on patches of our size (Isensee et al., Nature Methods 2021)."""

Data = tuple[Tensor, Tensor]


def main() -> None:
    """Time both and print the table."""
    parser = make_parser(__doc__, peers=True)
    parser.add_argument("--report", type=Path)
    arguments = parse_arguments(parser)
    recipe = read_recipe(find_model("hippocampus").with_name("recipe.toml"))
    own, patch = recipe.training, recipe.preprocessing.patch
    data, peer_data = (draw(batch, patch) for batch in (own.batch_size, BATCH))
    peer_s = take_best(make_peer(*peer_data))
    keep_memory()  # as training does
    own_s = take_best(make_ours(recipe, *data))
    lines = [
        "# What a fold of the hippocampus takes",
        "",
        f"{' × '.join(map(str, patch))} voxels, {arguments.threads} threads, float32:",
        "",
        "| | patches in a step | seconds a step | steps | hours |",
        "| --- | --- | --- | --- | --- |",
        describe("the bundled recipe", own.batch_size, own_s, own.steps),
        describe("nnU-Net's plan", BATCH, peer_s, STEPS),
        "",
    ]
    write_report(arguments.report, "\n".join(lines), script="hippocampus/budget.py")


def draw(batch: int, patch: Sequence[int]) -> Data:
    """Draw the images of a step, and labels of two structures."""
    torch.manual_seed(1)
    return torch.rand(batch, 1, *patch), torch.randint(0, 3, (batch, *patch))


def make_ours(recipe: Recipe, images: Tensor, labels: Tensor) -> Callable[[], None]:
    """Put a step of the recipe's network together; its metadata are two numbers."""
    network = build_network(recipe.network_config, [(0, 1), (1, 2)])
    network, images = place_network(network, torch.device("cpu")), arrange(images)
    told = torch.rand(len(images), 2), torch.ones(len(images), 2)
    loss, annotated = SegmentationLoss(parents=(0, 0, 0)), torch.ones(len(images), 2) > 0
    return make_step(network, lambda: loss([network(images, *told)], labels, annotated))


def make_peer(images: Tensor, labels: Tensor) -> Callable[[], None]:
    """Put a step of nnU-Net's network together, all its levels supervised."""
    network = build_nnunet(CHANNELS, 3, deep_supervision=True)
    return make_step(network, partial(compare_levels, network, images, labels[:, None]))


def compare_levels(network: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Dice and cross-entropy of each level, which counts half as much as the finer one."""
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    levels = network(images)
    parts = [
        0.5**level * loss(logits, labels[:, :, :: 2**level, :: 2**level, :: 2**level])
        for level, logits in enumerate(levels)
    ]
    return torch.stack(parts).sum()


def describe(name: str, batch: int, seconds: float, steps: int) -> str:
    """Write a row."""
    return f"| {name} | {batch} | {seconds:.3g} | {steps:,} | {seconds * steps / 3600:,.1f} |"


if __name__ == "__main__":
    main()
