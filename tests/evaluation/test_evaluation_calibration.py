from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.evaluation.calibration import BINS, count_reliability


def draw(seed: int, *, sharpen: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, and voxels that are the structure as often as they say."""
    rng = np.random.default_rng(seed)
    true_probability = rng.uniform(0.02, 1, (60, 60, 20))
    logits = sharpen * np.log(true_probability / (1 - true_probability))
    return 1 / (1 + np.exp(-logits)), rng.uniform(size=true_probability.shape) < true_probability


def test_probabilities_that_come_true_as_often_as_they_say_have_no_error() -> None:
    assert count_reliability(*draw(0)).ece < 0.01


def test_the_error_of_a_network_that_is_too_sure_is_known() -> None:
    """All voxels are given 0.9 and half of them are the structure."""
    reference = np.arange(1000).reshape(10, 10, 10) % 2 == 0
    assert count_reliability(np.full((10, 10, 10), 0.9), reference).ece == pytest.approx(0.4)
    assert count_reliability(*draw(0, sharpen=3)).ece > 0.05


@given(st.integers(0, 100))
def test_scans_counted_together_are_one_larger_scan(seed: int) -> None:
    (one, true), (other, also) = draw(seed), draw(seed + 1)
    together = count_reliability(np.stack([one, other]), np.stack([true, also]))
    added = count_reliability(one, true) + count_reliability(other, also)
    np.testing.assert_allclose(added.voxels, together.voxels)
    assert added.ece == pytest.approx(together.ece)


def test_background_of_which_the_network_is_sure_does_not_count() -> None:
    probability, reference = draw(1)
    padded = count_reliability(np.pad(probability, 20), np.pad(reference, 20))
    assert padded.ece == pytest.approx(count_reliability(probability, reference).ece)


def test_a_missed_voxel_counts_whatever_it_was_given() -> None:
    counted = count_reliability(np.zeros((2, 2)), np.array([[True, False], [False, False]]))
    assert counted.voxels.tolist() == [1.0] + [0.0] * (BINS - 1)
    assert counted.ece == 1


def test_without_voxels_there_is_no_error_to_speak_of() -> None:
    nothing = np.zeros((3, 3))
    assert math.isnan(count_reliability(nothing, nothing > 0).ece)


def test_arrays_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="same shape"):
        count_reliability(np.zeros((3, 3)), np.zeros((3, 4), bool))
