"""A real browser for the tests of pages, and what it complains about."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

VARIABLE = "BIDS_FILM_CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    # WebGL 2 without a graphics card, for the 3-D viewer.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
)


@dataclass
class Visit:
    """An open page, and what went wrong on it.

    Attributes
    ----------
    page : Page
    errors : list[str]
        Errors of scripts and of the console.
    requests : list[str]
        Addresses that were asked for beyond data within the page.
    """

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


def find_chromium() -> str:
    """Find the browser; without one the tests of the pages fail, and say what to do."""
    found = os.environ.get(VARIABLE) or next(filter(None, map(shutil.which, _NAMES)), None)
    if not found or not Path(found).exists():
        pytest.fail(
            "no Chromium, so the pages were NOT tested: install it (apt-get install chromium), "
            f"name it in {VARIABLE}, or leave these tests out with -m 'not browser'",
            pytrace=False,
        )
    return found


@contextmanager
def start_chromium() -> Iterator[Browser]:
    """Run a browser."""
    path = find_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_ARGUMENTS))
        yield browser
        browser.close()


@contextmanager
def visit(
    browser: Browser, path: Path, *, width: int = 1280, scheme: str = "light"
) -> Iterator[Visit]:
    """Open a file as from a folder, and watch it."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
    )
    page = context.new_page()
    seen = Visit(page=page)
    page.on("pageerror", lambda error: seen.errors.append(str(error)))
    page.on("console", lambda m: seen.errors.append(m.text) if m.type == "error" else None)
    page.on("request", lambda r: seen.requests.append(r.url) if _leaves(r.url) else None)
    page.goto(path.resolve().as_uri())
    yield seen
    context.close()


def _leaves(url: str) -> bool:
    return not url.startswith(("data:", "blob:", "about:"))
