"""Where the voxels of a training patch come from: affine plus smooth elastic deformation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bids_film.domain.errors import UsageError
from bids_film.training.separable import smooth_field
from bids_film.training.settings import check_share

Range = tuple[float, float]

_RANGES = ("Range", "tuple[int, int]")
_DRAWN_BY_LOGARITHM = (
    "scale", "gamma", "contrast", "noise_std", "resolution_factor", "slice_factor", "isotropic_mm",
    "in_plane_mm", "slice_mm",
)  # fmt: skip
_FEWEST = {"elastic_points": 1, "remap_knots": 2}
"""Least number of what is counted; a curve needs both ends."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DeformationSettings:
    """How far heads and organs are turned, stretched and bent.

    Attributes
    ----------
    affine_probability : float
        Of rotation, scaling, shear and translation together.
    rotation_deg : float
        Largest angle, in each plane.
    scale : tuple[float, float]
        Size relative to the original.
    anisotropy : float
        Further stretch of each axis by at most this factor (1.1: 0.91 to 1.1).
    shear : float
        Largest shear, in each plane.
    translation : float
        Largest shift, as a part of the patch's size along each axis.
    elastic_probability : float
    elastic_strength : tuple[float, float]
        Standard deviation of the displacement of control points, as a part of their distance; the
        field stays free of folds below about 0.25.
    elastic_points : tuple[int, int]
        Fewest and most control intervals along the patch's longest axis.
    """

    affine_probability: float = 1.0
    rotation_deg: float = 15.0
    scale: Range = (0.85, 1.2)
    anisotropy: float = 1.1
    shear: float = 0.1
    translation: float = 0.05
    elastic_probability: float = 0.8
    elastic_strength: Range = (0.0, 0.15)
    elastic_points: tuple[int, int] = (3, 8)

    def __post_init__(self) -> None:
        """Check every probability and range, also those of the settings that build on these."""
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name.endswith("_probability"):
                check_share(item.name, value)
            if item.type in _RANGES and not 0 <= value[0] <= value[1]:
                raise UsageError(
                    f"{item.name}: expected two numbers from 0 on, the lower one first, "
                    f"got {list(value)}"
                )
            fewest = _FEWEST.get(item.name)
            if fewest and value[0] < fewest:
                raise UsageError(f"{item.name}: expected {fewest} or more, got {list(value)}")
            if item.name in _DRAWN_BY_LOGARITHM and not value[0]:
                raise UsageError(f"{item.name}: expected more than 0, got {list(value)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Deformation:
    """A map from the voxels of a patch to those of the source.

    Attributes
    ----------
    matrix : tuple[tuple[float, ...], ...]
        Source voxels per patch voxel, about the patch's centre.
    shift : tuple[float, ...]
        Of the patch's centre relative to the centre that is asked for, in voxels of the patch.
    elastic : Tensor or None
        Control displacements in patch voxels, shape (axes, *control_points).
    """

    matrix: tuple[tuple[float, ...], ...]
    shift: tuple[float, ...]
    elastic: Tensor | None = None

    @property
    def mirrored(self) -> tuple[int, ...] | None:
        """Axes that it mirrors, where it does nothing else to the voxels; None where it does."""
        matrix = np.asarray(self.matrix)
        straight = np.array_equal(np.abs(matrix), np.eye(len(matrix)))
        if self.elastic is not None or not straight or any(self.shift):
            return None
        return tuple(np.flatnonzero(matrix.diagonal() < 0).tolist())

    def find_reach(self, patch: Sequence[int]) -> list[float]:
        """Find how far from the centre that is asked for it looks, along each axis of the source.

        Parameters
        ----------
        patch : sequence of int
            Shape of the patch, whose voxels are as large as those of the source.

        Returns
        -------
        list of float
            In voxels; nothing farther away is in the patch.
        """
        half = (np.asarray(patch) - 1) / 2
        if self.elastic is not None:
            # A B-spline stays within its control values.
            half = half + self.elastic.abs().flatten(1).amax(dim=1).numpy()
        reach = np.abs(np.asarray(self.matrix)) @ half + np.abs(np.asarray(self.shift))
        return [float(far) for far in reach]


def draw_deformation(
    settings: DeformationSettings,
    rng: np.random.Generator,
    patch: Sequence[int],
    *,
    flips: Sequence[bool],
    voxel_size: Sequence[float],
) -> Deformation:
    """Draw a deformation.

    Parameters
    ----------
    settings : DeformationSettings
    rng : numpy.random.Generator
    patch : sequence of int
        Shape of the patch.
    flips : sequence of bool
        Axes to mirror.
    voxel_size : sequence of float
        Relative or in mm: rotations turn space, not the grid.
    """
    axes = len(patch)
    linear, shift = np.eye(axes), np.zeros(axes)
    if rng.random() < settings.affine_probability:
        linear = _draw_linear(settings, rng, axes)
        shift = rng.uniform(-1, 1, axes) * settings.translation * np.asarray(patch)
    size = np.asarray(voxel_size, dtype=float)
    matrix = linear * size[None, :] / size[:, None]
    matrix = matrix * np.where(np.asarray(flips), -1.0, 1.0)[None, :]
    elastic = None
    if rng.random() < settings.elastic_probability:
        elastic = _draw_elastic(settings, rng, patch)
    return Deformation(
        matrix=tuple(tuple(row) for row in matrix.tolist()),
        shift=tuple(shift.tolist()),
        elastic=elastic,
    )


def locate_sources(
    deformation: Deformation,
    patch: Sequence[int],
    *,
    center: Sequence[float],
    scale: float = 1.0,
) -> Tensor:
    """Find the source voxel of every voxel of the patch.

    Parameters
    ----------
    deformation : Deformation
    patch : sequence of int
    center : sequence of float
        Source voxel on which the patch is centred, before the deformation's shift.
    scale : float
        Source voxels per patch voxel.

    Returns
    -------
    Tensor
        Shape (axes, *patch), float32.
    """
    axes = len(patch)
    if deformation.elastic is None:
        located = torch.zeros(axes, *patch)
    else:
        turn = torch.tensor(deformation.matrix) * scale
        controls = torch.tensordot(turn, deformation.elastic, dims=1)
        located = smooth_field(controls, patch)
    for axis, size in enumerate(patch):
        offset = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
        column = torch.tensor([row[axis] * scale for row in deformation.matrix])
        if axis == 0:
            origin = [c + s * scale for c, s in zip(center, deformation.shift, strict=True)]
            steps = column[:, None] * offset + torch.tensor(origin)[:, None]
        else:
            steps = column[:, None] * offset
        located += steps.view(axes, *(size if other == axis else 1 for other in range(axes)))
    return located


def sample_linear(image: Tensor, located: Tensor) -> Tensor:
    """Interpolate an image (channels, *spatial) at positions (axes, *patch); 0 outside it."""
    spatial = image.shape[1:]
    grid = torch.stack(
        [
            located[axis] * (2 / max(size - 1, 1)) - (1 if size > 1 else 0)
            for axis, size in reversed(list(enumerate(spatial)))
        ],
        dim=-1,
    )
    sampled = functional.grid_sample(image[None], grid[None], mode="bilinear", align_corners=True)
    return sampled[0]


def sample_nearest(labels: Tensor, located: Tensor) -> Tensor:
    """Look labels (*spatial) up at positions (axes, *patch); 0 outside."""
    found = (
        labels.reshape(-1)
        .index_select(0, flat_index(located, labels.shape))
        .view(located.shape[1:])
    )
    for axis, size in enumerate(labels.shape):
        found *= (located[axis] + 0.5 > 0) & (located[axis] + 0.5 < size)
    return found


def flat_index(located: Tensor, shape: Sequence[int], *, reach: int = 0) -> Tensor:
    """Find the voxel nearest to each position, as an index into the flattened source.

    Parameters
    ----------
    located : Tensor
        Shape (axes, *patch); beyond the source its border goes on.
    shape : sequence of int
        Of the source, contiguous and of less than 2**31 voxels.
    reach : int
        The index is that of the lower corner of a cube of so many voxels about the position.

    Returns
    -------
    Tensor
        int32, one axis.
    """
    index = torch.zeros(located.shape[1:], dtype=torch.int32)
    for axis, size in enumerate(shape):
        nearest = (located[axis] + (1 - reach) / 2).floor_().clamp_(0, size - 1 - reach)
        index = index.mul_(size).add_(nearest.to(torch.int32))
    return index.view(-1)


def crop_or_pad(data: Tensor, patch: Sequence[int], *, center: Sequence[float]) -> Tensor:
    """Cut a patch out of the last axes, with zeros where it reaches beyond the data.

    The patch's central voxel is the one nearest to `center`.
    """
    lead = data.ndim - len(patch)
    result = data.new_zeros(*data.shape[:lead], *patch)
    source, target = [slice(None)] * lead, [slice(None)] * lead
    for middle, size, available in zip(center, patch, data.shape[lead:], strict=True):
        start = math.floor(middle - (size - 1) / 2 + 0.5)
        low, high = max(start, 0), min(start + size, available)
        source.append(slice(low, max(low, high)))
        target.append(slice(low - start, max(low, high) - start))
    result[tuple(target)] = data[tuple(source)]
    return result


def _draw_linear(
    settings: DeformationSettings, rng: np.random.Generator, axes: int
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    matrix = np.eye(axes)
    for first, second in combinations(range(axes), 2):
        angle = np.deg2rad(rng.uniform(-settings.rotation_deg, settings.rotation_deg))
        turn = np.eye(axes)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -np.sin(angle), np.sin(angle)
        shear = np.eye(axes)
        shear[first, second] = rng.uniform(-settings.shear, settings.shear)
        matrix = matrix @ turn @ shear
    spread = math.log(settings.anisotropy)
    stretch = draw_log(rng, settings.scale) * np.exp(rng.uniform(-spread, spread, axes))
    # Sampling goes from the patch to the source: an object twice as large is sampled half as fast.
    result: np.ndarray[tuple[int, int], np.dtype[np.float64]] = matrix / stretch
    return result


def _draw_elastic(
    settings: DeformationSettings, rng: np.random.Generator, patch: Sequence[int]
) -> Tensor:
    low, high = settings.elastic_points
    distance = max(patch) / rng.integers(low, high + 1)
    counts = [max(4, round(size / distance) + 3) for size in patch]
    strength = rng.uniform(*settings.elastic_strength) * distance
    displacement = rng.standard_normal((len(patch), *counts), dtype=np.float32)
    # A B-spline averages its control values: the factor restores their spread.
    return torch.from_numpy(displacement) * float(strength * 1.4 ** len(patch))


def draw_log(rng: np.random.Generator, limits: Range) -> float:
    """Draw a positive number, uniformly in its logarithm."""
    low, high = limits
    return math.exp(rng.uniform(math.log(low), math.log(high)))
