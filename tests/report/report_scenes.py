"""Made-up scans and segmentations for the tests of the report."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bids_film.derivatives.tables import measure_volumes
from bids_film.domain.labels import LabelTable, Structure
from bids_film.domain.segmentation import ModelIdentity, RecordedValue, Segmentation
from bids_film.domain.volume import Grid, Volume
from bids_film.report.figures import Tile

CORD = Structure(index=1, name="spinal cord", abbreviation="SC", color="#4fb3ff")
GRAY = Structure(
    index=2, name="gray matter", abbreviation="GM", color="#ff6b57", part_of="spinal cord"
)
TABLE = LabelTable(structures=(CORD, GRAY))


MANY = LabelTable(
    structures=tuple(
        Structure(index=index, name=name, abbreviation=f"S{index}", color=f"#{index * 97531:06x}")
        for index, name in enumerate(
            [
                *(
                    f"{side}-Cerebellum-White-Part-{letter}"
                    for side in ("Left", "Right")
                    for letter in "ABCDEFGHIJKLMN"
                ),
                "3rd-Ventricle",
                "4th-Ventricle",
                "Brain-Stem",
                "CSF",
            ],
            start=1,
        )
    )
)
"""32 structures with names as long as FreeSurfer's, 28 of them in pairs."""


def make_many() -> NDArray[np.int32]:
    """Label map in which each structure of `MANY` is a block of 64 voxels, off the edges."""
    labels = np.zeros((40, 40, 20), np.int32)
    for place, structure in enumerate(MANY):
        x, y = 4 + 4 * (place // 8), 4 + 4 * (place % 8)
        labels[x : x + 4, y : y + 4, 8:12] = structure.index
    return labels


def make_grid(
    shape: tuple[int, int, int],
    *,
    axes: str = "RAS",
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    codes: tuple[int, int] = (1, 1),
) -> Grid:
    """Grid whose voxel axes point into the given directions; spacing and shape are as stored."""
    orientation = nib.orientations.axcodes2ornt(tuple(axes))
    affine = np.eye(4)
    affine[:3, :3] = 0
    for axis, (world, sign) in enumerate(orientation):
        affine[int(world), axis] = sign * spacing_mm[axis]
    return Grid(
        shape=shape,
        stored_shape=shape,
        affine=affine,
        qform=affine,
        sform=affine,
        qform_code=codes[0],
        sform_code=codes[1],
    )


def to_stored(data: NDArray[Any], axes: str) -> NDArray[Any]:
    """Lay a RAS+ array along other voxel axes."""
    start = nib.orientations.axcodes2ornt(("R", "A", "S"))
    end = nib.orientations.axcodes2ornt(tuple(axes))
    return np.asarray(
        nib.orientations.apply_orientation(data, nib.orientations.ornt_transform(start, end))
    )


def make_cord(shape: tuple[int, int, int] = (40, 30, 20)) -> NDArray[np.int32]:
    """Label map with a column of cord, and gray matter in it, that stay off the edges."""
    labels = np.zeros(shape, np.int32)
    x, y, z = (size // 2 for size in shape)
    labels[x - 4 : x + 4, y - 3 : y + 3, 2 : max(3, shape[2] - 2)] = 1
    labels[x - 1 : x + 1, y - 1 : y + 1, z : z + 3] = 2
    return labels


def make_volume(labels: NDArray[np.int32], grid: Grid, *notes: str) -> Volume:
    """Image in which each label has its intensity."""
    return Volume(data=(100 + 50 * labels).astype(np.float32), grid=grid, notes=notes)


def make_segmentation(
    labels: NDArray[np.int32],
    grid: Grid,
    *values: RecordedValue,
    table: LabelTable = TABLE,
    **changes: Any,
) -> Segmentation:
    """Segmentation of a made-up scan."""
    segmentation = Segmentation(
        scan="sub-01/anat/sub-01_run-1_T2starw.nii.gz",
        labels_file="sub-01/anat/sub-01_run-1_space-T2starw_seg-cord_dseg.nii.gz",
        model=ModelIdentity(name="cord", version="1", sha256="ab" * 32, dimensions=2),
        values=values,
        volumes=measure_volumes(labels, table, grid),
        software={"torch": "2.13.0"},
        settings={"device": "cpu"},
    )
    return replace(segmentation, **changes)


def read_pixels(tile: Tile) -> NDArray[np.uint8]:
    """Pixels of a tile's picture, shape (rows, columns)."""
    header, _, content = tile.image.partition(",")
    assert header == "data:image/jpeg;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))).convert("L"))
