"""The group page in a real browser, opened as a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from group_scenes import write_group_page, write_large_page
from playwright.sync_api import Browser, Page, expect
from report_scenes import make_cord, make_grid, make_segmentation, make_volume
from support.chromium import visit

from bids_film.domain.volume import Volume
from bids_film.inputs.exclusions import read_exclusions
from bids_film.report.page import ParticipantPage, ScanFiles, build_scan_page
from bids_film.report.participant import render_participant

pytestmark = pytest.mark.browser
SCANS = 60


@pytest.fixture(scope="module")
def group(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("group")
    for number in range(1, SCANS + 1):
        (folder / f"sub-{number:05d}.html").write_text(f"<h1>report of {number}</h1>")
    return write_group_page(folder, SCANS)


def read_column(page: Page, field: str) -> list[str]:
    """Cells of a column that are on the screen, from the top."""
    selector = f'.tabulator-row .tabulator-cell[tabulator-field="{field}"]'
    return [text.strip() for text in page.locator(selector).all_inner_texts()]


def wait_for_plots(page: Page) -> None:
    """Plots follow the table."""
    expect(page.locator("#plotted")).not_to_be_empty()


def becomes(page: Page, state: str) -> bool:
    """Whether something comes true within ten seconds."""
    pause = "await new Promise((next) => setTimeout(next, 25))"
    loop = f"for (let i = 0; i < 400 && !({state}); i += 1) {pause};"
    return bool(page.evaluate(f"async () => {{ {loop} return {state}; }}"))


def find_field(page: Page, key: str) -> str:
    return str(page.evaluate("key => fieldOf[key]", key))


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_asks_for_nothing_complains_of_nothing_and_never_scrolls_sideways(
    browser: Browser, group: Path, width: int, scheme: str
) -> None:
    with visit(browser, group, width=width, scheme=scheme) as seen:
        expect(seen.page.locator("#count")).to_have_text(f"{SCANS + 1} of {SCANS + 1}")
        assert seen.errors == []
        assert seen.requests == [group.resolve().as_uri()]
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_text_of_a_dataset_runs_nothing_even_as_the_name_of_a_column(
    browser: Browser, tmp_path: Path
) -> None:
    with visit(browser, write_group_page(tmp_path, 12, hostile=True)) as seen:
        page = seen.page
        expect(page.locator("#count")).to_have_text("13 of 13")
        page.select_option("#columns", "all")
        page.locator(".tabulator-col-title", has_text="window.hacked").first.hover()
        page.click("#review")
        page.keyboard.press("j")
        assert page.evaluate("window.hacked") is None
        assert "window.hacked" in page.inner_text("body")
        assert page.locator("img").count() == 0
        assert seen.errors == []


def test_a_click_on_a_column_sorts_and_what_is_not_known_comes_last(
    browser: Browser, group: Path
) -> None:
    with visit(browser, group) as seen:
        page = seen.page
        field = find_field(page, "SC_volume_ml")
        title = page.locator(f'.tabulator-col[tabulator-field="{field}"] .tabulator-col-title')
        title.click()
        rising = [float(text) for text in read_column(page, field)]
        assert rising == sorted(rising)
        title.click()
        falling = [float(text) for text in read_column(page, field)]
        assert falling == sorted(falling, reverse=True)
        assert falling[0] == 50


@pytest.mark.parametrize(
    ("wanted", "left"), [("> 40", 1), ("<= 40", SCANS - 1), ("= 50", 1), ("50", 3)]
)
def test_a_number_filters_with_a_comparison_or_as_a_text(
    browser: Browser, group: Path, wanted: str, left: int
) -> None:
    with visit(browser, group) as seen:
        field = find_field(seen.page, "SC_volume_ml")
        box = seen.page.locator(f'.tabulator-col[tabulator-field="{field}"] input')
        box.press_sequentially(wanted)
        expect(seen.page.locator("#count")).to_have_text(f"{left} of {SCANS + 1}")


def test_a_search_and_the_list_of_what_to_look_at_filter_plots_and_table_alike(
    browser: Browser, group: Path
) -> None:
    with visit(browser, group) as seen:
        page, count = seen.page, seen.page.locator("#count")
        page.fill("#find", "sub-00007")
        expect(count).to_have_text(f"1 of {SCANS + 1}")
        assert becomes(page, "scatter.data.datasets[0].data.length === 1")
        page.fill("#find", "")
        page.select_option("#show", "left-out")
        expect(count).to_have_text(f"1 of {SCANS + 1}")
        page.select_option("#show", "look")
        expect(count).to_have_text(f"4 of {SCANS + 1}")
        scans = " ".join(read_column(page, find_field(page, "scan")))
        assert all(f"sub-0000{number}_" in scans for number in (2, 3, 4, 5))
        page.select_option("#show", "red")
        expect(count).to_have_text(f"1 of {SCANS + 1}")


def test_scans_are_sorted_by_how_bad_their_light_is(browser: Browser, group: Path) -> None:
    with visit(browser, group) as seen:
        field = find_field(seen.page, "verdict")
        title = seen.page.locator(f'.tabulator-col[tabulator-field="{field}"] .tabulator-col-title')
        title.click()
        words = read_column(seen.page, field)
        worst = ["■ failed", "■ do not use", "▲ 2 to look at", "▲ 1 to look at", "● passed"]
        assert words[:5] == worst


def test_dots_have_a_border_that_is_not_the_colour_of_their_structure(
    browser: Browser, group: Path
) -> None:
    with visit(browser, group) as seen:
        wait_for_plots(seen.page)
        dots = seen.page.evaluate("strip.data.datasets[0]")
        assert dots["backgroundColor"] == "#4fb3ff"
        assert dots["borderColor"] == "#5c6771"
        seen.page.emulate_media(color_scheme="dark")
        assert becomes(seen.page, "strip.data.datasets[0].borderColor === '#9aa6b0'")


def test_an_outlier_is_marked_in_the_strip_and_its_dot_opens_its_report(
    browser: Browser, group: Path
) -> None:
    with visit(browser, group) as seen:
        page = seen.page
        wait_for_plots(page)
        far = page.evaluate("strip.data.datasets[1].data.map(p => get(rows[p.id], 'scan'))")
        assert far == ["sub-00004/anat/sub-00004_T2starw.nii.gz"]
        page.locator("#strip").scroll_into_view_if_needed()
        place = page.evaluate(
            """() => {
                const { x, y } = strip.getDatasetMeta(1).data[0];
                const box = strip.canvas.getBoundingClientRect();
                return [box.left + x, box.top + y];
            }"""
        )
        with page.context.expect_page() as opened:
            page.mouse.click(*place)
        expect(opened.value.locator("h1")).to_have_text("report of 4")


def test_a_structure_is_plotted_over_numbers_and_over_levels(browser: Browser, group: Path) -> None:
    with visit(browser, group) as seen:
        page = seen.page
        page.select_option("#structure", label="gray matter")
        page.select_option("#over", label="age")
        assert page.evaluate("scatter.options.scales.x.title.text") == "age"
        assert page.evaluate("scatter.data.datasets[0].data[0].x") >= 20
        page.select_option("#over", label="Manufacturer")
        assert page.evaluate("scatter.options.scales.x.ticks.callback(0)") == "Philips"
        assert page.evaluate("scatter.options.scales.x.ticks.callback(1)") == "Siemens"


def test_a_review_by_keys_is_kept_shown_and_exported_as_an_exclusion_list(
    browser: Browser, group: Path, tmp_path: Path
) -> None:
    with visit(browser, group) as seen:
        page = seen.page
        page.click("#review")
        expect(page.frame_locator("#preview").locator("h1")).to_have_text("report of 1")
        page.keyboard.press("a")
        expect(page.frame_locator("#preview").locator("h1")).to_have_text("report of 2")
        page.keyboard.press("n")
        page.keyboard.type("moved a lot")
        page.keyboard.press("Enter")
        page.keyboard.press("r")
        expect(page.locator("#tally")).to_contain_text("1 accepted, 1 rejected")
        expect(page.locator("#current")).to_contain_text("sub-00003")
        page.keyboard.press("k")
        page.keyboard.press("k")
        page.keyboard.press("u")
        expect(page.locator("#tally")).to_contain_text("0 accepted, 1 rejected")
        page.reload()
        expect(page.locator("#tally")).to_contain_text("0 accepted, 1 rejected")
        rejected = "sub-00002/anat/sub-00002_T2starw.nii.gz"
        for button, name in (("#export-tsv", "review.tsv"), ("#export-json", "review.json")):
            with page.expect_download() as download:
                page.click(button)
            download.value.save_as(tmp_path / name)
            assert read_exclusions(tmp_path / name) == {rejected: "moved a lot"}
        page.select_option("#show", "reject")
        expect(page.locator("#count")).to_have_text(f"1 of {SCANS + 1}")


def test_keys_of_the_review_work_from_within_the_report_as_well(
    browser: Browser, tmp_path: Path
) -> None:
    group = write_group_page(tmp_path, 3)
    labels, grid = make_cord(), make_grid((40, 30, 20))
    files = ScanFiles(volume=make_volume(labels, grid), output=Volume(data=labels, grid=grid))
    scan = build_scan_page(make_segmentation(labels, grid), files)
    page = ParticipantPage(participant="00001", dataset="", version="0", scans=(scan,))
    (tmp_path / "sub-00001.html").write_text(render_participant(page), encoding="utf-8")
    with visit(browser, group) as seen:
        seen.page.click("#review")
        seen.page.frame_locator("#preview").locator("h2").first.click()
        seen.page.keyboard.press("r")
        expect(seen.page.locator("#tally")).to_contain_text("0 accepted, 1 rejected")


def test_a_review_goes_on_from_a_file(browser: Browser, group: Path, tmp_path: Path) -> None:
    line = {"scan": "sub-00009/anat/sub-00009_T2starw.nii.gz", "decision": "reject", "note": "x"}
    (tmp_path / "review.json").write_text(json.dumps([line]))
    (tmp_path / "other.txt").write_text("[")
    with visit(browser, group) as seen:
        seen.page.set_input_files("#import", tmp_path / "review.json")
        expect(seen.page.locator("#tally")).to_contain_text("1 rejected")


def test_ten_thousand_scans_put_few_cells_on_the_page_and_lose_none(
    browser: Browser, tmp_path: Path
) -> None:
    with visit(browser, write_large_page(tmp_path, 10_000, structures=32)) as seen:
        page = seen.page
        expect(page.locator("#count")).to_have_text("10000 of 10000")
        assert page.locator(".tabulator-cell").count() < 1000
        assert page.evaluate("shownRows().length") == 10_000
        assert page.evaluate("strip.data.datasets.flatMap(one => one.data).length") < 5000
        page.fill("#find", "sub-04999_ses-1")
        expect(page.locator("#count")).to_have_text("1 of 10000")
        assert seen.errors == []


@pytest.mark.parametrize("width", [390, 1280])
def test_the_names_of_many_structures_do_not_cover_each_other(
    browser: Browser, tmp_path: Path, width: int
) -> None:
    with visit(browser, write_large_page(tmp_path, 40, structures=32), width=width) as seen:
        wait_for_plots(seen.page)
        room = "strip.scales.y.getPixelForTick(1) - strip.scales.y.getPixelForTick(0)"
        assert seen.page.evaluate("strip.scales.y.ticks.length") == 32
        assert seen.page.evaluate(f"Math.abs({room})") > 14
        assert seen.page.evaluate("strip.scales.x.width > strip.width / 2")
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_columns_are_chosen_and_what_was_filtered_and_sorted_stays(
    browser: Browser, tmp_path: Path
) -> None:
    with visit(browser, write_large_page(tmp_path, 60, structures=32)) as seen:
        page = seen.page
        scan = find_field(page, "scan")
        page.locator(f'.tabulator-col[tabulator-field="{scan}"] input').press_sequentially("ses-1")
        expect(page.locator("#count")).to_have_text("30 of 60")
        title = page.locator(f'.tabulator-col[tabulator-field="{scan}"] .tabulator-col-title')
        title.click()
        title.click()
        volume = find_field(page, "Left-Structure-32_volume_ml")
        assert page.locator(f'.tabulator-col[tabulator-field="{volume}"]').count() == 0
        page.select_option("#columns", "volume")
        assert page.locator(f'.tabulator-col[tabulator-field="{volume}"]').count() == 1
        expect(page.locator("#count")).to_have_text("30 of 60")
        assert read_column(page, scan)[0].startswith("sub-00029")
        page.select_option("#columns", "all")
        page.select_option("#columns", "main")
        expect(page.locator("#count")).to_have_text("30 of 60")
        assert seen.errors == []


def test_two_runs_are_compared_structure_by_structure(browser: Browser, group: Path) -> None:
    with visit(browser, group) as seen:
        cells = seen.page.locator("#agreement tbody td").all_inner_texts()
        assert cells[:3] == ["spinal cord", str(SCANS), "0.500"]
