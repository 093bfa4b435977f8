from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bids_film.evaluation.statistics import adjust_holm, bootstrap_mean, compare_pairs

SHARES = st.floats(0, 1)


def names(count: int) -> list[str]:
    return [f"sub-{number}" for number in range(count)]


@settings(max_examples=20)
@given(st.lists(SHARES, min_size=2, max_size=20))
def test_the_interval_holds_the_mean_and_lies_within_the_values(values: list[float]) -> None:
    found = bootstrap_mean(values, names(len(values)))
    assert found.mean == pytest.approx(np.mean(values))
    assert min(values) - 1e-9 <= found.low <= found.mean + 1e-9
    assert found.mean - 1e-9 <= found.high <= max(values) + 1e-9


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    draws = [bootstrap_mean(rng.normal(0.8, 0.1, 30).tolist(), names(30)) for _ in range(200)]
    covered = np.mean([found.low <= 0.8 <= found.high for found in draws])
    assert 0.89 < covered < 0.99


def test_scans_of_one_participant_are_drawn_together() -> None:
    values = [0.2] * 10 + [0.9] * 10
    two = bootstrap_mean(values, ["a"] * 10 + ["b"] * 10)
    twenty = bootstrap_mean(values, names(20))
    assert (two.low, two.high) == pytest.approx((0.2, 0.9))
    assert two.high - two.low > twenty.high - twenty.low
    assert (two.participants, two.scans) == (2, 20)


def test_undefined_values_are_left_out_and_nothing_gives_nothing() -> None:
    found = bootstrap_mean([0.5, math.nan, 0.7], ["a", "b", "c"])
    assert (found.mean, found.participants) == (pytest.approx(0.6), 2)
    alone = bootstrap_mean([0.5, math.nan], ["a", "b"])
    assert alone.mean == 0.5
    assert math.isnan(alone.low)
    assert math.isnan(bootstrap_mean([math.nan], ["a"]).mean)


def test_values_without_their_participants_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        bootstrap_mean([0.5, 0.6], ["a"])


def test_the_test_is_the_one_of_scipy() -> None:
    rng = np.random.default_rng(4)
    first, second = rng.random(25), rng.random(25) + 0.1
    found = compare_pairs(first.tolist(), second.tolist(), names(25))
    assert found.p == pytest.approx(stats.wilcoxon(second, first).pvalue)
    assert found.difference.mean == pytest.approx((second - first).mean())


@settings(max_examples=20)
@given(st.lists(st.tuples(SHARES, SHARES), min_size=1, max_size=12))
def test_exchanging_the_models_turns_the_sign_and_keeps_p(pairs: list[tuple[float, float]]) -> None:
    first, second = ([pair[side] for pair in pairs] for side in (0, 1))
    one = compare_pairs(first, second, names(len(pairs)))
    other = compare_pairs(second, first, names(len(pairs)))
    assert other.p == pytest.approx(one.p)
    assert other.effect == pytest.approx(-one.effect)
    assert -1 <= one.effect <= 1
    assert 0 <= one.p <= 1


def test_a_model_that_is_better_everywhere_has_the_largest_effect() -> None:
    found = compare_pairs([0.1, 0.2, 0.3, 0.4], [0.2, 0.4, 0.4, 0.5], names(4))
    assert found.effect == 1
    assert found.p == pytest.approx(2 / 2**4)


def test_models_that_do_not_differ_are_not_told_apart() -> None:
    found = compare_pairs([0.5, 0.6], [0.5, 0.6], names(2))
    assert (found.p, found.effect, found.pairs) == (1, 0, 2)


def test_several_scans_of_a_participant_count_once() -> None:
    found = compare_pairs([0.1] * 6, [0.2] * 6, ["a"] * 3 + ["b"] * 3)
    assert found.pairs == 2
    assert found.p == pytest.approx(0.5)


def test_without_pairs_nothing_is_said() -> None:
    found = compare_pairs([math.nan], [0.2], ["a"])
    assert found.pairs == 0
    assert math.isnan(found.p)
    assert math.isnan(found.effect)


def test_holm_gives_what_the_paper_gives() -> None:
    assert adjust_holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


@given(st.lists(SHARES, min_size=1, max_size=10))
def test_adjusting_keeps_the_order_and_never_makes_smaller(p_values: list[float]) -> None:
    adjusted = adjust_holm([*p_values, math.nan])
    assert math.isnan(adjusted.pop())
    assert all(p <= a <= 1 for p, a in zip(p_values, adjusted, strict=True))
    order = np.argsort(p_values, kind="stable")
    assert all(np.diff(np.array(adjusted)[order]) >= 0)
