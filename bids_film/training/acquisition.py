"""How a simulated scanner samples: resolution, slice thickness, blur and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bids_film.training.separable import acquisition_matrices, apply_matrices, gaussian_matrix
from bids_film.training.spatial import draw_log
from bids_film.training.synthesis_settings import SynthesisSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Acquisition:
    """How the simulated scanner samples.

    Attributes
    ----------
    spacing_mm, width_mm : tuple[float, ...]
        Distance of the samples along each axis, and what each averages over.
    blur_mm : tuple[float, float]
        Before and after the noise is added.
    noise_std : float
        In an acquired voxel that is not larger than the image's.
    """

    spacing_mm: tuple[float, ...]
    width_mm: tuple[float, ...]
    blur_mm: tuple[float, float]
    noise_std: float


def draw_acquisition(settings: SynthesisSettings, rng: np.random.Generator) -> Acquisition:
    """Draw voxels of equal sides, or slices across a random axis."""
    thickness = 1.0
    if rng.random() < settings.isotropic_probability:
        spacing = [draw_log(rng, settings.isotropic_mm)] * 3
    else:
        spacing = [draw_log(rng, settings.in_plane_mm)] * 3
        axis = int(rng.integers(3))
        spacing[axis] = max(spacing[axis], draw_log(rng, settings.slice_mm))
        thickness = float(rng.uniform(*settings.thickness))
    widest = max(spacing)
    width = [size * (thickness if size == widest else 1.0) for size in spacing]
    blur, part = rng.uniform(*settings.blur_mm), rng.random()
    return Acquisition(
        spacing_mm=tuple(spacing),
        width_mm=tuple(width),
        blur_mm=(float(blur * np.sqrt(part)), float(blur * np.sqrt(1 - part))),
        noise_std=draw_log(rng, settings.noise_std),
    )


def acquire(image: Tensor, acquisition: Acquisition, *, spacing_mm: float, seed: int) -> Tensor:
    """Simulate what a scanner gives, and its interpolation back to the image's own grid.

    Parameters
    ----------
    image : Tensor
        Shape (X, Y, Z).
    acquisition : Acquisition
    spacing_mm : float
        Of the image.
    seed : int
        Of the noise.
    """
    before, after = (blur / spacing_mm for blur in acquisition.blur_mm)
    factors = [max(1.0, size / spacing_mm) for size in acquisition.spacing_mm]
    downs, ups = [], []
    for axis, size in enumerate(image.shape):
        down, up = gaussian_matrix(size, before), gaussian_matrix(size, after)
        if factors[axis] > 1:
            coarser = acquisition_matrices(
                size, factors[axis], acquisition.width_mm[axis] / spacing_mm
            )
            down, up = coarser[0] @ down, up @ coarser[1]
        downs.append(down)
        ups.append(up)
    acquired = apply_matrices(image, downs)
    noise = torch.randn(acquired.shape, generator=torch.Generator().manual_seed(seed))
    # A larger voxel holds more signal.
    std = acquisition.noise_std / math.sqrt(math.prod(factors))
    return apply_matrices(acquired.add_(noise, alpha=std), ups)
