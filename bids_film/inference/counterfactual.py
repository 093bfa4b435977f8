"""What the metadata did: the same scan, segmented as if its metadata had been others.

Only γ and β differ from the delivered segmentation, so whatever changes, the metadata changed it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_film.domain.labels import LabelTable
from bids_film.domain.planes import SlicePlane
from bids_film.domain.segmentation import StructureChange
from bids_film.domain.volume import Grid
from bids_film.images.boxes import bounding_box, grow_box
from bids_film.images.geometry import plan_ras, reorient
from bids_film.metadata.encoder import Encoder, MetadataValues
from bids_film.metadata.fields import CategoricalField

MOST_ALTERNATIVES = 12
"""A field with a level per site would have every scan segmented a hundred times."""
MARGIN_MM = 20.0
"""What a comparison sees around the segmentation."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """Metadata that are told in place of the scan's own.

    Attributes
    ----------
    field : str
        The field that differs; empty where all are withheld.
    level : str
        What it is told; empty where all are withheld.
    values : Mapping[str, str | float | None]
        All fields, as the encoder takes them.
    """

    field: str = ""
    level: str = ""
    values: Mapping[str, str | float | None]


def list_alternatives(
    encoder: Encoder, values: MetadataValues, *, levels: bool = True
) -> tuple[tuple[Told, ...], int]:
    """List what could have been told: nothing at all, and each other level of a categorical field.

    Parameters
    ----------
    encoder : Encoder
    values : Mapping[str, str | float | None]
        The scan's own.
    levels : bool
        Without, it is nothing at all alone.

    Returns
    -------
    alternatives : tuple[Told, ...]
        At most `MOST_ALTERNATIVES`; empty for an encoder without fields.
    untried : int
        How many more there would have been.
    """
    told = []
    if any(values.get(field.name) is not None for field in encoder.fields):
        told.append(Told(values={}))
    for field in encoder.fields:
        if not (levels and isinstance(field, CategoricalField)):
            continue
        own = values.get(field.name)
        others = [level for level in field.levels if own is None or level != str(own)]
        told += [
            Told(field=field.name, level=level, values={**values, field.name: level})
            for level in others
        ]
    return tuple(told[:MOST_ALTERNATIVES]), max(0, len(told) - MOST_ALTERNATIVES)


def find_surroundings(
    labels: NDArray[np.integer[Any]], grid: Grid, plane: SlicePlane
) -> tuple[slice, slice, slice] | None:
    """Find the part of an image to which a comparison can be confined, where that saves much.

    A cord is a hundredth of its image, and each alternative would take as long as the whole. What
    another telling would find far from the segmentation is then not seen.

    Parameters
    ----------
    labels : ndarray of int
        Shape ``grid.shape``.
    grid : Grid
    plane : str
        Of the network's slices.

    Returns
    -------
    tuple[slice, slice, slice] or None
        In the order of `plan_ras`; None where it would be more than half of the image, or nothing
        was found.
    """
    plan = plan_ras(grid, plane=plane)
    ordered = reorient(labels, plan)
    inside = bounding_box(ordered > 0)
    if inside[0].stop == 0:
        return None
    margins = [math.ceil(MARGIN_MM / length_mm) for length_mm in plan.spacing_mm]
    x, y, z = grow_box(inside, margins, plan.shape)
    voxels = math.prod(part.stop - part.start for part in (x, y, z))
    return (x, y, z) if voxels <= math.prod(plan.shape) / 2 else None


def compare_labels(
    other: NDArray[np.integer[Any]],
    delivered: NDArray[np.integer[Any]],
    table: LabelTable,
    grid: Grid,
) -> tuple[StructureChange, ...]:
    """Say how far another label map lies from the delivered one, structure by structure.

    Parameters
    ----------
    other, delivered : ndarray of int
        Shape ``grid.shape``.
    table : LabelTable
    grid : Grid
    """
    pairs = _count_pairs(other, delivered, table)
    changes = []
    for structure in table:
        own = list(table.channels_of(structure.name))
        size = int(pairs[own].sum())
        compared = int(pairs[:, own].sum())
        total = size + compared
        common = int(pairs[np.ix_(own, own)].sum())
        changes.append(
            StructureChange(
                name=structure.name,
                dice=round(2 * common / total if total else 1.0, 6),
                volume_ml=round(size * grid.voxel_volume_ml, 6),
                compared_ml=round(compared * grid.voxel_volume_ml, 6),
            )
        )
    return tuple(changes)


def _count_pairs(
    one: NDArray[np.integer[Any]], other: NDArray[np.integer[Any]], table: LabelTable
) -> NDArray[np.int64]:
    """Count the voxels that are of channel i in one map and j in the other; 0 is background.

    Slice by slice, once for all structures: two masks for each take minutes on a large scan.
    """
    size = 1 + len(table)
    channels = np.zeros(1 + max(structure.index for structure in table), dtype=np.int64)
    for channel, structure in enumerate(table, start=1):
        channels[structure.index] = channel
    pairs = np.zeros(size * size, dtype=np.int64)
    for mine, theirs in zip(one, other, strict=True):
        found = channels[mine] * size + channels[theirs]
        pairs += np.bincount(found.ravel(), minlength=size * size)
    return pairs.reshape(size, size)
