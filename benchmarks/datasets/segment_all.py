"""Segment whole real datasets with the bundled models and check every output.

    python -m benchmarks.datasets.segment_all DATA WORK [--report FILE]

DATA holds the folders gm-challenge, spine-multicontrast, hippocampus and brain-samples. For each it
runs ``bids-film`` as a user does and prints how many scans were segmented, whether the label maps
lie on exactly their scans' grids, and what the BIDS validator finds.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from benchmarks.provenance import describe_run

MODELS = {
    "gm-challenge": "spinalcord",
    "spine-multicontrast": "spinalcord",
    "hippocampus": "hippocampus",
    "brain-samples": "brain",
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a dataset."""

    dataset: str
    model: str
    exit_code: int
    done: int
    failed: int
    same_grid: int
    validator_errors: int
    seconds: float


def main() -> None:
    """Run every dataset and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="for bids-film")
    arguments = parser.parse_args()
    results = [
        run_dataset(arguments.data / name, arguments.work / name, model, arguments.options)
        for name, model in MODELS.items()
    ]
    text = describe(results)
    print(text)
    if arguments.report:
        arguments.report.write_text(text, encoding="utf-8")


def run_dataset(dataset: Path, work: Path, model: str, options: list[str]) -> Result:
    """Segment one dataset anew and check what came out."""
    output = work / "out"
    command = [sys.executable, "-m", "bids_film", str(dataset), str(output), "participant"]
    command += ["--model", model, "-w", str(work / "work"), "--force", *options]
    started = time.monotonic()
    code = subprocess.run(command, check=False).returncode
    seconds = time.monotonic() - started
    outcomes = [json.loads(path.read_text("utf-8")) for path in output.glob("logs/seg-*/**/*.json")]
    done = [outcome for outcome in outcomes if outcome["result"] == "done"]
    return Result(
        dataset=dataset.name,
        model=model,
        exit_code=code,
        done=len(done),
        failed=len(outcomes) - len(done),
        same_grid=sum(has_same_grid(dataset, output, outcome) for outcome in done),
        validator_errors=count_validator_errors(output),
        seconds=seconds,
    )


def has_same_grid(dataset: Path, output: Path, outcome: Mapping[str, Any]) -> bool:
    """Compare shape, both affines and their codes of a label map with those of its scan."""
    paths = [entry["path"] for entry in outcome["outputs"]]
    labels_file = next(path for path in paths if path.endswith("_dseg.nii.gz"))
    scan, labels = nib.load(dataset / outcome["input"]), nib.load(output / labels_file)
    return (
        scan.shape == labels.shape
        and np.array_equal(scan.affine, labels.affine)
        and np.allclose(scan.get_qform(), labels.get_qform(), atol=1e-5)
        and np.array_equal(scan.get_sform(), labels.get_sform())
        and all(scan.header[code] == labels.header[code] for code in ("qform_code", "sform_code"))
    )


def count_validator_errors(output: Path) -> int:
    """Count the errors that the BIDS schema validator finds."""
    validator = Path(sys.executable).with_name("bids-validator-deno")
    done = subprocess.run(
        [validator, output, "--format", "json"], capture_output=True, text=True, check=False
    )
    issues = json.loads(done.stdout)["issues"]["issues"]
    return sum(issue["severity"] == "error" for issue in issues)


def describe(results: list[Result]) -> str:
    """Write the table in Markdown."""
    lines = [
        "# Real datasets, segmented by the bundled models",
        "",
        "| dataset | model | exit code | done | failed | on the scan's grid | BIDS errors | s |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {r.dataset} | {r.model} | {r.exit_code} | {r.done} | {r.failed} | {r.same_grid} "
        f"| {r.validator_errors} | {r.seconds:.0f} |"
        for r in results
    ]
    lines += ["", describe_run("datasets/segment_all.py", *dict.fromkeys(MODELS.values())), ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
