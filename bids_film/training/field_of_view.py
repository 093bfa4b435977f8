"""What of a head is on a scan: stripped skulls, removed faces, fields of view that end early."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bids_film.training.separable import apply_matrices, gaussian_matrix, smooth_field
from bids_film.training.synthesis_settings import SynthesisSettings

OUTER_FLUID = 24
"""FreeSurfer's value of the fluid around the brain."""

_BOX_STEP, _SIDE_PROBABILITY = 4, 0.4


@dataclass(frozen=True, kw_only=True, slots=True)
class Stripping:
    """How a tool for brain extraction would cut.

    Attributes
    ----------
    keep_fluid : bool
        Whether the fluid around the brain belongs to what is kept.
    sigma : float
        Smoothness of the mask's border, in voxels.
    threshold : float
        Below 0.5 the mask lies outside the true border, above inside it.
    roughness : Tensor
        Local deviations of the threshold, at control points.
    softness : float
        Width over which the image fades, in units of the blurred mask.
    """

    keep_fluid: bool
    sigma: float
    threshold: float
    roughness: Tensor
    softness: float


def draw_stripping(rng: np.random.Generator, *, spacing_mm: float) -> Stripping:
    """Draw one of three styles: tight to the cortex, to the dura, or with a margin."""
    style = rng.integers(3)
    keep_fluid = style > 0
    low, high = ((0.3, 0.5), (0.4, 0.6), (0.05, 0.3))[style]
    roughness = rng.standard_normal((6, 6, 6), dtype=np.float32) * rng.uniform(0, 0.25)
    return Stripping(
        keep_fluid=bool(keep_fluid),
        sigma=float(rng.uniform(0.6, 4.0)) / spacing_mm,
        threshold=float(rng.uniform(low, high)),
        roughness=torch.from_numpy(roughness.astype(np.float32)),
        softness=float(rng.choice((0.02, 0.3))),
    )


def strip_weights(values: Tensor, stripping: Stripping, *, brain_below: int) -> Tensor:
    """Find how much of each voxel is left: 0 to 1, shape of `values`."""
    inside = (values > 0) & (values < brain_below)
    if not stripping.keep_fluid:
        inside &= values != OUTER_FLUID
    blurs = [gaussian_matrix(size, stripping.sigma) for size in values.shape]
    mask = apply_matrices(inside.float(), blurs)
    border = smooth_field(stripping.roughness, values.shape).add_(stripping.threshold)
    # What lies far outside must vanish, and what lies far inside must stay, on rough borders too.
    reach = stripping.softness / 2 + 0.03
    return (
        mask.sub_(border.clamp_(reach, 1 - reach)).div_(stripping.softness).add_(0.5).clamp_(0, 1)
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """First and last index of something along each axis."""

    first: tuple[int, ...]
    last: tuple[int, ...]

    @property
    def center(self) -> tuple[float, ...]:
        """The middle, as voxel indices."""
        return tuple((a + b) / 2 for a, b in zip(self.first, self.last, strict=True))


def find_box(mask: Tensor, *, step: int = 1) -> Box:
    """Find the box around a mask's true voxels; the whole where there are none.

    `step` scales the indices, for a mask that was taken at every so many voxels.
    """
    first, last = [], []
    for axis, size in enumerate(mask.shape):
        others = tuple(other for other in range(mask.ndim) if other != axis)
        found = np.flatnonzero(mask.numpy().any(axis=others))
        first.append(int(found[0]) * step if len(found) else 0)
        last.append(int(found[-1]) * step if len(found) else (size - 1) * step)
    return Box(first=tuple(first), last=tuple(last))


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """Where a label map has what.

    Attributes
    ----------
    brain, whole : Box
        Of the brain, and of all that is not background.
    values : int
        One more than the largest value.
    spacing_mm : float
    """

    brain: Box
    whole: Box
    values: int
    spacing_mm: float


def find_head(label_map: Tensor, spacing_mm: float, *, brain_below: int) -> Head:
    """Find the boxes around head and brain, from every fourth voxel along each axis."""
    coarse = label_map[::_BOX_STEP, ::_BOX_STEP, ::_BOX_STEP]
    return Head(
        brain=find_box((coarse > 0) & (coarse < brain_below), step=_BOX_STEP),
        whole=find_box(coarse > 0, step=_BOX_STEP),
        values=int(label_map.max()) + 1,
        spacing_mm=spacing_mm,
    )


def draw_center(
    settings: SynthesisSettings, rng: np.random.Generator, head: Head, size_mm: Sequence[float]
) -> tuple[float, ...]:
    """Draw the voxel of the label map in the middle of a patch of so many mm."""
    reach = settings.center_shift_mm / head.spacing_mm
    center = [middle + rng.uniform(-reach, reach) for middle in head.brain.center]
    if rng.random() < settings.roaming_probability:
        for axis, length in enumerate(size_mm):
            low = head.whole.first[axis] + length / head.spacing_mm / 2
            high = head.whole.last[axis] - length / head.spacing_mm / 2
            center[axis] = rng.uniform(low, high) if low < high else center[axis]
    return tuple(center)


def face_plane(box: Box, rng: np.random.Generator) -> tuple[float, float, float]:
    """Draw a plane before and below the brain, as removers of faces cut.

    Parameters
    ----------
    box : Box
        Of the brain, in a map in RAS order.
    rng : numpy.random.Generator

    Returns
    -------
    tuple[float, float, float]
        a, b, c: the face lies where a · y + b · z > c.
    """
    length, height = box.last[1] - box.first[1], box.last[2] - box.first[2]
    front = np.array(
        [box.last[1] + rng.uniform(-2, 8), box.first[2] + rng.uniform(0.4, 0.6) * height]
    )
    back = np.array(
        [box.last[1] - rng.uniform(0.3, 0.6) * length, box.first[2] - rng.uniform(0, 0.3) * height]
    )
    along = front - back
    a, b = float(along[1]), float(-along[0])
    return a, b, float(a * front[0] + b * front[1])


def draw_limits(
    box: Box, shape: Sequence[int], rng: np.random.Generator, *, spacing_mm: float
) -> tuple[slice, ...]:
    """Draw where the field of view begins and ends along each axis.

    One of three styles: close around the brain, a slab that holds only part of it, or some sides
    near the brain's border.
    """
    style = ("tight", "slab", "sides")[rng.integers(3)]
    slab_axis = rng.integers(len(shape))
    limits = []
    for axis, size in enumerate(shape):
        low, high = box.first[axis], box.last[axis]
        start, stop = 0.0, float(size)
        if style == "slab" and axis == slab_axis:
            length = rng.uniform(0.4, 0.9) * (high - low)
            start = low + rng.random() * (high - low - length)
            stop = start + length
        elif style != "slab":
            probability = 1.0 if style == "tight" else _SIDE_PROBABILITY
            margins = rng.uniform(*((-2, 10) if style == "tight" else (-15, 30)), 2) / spacing_mm
            start = low - margins[0] if rng.random() < probability else start
            stop = high + margins[1] if rng.random() < probability else stop
        first = max(0, round(start))
        limits.append(slice(first, min(size, max(round(stop), first + 1))))
    return tuple(limits)
