from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from report_scenes import TABLE, make_cord, make_grid, make_segmentation, make_volume

from bids_film.derivatives.tables import measure_volumes
from bids_film.domain.labels import LabelTable, Structure
from bids_film.domain.segmentation import ModelIdentity, Segmentation
from bids_film.domain.volume import Volume
from bids_film.report.checks import Check, Verdict
from bids_film.report.quality import (
    check_gaps,
    check_head,
    check_intensity,
    check_quality,
    check_symmetry,
)
from bids_film.report.stage import Stage, set_stage

BRAIN = LabelTable(
    structures=(Structure(index=1, name="brain", abbreviation="B", color="#fff000"),)
)
MODEL = ModelIdentity(name="brain", version="1", sha256="0" * 64, dimensions=3)


def verdict_of(check: Check | None) -> Verdict:
    assert check is not None
    return check.verdict


def expect_dice(value: float | None, *, reached: float | None) -> Segmentation:
    segmentation = make_segmentation(make_cord(), make_grid((40, 30, 20)))
    volumes = tuple(
        replace(item, expected_dice=value, reached_dice=reached) for item in segmentation.volumes
    )
    return replace(segmentation, volumes=volumes)


def test_less_sure_than_the_model_really_was_is_worth_a_look_and_names_the_structure() -> None:
    assert verdict_of(check_quality(expect_dice(0.88, reached=0.87))) is Verdict.PASSED
    low = check_quality(expect_dice(0.86, reached=0.87))
    assert verdict_of(low) is Verdict.LOOK
    assert low is not None
    assert "gray matter (0.860, usual 0.870)" in low.detail
    assert check_quality(expect_dice(None, reached=0.87)) is None


def test_what_the_network_is_least_sure_of_is_named_first() -> None:
    segmentation = expect_dice(0.86, reached=0.87)
    first, *others, last = segmentation.volumes
    volumes = (first, *others, replace(last, expected_dice=0.3))
    check = check_quality(replace(segmentation, volumes=volumes))
    assert check is not None
    assert check.detail.index(last.structure.name) < check.detail.index(first.structure.name)


def test_what_the_network_expects_to_be_mostly_wrong_is_not_to_be_used() -> None:
    assert verdict_of(check_quality(expect_dice(0.51, reached=0.87))) is Verdict.LOOK
    assert verdict_of(check_quality(expect_dice(0.49, reached=0.87))) is Verdict.FAILED


def test_a_model_that_does_not_say_what_it_reached_is_not_judged_by_what_it_expects() -> None:
    assert verdict_of(check_quality(expect_dice(0.1, reached=None))) is Verdict.NOT_DONE


