from __future__ import annotations

import re
from typing import Any

import pytest

from bids_film.evaluation.summary import compare, find_levels, summarise
from bids_film.report.evaluation import EvaluationPage, render_evaluation
from bids_film.report.plots import draw_dice, draw_pairs, draw_volumes

Row = dict[str, Any]


def make_row(person: int, dice: float, *, site: str = "UCL", volume: float = 2.0) -> Row:
    return {
        "participant_id": f"sub-{person}",
        "scan": f"sub-{person}/anat/sub-{person}_T2w.nii.gz",
        "structure": "<cord>",
        "dice": dice,
        "volume_ml": volume,
        "reference_volume_ml": 2.0,
        "site": site,
    }


def make_rows(shift: float = 0.0) -> list[Row]:
    return [
        make_row(n, 0.7 + n / 50 + shift, site=("UCL", "Milan")[n % 2], volume=2 + n / 10)
        for n in range(6)
    ]


def render(by: str = "") -> str:
    rows, other = make_rows(), make_rows(-0.1)
    return render_evaluation(
        EvaluationPage(
            model="cord 1",
            dataset="A & B",
            version="0",
            rows=rows,
            by=by,
            summaries=summarise(rows, by=by),
            comparisons=compare(other, rows),
            other=other,
            other_name="other.tsv",
        )
    )


def test_the_page_needs_nothing_else_and_escapes_what_it_is_given() -> None:
    page = render()
    assert "A &amp; B" in page
    assert "&lt;cord&gt;" in page
    assert "<cord>" not in page
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)
    assert "<script" not in page


@pytest.mark.parametrize("by", ["", "site"])
def test_every_scan_is_a_dot_with_its_name_and_every_plot_says_what_it_shows(by: str) -> None:
    page = render(by)
    for row in make_rows():
        assert page.count(f"<title>{row['scan']}: ") == 4, "Dice, volume, and Dice by both models"
    pictures = re.findall(r'<svg[^>]+role="img" aria-label="([^"]+)"', page)
    assert len(pictures) == 3
    assert all(len(words.split()) > 4 for words in pictures)


def test_higher_dice_lies_higher_and_levels_lie_side_by_side() -> None:
    rows = make_rows()
    plot = draw_dice(rows, find_levels(rows, "site"), summarise(rows, by="site"), "site")
    assert [tick.label for tick in plot.x_ticks] == ["Milan", "UCL"]
    by_dice = sorted(plot.dots, key=lambda dot: float(dot.title.rpartition(" ")[2]))
    assert [dot.y for dot in by_dice] == sorted((dot.y for dot in plot.dots), reverse=True)


def test_the_volume_plot_says_the_bias_and_the_limits_of_agreement() -> None:
    plot = draw_volumes(make_rows())
    assert plot is not None
    assert "+0.25 mL" in plot.description
    assert "-0.117 and +0.617" in plot.description


def test_one_scan_has_no_limits_of_agreement() -> None:
    assert draw_volumes([make_row(1, 0.8)]) is None


def test_lines_join_the_scans_that_both_models_have() -> None:
    plot = draw_pairs(make_rows(-0.1)[:4], make_rows(), ("other", "this"))
    assert len(plot.lines) == 4
    assert {line.kind for line in plot.lines} == {"up"}
    assert "4 scans" in plot.description


def test_a_structure_that_few_scans_have_loses_none_of_them_to_a_level_of_its_own() -> None:
    rows = [{**make_row(n, 0.8), "age": 20 + n} for n in range(12)]
    rows += [{**make_row(n, 0.7), "age": 20 + n, "structure": "gray"} for n in range(4, 12)]
    page = EvaluationPage(
        model="cord 1", dataset="", version="0", rows=rows, by="age",
        summaries=summarise(rows, by="age"),
    )  # fmt: skip
    html = render_evaluation(page)
    for number in range(4, 12):
        assert html.count(f"<title>sub-{number}/anat/sub-{number}_T2w.nii.gz: ") == 4
