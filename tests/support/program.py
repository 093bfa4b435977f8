"""The program, run as a user runs it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a run of the program left.

    Attributes
    ----------
    code : int
        Exit code.
    out, err : str
        What it printed.
    """

    code: int
    out: str
    err: str


def run_program(*arguments: object, timeout_s: float = 300) -> Run:
    """Run ``bids-film`` to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "bids_film", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    return Run(code=done.returncode, out=done.stdout, err=done.stderr)


def find_bids_errors(dataset: Path) -> list[str]:
    """Errors that the schema validator finds in a dataset."""
    validator = Path(sys.executable).with_name("bids-validator-deno")
    done = subprocess.run(
        [validator, dataset, "--format", "json"], capture_output=True, text=True, check=False
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [
        f"{issue['code']} {issue.get('subCode', '')} {issue.get('location', '')}"
        for issue in issues
        if issue["severity"] == "error"
    ]
