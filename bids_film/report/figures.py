"""The picture: slices of a scan with the outlines of its structures.

Slices are shown as radiologists look at them: the patient's right is on the left of axial and
coronal slices, the nose is on the left of sagittal ones. The browser scales each picture to
millimetres, so that voxels of any shape keep their proportions.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bids_film.domain.labels import LabelTable, Structure
from bids_film.domain.volume import Volume
from bids_film.images.geometry import Plan, plan_ras, reorient
from bids_film.report.contours import outline

SLICES = {"axial": 8, "coronal": 4, "sagittal": 4}
"""Slices of each plane, where all three are shown."""
SLICES_OF_STACK = 12
_STACK_ANISOTROPY = 3.0
_MARGIN = 0.25
_SMALLEST_MARGIN_MM = 10.0
_ZOOM_WORTH_AN_OVERVIEW = 0.4
_LONGEST_SIDE = 360
_WEBP_QUALITY = 82
_WINDOW_PERCENTILES = (0.5, 99.7)
_ENOUGH_VOXELS = 500_000
_HALF = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Plane:
    """How a slice of a RAS+ volume is laid on the page: which axes, and what its edges are.

    Attributes
    ----------
    name : str
    axis, across, down : int
        Axes that the slice cuts, and that run to the right and downwards; both of the latter are
        shown from their high end to their low end.
    left, right, top, bottom : str
        Anatomical directions at the edges.
    """

    name: str
    axis: int
    across: int
    down: int
    left: str
    right: str
    top: str
    bottom: str


AXIAL = Plane(name="axial", axis=2, across=0, down=1, left="R", right="L", top="A", bottom="P")
CORONAL = Plane(name="coronal", axis=1, across=0, down=2, left="R", right="L", top="S", bottom="I")
SAGITTAL = Plane(
    name="sagittal", axis=0, across=1, down=2, left="A", right="P", top="S", bottom="I"
)
PLANES = (AXIAL, CORONAL, SAGITTAL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Contour:
    """Outline of one structure in one slice; coordinates as `contours.outline` gives them."""

    structure: Structure
    path: str


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


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stage:
    """Image and labels in RAS+ order, and the part of them that is looked at."""

    image: NDArray[np.float32]
    labels: NDArray[np.integer[Any]]
    plan: Plan
    table: LabelTable
    region: tuple[slice, slice, slice]
    window: tuple[float, float]
    overview_window: tuple[float, float]


def draw_figure(volume: Volume, labels: NDArray[np.integer[Any]], table: LabelTable) -> Figure:
    """Draw a scan with the outlines of its structures.

    Thick-sliced scans and single slices are shown in the plane in which they were made, others in
    three planes. Pictures are cut to the surroundings of the segmentation; where that is a small
    part of the slice, an overview comes first.

    Parameters
    ----------
    volume : Volume
    labels : ndarray of int
        Shape ``volume.grid.shape``.
    table : LabelTable
    """
    stage = _set_stage(volume, labels, table)
    thickest = int(np.argmax(stage.plan.spacing_mm))
    single = [axis for axis, length in enumerate(stage.image.shape) if length == 1]
    if single or stage.plan.spacing_mm[thickest] >= _STACK_ANISOTROPY * min(stage.plan.spacing_mm):
        axis = single[0] if single else thickest
        planes = [(plane, SLICES_OF_STACK) for plane in PLANES if plane.axis == axis]
    else:
        planes = [(plane, SLICES[plane.name]) for plane in PLANES]
    return Figure(
        rows=tuple(_draw_row(stage, plane, count) for plane, count in planes),
        oriented=volume.grid.qform_code > 0 or volume.grid.sform_code > 0,
    )


def _set_stage(volume: Volume, labels: NDArray[np.integer[Any]], table: LabelTable) -> _Stage:
    plan = plan_ras(volume.grid)
    image, ordered = reorient(volume.data, plan), reorient(labels, plan)
    region = _surroundings(ordered, plan.spacing_mm)
    return _Stage(
        image=image,
        labels=ordered,
        plan=plan,
        table=table,
        region=region,
        window=_window(image[region]),
        overview_window=_window(image),
    )


def _surroundings(
    labels: NDArray[np.integer[Any]], spacing_mm: Sequence[float]
) -> tuple[slice, slice, slice]:
    ranges = []
    for axis, (length, spacing) in enumerate(zip(labels.shape, spacing_mm, strict=True)):
        others = tuple(other for other in range(3) if other != axis)
        inside = np.flatnonzero(labels.any(axis=others))
        if not inside.size:
            ranges.append(slice(0, length))
            continue
        first, last = int(inside[0]), int(inside[-1]) + 1
        margin = round(max(_MARGIN * (last - first), _SMALLEST_MARGIN_MM / spacing))
        ranges.append(slice(max(0, first - margin), min(length, last + margin)))
    return ranges[0], ranges[1], ranges[2]


def _draw_row(stage: _Stage, plane: Plane, count: int) -> tuple[Tile, ...]:
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


def _draw_tile(stage: _Stage, plane: Plane, position: int, *, zoomed: bool) -> Tile:
    region = stage.region if zoomed else tuple(slice(0, length) for length in stage.image.shape)
    pixels = _cut(stage.image, plane, position, region)
    labels = _cut(stage.labels, plane, position, region)
    rows, columns = pixels.shape
    return Tile(
        plane=plane,
        stored_index=_stored_index(stage.plan, plane.axis, position),
        image=_encode(_to_gray(pixels, stage.window if zoomed else stage.overview_window)),
        columns=columns,
        rows=rows,
        width_mm=columns * stage.plan.spacing_mm[plane.across],
        height_mm=rows * stage.plan.spacing_mm[plane.down],
        contours=_outlines(labels, stage.table),
        zoom=None if zoomed else _zoom_box(stage, plane),
    )


def _stored_index(plan: Plan, axis: int, position: int) -> int:
    return plan.shape[axis] - 1 - position if plan.flips[axis] else position


def _cut(data: NDArray[Any], plane: Plane, position: int, region: Sequence[slice]) -> NDArray[Any]:
    part: list[slice | int] = list(region)
    part[plane.axis] = position
    sliced = data[tuple(part)]
    # What is left has its axes in RAS order; across comes before down in all three planes.
    return sliced.T[::-1, ::-1]


def _zoom_box(stage: _Stage, plane: Plane) -> Box:
    across, down = stage.region[plane.across], stage.region[plane.down]
    return Box(
        left=stage.image.shape[plane.across] - across.stop,
        top=stage.image.shape[plane.down] - down.stop,
        width=across.stop - across.start,
        height=down.stop - down.start,
    )


def _outlines(labels: NDArray[np.integer[Any]], table: LabelTable) -> tuple[Contour, ...]:
    paths = (
        (structure, outline(np.isin(labels, table.indices_of(structure.name))))
        for structure in table
    )
    return tuple(Contour(structure=structure, path=path) for structure, path in paths if path)


def _window(region: NDArray[np.float32]) -> tuple[float, float]:
    step = max(1, round((region.size / _ENOUGH_VOXELS) ** (1 / 3)))
    sample = region[::step, ::step, ::step] if min(region.shape) > step else region
    # Zeros around a brain without its skull would make everything else white.
    values = sample[sample != 0]
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, _WINDOW_PERCENTILES)
    return float(low), float(high)


def _to_gray(pixels: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = window
    range_ = high - low if high > low else 1.0
    gray: NDArray[np.uint8] = np.rint(np.clip((pixels - low) / range_, 0, 1) * 255).astype(np.uint8)
    return gray


def _encode(gray: NDArray[np.uint8]) -> str:
    picture = Image.fromarray(gray)
    if max(picture.size) > _LONGEST_SIDE:
        picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    picture.save(stream, format="WEBP", quality=_WEBP_QUALITY, method=4)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
