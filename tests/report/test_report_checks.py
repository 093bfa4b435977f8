from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from report_scenes import TABLE, make_cord, make_grid, make_segmentation

from bids_film.domain.labels import LabelTable
from bids_film.domain.planes import SlicePlane
from bids_film.domain.segmentation import RecordedValue
from bids_film.images.geometry import plan_ras, restore
from bids_film.report.checks import (
    Verdict,
    check_field_of_view,
    check_geometry,
    check_metadata,
    check_orientation,
    check_presence,
    check_volumes,
)

GRID = make_grid((40, 30, 20))


def moved(shift_mm: float) -> Any:
    affine = GRID.affine.copy()
    affine[0, 3] += shift_mm
    return affine


def test_the_same_grid_passes() -> None:
    check = check_geometry(GRID, GRID)
    assert check.verdict is Verdict.PASSED
    assert "40 × 30 × 20 voxels of 1 × 1 × 1 mm" in check.detail


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"stored_shape": (40, 30, 20, 1)}, "shape (40, 30, 20, 1) in place of (40, 30, 20)"),
        ({"qform_code": 2}, "qform code 2 in place of 1"),
        ({"sform_code": 0}, "sform code 0 in place of 1"),
        ({"xyzt_units": 0}, "units 0 in place of 2"),
        ({"affine": moved(0.5)}, "affine off by 0.5 mm"),
        ({"qform": moved(2)}, "qform off by 2 mm"),
        ({"sform": moved(-3)}, "sform off by 3 mm"),
    ],
)
def test_every_difference_of_the_grids_is_named(changes: dict[str, Any], words: str) -> None:
    check = check_geometry(GRID, replace(GRID, **changes))
    assert check.verdict is Verdict.FAILED
    assert words in check.detail


def test_a_flipped_axis_is_noticed_at_the_far_end() -> None:
    affine = GRID.affine.copy()
    affine[1, 1] *= -1
    assert "affine off by 59 mm" in check_geometry(GRID, replace(GRID, affine=affine)).detail


def test_a_voxel_size_that_cannot_be_is_no_difference() -> None:
    """The label map has another one in its place, and another qform with it."""
    image = replace(GRID, qform_numbers=(1.0, 1.0, 1.0, 0.0, *GRID.qform_numbers[4:]))
    output = replace(GRID, qform=moved(600))
    assert check_geometry(image, output).verdict is Verdict.PASSED
    assert check_geometry(GRID, output).verdict is Verdict.FAILED


SIDED = LabelTable(
    structures=tuple(
        replace(structure, name=f"{side} thalamus", part_of="")
        for structure, side in zip(TABLE, ("Left", "Right"), strict=False)
    )
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"qform_code": 0, "sform_code": 0}, "not known"),
        ({"qform": GRID.qform @ np.diag([-1, 1, 1, 1])}, "contradict"),
        ({"qform": np.diag([-1, -1, 1, 1]) @ GRID.qform}, "contradict"),
        ({"qform": np.diag([-1, 1, -1, 1]) @ GRID.qform}, "contradict"),
    ],
)
def test_sides_that_the_header_leaves_open_are_worth_a_look_and_fail_structures_that_have_them(
    changes: dict[str, Any], words: str
) -> None:
    for table, verdict in ((TABLE, Verdict.LOOK), (SIDED, Verdict.FAILED)):
        assert check_orientation(GRID, table).verdict is Verdict.PASSED
        check = check_orientation(replace(GRID, **changes), table)
        assert check.verdict is verdict
        assert words in check.detail


@pytest.mark.parametrize("form", ["qform", "sform"])
def test_one_form_is_enough_to_know_the_sides(form: str) -> None:
    grid = replace(GRID, **{f"{form}_code": 0, form: np.diag([-1.0, 1, 1, 1])})
    assert check_orientation(grid, SIDED).verdict is Verdict.PASSED


def test_missing_structures_are_named_and_an_empty_segmentation_fails() -> None:
    labels = make_cord()
    assert check_presence(make_segmentation(labels, GRID)).verdict is Verdict.PASSED
    some = check_presence(make_segmentation(np.minimum(labels, 1), GRID))
    assert some.verdict is Verdict.LOOK
    assert "gray matter" in some.detail
    none = check_presence(make_segmentation(np.zeros_like(labels), GRID))
    assert none.verdict is Verdict.FAILED
    assert "empty" in none.detail


def test_a_structure_of_which_only_its_part_was_found_is_worth_a_look() -> None:
    check = check_presence(make_segmentation(np.where(make_cord(), 2, 0), GRID))
    assert check.verdict is Verdict.LOOK
    assert "spinal cord" in check.detail


@pytest.mark.parametrize(
    ("found", "verdict"),
    [(5, Verdict.PASSED), (3, Verdict.LOOK), (2, Verdict.FAILED), (0, Verdict.FAILED)],
)
def test_a_scan_without_most_of_its_structures_fails(found: int, verdict: Verdict) -> None:
    segmentation = make_segmentation(make_cord(), GRID)
    (item, *_) = segmentation.volumes
    volumes = tuple(replace(item, voxels=int(place < found)) for place in range(5))
    assert check_presence(replace(segmentation, volumes=volumes)).verdict is verdict


