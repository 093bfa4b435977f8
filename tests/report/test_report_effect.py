from __future__ import annotations

from dataclasses import replace

import numpy as np
from report_scenes import TABLE, make_cord, make_grid, make_segmentation, make_volume

from bids_film.domain.segmentation import Alternative, Segmentation, StructureChange
from bids_film.report.effect import picture_differences, rank_structures
from bids_film.report.stage import set_stage

GRID = make_grid((40, 30, 20))


def tell(*dice: tuple[float, float], volume_ml: float = 2.0) -> Segmentation:
    """Segmentation with alternatives of these Dice, of cord and gray matter."""
    alternatives = tuple(
        Alternative(
            value=f"number {place}",
            labels_file=str(place),
            changes=tuple(
                StructureChange(name=structure.name, dice=value, volume_ml=volume_ml)
                for structure, value in zip(TABLE, values, strict=True)
            ),
        )
        for place, values in enumerate(dice)
    )
    return make_segmentation(make_cord(), GRID, alternatives=alternatives)


def test_what_changed_most_under_any_alternative_comes_first() -> None:
    ranked = rank_structures(tell((0.9, 0.95), (0.8, 0.2)))
    assert [effect.delivered.structure.name for effect in ranked] == ["gray matter", "spinal cord"]
    assert [effect.lowest_dice for effect in ranked] == [0.2, 0.8]
    assert not any(effect.small for effect in ranked)


def test_a_structure_of_a_few_voxels_comes_last_unless_other_metadata_make_it_large() -> None:
    segmentation = tell((0.9, 0.0), volume_ml=0.02)
    ranked = rank_structures(segmentation)
    assert [effect.small for effect in ranked] == [False, True], "12 voxels of 1 mm3"
    assert [effect.delivered.voxels < 50 for effect in ranked] == [False, True]
    large = rank_structures(tell((0.9, 0.0), volume_ml=0.06))
    assert [effect.lowest_dice for effect in large] == [0.0, 0.9]


def test_pictures_show_the_alternatives_that_changed_more_than_a_few_voxels() -> None:
    labels = make_cord()
    stage = set_stage(make_volume(labels, GRID), labels, TABLE)
    segmentation = tell((0.9, 0.0), (0.8, 1.0), (1.0, 1.0), volume_ml=0.02)
    other = np.where(np.arange(20) % 9 == 5, 0, labels)
    found = list(picture_differences(segmentation, stage, lambda _: other))
    assert [difference.alternative.value for difference in found] == ["number 1", "number 0"]


def test_pictures_are_of_slices_that_differ_and_lie_apart() -> None:
    labels = make_cord()
    stage = set_stage(make_volume(labels, GRID), labels, TABLE)
    other = labels.copy()
    other[:, :, 4:6] = 0
    other[15:25, 14, 14] = 2
    (found,) = picture_differences(tell((0.9, 0.9)), stage, lambda _: other)
    first, second = found.pairs
    assert first[0].stored_index in {4, 5}, "where most differs"
    assert second[0].stored_index == 14
    for own, told in found.pairs:
        assert own.stored_index == told.stored_index
        assert own.contours != told.contours
        assert own.image == told.image


def test_maps_that_are_gone_and_alternatives_that_changed_nothing_have_no_picture() -> None:
    labels = make_cord()
    stage = set_stage(make_volume(labels, GRID), labels, TABLE)
    assert not list(picture_differences(tell((0.5, 0.5)), stage, lambda _: None))
    assert not list(picture_differences(tell((1.0, 1.0)), stage, lambda _: labels * 0))
    assert not list(picture_differences(tell(), stage, lambda _: labels))


def test_what_it_is_compared_with_is_shown_in_place_of_the_delivered_map() -> None:
    labels = make_cord()
    stage = set_stage(make_volume(labels, GRID), labels, TABLE)
    compared = np.minimum(labels, 1)
    segmentation = replace(tell((0.5, 0.5)), compared_file="own")
    maps = {"own": compared, "0": labels * 0}
    (found,) = picture_differences(segmentation, stage, maps.get)
    assert all(len(own.contours) == 1 for own, _ in found.pairs)
