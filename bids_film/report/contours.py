"""Outlines of structures in a slice, as SVG paths."""

from __future__ import annotations

import contourpy
import numpy as np
from numpy.typing import NDArray

_EDGE = 0.5


def outline(mask: NDArray[np.bool_]) -> str:
    """Draw the border of a mask as one SVG path, empty for an empty mask.

    Coordinates are integers in half pixels: pixel ``(row, column)`` has its centre at
    ``(2 · column + 1, 2 · row + 1)``. The border runs half-way between a pixel in the mask and its
    neighbour outside, and closes along the picture's edge.

    Parameters
    ----------
    mask : ndarray of bool
        Shape (rows, columns).
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return ""
    # Most structures are a small part of their slice: the rest need not be looked through.
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    padded = np.zeros((part.shape[0] + 2, part.shape[1] + 2))
    padded[1:-1, 1:-1] = part
    lines = contourpy.contour_generator(z=padded, line_type=contourpy.LineType.Separate).lines(
        _EDGE
    )
    start = 2 * np.array([columns[0], rows[0]])
    return "".join(_closed_path(line, start) for line in lines)


def _closed_path(line: NDArray[np.float64], start: NDArray[np.int64]) -> str:
    # Twice the pixel, less two for the padding, plus one for the centre of a pixel.
    points = np.rint(2 * line - 1).astype(np.int64) + start
    corners = _without_straight_points(points[:-1])
    steps = (corners[1:] - corners[:-1]).ravel().tolist()
    return f"M{corners[0, 0]} {corners[0, 1]}l{' '.join(map(str, steps))}z"


def _without_straight_points(points: NDArray[np.int64]) -> NDArray[np.int64]:
    around = np.concatenate([points[-1:], points, points[:1]])
    steps = around[1:] - around[:-1]
    corners: NDArray[np.int64] = points[(steps[1:] != steps[:-1]).any(axis=1)]
    return corners
