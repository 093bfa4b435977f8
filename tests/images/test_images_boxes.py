from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bids_film.images.boxes import bounding_box, grow_box

Mask = NDArray[np.bool_]

masks = arrays(bool, (4, 5, 6))


@given(masks)
def test_the_bounding_box_holds_all_and_no_smaller_one_does(mask: Mask) -> None:
    box = bounding_box(mask)
    assert mask[box].sum() == mask.sum()
    for axis in range(3):
        sides = np.asarray(mask[box].any(axis=tuple(other for other in range(3) if other != axis)))
        assert not sides.size or (sides[0] and sides[-1])


@given(masks.filter(np.any), st.tuples(*[st.integers(0, 3)] * 3))
def test_a_grown_box_has_its_margins_as_far_as_the_grid_goes(
    mask: Mask, margins: tuple[int, int, int]
) -> None:
    box = bounding_box(mask)
    grown = grow_box(box, margins, mask.shape)
    for inner, outer, margin, length in zip(box, grown, margins, mask.shape, strict=True):
        assert outer.start == max(0, inner.start - margin)
        assert outer.stop == min(length, inner.stop + margin)
