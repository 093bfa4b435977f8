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
    if not mask.any():
        return ""
    padded = np.pad(mask, 1).astype(np.float64)
    lines = contourpy.contour_generator(z=padded, line_type=contourpy.LineType.Separate).lines(
        _EDGE
    )
    return "".join(_closed_path(line) for line in lines)


def _closed_path(line: NDArray[np.float64]) -> str:
    # Twice the pixel, less two for the padding, plus one for the centre of a pixel.
    points = np.rint(2 * line - 1).astype(np.int64)
    corners = _without_straight_points(points[:-1])
    steps = np.diff(corners, axis=0)
    moves = "".join(f"{dx} {dy} " for dx, dy in steps.tolist())
    return f"M{corners[0, 0]} {corners[0, 1]}l{moves.rstrip()}z"


def _without_straight_points(points: NDArray[np.int64]) -> NDArray[np.int64]:
    after = np.diff(points, axis=0, append=points[:1])
    before = np.concatenate([after[-1:], after[:-1]])
    turns: NDArray[np.bool_] = (before[:, 0] != after[:, 0]) | (before[:, 1] != after[:, 1])
    corners: NDArray[np.int64] = points[turns]
    return corners
