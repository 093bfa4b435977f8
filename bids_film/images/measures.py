"""How well a segmentation agrees with a reference: overlap, distance of the surfaces, volume.

What is defined where a mask is empty:

============================  ============  =======================
measure                       both empty    one empty
============================  ============  =======================
Dice, Jaccard, surface Dice   1             0
lesion F1                     1             0
HD95, ASSD                    NaN           NaN
volume difference in mL       0             the other one's volume
volume difference in percent  NaN           -100, or NaN without a reference
============================  ============  =======================

An empty mask has no surface, so no distance is right: NaN is left out of means, and how many were
left out belongs beside the mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from bids_film.images.boxes import bounding_box

Mask = NDArray[np.bool_]

Steps = Sequence[float] | NDArray[np.float64]

TOLERANCE_MM = 1.0
"""How far apart two surfaces may lie to count as the same."""


def measure_structure(prediction: Mask, reference: Mask, spacing_mm: Steps) -> dict[str, float]:
    """Compute all measures of one structure.

    Parameters
    ----------
    prediction, reference : ndarray of bool
        Same shape; see the module for what is defined where one is empty.
    spacing_mm : Sequence[float] or ndarray
        Voxel size along each axis; or the step along each as the columns of a matrix, which may be
        sheared.

    Returns
    -------
    dict[str, float]
        ``dice``, ``jaccard``, ``surface_dice``, ``hd95_mm``, ``assd_mm``, ``lesion_f1``,
        ``volume_ml``, ``reference_volume_ml``, ``volume_difference_ml`` and
        ``volume_difference_percent``; differences are prediction minus reference.

    Raises
    ------
    ValueError
        Where the two shapes differ.
    """
    distances = surface_distances_mm(prediction, reference, spacing_mm)
    volume = volume_ml(prediction, spacing_mm)
    reference_volume = volume_ml(reference, spacing_mm)
    return {
        "dice": dice(prediction, reference),
        "jaccard": jaccard(prediction, reference),
        "surface_dice": _share_within(*distances, TOLERANCE_MM)
        if distances[0].size
        else dice(prediction, reference),
        "hd95_mm": _percentile_95(*distances),
        "assd_mm": _average(*distances),
        "lesion_f1": lesion_f1(prediction, reference),
        "volume_ml": volume,
        "reference_volume_ml": reference_volume,
        "volume_difference_ml": volume - reference_volume,
        "volume_difference_percent": volume_difference_percent(prediction, reference),
    }


def dice(prediction: Mask, reference: Mask) -> float:
    """Overlap, 2 · intersection / (size + size); 1 where both are empty."""
    _check_shapes(prediction, reference)
    total = int(np.count_nonzero(prediction)) + int(np.count_nonzero(reference))
    return 2 * _count_common(prediction, reference) / total if total else 1.0


def jaccard(prediction: Mask, reference: Mask) -> float:
    """Overlap, intersection / union; 1 where both are empty."""
    overlap = dice(prediction, reference)
    return overlap / (2 - overlap)


def hausdorff95_mm(prediction: Mask, reference: Mask, spacing_mm: Steps) -> float:
    """95th percentile of the surface distances, the larger of the two directions, as MONAI does.

    NaN where a mask is empty.
    """
    return _percentile_95(*surface_distances_mm(prediction, reference, spacing_mm))


def average_surface_distance_mm(prediction: Mask, reference: Mask, spacing_mm: Steps) -> float:
    """Average over the voxels of both surfaces of the distance to the other one (ASSD).

    NaN where a mask is empty.
    """
    return _average(*surface_distances_mm(prediction, reference, spacing_mm))


def surface_dice(
    prediction: Mask,
    reference: Mask,
    spacing_mm: Steps,
    *,
    tolerance_mm: float = TOLERANCE_MM,
) -> float:
    """Share of both surfaces' voxels that lie within a tolerance of the other surface.

    Nikolov et al., Journal of Medical Internet Research 2021, with surface voxels as MONAI counts
    them. 1 where both masks are empty, 0 where one is.
    """
    distances = surface_distances_mm(prediction, reference, spacing_mm)
    if not distances[0].size:
        return dice(prediction, reference)
    return _share_within(*distances, tolerance_mm)


def lesion_f1(prediction: Mask, reference: Mask) -> float:
    """How well connected pieces were found, whatever their outline.

    A piece of the reference is found where the prediction touches it; a piece of the prediction
    that touches none is false. 2 · found / (2 · found + missed + false), as in Commowick et al.,
    Scientific Reports 2018. Pieces are connected through faces, edges and corners. 1 where both
    masks are empty, 0 where one is.
    """
    _check_shapes(prediction, reference)
    found, missed = _count_touched(reference, prediction)
    _, false = _count_touched(prediction, reference)
    total = 2 * found + missed + false
    return 2 * found / total if total else 1.0


def volume_ml(mask: Mask, spacing_mm: Steps) -> float:
    """Volume in millilitres."""
    voxel_mm3 = abs(float(np.linalg.det(_make_steps(spacing_mm))))
    return int(np.count_nonzero(mask)) * voxel_mm3 / 1000


def volume_difference_percent(prediction: Mask, reference: Mask) -> float:
    """Prediction minus reference, in percent of the reference; NaN where that is empty."""
    _check_shapes(prediction, reference)
    expected = int(np.count_nonzero(reference))
    return 100 * (int(np.count_nonzero(prediction)) - expected) / expected if expected else math.nan


def surface_distances_mm(
    prediction: Mask, reference: Mask, spacing_mm: Steps
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distance of each surface voxel of one mask to the nearest surface voxel of the other.

    Surface voxels are those of the mask that have a face in common with the background or the edge
    of the image (MONAI's and medpy's definition); an axis with a single voxel has no faces.

    Parameters
    ----------
    prediction, reference : ndarray of bool
        Same shape.
    spacing_mm : Sequence[float] or ndarray
        Voxel size along each axis; or the step along each as the columns of a matrix, which may be
        sheared.

    Returns
    -------
    tuple of ndarray
        Prediction to reference, and reference to prediction; both empty where a mask is empty.

    Raises
    ------
    ValueError
        Where the two shapes differ.
    """
    _check_shapes(prediction, reference)
    one = _surface_points_mm(prediction, spacing_mm)
    other = _surface_points_mm(reference, spacing_mm)
    if not (len(one) and len(other)):
        return np.zeros(0), np.zeros(0)
    return _nearest(one, other), _nearest(other, one)


