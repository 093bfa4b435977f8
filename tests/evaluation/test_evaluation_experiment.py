from __future__ import annotations

import math

import numpy as np
import pytest

from bids_film.evaluation.experiment import (
    AS_FOUND,
    ArmSummary,
    average_seeds,
    compare_arms,
    summarise_arms,
)

Row = dict[str, str | float | None]


def make_rows(*, scans: int = 8, seeds: tuple[int, ...] = (1, 2)) -> list[Row]:
    """Arm `film` is 0.1 better on every scan; seed 2 is 0.02 worse; type b is harder."""
    rng = np.random.default_rng(0)
    rows: list[Row] = []
    for number in range(scans):
        level = rng.uniform(0.6, 0.8)
        for seed in seeds:
            for arm, more in (("film", 0.1), ("constant", 0.0)):
                for condition, lost in ((AS_FOUND, 0.0), ("withheld", 0.05)):
                    if arm == "constant" and condition != AS_FOUND:
                        continue
                    dice = level + more - lost - 0.02 * (seed - 1) - 0.2 * (number % 2)
                    rows.append(
                        {
                            "participant_id": f"sub-{number}", "scan": f"sub-{number}_T1w",
                            "structure": "tumour", "arm": arm, "seed": seed,
                            "condition": condition, "type": "ab"[number % 2], "dice": dice,
                            "hd95_mm": math.nan if number == 0 and seed == 1 else 3.0,
                        }
                    )  # fmt: skip
    return rows


def find(
    lines: list[ArmSummary], arm: str, condition: str = AS_FOUND, level: str = ""
) -> ArmSummary:
    (found,) = [
        line
        for line in lines
        if (line.arm, line.condition, line.summary.level) == (arm, condition, level)
        and line.summary.measure == "dice"
    ]
    return found


def test_seeds_are_averaged_before_anything_is_counted() -> None:
    rows = make_rows()
    averaged = average_seeds(rows)
    assert len(averaged) == len(rows) / 2
    first = [row for row in rows if row["scan"] == "sub-0_T1w" and row["arm"] == "constant"]
    (mean,) = [row for row in averaged if row["scan"] == "sub-0_T1w" and row["arm"] == "constant"]
    assert mean["dice"] == pytest.approx(np.mean([row["dice"] for row in first]))
    assert mean["hd95_mm"] == 3.0, "the seed without a distance does not count"


def test_scans_of_two_datasets_are_not_averaged_like_seeds() -> None:
    rows = make_rows(seeds=[1])
    both = rows + [{**row, "dataset": "../other"} for row in rows]
    assert len(average_seeds(both)) == len(both)


def test_each_arm_is_summarised_under_each_condition_with_its_spread_over_seeds() -> None:
    lines = summarise_arms(make_rows())
    film, constant = find(lines, "film"), find(lines, "constant")
    assert film.summary.interval.participants == 8
    gained = film.summary.interval.mean - constant.summary.interval.mean
    assert gained == pytest.approx(0.1)
    withheld = find(lines, "film", "withheld")
    lost = film.summary.interval.mean - withheld.summary.interval.mean
    assert lost == pytest.approx(0.05)
    assert film.seed_sd == pytest.approx(0.02 / math.sqrt(2))
    assert math.isnan(find(summarise_arms(make_rows(seeds=(1,))), "film").seed_sd)


def test_scans_are_divided_by_a_column() -> None:
    lines = summarise_arms(make_rows(), by="type")
    easy, hard = find(lines, "film", level="a"), find(lines, "film", level="b")
    assert easy.summary.interval.scans == hard.summary.interval.scans == 4
    assert easy.summary.interval.mean > hard.summary.interval.mean + 0.1


def test_the_first_arm_is_compared_with_each_of_the_others_under_its_own_metadata() -> None:
    rows = make_rows()
    rows += [{**row, "arm": "other"} for row in rows if row["arm"] == "film"]
    lines = {
        line.arm: line.comparison
        for line in compare_arms(rows)
        if line.comparison.measure == "dice"
    }
    assert list(lines) == ["constant", "other"]
    assert lines["constant"].test.difference.mean == pytest.approx(0.1)
    assert lines["constant"].test.effect == 1
    assert lines["other"].test.difference.mean == 0
    assert lines["other"].test.p == 1


def test_p_values_are_adjusted_for_all_arms_together() -> None:
    rows = make_rows()
    alone = {line.comparison.measure: line.comparison for line in compare_arms(rows)}["dice"]
    rows += [{**row, "arm": "other"} for row in make_rows() if row["arm"] == "constant"]
    both = {
        line.arm: line.comparison
        for line in compare_arms(rows)
        if line.comparison.measure == "dice"
    }
    assert both["constant"].test.p == alone.test.p
    assert both["constant"].p_holm > alone.p_holm
