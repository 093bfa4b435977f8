"""Linear resampling, axis by axis: one small matrix for each.

Both grids cover the same field of view: their outer corners coincide, not the centres of their
outermost voxels, so shapes say all there is to know (`geometry.resampled_affine` gives the affine).

The matrices have few entries in a row, so their products are sparse. Dense ones by BLAS are no
faster for whole axes, and many times slower on a busy machine, where its threads wait for each
other; those of a block are too small for threads.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.sparse import csr_array

from bids_film.domain.volume import Grid
from bids_film.images.geometry import same_grid

Image = NDArray[np.float32]
Value = TypeVar("Value", bound=np.generic)

_BLOCK = 48
_ROUNDING = 1e-5
_UINT8_CHANNELS = 256


def resize_matrix(size_in: int, size_out: int) -> Image:
    """Weights that resample an axis, shape (size_out, size_in); every row sums to one.

    Linear interpolation; where the output is coarser, the triangle is widened to its voxel size, so
    that nothing aliases (as Pillow and torch's ``antialias`` do). Beyond the outermost centres the
    nearest voxel counts.
    """
    if size_in == size_out:
        return np.eye(size_in, dtype=np.float32)
    scale = size_in / size_out
    width = max(scale, 1.0)
    centers = (np.arange(size_out) + 0.5) * scale - 0.5
    reach = int(np.ceil(width)) + 1
    positions = np.arange(-reach, size_in + reach)
    offsets = positions[None, :] - centers[:, None]
    weights = np.maximum(0, 1 - np.abs(offsets) / width)
    weights /= weights.sum(axis=1, keepdims=True)
    if scale > 1:
        weights = _center(weights, offsets)
    matrix = np.zeros((size_out, size_in))
    np.add.at(matrix.T, positions.clip(0, size_in - 1), weights.T)
    return matrix.astype(np.float32)


def resize(data: NDArray[Any], shape: Sequence[int]) -> Image:
    """Resample the last three axes to another shape.

    Parameters
    ----------
    data : ndarray
        Shape (..., X, Y, Z).
    shape : Sequence[int]
        New size of the three last axes.

    Returns
    -------
    ndarray
        float32, shape (..., *shape); `data` itself where nothing changes.
    """
    image = np.asarray(data, dtype=np.float32)
    old = image.shape[-3:]
    # Shrinking first and growing last keeps what lies between small.
    for axis in sorted(range(3), key=lambda axis: shape[axis] / old[axis]):
        if shape[axis] != old[axis]:
            matrix = resize_matrix(old[axis], shape[axis])
            # Scans that were reordered are views with negative strides, slow to walk along.
            image = _apply(csr_array(matrix), np.ascontiguousarray(image), axis)
    return image


def resize_labels(labels: NDArray[Value], shape: Sequence[int]) -> NDArray[Value]:
    """Resample a label map: each voxel takes the label of the largest share in it, as of an image.

    Looking up the value at a voxel's centre would be biased: where two voxels become one, the
    centre lies on their border, and taking either moves all labels by half a voxel.

    Parameters
    ----------
    labels : ndarray
        Shape (X, Y, Z).
    shape : Sequence[int]

    Returns
    -------
    ndarray
        Shape `shape`; of equal shares the lowest label; `labels` itself where nothing changes.
    """
    if labels.shape == tuple(shape):
        return labels
    values = np.unique(labels)
    result: NDArray[Value] = values[resize_argmax(labels == values.reshape(-1, 1, 1, 1), shape)]
    return result


def resize_argmax(
    probabilities: NDArray[Any], shape: Sequence[int], *, threads: int = 1
) -> NDArray[Any]:
    """Find the channel that is highest after resampling, without holding the resampled channels.

    The same as ``resize(probabilities, shape).argmax(axis=0)`` but for rounding, in a fraction of
    its memory and time: one block, one channel at a time. A channel that cannot win anywhere in a
    block is passed over, which leaves few; weights that are positive and sum to one cannot lift it
    above its own maximum.

    Parameters
    ----------
    probabilities : ndarray
        Shape (channels, X, Y, Z); any float type; logits do as well.
    shape : Sequence[int]
        New spatial shape.
    threads : int
        Blocks at the same time.

    Returns
    -------
    ndarray
        uint8, or int16 for more than 256 channels; shape `shape`.
    """
    channels, *old = probabilities.shape
    labels = np.zeros(tuple(shape), np.uint8 if channels <= _UINT8_CHANNELS else np.int16)
    matrices = [resize_matrix(*sizes) for sizes in zip(old, shape, strict=True)]

    def fill(parts: Sequence[tuple[slice, slice]]) -> None:
        out, rows = zip(*parts, strict=True)
        block = np.ascontiguousarray(probabilities[(slice(None), *rows)], dtype=np.float32)
        weights = [matrix[part] for matrix, part in zip(matrices, parts, strict=True)]
        _resize_block(block, weights, labels[out])

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(fill, itertools.product(*map(_blocks, matrices))):
            pass  # an error in a thread is raised here
    return labels


def resample_to_grid(
    data: NDArray[Any], source: Grid, target: Grid, *, order: Literal[0, 1] = 1
) -> NDArray[Any]:
    """Resample data onto any other grid, through the world.

    For label files that lie on another grid than their image, and pictures of two scans; nothing
    keeps a coarser target from aliasing. Outside of the source is 0.

    Parameters
    ----------
    data : ndarray
        Shape `source.shape`.
    source, target : Grid
    order : int
        0 takes the nearest voxel (labels), 1 interpolates linearly.

    Returns
    -------
    ndarray
        Shape `target.shape`, type of `data`; `data` itself where the grids are the same.
    """
    if same_grid(source, target):
        return data
    to_source = np.linalg.inv(source.affine) @ target.affine
    result: NDArray[Any] = ndimage.affine_transform(
        data,
        to_source[:3, :3],
        offset=to_source[:3, 3],
        output_shape=target.shape,
        order=order,
        mode="grid-constant",
    )
    return result


def _center(weights: NDArray[np.float64], offsets: NDArray[np.float64]) -> NDArray[np.float64]:
    """Tilt each row until its weights lie around offset 0.

    A widened triangle sees a fractional number of voxels unevenly; without this, edges would move
    by up to a tenth of a voxel, in and out along the axis.
    """
    mean = (weights * offsets).sum(axis=1, keepdims=True)
    variance = (weights * (offsets - mean) ** 2).sum(axis=1, keepdims=True)
    return np.asarray(weights * (1 - mean * (offsets - mean) / variance))


def _apply(weights: csr_array[np.float32], image: Image, axis: int) -> Image:
    """Apply weights (new size, size) along one of the last three axes of a contiguous image."""
    *lead, x, y, z = image.shape
    size = weights.shape[0]
    if axis == 1 and z == 1:
        return np.ascontiguousarray((weights @ image.reshape(-1, y).T).T).reshape(*lead, x, size, 1)
    if axis == 0:
        blocks = [weights @ block for block in image.reshape(-1, x, y * z)]
        whole: Image = blocks[0] if len(blocks) == 1 else np.stack(blocks)
        return whole.reshape(*lead, size, y, z)
    planes = image.reshape(-1, y, z)
    result = np.empty((len(planes), *((size, z) if axis == 1 else (y, size))), dtype=np.float32)
    for plane, target in zip(planes, result, strict=True):
        target[...] = weights @ plane if axis == 1 else (weights @ plane.T).T
    return result.reshape(*lead, x, *result.shape[1:])


def _blocks(matrix: Image) -> Iterator[tuple[slice, slice]]:
    """Give the rows of each part of an axis, and the columns that they need."""
    for start in range(0, len(matrix), _BLOCK):
        out = slice(start, start + _BLOCK)
        needed = np.flatnonzero(matrix[out].any(axis=0))
        yield out, slice(int(needed[0]), int(needed[-1]) + 1)


def _resize_block(block: Image, weights: Sequence[Image], winner: NDArray[Any]) -> None:
    """Write the channel that is highest after resampling into `winner`."""
    first, *others = _find_candidates(block)
    winner[...] = first
    if not others:
        return
    x, y, z = weights
    along_x = csr_array(x)
    best = _expand(block[first], along_x, y, z)
    for channel in others:
        values = _expand(block[channel], along_x, y, z)
        higher = values > best
        # Channels come in ascending order, so that the first of equal ones stays.
        np.copyto(best, values, where=higher)
        np.copyto(winner, winner.dtype.type(channel), where=higher)


def _expand(block: Image, along_x: csr_array[np.float32], along_y: Image, along_z: Image) -> Image:
    """Apply weights, one matrix for each axis."""
    planes = along_y @ (block @ along_z.T)
    rows = along_x @ planes.reshape(len(planes), -1)
    return np.asarray(rows, dtype=np.float32).reshape(-1, *planes.shape[1:])


def _find_candidates(block: Image) -> list[int]:
    """Channels that may be the highest somewhere.

    Those that reach above what another nowhere falls below, and above the lowest mean.
    """
    values = block.reshape(len(block), -1)
    lowest_winner = max(float(values.min(axis=1).max()), float(values.mean(axis=0).min()))
    margin = _ROUNDING * max(1.0, abs(lowest_winner))
    return np.flatnonzero(values.max(axis=1) >= lowest_winner - margin).tolist()
