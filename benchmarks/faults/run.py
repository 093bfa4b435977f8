"""Inject all faults of ``tests/faults``, and write what came of them into docs/reliability.md.

    python -m benchmarks.faults.run [--times N] [--ledger FILE] [--select EXPRESSION]

N is how often a signal is sent to each kind of process of a run at a random moment. The exit code
is that of the tests: a table is only written where all of them passed. A long run can be divided: a
ledger that is kept is added to, and the table is of all that it holds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.pages import write_section
from benchmarks.provenance import describe_run

_TESTS = Path(__file__).parents[2] / "tests" / "faults"


def main() -> None:
    """Run the suite with its ledger, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--ledger", type=Path, help="file to add to")
    parser.add_argument("--select", default="", help="which tests, as pytest's -k takes it")
    options = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        ledger = options.ledger or Path(folder) / "ledger"
        ledger.touch()
        environment = {
            "BIDS_FILM_FAULT_LEDGER": str(ledger.resolve()),
            "BIDS_FILM_FAULT_TIMES": str(options.times),
        }
        command = [sys.executable, "-m", "pytest", str(_TESTS), "-q", "--timeout=7200"]
        command += ["-k", options.select] if options.select else []
        code = subprocess.run(command, env=os.environ | environment, check=False).returncode
        lines = [json.loads(line) for line in ledger.read_text(encoding="utf-8").splitlines()]
    if code == 0:
        sys.stdout.write(f"{(time.monotonic() - began) / 60:.0f} minutes\n")
        write_section("reliability.md", "faults", _describe(lines))
    sys.exit(code)


def _describe(lines: list[dict[str, Any]]) -> str:
    counts: Counter[tuple[str, str]] = Counter()
    for line in lines:
        counts[line["fault"], line["outcome"]] += line["times"]
    rows = [f"| {fault} | {count:,} | {outcome} |" for (fault, outcome), count in counts.items()]
    return "\n".join(
        [
            "| fault | times injected | outcome |",
            "| --- | --- | --- |",
            *rows,
            "",
            f"{sum(counts.values()):,} injections.",
            describe_run("faults/run.py"),
        ]
    )


if __name__ == "__main__":
    main()
