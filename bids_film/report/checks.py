"""What is checked of every segmentation, in words that a reader without a manual understands."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_film.domain.labels import LabelTable
from bids_film.domain.planes import SlicePlane
from bids_film.domain.segmentation import Segmentation
from bids_film.domain.sides import pair_structures
from bids_film.domain.volume import Affine, Grid
from bids_film.domain.words import name_some
from bids_film.images.geometry import have_opposite_sides, largest_shift_mm, plan_ras, reorient

_TOLERANCE_MM = 1e-3
_OUTSIDE = 0.25
"""Share of the structures whose volumes may lie beyond those of the training data."""
_DIRECTIONS = (("left", "right"), ("posterior", "anterior"), ("inferior", "superior"))
_NOT_USED = {
    "implausible": "is implausible and was not used",
    "invalid": "could not be read and was not used",
    "unknown level": "is not known to the model and was not used",
}


class Verdict(StrEnum):
    """How a check came out."""

    PASSED = "passed"
    LOOK = "look"
    FAILED = "failed"
    NOT_DONE = "not done"


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """One check.

    Attributes
    ----------
    name : str
    verdict : Verdict
    detail : str
        One sentence or two.
    """

    name: str
    verdict: Verdict
    detail: str


def list_concerns(checks: Iterable[Check]) -> list[Check]:
    """List the checks that did not pass, failures first."""
    known = list(checks)
    order = (Verdict.FAILED, Verdict.LOOK)
    return [check for verdict in order for check in known if check.verdict is verdict]


def find_light(checks: Iterable[Check]) -> Verdict:
    """Find the colour of the traffic light: that of the worst check."""
    concerns = list_concerns(checks)
    return concerns[0].verdict if concerns else Verdict.PASSED


def check_geometry(image: Grid, output: Grid) -> Check:
    """Compare where the voxels of the image and of the label map lie, as their files say it."""
    problems = [
        *_differing("shape", image.stored_shape, output.stored_shape),
        *_differing("qform code", image.qform_code, output.qform_code),
        *_differing("sform code", image.sform_code, output.sform_code),
        *_differing("units", image.xyzt_units, output.xyzt_units),
        *_differing_numbers(image, output),
        *_differing_affine("affine", image.affine, output.affine, image.shape),
        *(
            # Of sizes that cannot be, the output's qform has others.
            _differing_affine("qform", image.qform, output.qform, image.shape)
            if all(np.isfinite(size) and size > 0 for size in image.qform_numbers[1:4])
            else []
        ),
        *_differing_affine("sform", image.sform, output.sform, image.shape),
    ]
    name = "Same grid as the image"
    if problems:
        detail = "The label map does not lie on the image: " + "; ".join(problems) + "."
        return Check(name=name, verdict=Verdict.FAILED, detail=detail)
    size = " × ".join(str(length) for length in image.stored_shape)
    spacing = " × ".join(f"{length:.3g}" for length in image.spacing_mm)
    return Check(
        name=name,
        verdict=Verdict.PASSED,
        detail=(
            f"Shape, affine, qform, sform and their codes ({image.qform_code}, {image.sform_code}) "
            f"are those of the image: {size} voxels of {spacing} mm."
        ),
    )


def check_orientation(grid: Grid, table: LabelTable) -> Check:
    """Look whether the header says where left and right are, and says it once.

    Where the structures have sides, theirs may be swapped.
    """
    name = "Left and right known"
    codes = (grid.qform_code, grid.sform_code)
    if max(codes) <= 0:
        problem = "The header says nothing of the orientation: left and right are not known"
    elif min(codes) > 0 and have_opposite_sides(grid.qform, grid.sform):
        problem = "In the header, qform and sform contradict each other on left and right"
    else:
        detail = "The header says how the patient lies in the image."
        return Check(name=name, verdict=Verdict.PASSED, detail=detail)
    if any(len(sides) > 1 for sides in pair_structures(table.structures).values()):
        detail = f"{problem}, and may be swapped in the segmentation."
        return Check(name=name, verdict=Verdict.FAILED, detail=detail)
    return Check(name=name, verdict=Verdict.LOOK, detail=f"{problem}.")


def check_presence(segmentation: Segmentation) -> Check:
    """Look for structures without a single voxel."""
    name = "Every structure found"
    empty = [item.structure.name for item in segmentation.volumes if not item.voxels]
    if len(empty) == len(segmentation.volumes):
        detail = "The segmentation is empty: no structure was found in this scan."
        return Check(name=name, verdict=Verdict.FAILED, detail=detail)
    if empty:
        # Without most of its structures a scan is not what the model was made for.
        most = 2 * len(empty) > len(segmentation.volumes)
        verdict = Verdict.FAILED if most else Verdict.LOOK
        return Check(name=name, verdict=verdict, detail=f"Not found: {', '.join(empty)}.")
    if hollow := _find_hollow(segmentation):
        detail = f"Nothing but its parts was found of: {', '.join(hollow)}."
        return Check(name=name, verdict=Verdict.LOOK, detail=detail)
    return Check(name=name, verdict=Verdict.PASSED, detail="All structures have voxels.")


def _find_hollow(segmentation: Segmentation) -> list[str]:
    """Find structures whose parts take up all of them."""
    voxels = {item.structure.name: item.voxels for item in segmentation.volumes}
    parts: Counter[str] = Counter()
    for item in segmentation.volumes:
        parts[item.structure.part_of] += item.voxels
    return [name for name, count in voxels.items() if count and count == parts[name]]


def check_volumes(segmentation: Segmentation) -> Check | None:
    """Compare with the volumes of the training data; None where the model does not say them.

    Of many structures a few are always beyond what so many heads had: that many are is unusual.
    """
    name = "Volumes as in the training data"
    known = [item for item in segmentation.volumes if item.trained_ml and item.voxels]
    if not known:
        return None
    outside = [item.structure.name for item in known if item.outside_range]
    if not outside:
        detail = "Each lies between the lowest and the highest of the training data."
        return Check(name=name, verdict=Verdict.PASSED, detail=detail)
    detail = f"{len(outside)} of {len(known)} lie outside: {name_some(outside)}"
    if len(outside) > _OUTSIDE * len(known):
        return Check(name=name, verdict=Verdict.LOOK, detail=f"{detail}.")
    detail += "; of so many a few always do."
    return Check(name=name, verdict=Verdict.PASSED, detail=detail)


def check_field_of_view(
    labels: NDArray[np.integer[Any]],
    grid: Grid,
    table: LabelTable,
    *,
    plane: SlicePlane | None = None,
) -> Check:
    """Look for structures that reach the edge of the image, and so may go on outside.

    Parameters
    ----------
    labels : ndarray of int
        Shape ``grid.shape``.
    grid : Grid
    table : LabelTable
    plane : SlicePlane or None
        Of the slices that the model looks at: what goes on beyond the first or the last of them, as
        a spinal cord does on every scan, is nothing to look at. None for a model of volumes.
    """
    name = "Within the field of view"
    plan = plan_ras(grid)
    on_edges = _labels_on_edges(reorient(labels, plan))
    if plane:
        across = plan_ras(grid, plane=plane).axes[2]
        for side in _DIRECTIONS[plan.axes.index(across)]:
            on_edges.pop(side, None)
    cut = []
    for structure in table:
        own = set(table.indices_of(structure.name))
        sides = [side for side, found in on_edges.items() if own & found]
        if sides:
            cut.append(f"{structure.name} ({', '.join(sides)})")
    if not cut:
        detail = "No structure touches the edge of the image."
        return Check(name=name, verdict=Verdict.PASSED, detail=detail)
    detail = f"At the edge of the image: {'; '.join(cut)}. Volumes are those of the imaged part."
    return Check(name=name, verdict=Verdict.LOOK, detail=detail)


def check_metadata(segmentation: Segmentation) -> Check | None:
    """Sum up the metadata; None for a model that uses none."""
    name = "Metadata in order"
    if not segmentation.values:
        return None
    unusable = [
        f"{value.field} {_NOT_USED[value.status]}"
        for value in segmentation.values
        if value.status in _NOT_USED
    ]
    outside = [value.field for value in segmentation.values if value.outside_range]
    converted = [value.field for value in segmentation.values if value.status == "converted"]
    missing = [value.field for value in segmentation.values if value.status == "missing"]
    doubtful = [
        *unusable,
        *([f"{', '.join(outside)} outside of what the model was trained on"] if outside else []),
    ]
    remarks = [
        *doubtful,
        *([f"{', '.join(converted)} used after conversion"] if converted else []),
        *([f"{', '.join(missing)} not given: the model worked without"] if missing else []),
    ]
    if not remarks:
        count = len(segmentation.values)
        fields = "The only field is" if count == 1 else f"All {count} fields are"
        detail = f"{fields} known, and as in the training data."
        return Check(name=name, verdict=Verdict.PASSED, detail=detail)
    # The model has learned to do without what is not there, and a unit that was put right fits:
    # neither alone is anything to look at.
    verdict = Verdict.LOOK if doubtful else Verdict.PASSED
    return Check(name=name, verdict=verdict, detail="; ".join(remarks) + ".")


def _labels_on_edges(data: NDArray[np.integer[Any]]) -> dict[str, set[int]]:
    # A single slice has no neighbours to go on in, so its own axis has no edges.
    return {
        side: set(np.unique(np.moveaxis(data, axis, 0)[place]).tolist())
        for axis, sides in enumerate(_DIRECTIONS)
        if data.shape[axis] > 1
        for side, place in zip(sides, (0, -1), strict=True)
    }


def _differing(what: str, of_image: object, of_output: object) -> list[str]:
    return [] if of_image == of_output else [f"{what} {of_output} in place of {of_image}"]


def _differing_numbers(image: Grid, output: Grid) -> list[str]:
    """Compare what the headers store of the qform, which may say nothing as an affine."""
    pairs = zip(image.qform_numbers, output.qform_numbers, strict=False)
    # A voxel size that cannot be is replaced in the output.
    same = all(
        abs(one - other) <= _TOLERANCE_MM
        or not np.isfinite(one)
        or (one <= 0 and place in (1, 2, 3))
        for place, (one, other) in enumerate(pairs)
    )
    return [] if same else ["voxel sizes or quaternion of the qform differ"]


def _differing_affine(
    what: str, of_image: Affine, of_output: Affine, shape: tuple[int, int, int]
) -> list[str]:
    shift = largest_shift_mm(of_image, of_output, shape)
    return [f"{what} off by {shift:.3g} mm"] if shift > _TOLERANCE_MM else []
