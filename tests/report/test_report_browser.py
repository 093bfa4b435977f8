"""The participant's page in a real browser, opened as a file."""

from __future__ import annotations

import io
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from pypdf import PdfReader
from report_scenes import (
    MANY,
    TABLE,
    make_cord,
    make_grid,
    make_many,
    make_segmentation,
    make_volume,
)
from support.chromium import visit

from bids_film.domain.segmentation import (
    Alternative,
    FailedScan,
    RecordedValue,
    Segmentation,
    StructureChange,
)
from bids_film.domain.volume import Volume
from bids_film.report.cohort import Spread
from bids_film.report.page import (
    Failure,
    ParticipantPage,
    ScanFiles,
    ScanPage,
    build_scan_page,
)
from bids_film.report.participant import render_participant

pytestmark = pytest.mark.browser
HOSTILE = "\"'><img src=x onerror=window.hacked=1><script>window.hacked=1</script>"


def make_scan() -> ScanPage:
    labels, grid = make_cord(), make_grid((40, 30, 20), axes="LPI")
    other = np.where(labels == 2, 1, labels)
    alternatives = (
        Alternative(
            changes=tuple(StructureChange(name=s.name, dice=0.5, volume_ml=2.0) for s in TABLE)
        ),
        Alternative(
            field="Manufacturer",
            value=HOSTILE,
            changes=tuple(StructureChange(name=s.name, dice=0.9, volume_ml=2.0) for s in TABLE),
        ),
    )
    value = RecordedValue(
        field="Manufacturer", value=HOSTILE, status="used", file=f"{HOSTILE}.tsv", note=HOSTILE
    )
    segmentation = make_segmentation(labels, grid, value, alternatives=alternatives)
    entropy = np.clip(labels / 4, 0, 1).astype(np.float32)
    files = ScanFiles(
        volume=make_volume(labels, grid),
        output=Volume(data=labels, grid=grid),
        entropy=Volume(data=entropy, grid=grid),
        read_map=lambda _: Volume(data=other, grid=grid),
    )
    return build_scan_page(segmentation, files)


