"""Cross-validation on all hippocampus scans, in 3-D: the task on which everybody knows nnU-Net.

    python -m benchmarks.hippocampus.five_fold HIPPOCAMPUS WORK [--folds N ...] [--report FILE]

For each fold it runs ``bids-film train`` with the bundled model's recipe and ``bids-film evaluate
--part validation``. What is trained already is kept; the measures of a fold go into `KEPT`, so that
folds can be trained one by one and on several machines. The table is of the folds that are there.
"""

from __future__ import annotations

import argparse
import re
from importlib.resources import files
from pathlib import Path

import pandas as pd

from benchmarks.provenance import describe_run
from benchmarks.running import make_parser, run_program, write_report
from bids_film.evaluation.statistics import bootstrap_mean
from bids_film.model.header import hash_file, read_header
from bids_film.report.experiment import describe_interval

FOLDS = 5
KEPT = Path(__file__).parents[2] / "docs" / "results" / "hippocampus_folds"
MEASURES = ("dice", "surface_dice", "hd95_mm", "assd_mm")
PEER = (
    "nnU-Net's 3-D network on the same 260 scans, five folds: about 0.90 anterior, 0.89 posterior."
)


def main() -> None:
    """Train and evaluate what is missing, and print the table."""
    every = range(1, FOLDS + 1)
    parser = make_parser(__doc__)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--folds", type=int, nargs="+", choices=every, default=every)
    arguments = parser.parse_args()
    for fold in arguments.folds:
        if not _kept(fold).exists():
            measure(fold, arguments)
    tables = [pd.read_csv(_kept(fold), sep="\t") for fold in every if _kept(fold).exists()]
    write_report(arguments.report, describe(tables), script="hippocampus/five_fold.py")


def measure(fold: int, arguments: argparse.Namespace) -> None:
    """Train a fold's network, and keep its measures on the scans that it was not trained on."""
    folder = arguments.work / f"fold-{fold}"
    model = folder / "hippocampus.safetensors"
    if not model.exists():
        recipe = write_recipe(folder, fold)
        _run(arguments, folder, "train", "--config-file", str(recipe))
    _run(arguments, folder, "evaluate", "--model", str(model), "--part", "validation")
    rows = pd.read_csv(folder / "evaluation_seg-hippocampus.tsv", sep="\t")
    training = read_header(model).training
    made = describe_run("hippocampus/five_fold.py").partition("Made by ")[2]
    rows = rows[["participant_id", "scan", "structure", *MEASURES]].assign(
        fold=fold,
        minutes=training["minutes"],
        steps=training["steps"],
        threads=training["machine"]["threads"],
        model=hash_file(model)[:12],
        made=made,
    )
    KEPT.mkdir(exist_ok=True)
    rows.to_csv(_kept(fold), sep="\t", index=False, float_format="%.4f")


def write_recipe(folder: Path, fold: int) -> Path:
    """Write the bundled model's recipe with another split."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = (files("bids_film.models") / "hippocampus" / "recipe.toml").read_text("utf-8")
    body = re.sub(r"(?ms)^\[split\].*?(?=^\[|\Z)", "", recipe)
    body = body.replace("[training]\n", "[training]\ncompile = true\n")
    path = folder / "recipe.toml"
    path.write_text(f"{body}\n[split]\nfolds = {FOLDS}\nfold = {fold}\n", encoding="utf-8")
    return path


def describe(tables: list[pd.DataFrame]) -> str:
    """Write the table over the scans of all folds."""
    rows = pd.concat(tables)
    minutes = sum(float(table["minutes"].iloc[0]) for table in tables)
    threads = int(rows["threads"].max())
    about = (
        f"{len(tables)} of {FOLDS} folds; each of {rows['scan'].nunique()} scans segmented by the "
        "network that was trained without it, whose last step these scans chose. Mean with its "
        f"95 % interval from resampling participants. {minutes:.0f} minutes of training in all, "
        f"{threads} thread{'s' if threads > 1 else ''}. {PEER}"
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
    lines += ["", "| fold | model | minutes | Dice | made by |", "| --- | --- | --- | --- | --- |"]
    for table in tables:
        fold, model, made = table[["fold", "model", "made"]].iloc[0]
        dice = ", ".join(f"{value:.3f}" for value in table.groupby("structure")["dice"].mean())
        lines.append(f"| {fold} | {model} | {table['minutes'].iloc[0]} | {dice} | {made} |")
    return "\n".join([*lines, ""])


def _kept(fold: int) -> Path:
    return KEPT / f"fold-{fold}.tsv"


def _run(arguments: argparse.Namespace, folder: Path, level: str, *options: str) -> None:
    run_program(arguments.dataset, folder, level, *options, "--omp-nthreads", arguments.threads)


if __name__ == "__main__":
    main()
