"""All slices of a scan for the page's slider and 3-D viewer, packed into three pictures.

A picture holds the axial slices side by side; the browser takes it apart into voxels again, and
shows any plane of them. Pictures are what browsers decode fastest. JPEG packs a scan into a
quarter of what its compressed voxels take, in a tenth of the time of WebP.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bids_film.report.stage import Stage, encode_image, to_gray

MOST_VOXELS = 8_000_000
"""Larger scans show every second voxel of their finest axes, or fewer."""
_MOST_STRUCTURES = 255
_LONGEST_PICTURE = 16_000
_QUALITIES = (80, 50, 20, 5)
_BUDGET_BYTES = 800_000
"""What a picture may take of a page; noisy scans get a lower quality."""
_PNG_EFFORT = 4
"""A third faster than the usual 6, and a tenth larger."""
_ENCODERS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Stack:
    """A scan's slices, packed.

    Attributes
    ----------
    image, labels, entropy : str
        Data URIs; labels hold the structure's place in the label table, from 1, and entropy is
        empty where there is none.
    shape : tuple[int, int, int]
        Voxels in RAS+ order.
    columns : int
        Slices side by side in a row of the picture.
    spacing_mm : tuple[float, float, float]
    affine : tuple[tuple[float, ...], ...]
        Voxel index to millimetres, four rows.
    flips : tuple[bool, bool, bool]
        Whether the file counts an axis from its other end.
    stored : tuple[int, int, int]
        Voxels of the file along each axis.
    steps : tuple[int, int, int]
        Voxels of the file per voxel shown.
    region : tuple[tuple[int, int], ...]
        First voxel of the segmentation's surroundings and the first after it, per axis.
    planes : tuple[str, ...]
    parts : tuple[tuple[int, ...], ...]
        For each structure the values of `labels` that make it up.
    """

    image: str
    labels: str
    entropy: str
    shape: tuple[int, int, int]
    columns: int
    spacing_mm: tuple[float, float, float]
    affine: tuple[tuple[float, ...], ...]
    flips: tuple[bool, bool, bool]
    stored: tuple[int, int, int]
    steps: tuple[int, int, int]
    region: tuple[tuple[int, int], ...]
    planes: tuple[str, ...]
    parts: tuple[tuple[int, ...], ...]


def pack_stack(stage: Stage, entropy: NDArray[np.floating[Any]] | None) -> Stack | None:
    """Pack a scan; None where it has more structures than a byte can tell apart.

    Parameters
    ----------
    stage : Stage
    entropy : ndarray or None
        0 to 1, in the order of the stage.
    """
    if len(stage.table) > _MOST_STRUCTURES:
        return None
    steps = _choose_steps(stage.image.shape, stage.plan.spacing_mm)
    thin = tuple(slice(None, None, step) for step in steps)
    gray = to_gray(stage.image[thin], stage.window)
    x, y, z = gray.shape
    columns = _choose_columns((x, y, z))
    spacing = [size * step for size, step in zip(stage.plan.spacing_mm, steps, strict=True)]
    places = {structure.index: place for place, structure in enumerate(stage.table, start=1)}
    labels = _renumber(stage.labels[thin], places)
    heat = None if entropy is None else to_gray(entropy[thin].astype(np.float32), (0.0, 1.0))
    # The encoders let go of the interpreter while they work.
    with ThreadPoolExecutor(_ENCODERS) as pool:
        packed_image = pool.submit(_encode_image, gray, columns)
        packed_labels = pool.submit(_encode_exactly, labels, columns)
        packed_heat = None if heat is None else pool.submit(_encode_image, heat, columns)
    return Stack(
        image=packed_image.result(),
        labels=packed_labels.result(),
        entropy=packed_heat.result() if packed_heat else "",
        shape=(x, y, z),
        columns=columns,
        spacing_mm=(spacing[0], spacing[1], spacing[2]),
        affine=tuple(map(tuple, (stage.plan.affine @ np.diag([*steps, 1.0])).tolist())),
        flips=stage.plan.flips,
        stored=stage.plan.shape,
        steps=steps,
        region=tuple(
            (part.start // step, -(-part.stop // step))
            for part, step in zip(stage.region, steps, strict=True)
        ),
        planes=tuple(plane.name for plane in stage.planes),
        parts=tuple(
            tuple(places[index] for index in stage.table.indices_of(structure.name))
            for structure in stage.table
        ),
    )


def _choose_steps(shape: Sequence[int], spacing_mm: Sequence[float]) -> tuple[int, int, int]:
    steps = [1, 1, 1]
    while math.prod(-(-n // step) for n, step in zip(shape, steps, strict=True)) > MOST_VOXELS:
        shown = [size * step for size, step in zip(spacing_mm, steps, strict=True)]
        steps[int(np.argmin(shown))] += 1
    return steps[0], steps[1], steps[2]


def _choose_columns(shape: tuple[int, int, int]) -> int:
    """Make the picture about square: encoders and browsers limit the longest side."""
    x, y, z = shape
    square = math.ceil(math.sqrt(z * y / x))
    return max(1, min(z, square, _LONGEST_PICTURE // x))


def _renumber(labels: NDArray[np.integer[Any]], places: dict[int, int]) -> NDArray[np.uint8]:
    table = np.zeros(max(int(labels.max(initial=0)), *places) + 1, dtype=np.uint8)
    for index, place in places.items():
        table[index] = place
    places_of: NDArray[np.uint8] = table[labels]
    return places_of


def _lay_out(data: NDArray[np.uint8], columns: int) -> Image.Image:
    x, y, z = data.shape
    rows = -(-z // columns)
    slices = np.zeros((rows * columns, y, x), dtype=np.uint8)
    slices[:z] = data.transpose(2, 1, 0)
    grid = slices.reshape(rows, columns, y, x).transpose(0, 2, 1, 3)
    return Image.fromarray(np.ascontiguousarray(grid).reshape(rows * y, columns * x))


def _encode_image(data: NDArray[np.uint8], columns: int) -> str:
    picture = _lay_out(data, columns)
    packed = ""
    for quality in _QUALITIES:
        packed = encode_image(picture, "JPEG", quality=quality)
        if len(packed) <= _BUDGET_BYTES:
            break
    return packed


def _encode_exactly(data: NDArray[np.uint8], columns: int) -> str:
    return encode_image(_lay_out(data, columns), "PNG", compress_level=_PNG_EFFORT)
