from __future__ import annotations

import json
import math
import re
import zlib
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser
from support.chromium import visit

from bids_film.evaluation.summary import compare, find_levels, summarise
from bids_film.report.charts import chart_dice, chart_pairs, chart_volumes
from bids_film.report.evaluation import EvaluationPage, render_evaluation

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


def read_charts(page: str) -> list[dict[str, Any]]:
    content = re.search(r'id="content">(.*?)</script>', page, flags=re.DOTALL)
    assert content is not None
    charts = json.loads(content[1])
    assert isinstance(charts, list)
    return charts


@pytest.mark.browser
@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (1280, "dark")])
def test_the_plots_are_drawn_from_what_is_in_the_page_and_fit_it(
    browser: Browser, tmp_path: Path, width: int, scheme: str
) -> None:
    path = tmp_path / "evaluation.html"
    path.write_text(render("site"), encoding="utf-8")
    with visit(browser, path, width=width, scheme=scheme) as seen:
        page = seen.page
        drawn = page.evaluate("charts.map((chart) => chart.getDatasetMeta(0).data.length)")
        assert drawn == [6, 6, 12]
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        inked = """() => charts.every(({ ctx, canvas }) => {
            const { data } = ctx.getImageData(0, 0, canvas.width, canvas.height);
            return data.some((value, place) => place % 4 === 3 && value === 255);
        })"""
        assert page.evaluate(inked)
        assert seen.errors == []
        assert seen.requests == [path.resolve().as_uri()]


def read_drawing(pdf: bytes) -> bytes:
    """Read what a PDF draws: its streams, unpacked."""
    streams = re.findall(rb"stream\r?\n(x.*?)endstream", pdf, flags=re.DOTALL)
    return b"".join(zlib.decompressobj().decompress(stream) for stream in streams)


@pytest.mark.browser
def test_plots_are_printed_in_the_colours_of_paper(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "evaluation.html"
    path.write_text(render(), encoding="utf-8")
    colors = "() => charts.map((chart) => chart.data.datasets[1].borderColor)"
    with visit(browser, path, scheme="dark") as seen:
        on_screen = seen.page.evaluate(colors)
        seen.page.evaluate(
            """() => matchMedia('print').addEventListener('change', ({ matches }) => {
                const [chart] = charts;
                if (matches) window.printed = chart.data.datasets[1].borderColor;
            })"""
        )
        drawn = read_drawing(seen.page.pdf())
        assert drawn.count(b" .1216 .3725 .6 rg") == 24, "each dot, in the colour of links on paper"
        assert seen.page.evaluate("window.printed") == "#000"
        assert on_screen[0] == "#e4e8eb"
        assert seen.page.evaluate(colors) == on_screen


def test_the_page_needs_nothing_else_and_escapes_what_it_is_given() -> None:
    page = render()
    assert "A &amp; B" in page
    assert "&lt;cord&gt;" in page
    assert "<cord>" not in page
    assert not re.search(r"<[^>]+ (src|href)=\"(?!#|data:)", page)
    assert len(re.findall("<script>", page)) == 3, "the library, what draws, and nothing else"


@pytest.mark.parametrize("by", ["", "site"])
def test_every_scan_is_a_dot_with_its_name_and_every_plot_says_what_it_shows(by: str) -> None:
    page = render(by)
    titles = [dot["title"] for chart in read_charts(page) for dot in chart["dots"]]
    for row in make_rows():
        own = [title for title in titles if title.startswith(f"{row['scan']}: ")]
        assert len(own) == 4, "Dice, volume, and Dice by both models"
    pictures = re.findall(r'<canvas[^>]+role="img" aria-label="([^"]+)"', page)
    assert len(pictures) == 3
    assert all(len(words.split()) > 4 for words in pictures)


def test_each_dot_lies_at_its_dice_in_the_column_of_its_level() -> None:
    rows = make_rows()
    chart = chart_dice(rows, find_levels(rows, "site"), summarise(rows, by="site"), "site")
    assert chart.x.levels == ("Milan", "UCL")
    for row in rows:
        (dot,) = [dot for dot in chart.dots if dot.title.startswith(f"{row['scan']}: ")]
        assert dot.y == row["dice"]
        assert chart.x.levels[round(dot.x)] == row["site"]
    means = [line for line in chart.lines if line.points[0][1] == line.points[1][1]]
    for place, site in enumerate(chart.x.levels):
        own = [row["dice"] for row in rows if row["site"] == site]
        assert means[place].points[0][1] == pytest.approx(sum(own) / len(own))


def test_a_scan_without_dice_has_no_dot() -> None:
    rows = [*make_rows(), make_row(9, math.nan)]
    levels = find_levels(rows, "")
    chart = chart_dice(rows, levels, summarise(rows), "")
    assert len(chart.dots) == 6
    assert chart.description.startswith(f"Dice of {len({row['scan'] for row in rows})} scans.")
    assert len(chart_pairs(rows, rows, ("other", "this")).lines) == 6


def test_the_volume_plot_says_the_bias_and_the_limits_of_agreement() -> None:
    chart = chart_volumes(make_rows())
    assert chart is not None
    assert "+0.25 mL" in chart.description
    assert "-0.117 and +0.617" in chart.description
    heights = {line.kind: line.points[0][1] for line in chart.lines}
    assert heights["zero"] == 0
    assert heights["mean"] == pytest.approx(0.25)


def test_one_scan_has_no_limits_of_agreement() -> None:
    assert chart_volumes([make_row(1, 0.8)]) is None


def test_lines_join_the_scans_that_both_models_have() -> None:
    chart = chart_pairs(make_rows(-0.1)[:4], make_rows(), ("other", "this"))
    assert len(chart.lines) == 4
    assert {line.kind for line in chart.lines} == {"up"}
    assert "4 scans" in chart.description


def test_a_structure_that_few_scans_have_loses_none_of_them_to_a_level_of_its_own() -> None:
    rows = [{**make_row(n, 0.8), "age": 20 + n} for n in range(12)]
    rows += [{**make_row(n, 0.7), "age": 20 + n, "structure": "gray"} for n in range(4, 12)]
    page = EvaluationPage(
        model="cord 1", dataset="", version="0", rows=rows, by="age",
        summaries=summarise(rows, by="age"),
    )  # fmt: skip
    titles = [
        dot["title"] for chart in read_charts(render_evaluation(page)) for dot in chart["dots"]
    ]
    for number in range(4, 12):
        scan = f"sub-{number}/anat/sub-{number}_T2w.nii.gz: "
        assert len([title for title in titles if title.startswith(scan)]) == 4


def test_scans_of_two_datasets_are_not_joined() -> None:
    rows = [make_row(1, 0.9), {**make_row(1, 0.1), "dataset": "../other"}]
    chart = chart_pairs(rows, rows, ("other", "this"))
    assert "higher by this on 0" in chart.description
    assert all(line.points[0][1] == line.points[1][1] for line in chart.lines)
