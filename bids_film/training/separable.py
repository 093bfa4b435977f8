"""Linear operations axis by axis: each is one small matrix, so that blur and resampling fuse."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def apply_matrix(image: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """Multiply one axis of an image by a matrix.

    Parameters
    ----------
    image : Tensor
        Any shape, with length n_in along `axis`.
    matrix : Tensor
        Shape (n_out, n_in).
    axis : int
        Counted from the front, or negative from the back.

    Returns
    -------
    Tensor
        The image with length n_out along `axis`.
    """
    position = axis % image.ndim
    before, after = image.shape[:position], image.shape[position + 1 :]
    if not after:
        return image @ matrix.T
    folded = image.reshape(math.prod(before), image.shape[position], math.prod(after))
    return torch.matmul(matrix, folded).reshape(*before, matrix.shape[0], *after)


def apply_matrices(image: Tensor, matrices: Sequence[Tensor | None]) -> Tensor:
    """Multiply each of the last axes by its matrix; None leaves an axis as it is."""
    for axis, matrix in enumerate(matrices, start=-len(matrices)):
        if matrix is not None:
            image = apply_matrix(image, matrix, axis)
    return image


def gaussian_matrix(size: int, sigma: float) -> Tensor:
    """Blur by a Gaussian of standard deviation `sigma` (samples), shape (size, size).

    Rows sum to 1, so that the border keeps its brightness.
    """
    position = torch.arange(size, dtype=torch.float32)
    return _gaussian_rows(position, position, sigma)


def acquisition_matrices(size: int, factor: float, width: float) -> tuple[Tensor, Tensor]:
    """Simulate coarser sampling along an axis: what the scanner averages, and the way back.

    Parameters
    ----------
    size : int
        Samples along the axis.
    factor : float
        Spacing of the acquired samples, in samples of the axis; at least 1.
    width : float
        Full width at half maximum of what one acquired sample averages over (slice thickness), in
        samples of the axis.

    Returns
    -------
    down : Tensor
        Shape (n_acquired, size): a Gaussian slice profile; both grids have the same centre.
    up : Tensor
        Shape (size, n_acquired): linear interpolation.
    """
    count = max(2, round(size / factor))
    acquired = (torch.arange(count, dtype=torch.float32) - (count - 1) / 2) * factor
    position = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    down = _gaussian_rows(acquired, position, width / 2.355)
    inside = position.clamp(float(acquired[0]), float(acquired[-1]))
    up = (1 - (inside[:, None] - acquired).abs() / factor).clamp_min(0)
    return down, up / up.sum(dim=1, keepdim=True)


def spline_matrix(size: int, controls: int) -> Tensor:
    """Interpolate control values by a uniform cubic B-spline, shape (size, controls).

    The first and last sample lie one control distance inside the outermost control values, so
    `controls` must be at least 4. Rows sum to 1.
    """
    position = torch.linspace(1, controls - 2, size) if size > 1 else torch.tensor([controls / 2])
    distance = (position[:, None] - torch.arange(controls)).abs()
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = (2 - distance).clamp_min(0) ** 3 / 6
    return torch.where(distance < 1, near, far)


def smooth_field(controls: Tensor, shape: Sequence[int]) -> Tensor:
    """Spread control values over a grid, smoothly.

    Parameters
    ----------
    controls : Tensor
        Shape (*leading, *control_points), at least 4 control points per axis.
    shape : sequence of int
        Shape of the grid.

    Returns
    -------
    Tensor
        Shape (*leading, *shape).
    """
    counts = controls.shape[-len(shape) :]
    matrices = [spline_matrix(size, count) for size, count in zip(shape, counts, strict=True)]
    return apply_matrices(controls, matrices)


def _gaussian_rows(centers: Tensor, position: Tensor, sigma: float) -> Tensor:
    distance = (centers[:, None] - position) / max(sigma, 1e-3)
    # Below the clamp a row would underflow to nothing where its centre lies between two samples.
    weight = torch.exp(-0.5 * distance**2).clamp_min(1e-30)
    return weight / weight.sum(dim=1, keepdim=True)
