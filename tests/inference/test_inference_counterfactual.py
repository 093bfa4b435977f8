from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from support.tiny_models import ENCODER, LABELS

from bids_film.domain.volume import Grid
from bids_film.images.measures import dice
from bids_film.inference.counterfactual import (
    MARGIN_MM,
    MOST_ALTERNATIVES,
    compare_labels,
    find_surroundings,
    list_alternatives,
)
from bids_film.metadata.encoder import Encoder
from bids_film.metadata.fields import CategoricalField

OWN = {"MagneticFieldStrength": 3.0, "Manufacturer": "Siemens"}


def make_grid(shape: tuple[int, int, int], *, flipped: bool = False) -> Grid:
    affine = np.diag([-1.0 if flipped else 1.0, 1.0, 1.0, 1.0])
    return Grid(
        shape=shape,
        stored_shape=shape,
        affine=affine,
        qform=affine,
        sform=affine,
        qform_code=1,
        sform_code=1,
    )


def test_everything_is_withheld_and_each_other_level_told_one_field_at_a_time() -> None:
    told, untried = list_alternatives(ENCODER, OWN)
    assert [(one.field, one.level, dict(one.values)) for one in told] == [
        ("", "", {}),
        ("Manufacturer", "Philips", OWN | {"Manufacturer": "Philips"}),
    ]
    assert untried == 0


def test_a_field_that_is_not_known_is_told_each_of_its_levels() -> None:
    told, _ = list_alternatives(ENCODER, {"MagneticFieldStrength": 3.0})
    assert {one.level for one in told} == {"", "Siemens", "Philips"}


def test_nothing_is_withheld_where_nothing_is_known() -> None:
    told, _ = list_alternatives(ENCODER, {"MagneticFieldStrength": None})
    assert all(one.field for one in told)
    assert list_alternatives(Encoder(), {}) == ((), 0)


def test_levels_can_be_left_out() -> None:
    told, _ = list_alternatives(ENCODER, OWN, levels=False)
    assert [one.field for one in told] == [""]


def test_too_many_levels_are_counted_and_not_tried() -> None:
    field = CategoricalField(name="site", levels=tuple(f"site {i}" for i in range(40)))
    told, untried = list_alternatives(Encoder(fields=(field,)), {"site": "site 3"})
    assert len(told) == MOST_ALTERNATIVES
    assert len(told) + untried == 40


def test_a_comparison_counts_parts_and_says_what_became_of_the_volume() -> None:
    delivered = np.zeros((10, 10, 10), np.uint16)
    delivered[:4], delivered[:2] = 3, 7
    other = np.where(delivered == 7, 3, delivered)
    cord, gray = compare_labels(other, delivered, LABELS, make_grid((10, 10, 10)))
    assert (cord.name, cord.dice, cord.volume_ml) == ("cord", 1, pytest.approx(0.4))
    assert (gray.name, gray.dice, gray.volume_ml) == ("gray", 0, 0)


@given(pair=arrays(np.uint16, (2, 3, 4, 5), elements=st.sampled_from([0, 3, 7])))
def test_a_comparison_is_that_of_the_masks_of_each_structure(pair: NDArray[np.uint16]) -> None:
    other, delivered = pair
    for change in compare_labels(other, delivered, LABELS, make_grid((3, 4, 5))):
        mask, own = (np.isin(one, LABELS.indices_of(change.name)) for one in (other, delivered))
        assert change.dice == pytest.approx(dice(mask, own), abs=1e-6)
        assert change.volume_ml == pytest.approx(mask.sum() / 1000)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_small_structure_is_looked_at_with_its_margin_in_the_order_of_the_plan(
    flipped: bool,  # noqa: FBT001 a parameter of the test
) -> None:
    labels = np.zeros((200, 200, 100), np.uint16)
    labels[50:60, 100:110, 40:50] = 3
    grid = make_grid((200, 200, 100), flipped=flipped)
    margin = int(MARGIN_MM)
    across = slice(140 - margin, 150 + margin) if flipped else slice(50 - margin, 60 + margin)
    expected = (across, slice(100 - margin, 110 + margin), slice(40 - margin, 50 + margin))
    assert find_surroundings(labels, grid, "axial") == expected


def test_the_whole_image_is_looked_at_where_the_structure_fills_it_or_is_missing() -> None:
    grid = make_grid((60, 60, 60))
    labels = np.zeros(grid.shape, np.uint16)
    assert find_surroundings(labels, grid, "axial") is None
    labels[10:50, 10:50, 10:50] = 3
    assert find_surroundings(labels, grid, "axial") is None
