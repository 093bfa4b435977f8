"""The pictures: slices of a scan with the outlines of its structures.

The browser scales each picture to millimetres, so that voxels of any shape keep their proportions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_film.report.stage import (
    AXIAL,
    Contour,
    Plane,
    Stage,
    cut_slice,
    draw_outlines,
    encode_heat,
    encode_picture,
    find_stored_index,
    to_gray,
)

SLICES = {"axial": 8, "coronal": 4, "sagittal": 4}
"""Slices of each plane, where all three are shown."""
SLICES_OF_STACK = 12
_ZOOM_WORTH_AN_OVERVIEW = 0.4
_HEATED = 4
_PEAKS = 2
_APART = 6
_HALF = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Box:
    """A rectangle in pixels of a slice."""

    left: int
    top: int
    width: int
    height: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One slice.

    Attributes
    ----------
    plane : Plane
    stored_index : int
        Number of the slice along its axis in the file, from 0, as viewers count.
    image : str
        Data URI.
    columns, rows : int
        Size in voxels.
    width_mm, height_mm : float
    contours : tuple[Contour, ...]
    zoom : Box or None
        On an overview: what the other tiles of the row show.
    heat : str
        Data URI of what lies over the image; empty for nothing.
    """

    plane: Plane
    stored_index: int
    image: str
    columns: int
    rows: int
    width_mm: float
    height_mm: float
    contours: tuple[Contour, ...]
    zoom: Box | None = None
    heat: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """The slices that are shown of a scan.

    Attributes
    ----------
    rows : tuple[tuple[Tile, ...], ...]
        One per plane.
    oriented : bool
        Whether the file says how the patient lies; without it nobody can tell left from right.
    """

    rows: tuple[tuple[Tile, ...], ...]
    oriented: bool = True


def draw_figure(stage: Stage) -> Figure:
    """Draw a scan with the outlines of its structures.

    Thick-sliced scans and single slices are shown in the plane in which they were made, others in
    three planes. Pictures are cut to the surroundings of the segmentation; where that is a small
    part of the slice, an overview comes first.
    """
    if len(stage.planes) == 1:
        counts = [SLICES_OF_STACK]
    else:
        counts = [SLICES[plane.name] for plane in stage.planes]
    rows = zip(stage.planes, counts, strict=True)
    return Figure(
        rows=tuple(_draw_row(stage, plane, count) for plane, count in rows),
        oriented=stage.oriented,
    )


def draw_heat(stage: Stage, entropy: NDArray[np.floating[Any]]) -> tuple[Tile, ...]:
    """Draw the slices on which the network was least sure, with its entropy over them.

    Parameters
    ----------
    stage : Stage
    entropy : ndarray
        0 to 1, in the order of the stage.
    """
    plane = stage.planes[0]
    others = tuple(axis for axis in range(3) if axis != plane.axis)
    totals = entropy[stage.region].sum(axis=others)
    start = stage.region[plane.axis].start
    # Neighbouring slices show the same: one of each stretch is enough.
    stretches = [part for part in np.array_split(np.arange(len(totals)), _HEATED) if part.size]
    positions = [start + int(part[totals[part].argmax()]) for part in stretches]
    ordered = sorted(positions, reverse=plane.axis == AXIAL.axis)
    return tuple(_draw_tile(stage, plane, at, zoomed=True, heat=entropy) for at in ordered)


def draw_differences(stage: Stage, other: Stage) -> tuple[tuple[Tile, Tile], ...]:
    """Draw the slices on which two segmentations of a scan differ most, once with each."""
    plane = stage.planes[0]
    axes = tuple(axis for axis in range(3) if axis != plane.axis)
    differ = np.count_nonzero(stage.labels[stage.region] != other.labels[stage.region], axis=axes)
    start = stage.region[plane.axis].start
    return tuple(
        (
            _draw_tile(stage, plane, start + peak, zoomed=True),
            _draw_tile(other, plane, start + peak, zoomed=True),
        )
        for peak in _find_peaks(differ)
    )


def _find_peaks(counts: NDArray[np.integer[Any]]) -> list[int]:
    """Find the highest counts, the highest first; neighbours of one show the same as it does."""
    left, apart = counts.copy(), len(counts) // _APART
    peaks: list[int] = []
    while len(peaks) < _PEAKS and left.any():
        peak = int(left.argmax())
        peaks.append(peak)
        left[max(0, peak - apart) : peak + apart + 1] = 0
    return peaks


def _draw_row(stage: Stage, plane: Plane, count: int) -> tuple[Tile, ...]:
    across, down = stage.region[plane.across], stage.region[plane.down]
    area = (across.stop - across.start) * (down.stop - down.start)
    whole = stage.image.shape[plane.across] * stage.image.shape[plane.down]
    if area >= _ZOOM_WORTH_AN_OVERVIEW * whole:
        positions = _choose_positions(stage.labels, plane.axis, count)
        return tuple(_draw_tile(stage, plane, position, zoomed=True) for position in positions)
    positions = _choose_positions(stage.labels, plane.axis, count - 1)
    overview = _draw_tile(stage, plane, positions[len(positions) // 2], zoomed=False)
    zoomed = (_draw_tile(stage, plane, position, zoomed=True) for position in positions)
    return (overview, *zoomed)


def _choose_positions(labels: NDArray[np.integer[Any]], axis: int, count: int) -> list[int]:
    others = tuple(other for other in range(3) if other != axis)
    inside = np.flatnonzero(labels.any(axis=others))
    if not inside.size:
        inside = np.arange(labels.shape[axis])
    places = (np.arange(count) + _HALF) / count * inside.size
    return sorted({int(inside[int(place)]) for place in places}, reverse=axis == AXIAL.axis)


def _draw_tile(
    stage: Stage,
    plane: Plane,
    position: int,
    *,
    zoomed: bool,
    heat: NDArray[np.floating[Any]] | None = None,
) -> Tile:
    region = stage.region if zoomed else tuple(slice(0, length) for length in stage.image.shape)
    pixels = cut_slice(stage.image, plane, position, region)
    labels = cut_slice(stage.labels, plane, position, region)
    rows, columns = pixels.shape
    return Tile(
        plane=plane,
        stored_index=find_stored_index(stage.plan, plane.axis, position),
        image=encode_picture(to_gray(pixels, stage.window if zoomed else stage.overview_window)),
        columns=columns,
        rows=rows,
        width_mm=columns * stage.plan.spacing_mm[plane.across],
        height_mm=rows * stage.plan.spacing_mm[plane.down],
        contours=draw_outlines(labels, stage.table),
        zoom=None if zoomed else _zoom_box(stage, plane),
        heat="" if heat is None else encode_heat(cut_slice(heat, plane, position, region)),
    )


def _zoom_box(stage: Stage, plane: Plane) -> Box:
    across, down = stage.region[plane.across], stage.region[plane.down]
    return Box(
        left=stage.image.shape[plane.across] - across.stop,
        top=stage.image.shape[plane.down] - down.stop,
        width=across.stop - across.start,
        height=down.stop - down.start,
    )
