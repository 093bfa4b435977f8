"""Checks of the image, and of how likely its segmentation is right."""

from __future__ import annotations

import statistics

import numpy as np
from numpy.typing import NDArray

from bids_film.domain.segmentation import Segmentation
from bids_film.domain.sides import pair_structures
from bids_film.domain.volume import Volume
from bids_film.domain.words import count_of, name_some
from bids_film.images.geometry import plan_ras, reorient
from bids_film.report.checks import Check, Verdict
from bids_film.report.stage import Stage

_WORTHLESS = 0.5
_ASYMMETRIC = 0.2
_SMALL_ML = 0.2
"""A few voxels more or less on one side are no asymmetry."""
_WHOLE_HEAD_MM = 90.0
_CLIPPED = 0.01
_FEW_LEVELS = 32
_HEAD_AT_EDGE = 0.05


def check_quality(segmentation: Segmentation) -> Check | None:
    """Look for structures of which the network is less sure than of an average scan's.

    None where it was not asked. What it expects is compared with the Dice that it really reached
    on the scans that it was validated on, or trained on where none were: on those it expects more
    of itself than that.
    """
    name = "Predicted quality"
    asked = [item for item in segmentation.volumes if item.expected_dice is not None]
    if not asked:
        return None
    if all(item.reached_dice is None for item in asked):
        detail = "The model's file does not say which Dice it has reached."
        return Check(name=name, verdict=Verdict.NOT_DONE, detail=detail)
    found = [item.expected_dice for item in asked if item.expected_dice is not None and item.voxels]
    if found and (middle := statistics.median(found)) < _WORTHLESS:
        detail = (
            f"The network expects a Dice of {middle:.2f} of what it drew, the median over "
            "structures: do not use it."
        )
        return Check(name=name, verdict=Verdict.FAILED, detail=detail)
    low = [item for item in asked if item.is_unsure and item.voxels]
    if low:
        # The farthest below come first; the third digit tells apart what is close.
        low.sort(key=lambda item: (item.expected_dice or 0) - (item.reached_dice or 0))
        named = [
            f"{item.structure.name} ({item.expected_dice:.3f}, usual {item.reached_dice:.3f})"
            for item in low
        ]
        detail = (
            f"The network is less sure than usual of {name_some(named)}. "
            "Look at the outlines where it was least sure."
        )
        return Check(name=name, verdict=Verdict.LOOK, detail=detail)
    detail = "The network is as sure of each structure as on the scans on which its Dice is known."
    return Check(name=name, verdict=Verdict.PASSED, detail=detail)


def check_symmetry(segmentation: Segmentation, output: Volume) -> Check | None:
    """Compare left with right: of paired structures by name, else of both halves of a whole head.

    None for what has no sides: a spinal cord, a single hippocampus, a single sagittal slice.
    """
    sides = _pair_by_name(segmentation) or _halve_head(segmentation, output)
    if not sides:
        return None
    name = "Left and right alike"
    uneven = [
        f"{structure} (left {left:.3g} mL, right {right:.3g} mL)"
        for structure, (left, right) in sides.items()
        if abs(left - right) > _ASYMMETRIC * (left + right) and max(left, right) > _SMALL_ML
    ]
    if uneven:
        return Check(name=name, verdict=Verdict.LOOK, detail=f"They differ: {'; '.join(uneven)}.")
    detail = f"The sides of each structure differ by less than {2 * _ASYMMETRIC:.0%} of their mean."
    return Check(name=name, verdict=Verdict.PASSED, detail=detail)


