from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from support.tiny_models import LABELS

from bids_film.inference.uncertainty import measure_confidence, measure_entropy

SHAPE = (4, 5, 6)


def make_probabilities(*channels: float) -> NDArray[np.float32]:
    return np.stack([np.full(SHAPE, value, np.float32) for value in channels])


def test_certainty_has_no_entropy_and_indifference_all_of_it() -> None:
    np.testing.assert_allclose(measure_entropy(make_probabilities(0, 1, 0)), 0, atol=1e-5)
    np.testing.assert_allclose(measure_entropy(make_probabilities(*[1 / 3] * 3)), 1, rtol=1e-5)


@given(hnp.arrays(np.float32, (3, 2, 2, 2), elements=st.floats(-20, 20, width=32)))
def test_entropy_lies_between_nothing_and_all_whatever_the_probabilities(
    logits: NDArray[np.float32],
) -> None:
    odds = np.exp(logits - logits.max(axis=0))
    entropy = measure_entropy((odds / odds.sum(axis=0)).astype(np.float32))
    assert entropy.shape == (2, 2, 2)
    assert ((entropy >= 0) & (entropy <= 1)).all()


def measure(probabilities: NDArray[np.float32]) -> dict:
    return dict(measure_confidence(probabilities, measure_entropy(probabilities), LABELS))


def test_a_network_that_is_sure_expects_a_perfect_overlap() -> None:
    sure = measure(make_probabilities(0, 0, 1))["gray"]
    assert sure.expected_dice == pytest.approx(1)
    assert sure.entropy == pytest.approx(0, abs=1e-5)


def test_expected_dice_is_the_mean_dice_over_truths_drawn_from_the_probabilities() -> None:
    rng = np.random.default_rng(0)
    gray = rng.uniform(0, 1, (12, 12, 12)).astype(np.float32)
    probabilities = np.stack([1 - gray, np.zeros_like(gray), gray])
    mask = gray > 0.5
    drawn = [rng.uniform(size=gray.shape) < gray for _ in range(200)]
    dice = [2 * (mask & truth).sum() / (mask.sum() + truth.sum()) for truth in drawn]
    assert measure(probabilities)["gray"].expected_dice == pytest.approx(np.mean(dice), abs=0.005)


def test_a_structure_includes_its_parts() -> None:
    # Gray matter is surely cord, whatever the cord's own channel says.
    assert measure(make_probabilities(0, 0, 1))["cord"].expected_dice == pytest.approx(1)


def test_nothing_is_expected_of_a_structure_that_was_not_found() -> None:
    missing = measure(make_probabilities(0.9, 0.06, 0.04))["gray"]
    assert missing.expected_dice is None
    assert missing.entropy is None
