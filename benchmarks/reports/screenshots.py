"""Pictures of the reports for the documentation, in both widths and both themes.

    python -m benchmarks.reports.screenshots DATA WORK [--pictures docs/screenshots]

DATA holds the public datasets by name. The reports themselves stay in WORK, to be looked at. Of
each page the upper part is shown, and of some the sections that lie further down.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

from bids_film.domain.errors import ExitCode
from tests.support.chromium import start_chromium, visit

TALLEST = {1280: 2600, 390: 1500}
READY_MS = 60_000
QUALITY = 80


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What is segmented for a picture."""

    dataset: str
    model: str
    participants: tuple[str, ...]
    page: str


SUBJECTS = (
    Subject(
        dataset="gm-challenge", model="spinalcord", participants=("9418",), page="sub-9418.html"
    ),
    Subject(dataset="brain-samples", model="brain", participants=("oms07",), page="sub-oms07.html"),
    Subject(dataset="brisc", model="tumor", participants=("te00001",), page="sub-te00001.html"),
    Subject(
        dataset="hippocampus",
        model="hippocampus",
        participants=(),
        page="group_seg-hippocampus.html",
    ),
    Subject(dataset="hippocampus", model="hippocampus", participants=("001",), page="sub-001.html"),
)
DAMAGED = "damaged"


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page.

    Attributes
    ----------
    name : str
    page : str
        Relative to WORK.
    start, end : str
        Selectors of the first element that is shown, and of the first one that is not; without
        the latter, the first one alone is shown.
    prepare : Callable
        What is done before.
    """

    name: str
    page: str
    start: str
    end: str = ""
    prepare: Callable[[Page], None] = lambda _: None


def open_viewer(page: Page) -> None:
    """Open the 3-D viewer of the first scan."""
    page.locator("button.open-viewer").first.click()
    page.locator(".viewer[data-ready]").first.wait_for(timeout=READY_MS)
    page.wait_for_timeout(2000)


def open_review(page: Page) -> None:
    """Go through the worst scans, and note two decisions."""
    # High enough for all of it: a report within the page is painted where it is in view.
    page.set_viewport_size({"width": 1280, "height": 1500})
    page.select_option("#show", "look")
    page.click("#review")
    page.keyboard.press("r")
    page.keyboard.press("a")
    page.locator("#preview").scroll_into_view_if_needed()
    page.wait_for_timeout(3000)


def open_crash_text(page: Page) -> None:
    """Show the text of the crash file."""
    page.locator(".failures summary").first.click()


SECTIONS = (
    Section(
        name="report",
        page="brain-samples/sub-oms07.html",
        start=".scan",
        end=".scan .browse",
    ),
    Section(
        name="viewer",
        page="brain-samples/sub-oms07.html",
        start=".browse",
        prepare=open_viewer,
    ),
    Section(
        name="effect",
        page="gm-challenge/sub-9418.html",
        start="h3[id$='-effect']",
        end="h3[id$='-effect'] ~ h3",
    ),
    Section(
        name="uncertainty",
        page="gm-challenge/sub-9418.html",
        start="h3[id$='-effect'] ~ h3",
        end="h3[id$='-effect'] ~ details",
    ),
    Section(
        name="review",
        page="hippocampus/group_seg-hippocampus.html",
        start="section:has(#scans)",
        prepare=open_review,
    ),
    Section(
        name="failures",
        page=f"{DAMAGED}/sub-9418.html",
        start=".failures",
        prepare=open_crash_text,
    ),
)


def main() -> None:
    """Segment, write the pages, and photograph them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--pictures", type=Path, default=Path("docs/screenshots"))
    arguments = parser.parse_args()
    arguments.pictures.mkdir(parents=True, exist_ok=True)
    for subject in SUBJECTS:
        make_reports(subject, arguments.data / subject.dataset, arguments.work)
    make_failure(arguments.data / "gm-challenge", arguments.work)
    with start_chromium() as browser:
        for subject in SUBJECTS:
            page = arguments.work / subject.dataset / subject.page
            for width in TALLEST:
                for scheme in ("light", "dark"):
                    name = f"{subject.dataset}-{page.stem}-{width}-{scheme}.webp"
                    photograph(browser, page, arguments.pictures / name, width, scheme)
        for section in SECTIONS:
            for scheme in ("light", "dark"):
                name = f"section-{section.name}-{scheme}.webp"
                photograph_section(browser, section, arguments, name, scheme)


def make_reports(subject: Subject, dataset: Path, work: Path) -> None:
    """Segment what is not segmented yet, and write its pages anew."""
    command = [sys.executable, "-m", "bids_film", str(dataset), str(work / subject.dataset)]
    whom = ["--participant-label", *subject.participants] if subject.participants else []
    options = ["--model", subject.model, *whom, "-w", str(work / "work")]
    subprocess.run([*command, "participant", *options], check=True)
    subprocess.run([*command, "group"], check=True)
    subprocess.run([*command, "participant", *options, "--reports-only"], check=True)


def make_failure(dataset: Path, work: Path) -> None:
    """Write the page of a scan whose file ends early."""
    source = dataset / "sub-9418/anat/sub-9418_run-1_T2starw.nii.gz"
    copy = work / f"{DAMAGED}-bids" / source.relative_to(dataset)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(dataset / "dataset_description.json", work / f"{DAMAGED}-bids")
    copy.write_bytes(source.read_bytes()[:100_000])
    folders = [str(work / f"{DAMAGED}-bids"), str(work / DAMAGED)]
    options = ["--model", "spinalcord", "-w", str(work / "work")]
    command = [sys.executable, "-m", "bids_film", *folders, "participant", *options]
    if subprocess.run(command, check=False).returncode != ExitCode.SCANS_FAILED:
        raise SystemExit(f"{copy} was meant to fail")


def photograph(browser: Browser, page: Path, picture: Path, width: int, scheme: str) -> None:
    """Write a picture of the upper part of a page."""
    with visit(browser, page, width=width, scheme=scheme) as seen:
        open_everything(seen.page)
        shot = seen.page.screenshot(full_page=True)
        if seen.errors:
            raise SystemExit(f"{page}: {seen.errors}")
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    keep(image.crop((0, 0, image.width, min(image.height, TALLEST[width]))), picture)


def photograph_section(
    browser: Browser, section: Section, arguments: argparse.Namespace, name: str, scheme: str
) -> None:
    """Write a picture of a section of a page."""
    path = arguments.work / section.page
    with visit(browser, path, scheme=scheme) as seen:
        section.prepare(seen.page)
        open_everything(seen.page)
        box = seen.page.locator(section.start).first.bounding_box()
        below = section.end and seen.page.locator(section.end).first.bounding_box()
        shot = seen.page.screenshot(full_page=True)
        if seen.errors or not box:
            raise SystemExit(f"{path}, {section.name}: {seen.errors or 'not there'}")
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    bottom = below["y"] if below else box["y"] + box["height"]
    edges = (box["x"], box["y"], box["x"] + box["width"], bottom)
    keep(image.crop(tuple(round(edge) for edge in edges)), arguments.pictures / name)


def keep(image: Image.Image, picture: Path) -> None:
    """Write a picture and say how large it is."""
    image.save(picture, format="WEBP", quality=QUALITY)
    print(f"{picture}: {image.width} x {image.height}, {picture.stat().st_size / 1024:.0f} kB")


def open_everything(page: Page) -> None:
    """Bring every slider into view, so that its slices are there."""
    for section in page.locator(".browse").all():
        section.scroll_into_view_if_needed()
        page.wait_for_timeout(400)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(600)


if __name__ == "__main__":
    main()
