from __future__ import annotations

import math
from typing import Any

import pytest

from bids_film.evaluation.summary import MEASURES, compare, find_levels, summarise

Row = dict[str, Any]


def make_row(person: int, dice: float, *, structure: str = "cord", **more: Any) -> Row:
    scan = f"sub-{person}/anat/sub-{person}_T2w.nii.gz"
    row = {"participant_id": f"sub-{person}", "scan": scan, "structure": structure, "dice": dice}
    return {**row, **more}


def test_each_structure_has_a_line_per_measure() -> None:
    rows = [make_row(1, 0.5), make_row(2, 0.7), make_row(1, 0.9, structure="gray")]
    found = {(line.structure, line.measure): line for line in summarise(rows)}
    assert set(found) == {(s, m) for s in ("cord", "gray") for m in MEASURES}
    assert found["cord", "dice"].interval.mean == pytest.approx(0.6)
    assert found["gray", "dice"].interval.participants == 1


def test_what_is_not_defined_is_left_out_and_counted() -> None:
    rows = [make_row(1, 0.5, hd95_mm=math.nan), make_row(2, 1.0, hd95_mm=2.0), make_row(3, 0.9)]
    (line,) = [line for line in summarise(rows) if line.measure == "hd95_mm"]
    assert (line.interval.mean, line.median, line.undefined) == (2.0, 2.0, 2)


def test_scans_are_divided_by_the_values_of_a_column() -> None:
    rows = [make_row(n, n / 10, site=site) for n, site in enumerate(["UCL", "UCL", "Milan", None])]
    lines = [line for line in summarise(rows, by="site") if line.measure == "dice"]
    assert [line.level for line in lines] == ["Milan", "UCL", "n/a"]
    assert [line.interval.scans for line in lines] == [1, 2, 1]


def test_few_numbers_are_levels_in_their_order_and_many_are_halved() -> None:
    few = [make_row(n, 0.5, tesla=tesla) for n, tesla in enumerate([3.0, 1.5, "10"])]
    assert [line.level for line in summarise(few, by="tesla")][:: len(MEASURES)] == [
        "1.5", "3.0", "10",
    ]  # fmt: skip
    many = [make_row(n, 0.5, age=age) for n, age in enumerate([*range(20, 30), "n/a"])]
    assert find_levels(many, "age") == (["up to 24.5"] * 5 + ["above 24.5"] * 5 + ["n/a"])


def test_scans_and_people_of_two_datasets_are_told_apart() -> None:
    rows = [make_row(n, 0.3) for n in range(3)]
    rows += [make_row(n, 0.6, dataset="../other") for n in range(3)]
    (line,) = [line for line in summarise(rows) if line.measure == "dice"]
    assert (line.interval.scans, line.interval.participants) == (6, 6)
    found = {line.measure: line for line in compare(rows, rows)}
    assert (found["dice"].first, found["dice"].second) == pytest.approx((0.45, 0.45))
    assert found["dice"].test.difference.mean == 0
    assert found["dice"].test.pairs == 6


def test_means_are_of_the_scans_on_which_both_have_a_value() -> None:
    first = [make_row(n, 0.5, hd95_mm=value) for n, value in enumerate([4, 4, 4, 40])]
    second = [make_row(n, 0.5, hd95_mm=value) for n, value in enumerate([5, 5, 5, math.nan])]
    (line,) = [line for line in compare(first, second) if line.measure == "hd95_mm"]
    assert (line.first, line.second, line.test.difference.mean) == (4, 5, 1)


def test_models_are_compared_on_what_both_have() -> None:
    first = [make_row(n, 0.5) for n in range(8)]
    second = [make_row(n, 0.6 + n / 100) for n in range(2, 10)]
    found = {line.measure: line for line in compare(first, second)}
    assert found["dice"].test.pairs == 6
    assert found["dice"].test.difference.mean == pytest.approx(0.145)
    assert (found["dice"].first, found["dice"].second) == pytest.approx((0.5, 0.645))
    assert found["dice"].test.effect == 1
    assert found["hd95_mm"].test.pairs == 0
    assert math.isnan(found["hd95_mm"].first)


def test_p_is_adjusted_for_all_that_is_compared() -> None:
    first, second = ([make_row(n, value, hd95_mm=value) for n in range(6)] for value in (0.5, 0.6))
    found = {line.measure: line for line in compare(first, second)}
    assert found["dice"].test.p == pytest.approx(2 / 2**6)
    assert found["dice"].p_holm == pytest.approx(2 * 2 / 2**6)


def test_cells_that_were_read_from_a_table_are_compared_as_numbers() -> None:
    found = compare([make_row(1, 0.5)], [{**make_row(1, 0), "dice": "0.75", "hd95_mm": "n/a"}])
    assert found[0].test.difference.mean == pytest.approx(0.25)


def test_evaluations_without_a_common_scan_cannot_be_compared() -> None:
    assert compare([make_row(1, 0.5)], [make_row(2, 0.5)]) == []


def test_the_labels_of_one_person_count_as_one() -> None:
    rows = [make_row(number, 0.7 + number / 100) for number in range(8)]
    one_by_one = summarise(rows)[0].interval
    pairs = [{**row, "person": str(number // 2)} for number, row in enumerate(rows)]
    together = summarise(pairs)[0].interval
    assert (one_by_one.participants, together.participants) == (8, 4)
    assert together.mean == one_by_one.mean
    assert together.high - together.low > one_by_one.high - one_by_one.low
    unknown = [{**row, "person": "n/a"} for row in rows]
    assert summarise(unknown)[0].interval == one_by_one
