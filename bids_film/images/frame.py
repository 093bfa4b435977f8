"""The part of a masked scan that has anything in it, with a margin.

What lies beyond is zero, in the file or not, so cropping the background of such a scan changes
nothing that a network sees; and there is less to compute. nnU-Net crops to the same part (Isensee
et al., Nature Methods 2021), without the margin.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from bids_film.images.boxes import bounding_box
from bids_film.images.intensity import MASKED_SHARE

Value = TypeVar("Value", bound=np.generic)

_MARGIN_MM = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """A box on a grid; it may reach beyond it.

    Attributes
    ----------
    start : tuple[int, ...]
        First voxel along each axis; negative where it lies before the grid.
    shape : tuple[int, ...]
    """

    start: tuple[int, ...]
    shape: tuple[int, ...]

    def overlap(self, shape: Sequence[int]) -> tuple[slice, ...]:
        """Voxels of a grid of that shape which lie in the frame."""
        return tuple(
            slice(min(max(first, 0), length), min(max(first + size, 0), length))
            for first, size, length in zip(self.start, self.shape, shape, strict=True)
        )

    def localise(self, box: Sequence[slice]) -> tuple[slice, ...]:
        """Give the place of a box of the grid within the frame; what lies outside is cut off."""
        return tuple(
            slice(min(max(part.start - first, 0), size), min(max(part.stop - first, 0), size))
            for part, first, size in zip(box, self.start, self.shape, strict=True)
        )


def find_frame(
    images: Sequence[NDArray[Any]], spacing_mm: Sequence[float], *, axes: Sequence[int] = (0, 1, 2)
) -> Frame:
    """Find the frame of images on one grid.

    Parameters
    ----------
    images : Sequence[ndarray]
        Each of the same three-dimensional shape.
    spacing_mm : Sequence[float]
    axes : Sequence[int]
        Along which it may differ from the grid.

    Returns
    -------
    Frame
        The whole grid, where less than a tenth of the voxels is zero in all images: then zero is
        not what was left out, or nothing was.
    """
    shape = images[0].shape
    inside = images[0] != 0
    for image in images[1:]:
        inside |= image != 0
    if not inside.any() or inside.mean() > 1 - MASKED_SHARE:
        return Frame(start=(0,) * len(shape), shape=shape)
    margins = [math.ceil(_MARGIN_MM / length) for length in spacing_mm]
    limits = [
        (part.start - margin, part.stop + margin) if axis in axes else (0, shape[axis])
        for axis, (part, margin) in enumerate(zip(bounding_box(inside), margins, strict=True))
    ]
    return Frame(
        start=tuple(first for first, _ in limits),
        shape=tuple(end - first for first, end in limits),
    )


def cut(data: NDArray[Value], frame: Frame) -> NDArray[Value]:
    """Take what lies in a frame; zero where it reaches beyond the grid.

    Parameters
    ----------
    data : ndarray
        Shape of the grid.
    """
    source = frame.overlap(data.shape)
    target = frame.localise(source)
    if all(part == slice(0, size) for part, size in zip(target, frame.shape, strict=True)):
        return data[source]
    result = np.zeros(frame.shape, data.dtype)
    result[target] = data[source]
    return result


def paste(data: NDArray[Value], frame: Frame, shape: Sequence[int]) -> NDArray[Value]:
    """Put what lies in a frame back onto its grid; zero elsewhere.

    Parameters
    ----------
    data : ndarray
        Shape of the frame.
    shape : Sequence[int]
        Of the grid.
    """
    if frame.shape == tuple(shape) and not any(frame.start):
        return data
    target = frame.overlap(shape)
    result = np.zeros(tuple(shape), data.dtype)
    result[target] = data[frame.localise(target)]
    return result
