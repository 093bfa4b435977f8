"""The label table beside a label map: BIDS columns, and a volume for each structure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_film.derivatives.atomic import write_text_atomically
from bids_film.domain.labels import LabelTable
from bids_film.domain.segmentation import StructureVolume
from bids_film.domain.volume import Grid

_COLUMNS = ("index", "name", "abbreviation", "color", "part_of", "voxels", "volume_ml")
_FORMULA_STARTS = ("=", "+", "-", "@")


def measure_volumes(
    labels: NDArray[np.integer[Any]], table: LabelTable, grid: Grid
) -> tuple[StructureVolume, ...]:
    """Count the voxels of each structure, its parts included.

    Parameters
    ----------
    labels : ndarray of int
        Shape ``grid.shape``.
    table : LabelTable
    grid : Grid

    Returns
    -------
    tuple[StructureVolume, ...]
        In the table's order.
    """
    highest = max((structure.index for structure in table), default=0)
    counts = np.zeros(highest + 1, dtype=np.int64)
    for part in labels:
        # Slice by slice: what is counted is copied as eight bytes for each voxel.
        counts += np.bincount(part.ravel(), minlength=highest + 1)[: highest + 1]
    sizes = [
        sum(int(counts[index]) for index in table.indices_of(structure.name)) for structure in table
    ]
    return tuple(
        StructureVolume(
            structure=structure, voxels=size, volume_ml=round(size * grid.voxel_volume_ml, 6)
        )
        for structure, size in zip(table, sizes, strict=True)
    )


def write_label_table(path: Path, volumes: Sequence[StructureVolume]) -> None:
    """Write the label table as BIDS defines it, with the volumes in columns of their own.

    Raises
    ------
    UsageError
        Where the file cannot be written.
    """
    rows = [_COLUMNS, *(_row(item) for item in volumes)]
    write_text_atomically(path, "".join("\t".join(row) + "\n" for row in rows))


def describe_columns() -> dict[str, Any]:
    """Describe the columns that BIDS does not define, for the sidecar that table and map share."""
    return {
        "part_of": {"Description": "Name of the structure that contains this one; n/a for none."},
        "voxels": {"Description": "Number of voxels of the structure, its parts included."},
        "volume_ml": {
            "Description": "Volume of the structure, its parts included.",
            "Units": "mL",
        },
    }


def _row(item: StructureVolume) -> tuple[str, ...]:
    structure = item.structure
    return (
        str(structure.index),
        format_text(structure.name),
        format_text(structure.abbreviation),
        format_text(structure.color),
        format_text(structure.part_of),
        str(item.voxels),
        f"{item.volume_ml:.6f}".rstrip("0").rstrip("."),
    )


def format_text(text: str) -> str:
    """Write a text as one cell; a spreadsheet computes none of it, whoever wrote it."""
    line = " ".join(text.split())
    return f"'{line}" if line.startswith(_FORMULA_STARTS) else line or "n/a"
