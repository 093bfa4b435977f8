"""A scan on the stage: in RAS+ order, windowed, with the part of it that is looked at.

Slices are shown as radiologists look at them: the patient's right is on the left of axial and
coronal slices, the nose is on the left of sagittal ones.
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
from bids_film.domain.sides import sort_alike
from bids_film.domain.volume import Volume
from bids_film.images.boxes import bounding_box, grow_box
from bids_film.images.geometry import Plan, plan_ras, reorient
from bids_film.report.contours import outline

_STACK_ANISOTROPY = 3.0
_MARGIN = 0.25
_SMALLEST_MARGIN_MM = 10.0
_LARGEST_MARGIN_MM = 20.0
_LONGEST_SIDE = 360
_JPEG_QUALITY = 85
_WEBP_QUALITY = 82
_WINDOW_PERCENTILES = (0.5, 99.7)
_ENOUGH_VOXELS = 500_000
_AMBER = (255, 176, 0)
_STRONGEST = 230


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
class Stage:
    """Image and labels in RAS+ order, and the part of them that is looked at.

    Attributes
    ----------
    image : ndarray
        float32, shape (X, Y, Z).
    labels : ndarray of int
        Shape (X, Y, Z).
    plan : Plan
        How the stored voxels were reordered.
    table : LabelTable
    region : tuple[slice, slice, slice]
        Surroundings of the segmentation.
    window, overview_window : tuple[float, float]
        Intensities shown as black and white: in the region, and in the whole.
    planes : tuple[Plane, ...]
        In which it is shown: the one of its slices where they are thick, otherwise all three.
    oriented : bool
        Whether the file says how the patient lies.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.integer[Any]]
    plan: Plan
    table: LabelTable
    region: tuple[slice, slice, slice]
    window: tuple[float, float]
    overview_window: tuple[float, float]
    planes: tuple[Plane, ...]
    oriented: bool


def set_stage(volume: Volume, labels: NDArray[np.integer[Any]], table: LabelTable) -> Stage:
    """Bring a scan and its segmentation onto the stage.

    Parameters
    ----------
    volume : Volume
    labels : ndarray of int
        Shape ``volume.grid.shape``.
    table : LabelTable
    """
    plan = plan_ras(volume.grid)
    image, ordered = reorient(volume.data, plan), reorient(labels, plan)
    region = _surroundings(ordered, plan.spacing_mm)
    return Stage(
        image=image,
        labels=ordered,
        plan=plan,
        table=table,
        region=region,
        window=_window(image[region]),
        overview_window=_window(image),
        planes=_choose_planes(image.shape, plan.spacing_mm),
        oriented=volume.grid.qform_code > 0 or volume.grid.sform_code > 0,
    )


def _choose_planes(shape: Sequence[int], spacing_mm: Sequence[float]) -> tuple[Plane, ...]:
    thickest = int(np.argmax(spacing_mm))
    single = [axis for axis, length in enumerate(shape) if length == 1]
    if single or spacing_mm[thickest] >= _STACK_ANISOTROPY * min(spacing_mm):
        axis = single[0] if single else thickest
        return tuple(plane for plane in PLANES if plane.axis == axis)
    return PLANES


def _surroundings(
    labels: NDArray[np.integer[Any]], spacing_mm: Sequence[float]
) -> tuple[slice, slice, slice]:
    inside = bounding_box(labels > 0)
    if inside[0].stop == 0:
        inside = tuple(slice(0, length) for length in labels.shape)
    margins = []
    for part, spacing in zip(inside, spacing_mm, strict=True):
        margin_mm = _MARGIN * (part.stop - part.start) * spacing
        margins.append(
            round(min(max(margin_mm, _SMALLEST_MARGIN_MM), _LARGEST_MARGIN_MM) / spacing)
        )
    x, y, z = grow_box(inside, margins, labels.shape)
    return x, y, z


def find_stored_index(plan: Plan, axis: int, position: int) -> int:
    """Find the number of a slice along its axis in the file, from 0."""
    return plan.shape[axis] - 1 - position if plan.flips[axis] else position


def cut_slice(
    data: NDArray[Any], plane: Plane, position: int, region: Sequence[slice]
) -> NDArray[Any]:
    """Cut a slice as it is looked at, shape (rows, columns)."""
    part: list[slice | int] = list(region)
    part[plane.axis] = position
    sliced = data[tuple(part)]
    # What is left has its axes in RAS order; across comes before down in all three planes.
    return sliced.T[::-1, ::-1]


def draw_outlines(labels: NDArray[np.integer[Any]], table: LabelTable) -> tuple[Contour, ...]:
    """Draw the outlines of all structures in a slice; where two meet, the later one is seen."""
    present = set(np.unique(labels).tolist())
    contours = []
    for place in sort_alike(table.structures):
        structure = table.structures[place]
        indices = present.intersection(table.indices_of(structure.name))
        if indices:
            mask = np.logical_or.reduce([labels == index for index in indices])
            contours.append(Contour(structure=structure, path=outline(mask)))
    return tuple(contours)


def _window(region: NDArray[np.float32]) -> tuple[float, float]:
    step = max(1, round((region.size / _ENOUGH_VOXELS) ** (1 / 3)))
    sample = region[::step, ::step, ::step] if min(region.shape) > step else region
    # Zeros around a brain without its skull would make everything else white.
    values = sample[sample != 0]
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, _WINDOW_PERCENTILES)
    return float(low), float(high)


def to_gray(pixels: NDArray[np.float32], window: tuple[float, float]) -> NDArray[np.uint8]:
    """Map intensities to 0–255 between black and white of a window."""
    low, high = window
    range_ = high - low if high > low else 1.0
    # In place, as this goes over whole scans.
    scaled = (pixels - np.float32(low)) * np.float32(255 / range_)
    np.clip(scaled, 0, 255, out=scaled)
    gray: NDArray[np.uint8] = np.rint(scaled, out=scaled).astype(np.uint8)
    return gray


def encode_heat(values: NDArray[np.floating[Any]]) -> str:
    """Encode values from 0 to 1 as a data URI: amber that the more covers, the higher they are."""
    alpha = np.rint(np.clip(values, 0, 1) * _STRONGEST).astype(np.uint8)
    pixels = np.empty((*alpha.shape, 4), dtype=np.uint8)
    pixels[..., :3], pixels[..., 3] = _AMBER, alpha
    picture = Image.fromarray(pixels)
    if max(picture.size) > _LONGEST_SIDE:
        picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.BILINEAR)
    return encode_image(picture, "WEBP", quality=_WEBP_QUALITY, method=2)


def encode_picture(gray: NDArray[np.uint8]) -> str:
    """Encode a slice as a data URI."""
    picture = Image.fromarray(gray)
    if max(picture.size) > _LONGEST_SIDE:
        picture.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    return encode_image(picture, "JPEG", quality=_JPEG_QUALITY)


def encode_image(picture: Image.Image, kind: str, **options: int) -> str:
    """Encode a picture as a data URI of JPEG, PNG or WebP; options are those of Pillow's writer."""
    stream = io.BytesIO()
    picture.save(stream, format=kind, **options)
    content = base64.b64encode(stream.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{content}"
