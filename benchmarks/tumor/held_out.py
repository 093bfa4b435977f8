"""The bundled tumour model on the test slices of BRISC, by type and by plane.

python -m benchmarks.tumor.held_out BRISC WORK [--model NAME|FILE] [--report FILE]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from benchmarks.provenance import describe_run
from bids_film.evaluation.statistics import bootstrap_mean
from bids_film.model.header import read_header
from bids_film.models import find_model
from bids_film.report.experiment import describe_interval

MEASURES = ("dice", "surface_dice", "hd95_mm")


def main() -> None:
    """Evaluate on the test part, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="tumor")
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    header = read_header(find_model(arguments.model))
    command = [sys.executable, "-m", "bids_film", str(arguments.dataset), str(arguments.work)]
    command += ["evaluate", "--part", "test", "--model", arguments.model]
    path = arguments.work / f"evaluation_seg-{header.name}.tsv"
    if not path.exists():
        subprocess.run(command, check=True)
    rows = pd.read_csv(path, sep="\t", dtype=str)
    text = "\n".join(describe(rows, header.version, arguments.model))
    print(text)
    if arguments.report:
        arguments.report.write_text(text, encoding="utf-8")


def describe(rows: pd.DataFrame, version: str, model: str) -> Iterator[str]:
    """Write the table in Markdown."""
    yield f"# Tumour model {version} on the test slices of BRISC"
    yield ""
    yield (
        f"{len(rows)} slices; near-duplicates of training slices are kept out, other slices of "
        "the same patients may not be. In brackets the 95 % interval from resampling slices."
    )
    yield ""
    yield f"| slices | n | {' | '.join(MEASURES)} | Dice below 0.1 |"
    yield "| --- " * (len(MEASURES) + 3) + "|"
    groups = [("all", rows)]
    for column in ("tumor_type", "plane"):
        groups += [(f"{column} {value}", part) for value, part in rows.groupby(column)]
    for name, part in groups:
        cells = [_describe_mean(part, measure) for measure in MEASURES]
        missed = (part["dice"].astype(float) < 0.1).mean()  # noqa: PLR2004 (as good as not found)
        yield f"| {name} | {len(part)} | {' | '.join(cells)} | {missed:.1%} |"
    yield ""
    yield describe_run("tumor/held_out.py", model)
    yield ""


def _describe_mean(rows: pd.DataFrame, measure: str) -> str:
    known = rows[rows[measure] != "n/a"].dropna(subset=[measure])
    values = known[measure].astype(float).tolist()
    return describe_interval(bootstrap_mean(values, known["participant_id"].tolist()))


if __name__ == "__main__":
    main()
