"""Cross-validation on all hippocampus scans, in 3-D: the task on which everybody knows nnU-Net.

    python -m benchmarks.hippocampus.five_fold HIPPOCAMPUS WORK [--report FILE]

For each fold it runs ``bids-film train`` with the bundled model's recipe and ``bids-film evaluate
--part validation``. What is trained already is kept.
"""

from __future__ import annotations

import argparse
import re
from importlib.resources import files
from pathlib import Path

import pandas as pd

from benchmarks.running import parse_arguments, run_program, write_report
from bids_film.evaluation.statistics import bootstrap_mean
from bids_film.model.header import read_header
from bids_film.report.experiment import describe_interval

FOLDS = 5
MEASURES = ("dice", "surface_dice", "hd95_mm", "assd_mm")
PEER = (
    "nnU-Net's 3-D network on the same 260 scans, five folds: about 0.90 anterior, 0.89 posterior."
)


def main() -> None:
    """Train and evaluate what is missing, and print the table."""
    arguments = parse_arguments(__doc__)
    tables, minutes = [], []
    for fold in range(1, FOLDS + 1):
        folder = arguments.work / f"fold-{fold}"
        model = folder / "hippocampus.safetensors"
        if not model.exists():
            recipe = write_recipe(folder, fold)
            _run(arguments, folder, "train", "--config-file", str(recipe))
        _run(arguments, folder, "evaluate", "--model", str(model), "--part", "validation")
        tables.append(pd.read_csv(folder / "evaluation_seg-hippocampus.tsv", sep="\t"))
        minutes.append(float(read_header(model).training["minutes"]))
    text = describe(pd.concat(tables), minutes)
    write_report(arguments.report, text, script="hippocampus/five_fold.py")


def write_recipe(folder: Path, fold: int) -> Path:
    """Write the bundled model's recipe with another split."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = (files("bids_film.models") / "hippocampus" / "recipe.toml").read_text("utf-8")
    body = re.sub(r"(?ms)^\[split\].*?(?=^\[|\Z)", "", recipe)
    path = folder / "recipe.toml"
    path.write_text(f"{body}\n[split]\nfolds = {FOLDS}\nfold = {fold}\n", encoding="utf-8")
    return path


def describe(rows: pd.DataFrame, minutes: list[float]) -> str:
    """Write the table over the scans of all folds."""
    about = (
        f"Each of {rows['scan'].nunique()} scans segmented by the network that was trained without "
        f"it; mean with its 95 % interval from resampling participants. {sum(minutes):.0f} minutes "
        f"of training in all. {PEER}"
    )
    lines = [
        "# Hippocampus, five folds",
        "",
        about,
        "",
        f"| structure | {' | '.join(MEASURES)} |",
        f"| --- |{' --- |' * len(MEASURES)}",
    ]
    for structure, own in rows.groupby("structure", sort=False):
        people = own["participant_id"].tolist()
        found = [bootstrap_mean(own[name].astype(float).tolist(), people) for name in MEASURES]
        cells = [describe_interval(one) for one in found]
        lines.append(f"| {structure} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _run(arguments: argparse.Namespace, folder: Path, level: str, *options: str) -> None:
    run_program(arguments.dataset, folder, level, *options, "--omp-nthreads", arguments.threads)


if __name__ == "__main__":
    main()
