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


def test_an_empty_segmentation_stays_empty() -> None:
    empty = np.zeros((3, 3, 3), np.uint16)
    settings = Postprocessing(keep_largest_whole=True, keep_largest=("cord", "gray"))
    assert not postprocess(empty, LABELS, settings).any()
