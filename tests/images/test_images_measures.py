from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from monai.metrics import compute_hausdorff_distance, compute_surface_dice
from numpy.typing import NDArray
from scipy import ndimage

from bids_film.images.measures import (
    average_surface_distance_mm,
    dice,
    hausdorff95_mm,
    jaccard,
    lesion_f1,
    measure_structure,
    surface_dice,
    surface_distances_mm,
    volume_difference_percent,
    volume_ml,
)

Mask = NDArray[np.bool_]
SPACING = (1.0, 0.5, 3.0)

masks = arrays(bool, (4, 5, 6))
full_masks = masks.filter(np.any)


def make_cube(start: tuple[int, int, int] = (5, 5, 5), size: int = 6) -> Mask:
    mask = np.zeros((24, 24, 24), bool)
    x, y, z = start
    mask[x : x + size, y : y + size, z : z + size] = True
    return mask


def distances_by_distance_transform(one: Mask, other: Mask) -> tuple[NDArray[np.float64], ...]:
    """Compute them as MONAI and medpy do."""
    edge, other_edge = (mask & ~ndimage.binary_erosion(mask) for mask in (one, other))
    return (
        ndimage.distance_transform_edt(~other_edge, sampling=SPACING)[edge],
        ndimage.distance_transform_edt(~edge, sampling=SPACING)[other_edge],
    )


@given(full_masks, full_masks)
def test_surface_distances_are_those_of_an_erosion_and_a_distance_transform(
    one: Mask, other: Mask
) -> None:
    ours = surface_distances_mm(one, other, SPACING)
    theirs = distances_by_distance_transform(one, other)
    np.testing.assert_allclose(ours[0], theirs[0], atol=1e-9)
    np.testing.assert_allclose(ours[1], theirs[1], atol=1e-9)
    expected = max(np.percentile(theirs[0], 95), np.percentile(theirs[1], 95))
    assert hausdorff95_mm(one, other, SPACING) == pytest.approx(expected)
    assert average_surface_distance_mm(one, other, SPACING) == pytest.approx(
        np.concatenate(theirs).mean()
    )


@given(full_masks, full_masks)
def test_overlap_and_distances_are_symmetric(one: Mask, other: Mask) -> None:
    assert dice(one, other) == dice(other, one)
    assert jaccard(one, other) == jaccard(other, one)
    for distance in (hausdorff95_mm, average_surface_distance_mm):
        assert distance(one, other, SPACING) == pytest.approx(distance(other, one, SPACING))


@given(full_masks)
def test_a_mask_agrees_with_itself(mask: Mask) -> None:
    measures = measure_structure(mask, mask, SPACING)
    assert measures["dice"] == measures["jaccard"] == 1
    assert measures["hd95_mm"] == measures["assd_mm"] == 0
    assert measures["volume_difference_ml"] == measures["volume_difference_percent"] == 0


@given(masks, masks)
def test_overlap_is_what_its_formula_says(one: Mask, other: Mask) -> None:
    union = (one | other).sum()
    common = (one & other).sum()
    assert jaccard(one, other) == pytest.approx(common / union if union else 1)
    total = one.sum() + other.sum()
    assert dice(one, other) == pytest.approx(2 * common / total if total else 1)


@given(st.integers(0, 8), st.integers(0, 8), st.integers(0, 8))
def test_voxels_that_move_are_as_far_away_as_they_moved(x: int, y: int, z: int) -> None:
    point = make_cube(size=1)
    moved = make_cube((5 + x, 5 + y, 5 + z), size=1)
    expected = math.hypot(x * SPACING[0], y * SPACING[1], z * SPACING[2])
    assert hausdorff95_mm(point, moved, SPACING) == pytest.approx(expected)
    assert average_surface_distance_mm(point, moved, SPACING) == pytest.approx(expected)


@given(st.integers(1, 6), st.integers(0, 2))
def test_a_cube_that_moves_along_an_axis_is_off_by_that_much(steps: int, axis: int) -> None:
    start = [5, 5, 5]
    start[axis] += steps
    x, y, z = start
    found = hausdorff95_mm(make_cube(), make_cube((x, y, z)), SPACING)
    assert found == pytest.approx(min(steps * SPACING[axis], found))
    assert hausdorff95_mm(make_cube(), make_cube((x, y, z)), (2, 2, 2)) == pytest.approx(2 * steps)


@given(full_masks, full_masks, st.tuples(*[st.integers(0, 4)] * 3))
def test_where_the_masks_lie_in_the_image_does_not_matter(
    one: Mask, other: Mask, margins: tuple[int, int, int]
) -> None:
    pads = [(margin, 4 - margin) for margin in margins]
    here = measure_structure(one, other, SPACING)
    there = measure_structure(np.pad(one, pads), np.pad(other, pads), SPACING)
    assert here == pytest.approx(there)


@given(full_masks, full_masks, st.floats(0.1, 10))
def test_millimetres_scale_with_the_spacing(one: Mask, other: Mask, factor: float) -> None:
    spacing = [factor * size for size in SPACING]
    ours = hausdorff95_mm(one, other, spacing)
    assert ours == pytest.approx(factor * hausdorff95_mm(one, other, SPACING))
    assert volume_ml(one, spacing) == pytest.approx(factor**3 * volume_ml(one, SPACING))


def test_the_single_slice_of_a_2d_image_has_an_outline_and_not_only_surface() -> None:
    outer = np.zeros((30, 30, 1), bool)
    outer[5:25, 5:25] = True
    inner = np.zeros((30, 30, 1), bool)
    inner[8:22, 8:22] = True
    there, back = surface_distances_mm(outer, inner, (1, 1, 5))
    assert len(there) == 4 * 19
    assert len(back) == 4 * 13
    assert back.max() == back.min() == 3


