"""Volumes in memory, and copies of them that are stored in another order."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from bids_film.domain.volume import Affine, Grid, Volume


def make_grid(shape: Sequence[int], affine: Affine) -> Grid:
    """Make a grid whose qform and sform agree."""
    x, y, z = shape
    return Grid(
        shape=(x, y, z),
        stored_shape=(x, y, z),
        affine=affine,
        qform=affine,
        sform=affine,
        qform_code=1,
        sform_code=1,
    )


def make_volume(
    shape: Sequence[int], affine: Affine | None = None, *, seed: int = 0, smooth: bool = True
) -> Volume:
    """Make a volume of noise, smooth enough to be resampled."""
    image = np.random.default_rng(seed).uniform(0, 1000, tuple(shape)).astype(np.float32)
    if smooth:
        for axis in range(3):
            image = image + np.roll(image, 1, axis)
    return Volume(data=image, grid=make_grid(shape, np.eye(4) if affine is None else affine))


def list_orders() -> Iterator[NDArray[np.float64]]:
    """Give all 48 ways of permuting and flipping three axes, as nibabel writes them."""
    for axes in itertools.permutations(range(3)):
        for flips in itertools.product((1, -1), repeat=3):
            yield np.array(list(zip(axes, flips, strict=True)), dtype=float)


def store_otherwise(volume: Volume, order: NDArray[np.float64]) -> Volume:
    """Store the same voxels, at the same places of the world, in another order."""
    data = turn(volume.data, order)
    affine = volume.grid.affine @ nib.orientations.inv_ornt_aff(order, volume.grid.shape)
    return Volume(data=data, grid=make_grid(data.shape, affine))


def turn(data: NDArray[Any], order: NDArray[np.float64]) -> NDArray[Any]:
    """Permute and flip the axes of an array."""
    return np.ascontiguousarray(nib.orientations.apply_orientation(data, order))
