"""Patches drawn from labelled scans."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from bids_film.inference.windows import stack_neighbours
from bids_film.metadata.encoder import Encoder, MetadataValues
from bids_film.training.augment import (
    AugmentSettings,
    apply_augmentation,
    draw_augmentation,
)
from bids_film.training.examples import Example
from bids_film.training.recipe import Recipe
from bids_film.training.settings import MetadataSettings
from bids_film.training.splits import check_balance, find_value

Center = tuple[float, ...]

_JITTER = 1 / 3
"""Share of the patch by which a structure may lie off its centre."""


class Sampler(Protocol):
    """Draws patches."""

    def draw(self, rng: np.random.Generator) -> Patch:
        """Draw one patch; all chance comes from `rng`."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class ExampleSampler:
    """Draws augmented patches from labelled scans.

    Attributes
    ----------
    examples : Sequence[Example]
    mask : MetadataMask
    augmentation : AugmentSettings
    patch : tuple[int, ...]
        Two sizes draw slices, three draw blocks.
    foreground : float
        Share of patches that hold a structure.
    shuffled : bool
        Give each patch the metadata of a random scan: the control for what metadata are worth.
    shares : ndarray, optional
        How often each scan is drawn, shape (scans,), with sum 1; equally often by default.
    neighbours : int
        Slices on either side that come with a slice.
    drop_companion : float
        How often each companion image is withheld.
    """

    examples: Sequence[Example]
    mask: MetadataMask
    augmentation: AugmentSettings
    patch: tuple[int, ...]
    foreground: float = 0.7
    shuffled: bool = False
    shares: NDArray[np.float64] | None = None
    neighbours: int = 0
    drop_companion: float = 0.0

    def draw(self, rng: np.random.Generator) -> Patch:
        """Draw one patch; all chance comes from `rng`."""
        example = self.examples[int(rng.choice(len(self.examples), p=self.shares))]
        center = draw_center(example, self.patch, rng, foreground=self.foreground)
        settings = self.augmentation
        if not settings.voxel_size:
            settings = replace(settings, voxel_size=example.spacing_mm[: len(self.patch)])
        augmentation = draw_augmentation(settings, rng, self.patch)
        reach = augmentation.deformation.find_reach(self.patch)
        image, labels, middle = cut_window(example, reach, center, neighbours=self.neighbours)
        there = image.flatten(1).any(dim=1) if len(example.image) > 1 else None
        image, labels = apply_augmentation(
            augmentation, image, labels, patch=self.patch, center=middle
        )
        if there is not None:
            # What changes intensities makes something of a companion that is missing.
            image *= there.view(-1, *[1] * len(self.patch))
            image = withhold_companions(image, len(example.image), self.drop_companion, rng)
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
        if example.slices is not None:
            place[2] = rng.choice(example.slices)
    low = np.minimum((size - 1) / 2, (shape - 1) / 2)
    return tuple(np.clip(place, low, shape - 1 - low).tolist())


def cut_window(
    example: Example, reach: Sequence[float], center: Center, *, neighbours: int = 0
) -> tuple[torch.Tensor, torch.Tensor, Center]:
    """Cut out what a deformed patch reaches, so that no more is converted.

    Parameters
    ----------
    example : Example
    reach : sequence of float
        See `Deformation.find_reach`; two axes cut a slice, three a block.
    center : Center
        Voxel about which the patch lies; in 2-D its last coordinate is the slice.
    neighbours : int
        Slices on either side that come with a slice.

    Returns
    -------
    image : Tensor
        float32, shape (channels, *window).
    labels : Tensor
        uint8, shape (*window); or shares, float32, shape (structures + 1, *window).
    center : tuple[float, ...]
        Relative to the window.
    """
    planar = len(reach) < len(center)
    starts = [max(0, math.floor(c - far)) for c, far in zip(center, reach, strict=False)]
    stops = [math.ceil(c + far) + 2 for c, far in zip(center, reach, strict=False)]
    middle = tuple(c - start for c, start in zip(center, starts, strict=False))
    if planar:
        place = round(center[-1])
        starts.append(max(0, place - neighbours))
        stops.append(place + neighbours + 1)
    window = (slice(None), *map(slice, starts, stops))
    image = torch.from_numpy(np.array(example.image[window], dtype=np.float32))
    labels = (example.labels[None] if example.shares is None else example.shares)[window]
    if planar:
        (image,) = stack_neighbours(image, [place - starts[-1]], neighbours)
        labels = labels[..., place - starts[-1]]
    if example.shares is None:
        return image, torch.from_numpy(np.array(labels[0])), middle
    return image, torch.from_numpy(np.array(labels, dtype=np.float32)), middle


def withhold_companions(
    image: torch.Tensor, contrasts: int, probability: float, rng: np.random.Generator
) -> torch.Tensor:
    """Set companions to zero at random, as those that are missing are; never the scan itself.

    Parameters
    ----------
    image : Tensor
        Shape (channels, *spatial), the same number of channels for each contrast.
    contrasts : int
        The scan and its companions.
    probability : float
        Of each companion.
    """
    dropped = [False, *(rng.random(contrasts - 1) < probability).tolist()]
    kept = torch.tensor([not drop for drop in dropped]).repeat_interleave(len(image) // contrasts)
    return image * kept.view(-1, *[1] * (image.dim() - 1))


def make_sampler(examples: Sequence[Example], recipe: Recipe, encoder: Encoder) -> ExampleSampler:
    """Set a sampler up as a recipe asks for."""
    balance = recipe.training.balance
    return ExampleSampler(
        examples=examples,
        mask=MetadataMask(encoder=encoder, settings=recipe.metadata),
        augmentation=recipe.augmentation,
        patch=recipe.preprocessing.patch,
        foreground=recipe.training.foreground,
        shuffled=recipe.network.conditioning == "shuffled",
        shares=find_shares(examples, balance) if balance else None,
        neighbours=recipe.preprocessing.neighbours,
        drop_companion=recipe.data.drop_companion,
    )


def find_shares(examples: Sequence[Example], key: str) -> NDArray[np.float64]:
    """How often to draw each scan, so that each value of a field or column comes equally often.

    Scans without a value count as one more value.

    Returns
    -------
    ndarray
        Shape (scans,), with sum 1.

    Raises
    ------
    UsageError
        Where no scan has the field or column.
    """
    values = [
        example.values[key] if key in example.values else find_value(example.scan, key)
        for example in examples
    ]
    check_balance(values, key)
    counts = Counter(values)
    return np.array([1 / (len(counts) * counts[value]) for value in values])