def test_a_structure_at_the_edge_is_named_with_its_sides() -> None:
    labels = make_cord()
    assert check_field_of_view(labels, GRID, TABLE).verdict is Verdict.PASSED
    labels[18:22, 14:16, -1] = 2
    check = check_field_of_view(labels, GRID, TABLE)
    assert check.verdict is Verdict.LOOK
    assert "spinal cord (superior); gray matter (superior)" in check.detail


def test_sides_are_the_patients_and_not_the_files() -> None:
    labels = np.zeros((6, 6, 6), np.int32)
    labels[0, 3, 3] = 1
    grid = make_grid((6, 6, 6), axes="LPI")
    assert "(right)" in check_field_of_view(labels, grid, TABLE).detail


def test_a_single_slice_has_no_edges_above_and_below() -> None:
    labels = np.zeros((6, 6, 1), np.int32)
    labels[3, 3, 0] = 1
    check = check_field_of_view(labels, make_grid((6, 6, 1)), TABLE)
    assert check.verdict is Verdict.PASSED


def test_metadata_that_need_a_look_are_named() -> None:
    values = (
        RecordedValue(field="EchoTime", status="implausible", raw="30"),
        RecordedValue(field="age", value=91.0, status="used", outside_range=True),
        RecordedValue(field="sex", status="missing"),
        RecordedValue(field="suffix", value="T1w", status="used"),
    )
    check = check_metadata(make_segmentation(make_cord(), GRID, *values))
    assert check is not None
    assert check.verdict is Verdict.LOOK
    for words in ("EchoTime is implausible", "age outside", "sex not given"):
        assert words in check.detail
    assert "suffix" not in check.detail


@pytest.mark.parametrize(
    ("status", "words"),
    [("missing", "sex not given"), ("converted", "sex used after conversion")],
)
def test_what_is_only_missing_or_converted_is_said_and_nothing_to_look_at(
    status: str, words: str
) -> None:
    value = RecordedValue(field="sex", status=status)
    check = check_metadata(make_segmentation(make_cord(), GRID, value))
    assert check is not None
    assert check.verdict is Verdict.PASSED
    assert words in check.detail


@pytest.mark.parametrize(
    ("outside", "verdict"),
    [(0, Verdict.PASSED), (2, Verdict.PASSED), (3, Verdict.LOOK), (8, Verdict.LOOK)],
)
def test_volumes_beyond_the_training_data_are_named_and_many_are_worth_a_look(
    outside: int, verdict: Verdict
) -> None:
    (item, *_) = make_segmentation(make_cord(), GRID).volumes
    far = (2 * item.volume_ml + 1, 3 * item.volume_ml + 1)
    near = (0.0, item.volume_ml)
    volumes = tuple(
        replace(item, voxels=1, trained_ml=far if place < outside else near) for place in range(8)
    )
    segmentation = replace(make_segmentation(make_cord(), GRID), volumes=volumes)
    check = check_volumes(segmentation)
    assert check is not None
    assert check.verdict is verdict
    assert check.detail.count(item.structure.name) == min(outside, 5)
    assert ("3 more" in check.detail) == (outside == 8)
    unknown = replace(segmentation, volumes=tuple(replace(own, trained_ml=None) for own in volumes))
    assert check_volumes(unknown) is None


def test_metadata_without_a_flaw_pass_and_a_model_without_metadata_is_not_judged() -> None:
    used = RecordedValue(field="suffix", value="T1w", status="used")
    check = check_metadata(make_segmentation(make_cord(), GRID, used))
    assert check is not None
    assert check.verdict is Verdict.PASSED
    assert check_metadata(make_segmentation(make_cord(), GRID)) is None


def test_what_goes_on_beyond_the_first_slice_is_nothing_to_look_at_for_a_model_of_slices() -> None:
    grid = make_grid((6, 6, 6), spacing_mm=(1.0, 1.0, 3.0))
    labels = np.zeros((6, 6, 6), np.int16)
    labels[2:4, 2:4] = TABLE.structures[0].index
    assert check_field_of_view(labels, grid, TABLE).verdict is Verdict.LOOK
    assert check_field_of_view(labels, grid, TABLE, plane="thickest").verdict is Verdict.PASSED
    labels[0] = TABLE.structures[0].index
    assert "left" in check_field_of_view(labels, grid, TABLE, plane="thickest").detail


@pytest.mark.parametrize(
    ("plane", "axis"), [("sagittal", 0), ("coronal", 1), ("axial", 2), ("thickest", 2)]
)
@pytest.mark.parametrize("axes", ["RAS", "PIR"])
def test_the_ends_that_do_not_count_are_those_of_the_models_own_slices(
    plane: SlicePlane, axis: int, axes: str
) -> None:
    grid = make_grid((6, 6, 6), axes=axes)
    for direction in range(3):
        labels = np.zeros((6, 6, 6), np.int32)
        np.moveaxis(labels, direction, 0)[:, 2:4, 2:4] = TABLE.structures[0].index
        stored = restore(labels, plan_ras(grid))
        passed = check_field_of_view(stored, grid, TABLE, plane=plane).verdict is Verdict.PASSED
        assert passed == (direction == axis)
