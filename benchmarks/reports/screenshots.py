"""Pictures of the reports for the documentation, in both widths and both themes.

    python -m benchmarks.reports.screenshots DATA WORK [--pictures docs/screenshots]

DATA holds the public datasets by name. The reports themselves stay in WORK, to be looked at.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page

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
    with start_chromium() as browser:
        for subject in SUBJECTS:
            page = arguments.work / subject.dataset / subject.page
            for width in TALLEST:
                for scheme in ("light", "dark"):
                    name = f"{subject.dataset}-{page.stem}-{width}-{scheme}.webp"
                    photograph(browser, page, arguments.pictures / name, width, scheme)
            photograph_parts(browser, page, arguments.pictures / f"{subject.dataset}-{page.stem}")


def make_reports(subject: Subject, dataset: Path, work: Path) -> None:
    """Segment what is not segmented yet, and write its pages anew."""
    command = [sys.executable, "-m", "bids_film", str(dataset), str(work / subject.dataset)]
    whom = ["--participant-label", *subject.participants] if subject.participants else []
    options = ["--model", subject.model, *whom, "-w", str(work / "work")]
    subprocess.run([*command, "participant", *options], check=True)
    subprocess.run([*command, "group"], check=True)
    subprocess.run([*command, "participant", *options, "--reports-only"], check=True)


def photograph(browser: Browser, page: Path, picture: Path, width: int, scheme: str) -> None:
    """Write a picture of the upper part of a page."""
    with visit(browser, page, width=width, scheme=scheme) as seen:
        open_everything(seen.page)
        shot = seen.page.screenshot(full_page=True)
        if seen.errors:
            raise SystemExit(f"{page}: {seen.errors}")
    image = Image.open(io.BytesIO(shot)).convert("RGB")
    image = image.crop((0, 0, image.width, min(image.height, TALLEST[width])))
    image.save(picture, format="WEBP", quality=QUALITY)
    print(f"{picture}: {image.width} x {image.height}, {picture.stat().st_size / 1024:.0f} kB")


def photograph_parts(browser: Browser, page: Path, stem: Path) -> None:
    """Write pictures of what is there after a click only: the 3-D viewer, the review."""
    with visit(browser, page, width=1280, scheme="light") as seen:
        viewer, review = seen.page.locator("button.open-viewer"), seen.page.locator("#review")
        if viewer.count():
            viewer.first.click()
            seen.page.wait_for_selector(".browse [data-ready=true]", timeout=READY_MS)
            save(seen.page.locator(".browse").first.screenshot(), stem, "viewer")
        if review.count():
            review.click()
            seen.page.wait_for_timeout(1000)
            save(seen.page.locator("#panel").screenshot(), stem, "review")


def save(shot: bytes, stem: Path, part: str) -> None:
    """Write a screenshot in the format of the documentation."""
    picture = stem.with_name(f"{stem.name}-{part}.webp")
    Image.open(io.BytesIO(shot)).convert("RGB").save(picture, format="WEBP", quality=QUALITY)


def open_everything(page: Page) -> None:
    """Bring every slider into view, so that its slices are there."""
    for section in page.locator(".browse").all():
        section.scroll_into_view_if_needed()
        page.wait_for_timeout(400)
    page.evaluate("scrollTo(0, 0)")
    page.wait_for_timeout(600)


if __name__ == "__main__":
    main()