def _surface_points_mm(mask: Mask, spacing_mm: Steps) -> NDArray[np.float64]:
    """Voxel centres of the surface, shape (n, axes)."""
    box = bounding_box(mask)
    inner = np.pad(mask[box].astype(bool, copy=False), 1)
    core = (slice(1, -1),) * mask.ndim
    inside = inner[core].copy()
    for axis, size in enumerate(mask.shape):
        if size > 1:
            for step in (slice(None, -2), slice(2, None)):
                inside &= inner[(*core[:axis], step, *core[axis + 1 :])]
    start = np.array([part.start for part in box])
    places = np.argwhere(inner[core] & ~inside) + start
    return np.asarray(places @ _make_steps(spacing_mm).T, dtype=np.float64)


def _make_steps(spacing_mm: Steps) -> NDArray[np.float64]:
    steps = np.asarray(spacing_mm, dtype=np.float64)
    return np.diag(steps) if steps.ndim == 1 else steps


def _nearest(points: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    tree = KDTree(others, balanced_tree=False, compact_nodes=False)
    return np.asarray(tree.query(points)[0], dtype=np.float64)


def _percentile_95(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if not (one.size and other.size):
        return math.nan
    return max(float(np.percentile(one, 95)), float(np.percentile(other, 95)))


def _average(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    if not (one.size and other.size):
        return math.nan
    return float(one.sum() + other.sum()) / (one.size + other.size)


def _share_within(
    one: NDArray[np.float64], other: NDArray[np.float64], tolerance_mm: float
) -> float:
    near = np.count_nonzero(one <= tolerance_mm) + np.count_nonzero(other <= tolerance_mm)
    return int(near) / (one.size + other.size)


def _count_touched(mask: Mask, other: Mask) -> tuple[int, int]:
    """Pieces of a mask that have a voxel in common with the other one, and those that have not."""
    pieces, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    touched = np.unique(pieces[np.logical_and(mask, other)]).size
    return touched, int(count) - touched


def _count_common(prediction: Mask, reference: Mask) -> int:
    return int(np.count_nonzero(np.logical_and(prediction, reference)))


def _check_shapes(prediction: Mask, reference: Mask) -> None:
    if prediction.shape != reference.shape:
        raise ValueError(
            f"expected two masks on the same grid, got {prediction.shape} and {reference.shape}"
        )
