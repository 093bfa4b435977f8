"""What the experiments of the paper share: their arguments, the command, their report."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from benchmarks.provenance import describe_run


def parse_arguments(about: str | None) -> argparse.Namespace:
    """Read the dataset, the working folder and where the report goes."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path, help="keeps what is trained, to go on from")
    parser.add_argument("--report", type=Path, help="writes the tables in Markdown")
    parser.add_argument("--threads", default="2")
    return parser.parse_args()


def run_experiment(dataset: Path, output: Path, recipe: Path, *, threads: str) -> str:
    """Run ``bids-film experiment`` as a user does, and read its tables."""
    command = [
        sys.executable, "-m", "bids_film", str(dataset), str(output), "experiment",
        "--config-file", str(recipe), "--omp-nthreads", threads,
    ]  # fmt: skip
    subprocess.run(command, check=True)
    return (output / "experiment.md").read_text(encoding="utf-8")


def write_report(path: Path | None, results: str, *, script: str) -> None:
    """Print results with what they were made by; write them where a report is asked for."""
    text = f"{results}\n{describe_run(script)}\n"
    sys.stdout.write(text)
    if path:
        path.write_text(text, encoding="utf-8")
