"""The bundled hippocampus model on the people who were kept out of its training.

    python -m benchmarks.hippocampus.held_out HIPPOCAMPUS WORK [--report FILE]

Who they are is read from the record in the model file.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pandas as pd

from benchmarks.provenance import describe_run
from bids_film.model.header import read_header
from bids_film.models import find_model

MEASURES = ("dice", "hd95_mm", "assd_mm")


def main() -> None:
    """Segment, evaluate, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="hippocampus")
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    header = read_header(find_model(arguments.model))
    people = [entry["scan"].split("/")[0] for entry in header.training["data"]["validation"]]
    output = arguments.work / "out"
    command = [sys.executable, "-m", "bids_film", str(arguments.dataset), str(output)]
    options = ["--model", arguments.model, "--participant-label", *people]
    work = ["-w", str(arguments.work / "work")]
    subprocess.run([*command, "participant", *options, *work], check=True)
    subprocess.run([*command, "evaluate", *options], check=True)
    rows = pd.read_csv(output / f"evaluation_seg-{header.name}.tsv", sep="\t")
    text = describe(rows, header.version, arguments.model)
    print(text)
    if arguments.report:
        arguments.report.write_text(text, encoding="utf-8")


def describe(rows: pd.DataFrame, version: str, model: str) -> str:
    """Write the table in Markdown."""
    lines = [
        f"# Hippocampus model {version} on people kept out of its training",
        "",
        f"| structure | scans | {' | '.join(MEASURES)} |",
        "| --- " * (len(MEASURES) + 2) + "|",
    ]
    for name, part in rows.groupby("structure", sort=False):
        cells = [f"{part[measure].mean():.3f} ± {part[measure].std():.3f}" for measure in MEASURES]
        lines += [f"| {name} | {len(part)} | {' | '.join(cells)} |"]
    lines += [
        "",
        "Mean ± standard deviation over people. These people chose the step that was kept.",
        "",
    ]
    return "\n".join([*lines, describe_run("hippocampus/held_out.py", model), ""])


if __name__ == "__main__":
    main()