def make_head(*, width: int = 40, shift: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    """Ball of tissue in 100 mm of air, 3 mm voxels; the brain is the inner part."""
    shape = (50, 50, 50)
    places = np.indices(shape) - 24.5
    places[0] -= shift
    radius = np.sqrt((places**2).sum(axis=0))
    image = np.where(radius < width / 2, 100.0, 2.0).astype(np.float32)
    image += np.random.default_rng(0).normal(0, 1, shape).astype(np.float32)
    return image, (radius < width / 2 - 2).astype(np.int32)


def stage_head(image: NDArray[np.float32], labels: NDArray[np.int32]) -> Stage:
    grid = make_grid((50, 50, 50), spacing_mm=(3.0, 3.0, 3.0))
    return set_stage(Volume(data=image, grid=grid), labels, BRAIN)


def test_a_head_inside_the_image_passes_and_one_that_is_cut_off_names_the_side() -> None:
    assert verdict_of(check_head(stage_head(*make_head()))) is Verdict.PASSED
    cut = check_head(stage_head(*make_head(shift=12)))
    assert verdict_of(cut) is Verdict.LOOK
    assert cut is not None
    assert "right" in cut.detail
    assert "left" not in cut.detail


def test_an_image_that_is_centred_on_zero_is_judged_like_any_other() -> None:
    for shift, verdict in ((0, Verdict.PASSED), (12, Verdict.LOOK)):
        image, labels = make_head(shift=shift)
        centred = (image - image.mean()) / image.std()
        assert verdict_of(check_head(stage_head(centred, labels))) is verdict
        stripped = np.where(labels > 0, image - np.median(image[labels > 0]), 0)
        assert verdict_of(check_head(stage_head(stripped, labels))) is verdict
        for moved in (centred, image - 5000):
            assert verdict_of(check_intensity(stage_head(moved, labels))) is Verdict.PASSED


def test_what_is_no_whole_head_is_not_judged_as_one() -> None:
    labels = make_cord()
    grid = make_grid((40, 30, 20))
    assert check_head(set_stage(make_volume(labels, grid), labels, TABLE)) is None


def judge_symmetry(labels: NDArray[np.int32], table: LabelTable = BRAIN) -> Check | None:
    grid = make_grid((50, 50, 50), spacing_mm=(3.0, 3.0, 3.0))
    segmentation = make_segmentation(labels, grid, model=MODEL)
    segmentation = replace(segmentation, volumes=measure_volumes(labels, table, grid))
    return check_symmetry(segmentation, Volume(data=labels, grid=grid))


def test_a_label_that_a_reader_drew_beside_the_table_changes_no_verdict() -> None:
    _, brain = make_head()
    as_made = judge_symmetry(brain)
    brain[25, 25, 25] = 9
    grid = make_grid((50, 50, 50), spacing_mm=(3.0, 3.0, 3.0))
    segmentation = make_segmentation(brain, grid, model=MODEL)
    assert check_symmetry(segmentation, Volume(data=brain, grid=grid)) == as_made


def test_a_whole_head_with_half_of_a_structure_gone_is_uneven() -> None:
    _, brain = make_head()
    assert verdict_of(judge_symmetry(brain)) is Verdict.PASSED
    two = LabelTable(
        structures=(*BRAIN, Structure(index=2, name="deep", abbreviation="D", color="#00ff00"))
    )
    brain[15:24, 20:30, 20:30] = 2
    uneven = judge_symmetry(brain, two)
    assert verdict_of(uneven) is Verdict.LOOK
    assert uneven is not None
    assert "deep" in uneven.detail


def name_sides(*names: str) -> LabelTable:
    return LabelTable(
        structures=tuple(
            Structure(index=i, name=name, abbreviation=f"S{i}", color="#00ff00")
            for i, name in enumerate(names, start=1)
        )
    )


def test_structures_with_a_side_in_their_name_are_compared_in_pairs() -> None:
    sides = name_sides("left amygdala", "right amygdala")
    labels = np.zeros((50, 50, 50), np.int32)
    labels[10:14, 10:14, 10:14], labels[20:24, 10:14, 10:14] = 1, 2
    assert verdict_of(judge_symmetry(labels, sides)) is Verdict.PASSED
    labels[20:24, 10:14, 11:14] = 0
    assert verdict_of(judge_symmetry(labels, sides)) is Verdict.LOOK


def test_a_few_voxels_on_one_side_are_no_asymmetry() -> None:
    sides = name_sides("Left vessel", "Right vessel")
    labels = np.zeros((50, 50, 50), np.int32)
    labels[10, 10, 10:17], labels[20, 10, 10] = 1, 2
    assert verdict_of(judge_symmetry(labels, sides)) is Verdict.PASSED, "7 and 1, of 27 mm3 each"
    labels[10, 10, 10:18] = 1
    assert verdict_of(judge_symmetry(labels, sides)) is Verdict.LOOK


def test_a_cord_has_no_sides() -> None:
    labels, grid = make_cord(), make_grid((40, 30, 20))
    assert check_symmetry(make_segmentation(labels, grid), Volume(data=labels, grid=grid)) is None


def stage_image(change: str) -> Stage:
    labels, grid = make_cord(), make_grid((40, 30, 20))
    data = np.random.default_rng(1).normal(200, 30, grid.shape).astype(np.float32)
    if change == "clipped":
        data = np.minimum(data, 220)
    elif change == "coarse":
        data = np.rint(data / 40) * 40
    elif change == "empty slice":
        data[:, :, 9] = 0
    elif change == "empty band":
        data[19:21] = 0
    elif change == "air":
        data[:2] = data[:, :, -1] = 0
    return set_stage(Volume(data=data, grid=grid), labels, TABLE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("clipped", "cut off"),
        ("coarse", "different intensities"),
        ("empty slice", "1 slice without"),
        ("empty band", "2 slices"),
    ],
)
def test_what_makes_an_image_unfit_is_told(change: str, said: str) -> None:
    check = check_intensity(stage_image(change))
    assert check.verdict is Verdict.LOOK
    assert said in check.detail


def test_air_beyond_the_structures_is_no_lost_signal() -> None:
    labels, grid = make_cord(), make_grid((40, 30, 20))
    labels[:, :, :8] = 0
    data = np.random.default_rng(1).normal(200, 30, grid.shape).astype(np.float32)
    data[:, :, :6] = 0
    stage = set_stage(Volume(data=data, grid=grid), labels, TABLE)
    assert check_intensity(stage).verdict is Verdict.PASSED


def test_an_ordinary_image_passes() -> None:
    for change in ("", "air"):
        assert check_intensity(stage_image(change)).verdict is Verdict.PASSED


def test_a_slice_in_which_nothing_was_found_between_others_is_told() -> None:
    labels, grid = make_cord(), make_grid((40, 30, 20), spacing_mm=(1.0, 1.0, 5.0))
    data = np.ones(grid.shape, np.float32)
    assert verdict_of(check_gaps(set_stage(Volume(data=data, grid=grid), labels, TABLE))) is (
        Verdict.PASSED
    )
    labels[:, :, 9] = 0
    stage = set_stage(Volume(data=data, grid=grid), labels, TABLE)
    assert verdict_of(check_gaps(stage)) is Verdict.LOOK
    thin = make_grid((40, 30, 20))
    assert check_gaps(set_stage(Volume(data=data, grid=thin), labels, TABLE)) is None