def test_both_masks_empty_agree_but_have_no_distance() -> None:
    empty = np.zeros((3, 3, 3), bool)
    measures = measure_structure(empty, empty, SPACING)
    assert measures["dice"] == measures["jaccard"] == 1
    assert measures["volume_difference_ml"] == 0
    for name in ("hd95_mm", "assd_mm", "volume_difference_percent"):
        assert math.isnan(measures[name])


def test_one_empty_mask_has_no_overlap_and_no_distance() -> None:
    empty, cube = np.zeros((24, 24, 24), bool), make_cube()
    missed = measure_structure(empty, cube, (1, 1, 1))
    invented = measure_structure(cube, empty, (1, 1, 1))
    for measures in (missed, invented):
        assert measures["dice"] == measures["jaccard"] == 0
        assert math.isnan(measures["hd95_mm"])
        assert math.isnan(measures["assd_mm"])
    assert missed["volume_difference_ml"] == pytest.approx(-0.216)
    assert invented["volume_difference_ml"] == pytest.approx(0.216)
    assert missed["volume_difference_percent"] == -100
    assert math.isnan(invented["volume_difference_percent"])


def test_volumes_are_in_millilitres_and_percent_of_the_reference() -> None:
    assert volume_ml(make_cube(size=10), (1, 1, 2)) == pytest.approx(2)
    assert volume_difference_percent(make_cube(size=6), make_cube(size=3)) == pytest.approx(700)


def test_under_a_sheared_affine_volumes_and_distances_are_those_of_the_world() -> None:
    one, other = make_cube((5, 5, 5)), make_cube((5, 5, 7))
    tilted = np.diag(SPACING)
    tilted[1, 2] = 4.0
    found = measure_structure(one, other, tilted)
    assert found["volume_ml"] == pytest.approx(6**3 * abs(np.linalg.det(tilted)) / 1000)
    step = np.hypot(4.0, 3.0)
    alone = np.zeros((9, 9, 9), bool)
    alone[4, 4, 4] = True
    assert hausdorff95_mm(alone, np.roll(alone, 1, axis=2), tilted) == pytest.approx(step)
    straight = measure_structure(one, other, SPACING)
    assert measure_structure(one, other, np.diag(SPACING)) == pytest.approx(straight)


def test_masks_of_different_shapes_are_refused() -> None:
    one, other = np.ones((2, 2, 2), bool), np.ones((1, 2, 2), bool)
    for compare in (dice, jaccard, volume_difference_percent):
        with pytest.raises(ValueError, match="same grid"):
            compare(one, other)
    with pytest.raises(ValueError, match="same grid"):
        hausdorff95_mm(one, other, SPACING)


@given(full_masks, full_masks, st.sampled_from([0.4, 1.0, 3.0]))
def test_surface_measures_are_those_of_monai(one: Mask, other: Mask, tolerance_mm: float) -> None:
    pair = [torch.from_numpy(mask)[None, None].float() for mask in (one, other)]
    settings: dict[str, Any] = {"include_background": True, "spacing": SPACING}
    theirs = {
        "surface": compute_surface_dice(*pair, class_thresholds=[tolerance_mm], **settings),
        "hd95": compute_hausdorff_distance(*pair, percentile=95, **settings),
    }
    ours = {
        "surface": surface_dice(one, other, SPACING, tolerance_mm=tolerance_mm),
        "hd95": hausdorff95_mm(one, other, SPACING),
    }
    assert ours == pytest.approx({name: value.item() for name, value in theirs.items()}, abs=1e-4)


def test_surfaces_within_the_tolerance_are_the_same_and_beyond_it_are_not() -> None:
    one, other = make_cube(), make_cube((7, 5, 5))
    spacing = (1.0, 1.0, 1.0)
    assert surface_dice(one, other, spacing, tolerance_mm=2.0) == 1
    assert surface_dice(one, other, spacing, tolerance_mm=0.5) < 0.8
    measured = measure_structure(one, other, spacing)
    assert measured["surface_dice"] == surface_dice(one, other, spacing)
    assert measured["hd95_mm"] == hausdorff95_mm(one, other, spacing)
    assert measured["assd_mm"] == average_surface_distance_mm(one, other, spacing)


def make_lesions(*numbers: int) -> Mask:
    mask = np.zeros((40, 5, 5), bool)
    for number in numbers:
        mask[8 * number : 8 * number + 3, 1:4, 1:4] = True
    return mask


def test_lesions_are_counted_and_not_their_voxels() -> None:
    reference, prediction = make_lesions(0, 1, 2), make_lesions(0, 3)
    prediction[1:3] = False
    # one of three found, two missed, one invented
    assert lesion_f1(prediction, reference) == pytest.approx(2 / (2 + 2 + 1))


def test_voxels_that_meet_at_a_corner_are_one_lesion() -> None:
    mask = np.zeros((4, 4, 4), bool)
    mask[1, 1, 1] = mask[2, 2, 2] = True
    prediction = np.zeros_like(mask)
    prediction[1, 1, 1] = True
    assert lesion_f1(prediction, mask) == 1


@pytest.mark.parametrize(("prediction", "expected"), [((), 1.0), ((0,), 0.0)])
def test_without_a_lesion_finding_none_is_right(
    prediction: tuple[int, ...], expected: float
) -> None:
    one, nothing = make_lesions(*prediction), make_lesions()
    assert lesion_f1(one, nothing) == lesion_f1(nothing, one) == expected
    assert surface_dice(one, nothing, SPACING) == expected
