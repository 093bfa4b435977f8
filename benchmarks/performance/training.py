"""A step of training: as this program takes it, in plain PyTorch, and MONAI's network.

    python -m benchmarks.performance.training [--threads N] [--peers FOLDER] [--write]

TorchIO, which this project does not install, is looked for in FOLDER, where
``pip install --no-deps --target FOLDER torchio`` puts it, and what it imports.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import monai.transforms as mt
import numpy as np
import torch
from monai.losses import DiceCELoss
from monai.networks.nets import BasicUNet
from torch import Tensor, nn

from benchmarks.performance.networks import compute_in, list_precisions
from benchmarks.performance.timing import (
    Row,
    make_parser,
    parse_arguments,
    publish,
    take_best,
    try_peer,
)
from bids_film.inference.memory import keep_memory
from bids_film.model.config import NetworkConfig
from bids_film.model.unet import arrange, build_network, place_network
from bids_film.training.augment import PRESETS, augment_example
from bids_film.training.loop import Loss
from bids_film.training.losses import SegmentationLoss

PATCH, STRUCTURES, CHANNELS = (64, 80, 64), 32, (16, 32, 64, 128)
ALIKE = "probabilities and ranges are alike, not the same"
SPANS = ((0, 5), (5, 6), (6, 7))
METADATA = (torch.ones(1, 7), torch.ones(1, 3))
"""Vector and known."""


def main() -> None:
    """Time steps and augmentation, print the tables."""
    arguments = parse_arguments(make_parser(__doc__, peers=True))
    torch.manual_seed(1)
    image, labels = torch.rand(1, 1, *PATCH), torch.randint(0, STRUCTURES + 1, (1, *PATCH))
    size = " × ".join(map(str, PATCH))
    tables = {
        f"A step (forward, loss, backward, AdamW), 3-D, one patch of {size}, {STRUCTURES} "
        "structures": time_steps(image, labels),
        f"Augmentation of a patch of {size} (affine, elastic, bias field, gamma, noise, blur), one "
        "thread": list(time_augmentation(image[0], labels[0])),
    }
    publish("training", tables, arguments)


def time_steps(image: Tensor, labels: Tensor) -> list[Row]:
    """Time one step of each network with its loss; ours last, as it changes how memory is kept."""
    config = NetworkConfig(dimensions=3, channels=CHANNELS, out_channels=STRUCTURES + 1)
    peers = list(time_peers(config, image, labels))
    keep_memory()
    return [*time_ours(config, image, labels), *peers]


def time_ours(config: NetworkConfig, image: Tensor, labels: Tensor) -> Iterator[Row]:
    """Time this program's step, first in the precision that it chooses on this machine."""
    network = place_network(build_network(config, SPANS), torch.device("cpu"))
    image = arrange(image)
    annotated = torch.ones(1, STRUCTURES, dtype=torch.bool)
    loss = SegmentationLoss(parents=(0,) * (STRUCTURES + 1))

    def lose(run: Callable[..., Tensor], compare: Loss, precision: str) -> Tensor:
        with compute_in(precision):
            logits = run(image, *METADATA)
        return compare([logits], labels, annotated)

    compiled, compiled_loss = torch.compile(network), torch.compile(loss)
    for precision in reversed(list_precisions()):
        yield Row(
            way=f"bids_film: channels last, its loss, {precision}",
            seconds=take_best(make_step(network, partial(lose, network, loss, precision))),
        )
        yield Row(
            way=f"the same, compiled, {precision}",
            seconds=take_best(
                make_step(network, partial(lose, compiled, compiled_loss, precision))
            ),
        )


def time_peers(config: NetworkConfig, image: Tensor, labels: Tensor) -> Iterator[Row]:
    """Time plain PyTorch on the same network, and MONAI's, in float32."""
    loss = DiceCELoss(to_onehot_y=True, softmax=True)
    plain = build_network(config, SPANS)
    yield Row(
        way="the same network, plain PyTorch, MONAI's DiceCELoss, f32",
        seconds=take_best(make_step(plain, lambda: loss(plain(image, *METADATA), labels[:, None]))),
    )
    features = (CHANNELS[0], *CHANNELS, CHANNELS[0])
    basic = BasicUNet(3, 1, STRUCTURES + 1, features=features)
    yield Row(
        way="MONAI BasicUNet, MONAI's DiceCELoss, f32",
        seconds=take_best(make_step(basic, lambda: loss(basic(image), labels[:, None]))),
        note=f"unconditioned, channels {list(features)}",
    )


def make_step(network: nn.Module, lose: Callable[[], Tensor]) -> Callable[[], None]:
    """Put a step together."""
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-4)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        lose().backward()
        optimizer.step()

    return step


def time_augmentation(image: Tensor, labels: Tensor) -> Iterator[Row]:
    """Time the standard augmentation of this program, and MONAI's of the same kinds."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(1)
    settings = PRESETS["standard"]
    yield Row(
        way="bids_film, preset standard",
        seconds=take_best(
            lambda: [
                augment_example(image, labels, patch=PATCH, settings=settings, rng=rng)
                for _ in range(10)
            ]
        )
        / 10,
    )
    keys, modes = ["image", "label"], ("bilinear", "nearest")
    chain = mt.Compose(
        [
            mt.RandAffined(keys, prob=1, rotate_range=0.3, scale_range=0.2, mode=modes),
            mt.Rand3DElasticd(keys, (4, 6), (10, 40), prob=0.5, mode=modes),
            mt.RandBiasFieldd("image", prob=0.3),
            mt.RandAdjustContrastd("image", prob=0.3),
            mt.RandGaussianNoised("image", prob=0.3),
            mt.RandGaussianSmoothd("image", prob=0.2),
        ]
    ).set_random_state(1)
    sample = {"image": image, "label": labels[None].float()}
    yield Row(
        way="MONAI, transforms of the same kinds",
        seconds=take_best(lambda: [chain(sample) for _ in range(10)]) / 10,
        note=ALIKE,
    )
    yield from try_peer("TorchIO", lambda: time_torchio(image, labels))


def time_torchio(image: Tensor, labels: Tensor) -> Row:
    """Time TorchIO's transforms of the same kinds."""
    import torchio as tio  # noqa: PLC0415 (a peer that may be missing)

    chain = tio.Compose(
        [
            tio.RandomAffine(scales=0.2, degrees=17),
            tio.RandomElasticDeformation(num_control_points=8, max_displacement=4, p=0.5),
            tio.RandomBiasField(p=0.3),
            tio.RandomGamma(p=0.3),
            tio.RandomNoise(p=0.3),
            tio.RandomBlur(p=0.2),
        ]
    )
    subject = tio.Subject(
        image=tio.ScalarImage(tensor=image), label=tio.LabelMap(tensor=labels[None])
    )
    torch.manual_seed(1)
    seconds = take_best(lambda: [chain(subject) for _ in range(10)]) / 10
    return Row(way="TorchIO, transforms of the same kinds", seconds=seconds, note=ALIKE)


if __name__ == "__main__":
    main()
