"""Batches drawn from labelled scans or from label maps, the same for a step on every run."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from bids_film.domain.errors import WorkerDiedError
from bids_film.metadata.encoder import Encoder
from bids_film.training.augment import AugmentSettings, augment_example
from bids_film.training.examples import Batch, Example, MetadataValues
from bids_film.training.recipe import Recipe
from bids_film.training.settings import MetadataSettings

Center = tuple[float, ...]

_JITTER = 1 / 3
"""Share of the patch by which a structure may lie off its centre."""


class Sampler(Protocol):
    """Draws batches."""

    def draw(self, rng: np.random.Generator) -> Batch:
        """Draw one batch; all chance comes from `rng`."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class MetadataMask:
    """Encodes metadata and withholds some, so that the network learns to do without.

    Attributes
    ----------
    encoder : Encoder
    settings : MetadataSettings
    """

    encoder: Encoder
    settings: MetadataSettings

    def encode(
        self, values: MetadataValues, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Encode one scan's metadata: vector (width,) and known (fields,), both float32."""
        withhold_all = rng.random() < self.settings.drop_all_probability
        withheld = rng.random(len(self.encoder.fields)) < self.settings.drop_probability
        given = {
            item.name: None if withhold_all or drop else values.get(item.name)
            for item, drop in zip(self.encoder.fields, withheld.tolist(), strict=True)
        }
        encoded = self.encoder.encode(given)
        return torch.from_numpy(encoded.vector), torch.from_numpy(encoded.known)


@dataclass(frozen=True, kw_only=True, slots=True)
class Patch:
    """One entry of a batch; see `Batch` for the parts."""

    image: torch.Tensor
    labels: torch.Tensor
    annotated: torch.Tensor
    vector: torch.Tensor
    known: torch.Tensor


def stack_patches(patches: Sequence[Patch]) -> Batch:
    """Put patches together into a batch."""
    return Batch(
        image=torch.stack([patch.image for patch in patches]),
        labels=torch.stack([patch.labels for patch in patches]).long(),
        annotated=torch.stack([patch.annotated for patch in patches]),
        vector=torch.stack([patch.vector for patch in patches]),
        known=torch.stack([patch.known for patch in patches]),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleSampler:
    """Draws batches of augmented patches from labelled scans.

    Attributes
    ----------
    examples : Sequence[Example]
    mask : MetadataMask
    augmentation : AugmentSettings
    patch : tuple[int, ...]
        Two sizes draw slices, three draw blocks.
    batch_size : int
    foreground : float
        Share of patches that hold a structure.
    shuffled : bool
        Give each patch the metadata of a random scan: the control for what metadata are worth.
    """

    examples: Sequence[Example]
    mask: MetadataMask
    augmentation: AugmentSettings
    patch: tuple[int, ...]
    batch_size: int
    foreground: float = 0.7
    shuffled: bool = False

    def draw(self, rng: np.random.Generator) -> Batch:
        """Draw one batch; all chance comes from `rng`."""
        return stack_patches([self._draw_patch(rng) for _ in range(self.batch_size)])

    def _draw_patch(self, rng: np.random.Generator) -> Patch:
        example = self.examples[int(rng.integers(len(self.examples)))]
        center = draw_center(example, self.patch, rng, foreground=self.foreground)
        image, labels, middle = cut_window(example, self.patch, center)
        settings = self.augmentation
        if not settings.voxel_size:
            settings = replace(settings, voxel_size=example.spacing_mm[: len(self.patch)])
        image, labels = augment_example(
            image, labels, patch=self.patch, settings=settings, rng=rng, center=middle
        )
        told = self.examples[int(rng.integers(len(self.examples)))] if self.shuffled else example
        vector, known = self.mask.encode(told.values, rng)
        return Patch(
            image=image,
            labels=labels,
            annotated=torch.from_numpy(example.annotated),
            vector=vector,
            known=known,
        )


def draw_center(
    example: Example, patch: Sequence[int], rng: np.random.Generator, *, foreground: float
) -> Center:
    """Draw the voxel on which a patch is centred; in 2-D its last coordinate is the slice.

    A patch that holds a structure holds it anywhere, not always in the middle; and no patch
    reaches further beyond the image than it must.
    """
    shape = np.array(example.labels.shape)
    size = np.array([*patch, *[1] * (3 - len(patch))])
    if example.points and rng.random() < foreground:
        channels = list(example.points)
        points = example.points[channels[int(rng.integers(len(channels)))]]
        place = points[int(rng.integers(len(points)))] + rng.uniform(-_JITTER, _JITTER, 3) * (
            size - 1
        )
    else:
        place = rng.uniform(0, 1, 3) * (shape - 1)
    low = np.minimum((size - 1) / 2, (shape - 1) / 2)
    return tuple(np.clip(place, low, shape - 1 - low).tolist())


def cut_window(
    example: Example, patch: Sequence[int], center: Center
) -> tuple[torch.Tensor, torch.Tensor, Center]:
    """Cut out what a turned and scaled patch can reach, so that no more is converted.

    Returns
    -------
    image : Tensor
        float32, shape (1, *window).
    labels : Tensor
        uint8, shape (*window).
    center : tuple[float, ...]
        Relative to the window.
    """
    starts = [max(0, int(c) - size) for c, size in zip(center, patch, strict=False)]
    stops = [int(c) + size + 2 for c, size in zip(center, patch, strict=False)]
    window: tuple[slice | int, ...] = tuple(map(slice, starts, stops))
    if len(patch) < len(center):
        window = (*window, round(center[-1]))
    image = np.ascontiguousarray(example.image[0][window], dtype=np.float32)
    labels = np.array(example.labels[window])
    middle = tuple(c - start for c, start in zip(center, starts, strict=False))
    return torch.from_numpy(image)[None], torch.from_numpy(labels), middle


def make_sampler(examples: Sequence[Example], recipe: Recipe, encoder: Encoder) -> ExampleSampler:
    """Set a sampler up as a recipe asks for."""
    return ExampleSampler(
        examples=examples,
        mask=MetadataMask(encoder=encoder, settings=recipe.metadata),
        augmentation=recipe.augmentation,
        patch=recipe.preprocessing.patch,
        batch_size=recipe.training.batch_size,
        foreground=recipe.training.foreground,
        shuffled=recipe.network.conditioning == "shuffled",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class StepBatches(Dataset[Batch]):
    """The batch of each step: chance depends on seed and step only, so any worker may draw it."""

    sampler: Sampler
    seed: int

    def __getitem__(self, step: int) -> Batch:
        return self.sampler.draw(np.random.default_rng((self.seed, step)))


def stream_batches(
    sampler: Sampler, *, seed: int, start_step: int = 0, workers: int = 0
) -> Iterator[Batch]:
    """Draw the batches from a step on, in the background, without end.

    A run that goes on at a step sees the batches that it would have seen, whatever the number of
    workers.

    Parameters
    ----------
    sampler : Sampler
    seed : int
    start_step : int
    workers : int
        Processes that draw; 0 draws in this one.

    Raises
    ------
    WorkerDiedError
        Where a worker was killed, mostly for want of memory.
    """
    loader = DataLoader(
        StepBatches(sampler=sampler, seed=seed),
        batch_size=None,
        sampler=itertools.count(start_step),
        num_workers=workers,
        collate_fn=_leave,
        # Its own, so that starting the workers leaves the network's chance as it is.
        generator=torch.Generator().manual_seed(seed),
        multiprocessing_context="fork" if workers else None,
    )
    try:
        yield from loader
    except RuntimeError as problem:
        if "DataLoader worker" not in str(problem):
            raise
        raise WorkerDiedError(
            f"a process that prepares training data ended without a word: {problem}",
            hint="mostly for want of memory: fewer --nprocs, a smaller patch or batch_size",
        ) from problem


def _leave(batch: Any) -> Any:
    return batch
