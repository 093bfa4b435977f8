from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from scipy import ndimage

from bids_film.images.components import (
    find_holes,
    keep_largest,
    keep_largest_each,
)

Mask = NDArray[np.bool_]
FULL = np.ones((3, 3, 3))

masks = arrays(bool, st.tuples(*[st.integers(2, 6)] * 3))


def make_pieces() -> Mask:
    """Pieces of 27, 8 and 1 voxels."""
    mask = np.zeros((12, 12, 12), bool)
    mask[1:4, 1:4, 1:4] = True
    mask[6:8, 6:8, 6:8] = True
    mask[10, 10, 10] = True
    return mask


@given(masks)
def test_the_piece_that_is_kept_is_one_and_the_largest(mask: Mask) -> None:
    kept = keep_largest(mask)
    labels, count = ndimage.label(mask, FULL)
    sizes = np.bincount(labels.ravel())[1:]
    assert ndimage.label(kept, FULL)[1] == min(count, 1)
    assert kept.sum() == (sizes.max() if count else 0)
    assert not (kept & ~mask).any()


def test_the_largest_piece_is_kept_and_the_mask_left_as_it_is() -> None:
    mask = make_pieces()
    assert keep_largest(mask).sum() == 27
    assert mask.sum() == 36


def test_voxels_that_touch_at_a_corner_are_one_piece() -> None:
    mask = np.zeros((4, 4, 4), bool)
    mask[1, 1, 1] = mask[2, 2, 2] = True
    assert keep_largest(mask) is mask


@given(arrays(np.uint16, st.tuples(*[st.integers(1, 6)] * 3), elements=st.integers(0, 3)))
def test_of_each_label_the_piece_is_kept_that_is_kept_of_its_mask(
    labels: NDArray[np.uint16],
) -> None:
    before = labels.copy()
    kept = keep_largest_each(labels, (1, 3))
    expected = np.where(labels == 2, 2, 0)
    for value in (1, 3):
        expected[keep_largest(labels == value)] = value
    np.testing.assert_array_equal(kept, expected)
    np.testing.assert_array_equal(labels, before)
    assert kept.dtype == labels.dtype


@given(masks)
def test_holes_are_those_that_scipy_fills_each_with_its_number(mask: Mask) -> None:
    before = mask.copy()
    holes = find_holes(mask)
    np.testing.assert_array_equal(mask | (holes > 0), ndimage.binary_fill_holes(mask))
    np.testing.assert_array_equal(mask, before)
    _, count = ndimage.label(holes)
    assert len(np.unique(holes[holes > 0])) == count


def test_a_ring_in_a_single_slice_has_a_hole() -> None:
    for axis in range(3):
        ring = np.ones((5, 5), bool)
        ring[2, 2] = False
        mask = np.expand_dims(np.pad(ring, 2), axis)
        holes = find_holes(mask)
        assert holes.shape == mask.shape
        assert np.count_nonzero(holes) == 1


def test_a_cavity_that_is_open_at_the_edge_of_the_image_is_no_hole() -> None:
    mask = np.ones((5, 5, 5), bool)
    mask[:3, 2, 2] = False
    assert not find_holes(mask).any()


def test_an_empty_mask_stays_empty_in_any_shape() -> None:
    for shape in ((4, 4, 4), (4, 4, 1), (1, 1, 1)):
        mask = np.zeros(shape, bool)
        for result in (keep_largest(mask), find_holes(mask)):
            assert result.shape == shape
            assert not result.any()


def test_a_single_voxel_image_can_be_full() -> None:
    mask = np.ones((1, 1, 1), bool)
    assert keep_largest(mask).all()
    assert not find_holes(mask).any()
