"""Cross-validation on all hippocampus scans, in 3-D: the task on which everybody knows nnU-Net.

    python -m benchmarks.hippocampus.five_fold HIPPOCAMPUS WORK [--folds N ...] [--variant NAME]

For each fold it runs ``bids-film train`` with the bundled model's recipe and ``bids-film evaluate
--part validation``. What is trained already is kept; the measures of a fold go into `KEPT`, so that
folds can be trained one by one and on several machines. The table is of the folds that are there.
``--variant`` asks what more steps give, what stronger augmentation costs, and whether a longer
training, or a wider network, makes up for it.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from benchmarks.provenance import describe_run
from benchmarks.running import change_recipe, make_parser, run_program, write_report
from bids_film.domain.words import count_of
from bids_film.evaluation.statistics import bootstrap_mean
from bids_film.model.header import hash_file, read_header
from bids_film.report.experiment import describe_interval

FOLDS = 5
KEPT = Path(__file__).parents[2] / "docs" / "results" / "hippocampus_folds"
MEASURES = ("dice", "surface_dice", "hd95_mm", "assd_mm")
_MILD = """affine_probability = 0.2 # what is resampled loses the edges that 1 mm just about shows
elastic_probability = 0.1
blur_probability = 0.1
resolution_probability = 0.1
"""
_STRONGER = {"soft_labels = true\n": "", _MILD: "rotation_deg = 20.0\n"}
_MIRRORED = {**_STRONGER, _MILD: "rotation_deg = 20.0\nflip_axes = [0]\n"}
VARIANTS: Mapping[str, Mapping[str, str]] = {
    "": {},
    "twice": {"steps = 1500": "steps = 3000"},
    "stronger": {
        **_STRONGER,
        "patch = [40, 56, 40]": "patch = [48, 64, 48]",
        "learning_rate = 2e-3\nema = 0.995\n": "",
    },
    "longer": {**_MIRRORED, "steps = 1500": "steps = 4000"},
    "regularised": {
        'preset = "standard"': 'preset = "standard"\nflip_axes = [0]',
        "channels = [16, 32, 64, 128]": "channels = [16, 32, 64, 128]\ndropout = 0.2",
        "ema = 0.995": "ema = 0.995\nweight_decay = 0.05",
        "steps = 1500": "steps = 2000",
    },
    "wider": {**_MIRRORED, "channels = [16, 32, 64, 128]": "channels = [32, 64, 128, 256]"},
}
"""What is other in the bundled model's recipe; `stronger` was that recipe once."""
PEER = (
    "nnU-Net's 3-D network on the task's 260 scans, of which these are a part: about 0.90 "
    "anterior, 0.89 posterior."
)


def main() -> None:
    """Train and evaluate what is missing, and print the table."""
    every = range(1, FOLDS + 1)
    parser = make_parser(__doc__)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--folds", type=int, nargs="+", choices=every, default=every)
    parser.add_argument("--variant", choices=tuple(VARIANTS), default="")
    arguments = parser.parse_args()
    for fold in arguments.folds:
        if not _kept(fold, arguments.variant).exists():
            measure(fold, arguments)
    text = describe({name: _read_kept(name) for name in VARIANTS})
    write_report(arguments.report, text, script="hippocampus/five_fold.py")


def measure(fold: int, arguments: argparse.Namespace) -> None:
    """Train a fold's network, and keep its measures on the scans that it was not trained on."""
    folder = arguments.work / arguments.variant / f"fold-{fold}"
    model = folder / "hippocampus.safetensors"
    if not model.exists():
        recipe = write_recipe(folder, fold, VARIANTS[arguments.variant])
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
    rows.to_csv(_kept(fold, arguments.variant), sep="\t", index=False, float_format="%.4f")


def write_recipe(folder: Path, fold: int, changes: Mapping[str, str]) -> Path:
    """Write the bundled model's recipe with another split, and lines changed."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = change_recipe("hippocampus", changes)
    body = re.sub(r"(?ms)^\[split\].*?(?=^\[|\Z)", "", recipe)
    path = folder / "recipe.toml"
    path.write_text(f"{body}\n[split]\nfolds = {FOLDS}\nfold = {fold}\n", encoding="utf-8")
    return path


def describe(found: Mapping[str, list[pd.DataFrame]]) -> str:
    """Write the table over the scans of all folds, and those of the folds of each variant."""
    tables = found[""]
    rows = pd.concat(tables)
    minutes = sum(float(table["minutes"].iloc[0]) for table in tables)
    threads = int(rows["threads"].max())
    about = (
        f"{len(tables)} of {FOLDS} folds; each of {rows['scan'].nunique()} scans segmented by the "
        "network that was trained without it, whose last step these scans chose. Mean with its "
        f"95 % interval from resampling participants. {minutes:.0f} minutes of training in all, "
        f"{count_of(threads, 'thread')}. {PEER}"
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
        means = [bootstrap_mean(own[name].astype(float).tolist(), people) for name in MEASURES]
        cells = [describe_interval(one) for one in means]
        lines.append(f"| {structure} | {' | '.join(cells)} |")
    lines += ["", *_describe_folds(tables)]
    for name, others in found.items():
        if name and others:
            keys = "; ".join(_describe_change(*change) for change in VARIANTS[name].items())
            lines += ["", f"The variant `{name}`: the same with {keys}:", ""]
            lines += _describe_folds(others)
    return "\n".join([*lines, ""])


def _describe_change(old: str, new: str) -> str:
    code = f"`{(new or old).strip()}`".replace("\n", "`, `")
    return code if new else f"no {code}"


def _describe_folds(tables: list[pd.DataFrame]) -> Iterator[str]:
    yield "| fold | model | steps | minutes | Dice | made by |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for table in tables:
        first = table.iloc[0]
        dice = ", ".join(f"{value:.3f}" for value in table.groupby("structure")["dice"].mean())
        cells = [*first[["fold", "model", "steps", "minutes"]], dice, first["made"]]
        yield f"| {' | '.join(map(str, cells))} |"


def _read_kept(variant: str) -> list[pd.DataFrame]:
    paths = (_kept(fold, variant) for fold in range(1, FOLDS + 1))
    return [pd.read_csv(path, sep="\t") for path in paths if path.exists()]


def _kept(fold: int, variant: str) -> Path:
    return KEPT / f"{variant + '-' if variant else ''}fold-{fold}.tsv"


def _run(arguments: argparse.Namespace, folder: Path, level: str, *options: str) -> None:
    run_program(arguments.dataset, folder, level, *options, "--omp-nthreads", arguments.threads)


if __name__ == "__main__":
    main()
