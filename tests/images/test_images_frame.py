from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.images.frame import Frame, cut, find_frame, paste

SPACING_MM = (2.0, 5.0, 4.0)
MARGINS = (5, 2, 3)


def make_masked(shape: tuple[int, int, int] = (40, 30, 20)) -> np.ndarray:
    """A box of tissue in zeros."""
    image = np.zeros(shape, np.float32)
    image[12:25, 8:20, 6:13] = np.random.default_rng(0).uniform(0.1, 1, (13, 12, 7))
    return image


def test_a_masked_scan_is_framed_with_a_margin_of_a_centimetre() -> None:
    frame = find_frame([make_masked()], SPACING_MM)
    assert frame.start == (12 - 5, 8 - 2, 6 - 3)
    assert frame.shape == (13 + 10, 12 + 4, 7 + 6)


@given(st.tuples(*[st.tuples(st.integers(0, limit), st.integers(0, 6)) for limit in (12, 8, 6)]))
def test_a_cropped_copy_gives_the_same_voxels(cropped: tuple[tuple[int, int], ...]) -> None:
    image = make_masked()
    ends = (25, 20, 13)
    box = tuple(slice(first, end + more) for (first, more), end in zip(cropped, ends, strict=True))
    whole, part = image, image[box]
    one, other = (cut(data, find_frame([data], SPACING_MM)) for data in (whole, part))
    np.testing.assert_array_equal(one, other)


@given(start=st.tuples(*[st.integers(-6, 8)] * 3), size=st.tuples(*[st.integers(1, 14)] * 3))
def test_what_was_cut_goes_back_to_its_place(start: tuple[int, ...], size: tuple[int, ...]) -> None:
    frame = Frame(start=start, shape=size)
    data = np.arange(1, 6 * 7 * 8 + 1).reshape(6, 7, 8)
    inside = np.zeros(data.shape, bool)
    inside[frame.overlap(data.shape)] = True
    back = paste(cut(data, frame), frame, data.shape)
    assert cut(data, frame).shape == frame.shape
    np.testing.assert_array_equal(back, np.where(inside, data, 0))


def test_a_box_of_the_grid_is_found_in_the_frame() -> None:
    frame = Frame(start=(3, -2, 0), shape=(10, 10, 5))
    box = (slice(5, 20), slice(0, 4), slice(6, 9))
    assert frame.localise(box) == (slice(2, 10), slice(2, 6), slice(5, 5))


@pytest.mark.parametrize("zeros", [0.0, 0.05])
def test_a_scan_with_few_zeros_is_kept_whole(zeros: float) -> None:
    image = np.ones((20, 20, 20), np.float32)
    image[: round(20 * zeros)] = 0
    assert find_frame([image], SPACING_MM) == Frame(start=(0, 0, 0), shape=(20, 20, 20))


def test_an_empty_scan_is_kept_whole() -> None:
    assert find_frame([np.zeros((4, 4, 4))], SPACING_MM).shape == (4, 4, 4)


def test_slices_stay_where_the_network_takes_each_for_itself() -> None:
    frame = find_frame([make_masked()], SPACING_MM, axes=(0, 1))
    assert (frame.start[2], frame.shape[2]) == (0, 20)


def test_what_any_of_several_images_shows_is_inside() -> None:
    image = make_masked()
    moved = np.roll(image, 8, axis=0)
    frame = find_frame([image, moved], SPACING_MM)
    assert frame.shape[0] == 13 + 8 + 2 * MARGINS[0]
    assert image[12, 8, 6] > 0
