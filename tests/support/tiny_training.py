"""Problems that a tiny network learns in seconds, and what a training of one needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bids_film.domain.scan import Scan
from bids_film.model.config import NetworkConfig
from bids_film.model.unet import FilmUNet, build_network
from bids_film.training.examples import Batch, Example
from bids_film.training.loop import Run
from bids_film.training.losses import SegmentationLoss
from bids_film.training.settings import TrainingSettings

SPANS = ((0, 2),)


def make_network(*, seed: int = 0, **settings: Any) -> FilmUNet:
    """Make a 2-D network of one structure and one metadata field with fresh weights."""
    torch.manual_seed(seed)
    chosen = {"dimensions": 2, "channels": (4, 8), "out_channels": 2, "generator": (8,), **settings}
    return build_network(NetworkConfig(**chosen), SPANS)


def make_run(state_file: Path, **settings: Any) -> Run:
    """Make a run that says nothing and validates every other step."""
    chosen = {"steps": 8, "validate_every": 2, "warm_up": 2, "learning_rate": 0.01, **settings}
    return Run(
        settings=TrainingSettings(**chosen),
        loss=SegmentationLoss(parents=(0, 0)),
        device=torch.device("cpu"),
        state_file=state_file,
        recipe_hash="this recipe",
        bfloat16=False,
        report=lambda line: None,
    )


def draw_batch(step: int) -> Batch:
    """Draw noisy images whose bright voxels are the structure; the same for a step each time."""
    rng = np.random.default_rng(step)
    labels = np.zeros((4, 16, 16), np.int64)
    for label in labels:
        x, y = rng.integers(2, 8, 2)
        label[x : x + 6, y : y + 6] = 1
    image = labels + rng.normal(0, 0.2, labels.shape)
    return Batch(
        image=torch.from_numpy(image).float()[:, None],
        labels=torch.from_numpy(labels),
        annotated=torch.ones(4, 1, dtype=torch.bool),
        vector=torch.eye(2)[rng.integers(0, 2, 4)],
        known=torch.from_numpy(rng.integers(0, 2, (4, 1))).float(),
    )


def draw_batches(start: int) -> Iterator[Batch]:
    """Draw the batches from a step on."""
    while True:
        yield draw_batch(start)
        start += 1


def stop_at(step: int) -> Callable[[int], Iterator[Batch]]:
    """Draw batches until a step, at which the program is interrupted."""

    def draw(start: int) -> Iterator[Batch]:
        for number in range(start, step):
            yield draw_batch(number)
        raise KeyboardInterrupt

    return draw


def measure_dice(network: FilmUNet) -> dict[str, float]:
    """Dice on a batch that no training sees."""
    batch = draw_batch(10**6)
    found = network(batch.image, batch.vector, batch.known).argmax(dim=1)
    overlap = int(((found == 1) & (batch.labels == 1)).sum())
    return {"cord": 2 * overlap / int((found == 1).sum() + (batch.labels == 1).sum())}


def make_example(
    name: str,
    image: NDArray[Any],
    labels: NDArray[np.uint8],
    *,
    annotated: tuple[bool, ...] = (True,),
    values: dict[str, Any],
) -> Example:
    """Make a labelled scan from arrays of shape (X, Y, slices)."""
    path = Path(f"/data/sub-{name}/anat/sub-{name}_T1w.nii.gz")
    channels = [channel for channel in range(1, 5) if (labels == channel).any()]
    return Example(
        scan=Scan(
            path=path,
            dataset_root=Path("/data"),
            entities={"sub": name},
            suffix="T1w",
            datatype="anat",
        ),
        image=image.astype(np.float16)[None],
        labels=labels,
        annotated=np.array(annotated),
        values=values,
        spacing_mm=(1.0, 1.0, 1.0),
        voxel_ml=0.001,
        points={channel: np.argwhere(labels == channel).astype(np.int32) for channel in channels},
    )


def same_weights(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    """Whether two networks are the same to the bit."""
    first, second = one.state_dict(), other.state_dict()
    return first.keys() == second.keys() and all(
        torch.equal(value, second[name]) for name, value in first.items()
    )


def disturb(network: FilmUNet) -> FilmUNet:
    """Give every weight and statistic a value that no fresh network has."""
    torch.manual_seed(5)
    for parameter in network.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    for name, buffer in network.named_buffers():
        if "running" in name:
            buffer.add_(torch.rand_like(buffer))
    return network.eval()
