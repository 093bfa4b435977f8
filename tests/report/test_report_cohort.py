from __future__ import annotations

import numpy as np
import pytest
from report_scenes import make_cord, make_grid, make_segmentation

from bids_film.report.checks import Verdict
from bids_film.report.cohort import FEWEST_SCANS, Spread, check_cohort, measure_spread

SEGMENTATION = make_segmentation(make_cord(), make_grid((40, 30, 20)))
VOLUME = SEGMENTATION.volumes[0].volume_ml


def test_the_spread_of_normal_volumes_is_their_standard_deviation() -> None:
    volumes = np.random.default_rng(0).normal(50, 4, 20_000)
    spread = measure_spread(volumes.tolist())
    assert spread.median == pytest.approx(50, abs=0.2)
    assert spread.deviation == pytest.approx(4, rel=0.03)


def test_one_outlier_does_not_widen_the_spread_that_finds_it() -> None:
    spread = measure_spread([10.0, 10.2, 9.8, 10.1, 9.9, 10.3, 9.7, 500.0])
    score = spread.rate(500.0)
    assert score is not None
    assert score > 100


def test_nobody_is_rated_among_few_or_among_equals() -> None:
    assert measure_spread([1.0, 2.0, 3.0]).rate(9.0) is None
    assert measure_spread([1.0] * FEWEST_SCANS).rate(9.0) is None


def test_before_the_group_level_the_check_says_that_it_was_not_made() -> None:
    check = check_cohort(SEGMENTATION, {})
    assert check.verdict is Verdict.NOT_DONE
    assert "group" in check.detail


@pytest.mark.parametrize(
    ("median", "verdict"), [(VOLUME, Verdict.PASSED), (VOLUME + 4, Verdict.LOOK)]
)
def test_a_volume_far_from_the_median_is_worth_a_look(median: float, verdict: Verdict) -> None:
    cohort = {"SC": Spread(scans=30, median=median, deviation=1.0)}
    check = check_cohort(SEGMENTATION, cohort)
    assert check.verdict is verdict
    assert ("spinal cord" in check.detail) is (verdict is Verdict.LOOK)


def test_enough_scans_of_the_same_volume_are_not_called_too_few() -> None:
    alike = check_cohort(SEGMENTATION, {"SC": measure_spread([VOLUME] * FEWEST_SCANS)})
    few = check_cohort(SEGMENTATION, {"SC": measure_spread([VOLUME] * (FEWEST_SCANS - 1))})
    assert alike.verdict is few.verdict is Verdict.NOT_DONE
    assert "differ" in alike.detail
    assert "differ" not in few.detail
