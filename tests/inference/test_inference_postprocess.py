from __future__ import annotations

import numpy as np
import pytest
from support.tiny_models import LABELS

from bids_film.inference.postprocess import postprocess
from bids_film.model.config import Postprocessing


@pytest.fixture
def labels() -> np.ndarray:
    """A cord of three voxels with gray matter in it, gray matter alone, and a lone cord voxel."""
    line = np.zeros((12, 1, 1), np.uint16)
    line[1:4, 0, 0] = 3, 7, 3
    line[6:8] = 7
    line[10] = 3
    return line


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        (Postprocessing(), [1, 2, 3, 6, 7, 10]),
        (Postprocessing(keep_largest_whole=True), [1, 2, 3]),
        (Postprocessing(keep_largest=("cord",)), [1, 2, 3]),
        (Postprocessing(keep_largest=("gray",)), [1, 3, 6, 7, 10]),
    ],
)
def test_other_pieces_are_taken_out_and_nothing_is_added(
    labels: np.ndarray, settings: Postprocessing, kept: list[int]
) -> None:
    found = postprocess(labels, LABELS, settings)
    assert found.dtype == np.uint16
    assert np.flatnonzero(found).tolist() == kept
    assert np.array_equal(found[kept], labels[kept])


def test_what_is_enclosed_belongs_to_the_nearest_structure() -> None:
    block = np.zeros((9, 9, 9), np.uint16)
    block[1:8, 1:8, 1:8] = 3
    block[5:8, 1:8, 1:8] = 7
    block[2, 4, 4] = block[6, 4, 4] = 0
    block[3, 1, 1] = 0  # a notch, open to the outside
    found = postprocess(block, LABELS, Postprocessing(fill_holes=True))
    assert (found[2, 4, 4], found[6, 4, 4], found[3, 1, 1]) == (3, 7, 0)
    assert np.array_equal(found[block > 0], block[block > 0])
    assert np.array_equal(postprocess(block, LABELS, Postprocessing()), block)


def test_a_piece_that_is_taken_out_of_another_structure_leaves_no_hole() -> None:
    block = np.full((9, 9, 9), 3, np.uint16)
    block[4, 4, 4] = block[1, 1, 1:4] = 7
    settings = Postprocessing(keep_largest=("gray",), fill_holes=True)
    found = postprocess(block, LABELS, settings)
    assert found[4, 4, 4] == 3
    assert (found[1, 1, 1:4] == 7).all()


def test_the_labels_that_were_given_stay_as_they_are(labels: np.ndarray) -> None:
    before = labels.copy()
    postprocess(labels, LABELS, Postprocessing(keep_largest_whole=True, fill_holes=True))
    assert np.array_equal(labels, before)


def test_an_empty_segmentation_stays_empty() -> None:
    empty = np.zeros((3, 3, 3), np.uint16)
    settings = Postprocessing(keep_largest_whole=True, keep_largest=("cord", "gray"))
    assert not postprocess(empty, LABELS, settings).any()


@pytest.mark.parametrize("settings", [
    Postprocessing(keep_largest_whole=True), Postprocessing(keep_largest=("cord",)),
    Postprocessing(keep_largest=("gray",)),
])  # fmt: skip
def test_of_slices_a_piece_goes_on_over_one_in_which_nothing_was_found(
    settings: Postprocessing,
) -> None:
    index = LABELS.indices_of(settings.keep_largest[0] if settings.keep_largest else "cord")[0]
    labels = np.zeros((9, 9, 12), np.uint16)
    labels[3:6, 3:6, [*range(1, 6), *range(7, 11)]] = index
    labels[0, 0, 0:3] = index  # somewhere else, in the same slices
    expected = labels.copy()
    expected[0, 0] = 0
    assert np.array_equal(postprocess(labels, LABELS, settings, slices=True), expected)
    assert not postprocess(labels, LABELS, settings)[:, :, 7:].any()
    labels[:, :, 7] = 0  # two slices are no longer one piece
    assert not postprocess(labels, LABELS, settings, slices=True)[:, :, 7:].any()
