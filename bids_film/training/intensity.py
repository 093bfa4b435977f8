"""Changes of an image's appearance: each a frozen set of parameters that is then applied purely.

Images are float32, shape (channels, *spatial), about 0 to 1. A step that needs a random value per
voxel carries a seed, so that applying it twice gives the same image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from bids_film.training.separable import (
    acquisition_matrices,
    apply_matrices,
    gaussian_matrix,
    smooth_field,
)


class IntensityStep(Protocol):
    """A change with all its parameters drawn."""

    def __call__(self, image: Tensor) -> Tensor:
        """Return the changed image; the one given stays as it is."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Gamma:
    """Raise to a power; inverted: of the negative image. Values below 0 stay as they are."""

    exponent: float
    inverted: bool = False

    def __call__(self, image: Tensor) -> Tensor:
        """See `IntensityStep`."""
        if self.inverted:
            return 1 - _power(1 - image, self.exponent)
        return _power(image, self.exponent)


@dataclass(frozen=True, kw_only=True, slots=True)
class Levels:
    """Scale about the mean and shift: contrast and brightness."""

    contrast: float
    brightness: float

    def __call__(self, image: Tensor) -> Tensor:
        """See `IntensityStep`."""
        mean = image.mean(dim=tuple(range(1, image.ndim)), keepdim=True)
        return image * self.contrast + (mean * (1 - self.contrast) + self.brightness)


@dataclass(frozen=True, kw_only=True, slots=True)
class Remap:
    """Replace intensities by a piecewise linear curve over 0 to 1.

    A curve that rises and falls gives tissues another order of brightness, as another sequence
    would: the network learns shapes instead of one contrast.

    Attributes
    ----------
    values : tuple[float, ...]
        The curve at equal distances from 0 to 1; constant beyond.
    """

    values: tuple[float, ...]

    def __call__(self, image: Tensor) -> Tensor:
        """See `IntensityStep`."""
        knots = torch.tensor(self.values)
        last = len(self.values) - 1
        position = (image * last).clamp(0, last)
        index = position.to(torch.int32).clamp_max(last - 1)
        left = knots.take(index.to(torch.int64))
        slope = knots.diff().take(index.to(torch.int64))
        return left + slope * (position - index)


@dataclass(frozen=True, kw_only=True, slots=True)
class Bias:
    """Multiply by a smooth field, the exponential of a spline.

    Attributes
    ----------
    controls : Tensor
        Logarithm of the field at its control points, shape (*control_points).
    """

    controls: Tensor

    def __call__(self, image: Tensor) -> Tensor:
        """See `IntensityStep`."""
        return image * smooth_field(self.controls, image.shape[1:]).exp_()


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """Add noise.

    Attributes
    ----------
    std : float
    seed : int
    rician : bool
        Take the magnitude of signal plus noise in two channels, as MR images do.
    """

    std: float
    seed: int
    rician: bool = False

    def __call__(self, image: Tensor) -> Tensor:
        """See `IntensityStep`."""
        generator = torch.Generator().manual_seed(self.seed)
        real = image + self.std * torch.randn(image.shape, generator=generator)
        if not self.rician:
            return real
        imaginary = self.std * torch.randn(image.shape, generator=generator)
        return torch.hypot(real, imaginary)


@dataclass(frozen=True, kw_only=True, slots=True)
class Blur:
    """Blur by a Gaussian; the standard deviation is in voxels, per axis."""

    sigma: tuple[float, ...]

    def __call__(self, image: Tensor) -> Tensor:
        """See `IntensityStep`."""
        return _blur(image, self.sigma)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharpen:
    """Add what a blur removes, times an amount (unsharp mask)."""

    sigma: tuple[float, ...]
    amount: float

    def __call__(self, image: Tensor) -> Tensor:
        """See `IntensityStep`."""
        return image + self.amount * (image - _blur(image, self.sigma))


@dataclass(frozen=True, kw_only=True, slots=True)
class LowResolution:
    """Sample more coarsely and interpolate back.

    Attributes
    ----------
    factors : tuple[float, ...]
        Spacing of the simulated samples in voxels, per axis; 1 leaves an axis as it is.
    """

    factors: tuple[float, ...]

    def __call__(self, image: Tensor) -> Tensor:
        """See `IntensityStep`."""
        pairs = [
            acquisition_matrices(size, factor, factor) if factor > 1 else None
            for size, factor in zip(image.shape[1:], self.factors, strict=True)
        ]
        return apply_matrices(image, [pair and pair[1] @ pair[0] for pair in pairs])


@dataclass(frozen=True, kw_only=True, slots=True)
class Ghosting:
    """Add faint copies shifted along an axis, as a periodic motion leaves them.

    Attributes
    ----------
    axis : int
        Spatial axis of phase encoding.
    copies : int
        The field of view is divided into so many shifts.
    amount : float
        Brightness of the copies.
    """

    axis: int
    copies: int
    amount: float

    def __call__(self, image: Tensor) -> Tensor:
        """See `IntensityStep`."""
        step = max(1, image.shape[self.axis + 1] // self.copies)
        ghost = image.roll(step, self.axis + 1) + image.roll(-step, self.axis + 1)
        return image * (1 - self.amount) + ghost * (self.amount / 2)


def _power(image: Tensor, exponent: float) -> Tensor:
    return image.clamp_min(0).pow_(exponent).add_(image.clamp_max(0))


def _blur(image: Tensor, sigma: Sequence[float]) -> Tensor:
    matrices = [
        gaussian_matrix(size, width) if width > math.ulp(1) else None
        for size, width in zip(image.shape[1:], sigma, strict=True)
    ]
    return apply_matrices(image, matrices)
