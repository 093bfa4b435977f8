"""Dice and HD95 of cord and gray matter on each site by networks that were trained without it.

    python -m benchmarks.spinalcord.leave_one_site_out GM_CHALLENGE WORK [--report FILE]

For each site and each conditioning it runs ``bids-film`` as a user does: train on the other sites,
segment the site's participants, evaluate. A run that was stopped goes on. ``--report`` writes the
table in Markdown.
"""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

import pandas as pd

from benchmarks.provenance import describe_run
from benchmarks.running import make_parser, run_program

CONDITIONINGS = ("unconditioned", "constant", "film")
SITE_COLUMN = "Site"


def main() -> None:
    """Run what is missing and print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--steps", type=int, default=1500, help="of each training")
    parser.add_argument("--batch-size", type=int, default=8, help="slices a step")
    parser.add_argument(
        "--patch", type=int, default=128, help="sides of a slice's patch, in voxels"
    )
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="the highest")
    parser.add_argument("--conditioning", nargs="+", default=list(CONDITIONINGS))
    arguments = parser.parse_args()
    participants = pd.read_csv(arguments.dataset / "participants.tsv", sep="\t", dtype=str)
    tables = [
        run_site(arguments, site, list(group["participant_id"]), conditioning)
        for site, group in participants.groupby(SITE_COLUMN)
        for conditioning in arguments.conditioning
    ]
    text = describe(pd.concat(tables, ignore_index=True), arguments)
    print(text)
    if arguments.report:
        arguments.report.write_text(text, encoding="utf-8")


def run_site(
    arguments: argparse.Namespace, site: str, participants: list[str], conditioning: str
) -> pd.DataFrame:
    """Train without a site, segment it, and read its evaluation."""
    folder = arguments.work / f"{conditioning}-{site}"
    model = train(arguments, folder / "model", make_recipe(site, conditioning, arguments))
    rows = measure(arguments, folder / "out", model, participants)
    return rows.assign(site=site, conditioning=conditioning)


def train(
    arguments: argparse.Namespace, folder: Path, recipe: str, participants: Sequence[str] = ()
) -> Path:
    """Train, if that was not done yet, on all participants or on some."""
    model = folder / "spinalcord.safetensors"
    if not model.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "train.toml"
        path.write_text(recipe, encoding="utf-8")
        chosen = ["--participant-label", *participants] if participants else []
        options = ["--config-file", str(path), *chosen, "--omp-nthreads", arguments.threads]
        run_program(arguments.dataset, folder, "train", *options)
    return model


def measure(
    arguments: argparse.Namespace, folder: Path, model: Path, participants: Sequence[str]
) -> pd.DataFrame:
    """Segment participants' labelled scans and evaluate them, if that was not done yet."""
    table = folder / "evaluation_seg-spinalcord_selected.tsv"
    if not table.exists():
        folder.mkdir(parents=True, exist_ok=True)
        filters = folder / "filter.json"
        filters.write_text('{"run": "1"}\n', encoding="utf-8")
        chosen = ["--participant-label", *participants, "--model", str(model)]
        chosen += ["--bids-filter-file", str(filters)]
        threads = ["--omp-nthreads", arguments.threads]
        run_program(arguments.dataset, folder, "participant", *chosen, *threads)
        run_program(arguments.dataset, folder, "evaluate", *chosen)
    return pd.read_csv(table, sep="\t")


def make_recipe(site: str, conditioning: str, arguments: argparse.Namespace) -> str:
    """Write the bundled model's recipe with a site kept for the test."""
    text = files("bids_film.models").joinpath("spinalcord/recipe.toml").read_text("utf-8")
    text += f'test = {{ {SITE_COLUMN} = ["{site}"] }}\n'
    text = text.replace("[network]\n", f'[network]\nconditioning = "{conditioning}"\n')
    text = re.sub(r"(?m)^(steps|validate_every) = \d+$", rf"\1 = {arguments.steps}", text)
    rate = f"batch_size = {arguments.batch_size}\nlearning_rate = {arguments.learning_rate}"
    text = re.sub(r"(?m)^batch_size = \d+$", rate, text)
    patch = f"patch = [{arguments.patch}, {arguments.patch}]"
    text = re.sub(r"(?m)^patch = \[\d+, \d+\]$", patch, text)
    made = tomllib.loads(text)
    if made["split"]["test"] != {SITE_COLUMN: [site]}:
        raise SystemExit("expected [split] to be the recipe's last section")
    return text


def describe(rows: pd.DataFrame, arguments: argparse.Namespace) -> str:
    """Write the table: a line per site, a column per structure and conditioning."""
    lines = [
        "# Spinal cord and gray matter, leaving one site out",
        "",
        "Each site is segmented by networks that never saw it, with metadata (film) and without.",
        "Dice / HD95 in mm, mean over the site's labelled scans.",
        "",
    ]
    found = [name for name in CONDITIONINGS if name in set(rows["conditioning"])]
    for structure, part in rows.groupby("structure", sort=False):
        lines += [f"## {structure}", "", f"| site | scans | {' | '.join(found)} |"]
        lines += ["| --- " * (len(found) + 2) + "|"]
        for site, group in [*part.groupby("site"), ("mean over sites", part)]:
            cells = [_cell(group[group["conditioning"] == name]) for name in found]
            scans = group["scan"].nunique()
            lines += [f"| {site} | {scans} | {' | '.join(cells)} |"]
        lines += [""]
    lines += [
        describe_run("spinalcord/leave_one_site_out.py"),
        "Data: gm-challenge and spine-multicontrast. Seed 1; each training has",
        f"{arguments.steps} steps of {arguments.batch_size} patches of {arguments.patch}² voxels,",
        f"learning rate {arguments.learning_rate}.",
        "",
    ]
    return "\n".join(lines)


def _cell(rows: pd.DataFrame) -> str:
    by_site = rows.groupby("site")[["dice", "hd95_mm"]].mean()
    return f"{by_site['dice'].mean():.3f} / {by_site['hd95_mm'].mean():.2f}"


if __name__ == "__main__":
    main()