def rename(scan: ScanPage, path: str) -> ScanPage:
    first, *others = scan.segmentation.volumes
    longer = replace(first.structure, name="cerebrospinal ventriculomegalic fluid")
    changed: Segmentation = replace(
        scan.segmentation,
        scan=path,
        labels_file=path.replace(".nii.gz", "_dseg.nii.gz"),
        volumes=(replace(first, structure=longer, volume_ml=1234.5, voxels=12_345_678), *others),
    )
    cohort = {"SC": Spread(scans=900, median=1234.5, deviation=20.0)}
    return replace(scan, segmentation=changed, cohort=cohort)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    scan = make_scan()
    hostile = rename(scan, f"sub-01/anat/sub-01_acq-'\"{HOSTILE}_T1w.nii.gz".replace("</", "<"))
    failure = FailedScan(scan=f"sub-01/anat/{HOSTILE}.nii.gz", message=HOSTILE, hint=HOSTILE)
    page = ParticipantPage(
        participant="01",
        dataset=HOSTILE,
        version="0.1.0",
        scans=(scan, hostile),
        failures=(Failure(scan=failure, crash_text=HOSTILE),),
    )
    path = tmp_path_factory.mktemp("report") / "sub-01 'quoted' \"name\".html"
    path.write_text(render_participant(page), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Report of a scan with 32 structures, told otherwise in six ways."""
    labels, grid = make_many(), make_grid((40, 40, 20))
    changes = tuple(
        StructureChange(name=s.name, dice=0.99 - s.index / 100, volume_ml=0.05) for s in MANY
    )
    alternatives = tuple(
        Alternative(field="Manufacturer", value=f"Manufacturer {number}", changes=changes)
        for number in range(6)
    )
    segmentation = make_segmentation(labels, grid, table=MANY, alternatives=alternatives)
    told = tuple(
        replace(
            item, trained_ml=(1234.5, 2345.6), expected_dice=0.8, entropy=0.1, reached_dice=0.85
        )
        for item in segmentation.volumes
    )
    files = ScanFiles(
        volume=make_volume(labels, grid),
        output=Volume(data=labels, grid=grid),
        cohort={s.abbreviation: Spread(scans=900, median=1234.5, deviation=20.0) for s in MANY},
    )
    scan = build_scan_page(replace(segmentation, volumes=told), files)
    path = tmp_path_factory.mktemp("report") / "sub-01.html"
    page = ParticipantPage(participant="01", version="0.1.0", scans=(scan,))
    path.write_text(render_participant(page), encoding="utf-8")
    return path


def read_canvas(page: Page, selector: str) -> list[int]:
    """Pixels of a canvas, as their sum per channel."""
    return page.locator(selector).first.evaluate(
        """canvas => {
            const { width, height } = canvas;
            const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
            const sums = [0, 0, 0];
            for (let i = 0; i < data.length; i += 1) if (i % 4 < 3) sums[i % 4] += data[i];
            return sums;
        }"""
    )


def wait_for_slices(page: Page) -> None:
    page.locator(".browse").first.scroll_into_view_if_needed()
    expect(page.locator(".browse .at").first).to_contain_text("of 0")


@pytest.mark.parametrize("name", ["report", "many"])
@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_asks_for_nothing_complains_of_nothing_and_never_scrolls_sideways(
    browser: Browser, request: pytest.FixtureRequest, name: str, width: int, scheme: str
) -> None:
    report: Path = request.getfixturevalue(name)
    with visit(browser, report, width=width, scheme=scheme) as seen:
        wait_for_slices(seen.page)
        assert seen.errors == []
        assert seen.requests == [report.resolve().as_uri()]
        assert seen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_text_of_a_dataset_runs_nothing(browser: Browser, report: Path) -> None:
    with visit(browser, report) as seen:
        wait_for_slices(seen.page)
        seen.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
        assert seen.page.evaluate("window.hacked") is None
        assert "window.hacked" in seen.page.inner_text("body"), "it is shown as the text that it is"


def test_markup_that_got_in_would_still_run_nothing(browser: Browser, report: Path) -> None:
    with visit(browser, report) as seen:
        seen.page.evaluate(
            "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.hacked=1>')"
        )
        seen.page.wait_for_timeout(300)
        assert seen.page.evaluate("window.hacked") is None
        assert any("Content Security Policy" in error for error in seen.errors)


def test_outlines_and_single_structures_can_be_switched_off(browser: Browser, report: Path) -> None:
    with visit(browser, report) as seen:
        cord, gray = (f".mosaic path[data-structure={name}]" for name in ("SC", "GM"))
        visible = seen.page.locator
        assert visible(cord).first.is_visible()
        seen.page.locator(".legend input.structure").first.uncheck()
        assert not visible(cord).first.is_visible()
        seen.page.keyboard.press("o")
        assert not any(path.is_visible() for path in visible(gray).all())
        seen.page.keyboard.press("o")
        assert any(path.is_visible() for path in visible(gray).all())
        assert not visible(cord).first.is_visible()
        seen.page.get_by_role("button", name="none").first.click()
        assert not any(path.is_visible() for path in visible(gray).first.locator("..").all())
        seen.page.get_by_role("button", name="all", exact=True).first.click()
        assert visible(cord).first.is_visible()
        assert visible(gray).first.is_visible()


@pytest.mark.parametrize("width", [390, 1280])
def test_of_many_structures_each_name_stands_in_one_line(
    browser: Browser, many: Path, width: int
) -> None:
    with visit(browser, many, width=width) as seen:
        lines = seen.page.locator(".volumes tbody th, .legend li").evaluate_all(
            """cells => cells.map(cell => {
                const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
                const range = document.createRange();
                let most = 0;
                while (texts.nextNode()) {
                    range.selectNodeContents(texts.currentNode);
                    most = Math.max(most, range.getClientRects().length);
                }
                return most;
            })"""
        )
        assert lines == (32 + 18) * [1], "left and right share a line of the legend"


def test_left_and_right_are_toggled_each_by_its_own(browser: Browser, many: Path) -> None:
    with visit(browser, many) as seen:
        place = next(i for i, s in enumerate(MANY) if s.name == "Right-Cerebellum-White-Part-D")
        seen.page.get_by_label("Right-Cerebellum-White-Part-D", exact=True).uncheck()
        shown = seen.page.locator(".mosaic .contours path").evaluate_all(
            "paths => paths.map(path => [path.dataset.place, path.style.display])"
        )
        assert {own for own, display in shown if display == "none"} == {str(place)}


def test_what_changed_less_is_folded_away(browser: Browser, many: Path) -> None:
    with visit(browser, many) as seen:
        rows = seen.page.locator(".effect tbody tr")
        assert [row.is_visible() for row in rows.all()] == 8 * [True] + 24 * [False]
        seen.page.get_by_text("24 structures that changed less").click()
        assert all(row.is_visible() for row in rows.all())


def test_the_slider_goes_through_the_slices_of_each_plane(browser: Browser, report: Path) -> None:
    with visit(browser, report) as seen:
        page = seen.page
        wait_for_slices(page)
        slider, at = page.locator(".slide input").first, page.locator(".slide .at").first
        assert slider.get_attribute("max") == "19"
        before, place = read_canvas(page, "canvas.slice"), at.inner_text()
        slider.focus()
        page.keyboard.press("Home")
        assert at.inner_text() == "axial 19 of 0–19", "the file counts from the patient's head"
        assert at.inner_text() != place
        assert read_canvas(page, "canvas.slice") != before
        page.locator("input.plane[value=sagittal]").first.check()
        assert slider.get_attribute("max") == "39"
        assert "sagittal" in at.inner_text()


def test_outlines_structures_zoom_and_uncertainty_change_the_slice(
    browser: Browser, report: Path
) -> None:
    with visit(browser, report) as seen:
        page = seen.page
        wait_for_slices(page)
        pictures = [read_canvas(page, "canvas.slice")]
        for selector in ("input.heat", "input.zoomed", ".legend input.structure", "input.outlined"):
            page.locator(selector).first.click()
            pictures.append(read_canvas(page, "canvas.slice"))
        assert all(one != next_ for one, next_ in itertools.pairwise(pictures))
        red, green, blue = pictures[-1]
        assert red > green > blue, "amber alone colours a slice without outlines"


def test_the_slices_are_the_scans_own_voxels(browser: Browser, report: Path) -> None:
    with visit(browser, report) as seen:
        wait_for_slices(seen.page)
        counts = seen.page.evaluate(
            """async () => {
                const stack = readJson(document.querySelector(".browse").dataset.stack);
                const labels = await unpack(stack.labels, stack.shape, stack.columns);
                return [1, 2].map(value => labels.filter(label => label === value).length);
            }"""
        )
        labels = make_cord()
        assert counts == [int((labels == 1).sum()), int((labels == 2).sum())]


def test_the_viewer_opens_at_a_click_and_shows_the_scan(browser: Browser, report: Path) -> None:
    with visit(browser, report) as seen:
        page = seen.page
        assert page.evaluate("window.niivue") is None, "it costs nothing before"
        page.locator("button.open-viewer").first.click()
        page.wait_for_selector(".viewer[data-ready=true]", timeout=60_000)
        assert "Drag" in page.locator(".viewer [role=status]").first.inner_text()
        shot = page.locator(".viewer canvas").first.screenshot()
        pixels = np.asarray(Image.open(io.BytesIO(shot)).convert("RGB")).astype(int)
        brightest, spread = pixels.max(axis=-1), np.ptp(pixels, axis=-1)
        assert np.count_nonzero((brightest > 30) & (spread < 5)) > 2_000, "the scan is gray"
        assert np.count_nonzero(spread > 30) > 200, "structures have colours"
        assert seen.errors == []
        assert seen.requests == [report.resolve().as_uri()]


def test_the_page_can_be_used_with_the_keyboard_alone(browser: Browser, report: Path) -> None:
    with visit(browser, report) as seen:
        wait_for_slices(seen.page)
        seen.page.evaluate("scrollTo(0, 0)")
        reached = set()
        for _ in range(40):
            seen.page.keyboard.press("Tab")
            reached.add(
                seen.page.evaluate(
                    "document.activeElement.className || document.activeElement.type"
                )
            )
        assert {"outlines", "structure", "plane", "range", "open-viewer"} <= reached


def test_without_scripts_the_page_still_shows_pictures_checks_and_numbers(
    browser: Browser, report: Path
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.resolve().as_uri())
    assert page.locator(".mosaic svg").first.is_visible()
    assert page.locator("table.volumes").first.is_visible()
    assert not page.locator(".browse").first.is_visible()
    context.close()


def test_the_page_prints(browser: Browser, report: Path, tmp_path: Path) -> None:
    with visit(browser, report) as seen:
        seen.page.pdf(path=tmp_path / "report.pdf")
        seen.page.emulate_media(media="print")
        assert not seen.page.locator(".browse").first.is_visible()
        pictures = seen.page.evaluate(
            "new Set([...document.querySelectorAll('svg image')].map(one => one.href.baseVal)).size"
        )
    pages = PdfReader(tmp_path / "report.pdf").pages
    texts = [page.extract_text() for page in pages]
    assert all(len(text) > 20 for text in texts), "no page is empty"
    whole = " ".join(" ".join(texts).split())
    # What is folded away on a screen is printed as well.
    for told in ("spinal cord", "What the metadata did", "SHA-256", "Methods"):
        assert told in whole
    assert sum(len(page.images) for page in pages) >= pictures > 3
