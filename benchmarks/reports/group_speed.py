"""How long the group page takes to open, sort, filter and note a decision, in Chromium.

    python -m benchmarks.reports.group_speed WORK [--scans 100 1000 10000]

Scans are made up, with the structures of the model ``brain``. The pages stay in WORK, to be
looked at.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from playwright.sync_api import Browser, Page

from benchmarks.provenance import describe_run
from bids_film.domain.labels import LabelTable
from bids_film.domain.segmentation import Segmentation
from bids_film.model.header import read_header
from bids_film.models import find_model
from bids_film.report.checks import Check, Verdict
from bids_film.report.group import render_group
from tests.support.chromium import start_chromium, visit
from tests.support.cohorts import make_cohort, make_group

MODEL = "brain"
REPEATS = 5

_PLOTTED = "() => Boolean(document.getElementById('plotted')?.textContent)"
ACTIONS = {
    "sort by a column": ("() => title('farthest_robust_z').click()", "() => true"),
    "find a scan": ("() => change('find', 'sub-00007', 'input')", "() => shown() < rows.length"),
    "show all again": ("() => change('find', '', 'input')", "() => shown() === rows.length"),
    "only what to look at": (
        "() => change('show', 'look', 'change')",
        "() => shown() < rows.length",
    ),
    "all of them": ("() => change('show', 'all', 'change')", "() => shown() === rows.length"),
    "plot another structure": (
        "() => change('structure', (Number(byId('structure').value) + 1) % 5, 'change')",
        "() => true",
    ),
    "accept in the review": ("() => press('a')", "() => true"),
    "columns: all": ("() => change('columns', 'all', 'change')", "() => true"),
    "columns: main": ("() => change('columns', 'main', 'change')", "() => true"),
}
"""What a user does, and how the page shows that it is done."""


def main() -> None:
    """Write a page of each size and print what it takes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--scans", type=int, nargs="+", default=[100, 1000, 10_000])
    arguments = parser.parse_args()
    arguments.work.mkdir(parents=True, exist_ok=True)
    table = read_header(find_model(MODEL)).labels
    columns = []
    with start_chromium() as browser:
        for scans in arguments.scans:
            path = arguments.work / f"group_seg-{MODEL}_{scans}.html"
            columns.append({**write_page(path, table, scans), **dict(measure(browser, path))})
    heads = " | ".join(f"{scans:,} scans" for scans in arguments.scans)
    print(f"| {len(table.structures)} structures | {heads} |")
    print("| --- |" + " ---: |" * len(columns))
    for name in columns[0]:
        print(f"| {name} | {' | '.join(own[name] for own in columns)} |")
    print(f"\nMedians of {REPEATS}.", describe_run("reports/group_speed.py"))


def write_page(path: Path, table: LabelTable, scans: int) -> dict[str, str]:
    """Write the page of a made-up group."""
    segmentations = make_cohort(table.structures, scans, model=MODEL)
    started = time.perf_counter()
    page = make_group(table.structures, segmentations, make_checks(segmentations))
    path.write_text(render_group(page), encoding="utf-8")
    return {
        "the page, MB": f"{path.stat().st_size / 1e6:.1f}",
        "write it, ms": f"{1000 * (time.perf_counter() - started):.0f}",
    }


def make_checks(segmentations: Sequence[Segmentation]) -> dict[str, tuple[Check, ...]]:
    """Let something be found in every third scan."""
    passed = Check(name="Every structure found", verdict=Verdict.PASSED, detail="")
    look = Check(
        name="Metadata in order",
        verdict=Verdict.LOOK,
        detail="EchoTime, RepetitionTime outside of what the model was trained on.",
    )
    return {
        item.scan: (passed,) if place % 3 else (passed, look)
        for place, item in enumerate(segmentations)
    }


def measure(browser: Browser, path: Path) -> Iterator[tuple[str, str]]:
    """Time a page, from what is done until the next frame shows it."""
    opened = []
    for _ in range(REPEATS):
        with visit(browser, path) as seen:
            wait_for(seen.page, _PLOTTED)
            opened.append(float(seen.page.evaluate("performance.now()")))
    yield "open, plots drawn, ms", f"{statistics.median(opened):.0f}"
    with visit(browser, path) as seen:
        wait_for(seen.page, _PLOTTED)
        runs: dict[str, list[float]] = {name: [] for name in ACTIONS}
        for _ in range(REPEATS):
            for name, (act, done) in ACTIONS.items():
                runs[name].append(time_action(seen.page, act, done))
        if seen.errors:
            raise SystemExit(f"{path}: {seen.errors}")
    for name, own in runs.items():
        yield f"{name}, ms", f"{statistics.median(own):.0f}"


def wait_for(page: Page, done: str) -> None:
    """Wait for a page whose policy lets no text be run as a script, as `wait_for_function` does."""
    page.evaluate(
        f"async () => {{ while (!({done})()) await new Promise(requestAnimationFrame); }}"
    )


def time_action(page: Page, act: str, done: str) -> float:
    """Milliseconds from an action to the frame that shows what came of it."""
    taken = page.evaluate(
        f"""async () => {{
          const change = (id, value, kind) => {{
            byId(id).value = value;
            byId(id).dispatchEvent(new Event(kind));
          }};
          const title = (key) => document.querySelector(
            `[tabulator-field="${{fieldOf[key]}}"] .tabulator-col-title`);
          const press = (key) => {{
            byId('panel').hidden = false;
            if (!current) step(0);
            document.body.dispatchEvent(new KeyboardEvent('keydown', {{ key, bubbles: true }}));
          }};
          const shown = () => Number(byId('count').textContent.split(' ')[0]);
          const frame = () => new Promise((next) => requestAnimationFrame(() => setTimeout(next)));
          const started = performance.now();
          ({act})();
          do await frame(); while (!({done})());
          return performance.now() - started;
        }}"""
    )
    page.wait_for_timeout(400)
    return float(taken)


if __name__ == "__main__":
    main()