def check_intensity(stage: Stage) -> Check:
    """Look for what makes an image unfit: cut-off highlights, few gray levels, empty slices."""
    name = "Image intensities"
    image, lowest = stage.image, stage.image.min()
    if lowest < 0:
        # Of an image that was centred on zero, the lowest value is what has no signal.
        image = image - lowest
    bright, highest = np.count_nonzero(image > 0), image.max()
    problems = []
    # Zero is background; a peak at the highest value is what did not fit into the file's range.
    clipped = np.count_nonzero(image == highest) / bright if bright else 0.0
    if clipped > _CLIPPED:
        problems.append(f"{clipped:.0%} of the voxels have the highest value: cut off")
    sample = image.ravel(order="K")[:: max(1, bright // 100_000)]
    levels = len(np.unique(sample[sample > 0]))
    if levels < _FEW_LEVELS:
        problems.append(f"only {levels} different intensities")
    empty = _count_empty_slices(image, stage)
    if empty:
        problems.append(f"{count_of(empty, 'slice')} without signal in the segmented part")
    if problems:
        return Check(name=name, verdict=Verdict.LOOK, detail="; ".join(problems) + ".")
    detail = "Nothing cut off, no empty slice in the segmented part."
    return Check(name=name, verdict=Verdict.PASSED, detail=detail)


def check_gaps(stage: Stage) -> Check | None:
    """Look for slices in which nothing was found where there is something before and after.

    None where voxels are of about equal sides: what is found there does not hang on one slice.
    """
    if len(stage.planes) > 1 or np.count_nonzero(stage.labels) == 0:
        return None
    name = "No slice left out"
    found = np.moveaxis(stage.labels > 0, stage.planes[0].axis, 0)
    gaps = [
        number
        for number in range(1, len(found) - 1)
        if not found[number].any() and (found[number - 1] & found[number + 1]).any()
    ]
    if gaps:
        slices = count_of(len(gaps), "slice")
        detail = f"Nothing was found in {slices} between others: look at the image there."
        return Check(name=name, verdict=Verdict.LOOK, detail=detail)
    detail = "Between slices in which structures were found there is none without."
    return Check(name=name, verdict=Verdict.PASSED, detail=detail)


def check_head(stage: Stage) -> Check | None:
    """Look whether a head is cut off at a side or the top; None where no whole head is imaged.

    The neck leaves every image, and is nothing to look at.
    """
    name = "Head inside the image"
    if len(stage.planes) == 1 or not _spans_head(stage):
        return None
    head = _find_head(stage.image)
    sides = {
        "left": head[0],
        "right": head[-1],
        "back": head[:, 0],
        "front": head[:, -1],
        "top": head[:, :, -1],
    }
    cut = [side for side, slice_ in sides.items() if float(slice_.mean()) > _HEAD_AT_EDGE]
    if cut:
        detail = f"The head goes on beyond the image: {', '.join(cut)}."
        return Check(name=name, verdict=Verdict.LOOK, detail=detail)
    detail = "Neither sides nor top of the head are cut off."
    return Check(name=name, verdict=Verdict.PASSED, detail=detail)


def _pair_by_name(segmentation: Segmentation) -> dict[str, tuple[float, float]]:
    volumes = segmentation.volumes
    pairs = pair_structures([item.structure for item in volumes])
    return {
        name: (volumes[members[0].place].volume_ml, volumes[members[1].place].volume_ml)
        for name, members in pairs.items()
        if len(members) == 2  # noqa: PLR2004 (left and right)
    }


def _halve_head(segmentation: Segmentation, output: Volume) -> dict[str, tuple[float, float]]:
    plan = plan_ras(output.grid)
    highest = max(item.structure.index for item in segmentation.volumes)
    counts = np.array(
        [
            # A label that is in no table was drawn by hand.
            np.bincount(part.ravel(), minlength=highest + 1)[: highest + 1]
            for part in reorient(output.data, plan)
        ]
    )
    inside = counts[:, 1:].sum(axis=1)
    width_mm = np.count_nonzero(inside) * plan.spacing_mm[0]
    if segmentation.model.dimensions == 2 or width_mm < _WHOLE_HEAD_MM:  # noqa: PLR2004 (slices)
        return {}
    middle = int(np.searchsorted(inside.cumsum(), inside.sum() / 2))
    left, right = counts[:middle].sum(axis=0), counts[middle + 1 :].sum(axis=0)
    voxel_ml = output.grid.voxel_volume_ml
    return {
        item.structure.name: (
            voxel_ml * int(left[item.structure.index]),
            voxel_ml * int(right[item.structure.index]),
        )
        for item in segmentation.volumes
        if item.voxels
    }


def _spans_head(stage: Stage) -> bool:
    inside = np.flatnonzero((stage.labels > 0).any(axis=(1, 2)))
    return bool(inside.size * stage.plan.spacing_mm[0] >= _WHOLE_HEAD_MM)


def _find_head(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell skin from air: it is brighter by a third of what lies between air and bright tissue."""
    low, high = np.percentile(image[::2, ::2, ::2], (1, 98))
    if low < 0:
        # Centred on zero: what is around the head is not the darkest, but the commonest outside.
        faces = [np.take(image, place, axis).ravel() for axis in range(3) for place in (0, -1)]
        image = np.abs(image - np.median(np.concatenate(faces)))
        low, high = np.percentile(image[::2, ::2, ::2], (1, 98))
    head: NDArray[np.bool_] = image > low + (high - low) / 3
    return head


def _count_empty_slices(image: NDArray[np.float32], stage: Stage) -> int:
    """Count the slices without signal between others with, in the direction that has most."""
    region = image[stage.region] > 0
    lit = (np.flatnonzero(region.any(axis=plane)) for plane in ((1, 2), (0, 2), (0, 1)))
    return max(int(np.ptp(places)) + 1 - len(places) if len(places) else 0 for places in lit)
