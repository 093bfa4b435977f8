"""What scripts share that run the program as a user does: arguments, commands, reports."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import nibabel as nib

from benchmarks.provenance import describe_run


def make_parser(about: str | None, *, model: str = "") -> argparse.ArgumentParser:
    """Take a dataset, the working folder and where the report goes, and a model by default."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path, help="keeps what is made, to go on from")
    parser.add_argument("--report", type=Path, help="writes the tables in Markdown")
    if model:
        parser.add_argument("--model", default=model, help="name or file (default: %(default)s)")
    return parser


def parse_arguments(about: str | None) -> argparse.Namespace:
    """Read the arguments of a script that trains."""
    parser = make_parser(about)
    parser.add_argument("--threads", default="2")
    return parser.parse_args()


def write_scan(root: Path, image: nib.Nifti1Image) -> None:
    """Write a dataset of one participant with one T1w scan."""
    folder = root / "sub-01" / "anat"
    folder.mkdir(parents=True)
    description = {"Name": "One scan", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    (root / "dataset_description.json").write_text(json.dumps(description), encoding="utf-8")
    nib.save(image, folder / "sub-01_T1w.nii.gz")


def copy_participant(root: Path, label: str, count: int) -> None:
    """Give a dataset or its outputs so many participants, which differ in their name only."""
    files = [path for path in root.glob(f"**/sub-{label}*/**/*") if path.is_file()]
    for number in range(1, count):
        for path in files:
            copy = root / str(path.relative_to(root)).replace(label, f"{number:05}")
            copy.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix in {".json", ".tsv"}:
                text = path.read_text(encoding="utf-8")
                copy.write_text(text.replace(label, f"{number:05}"), encoding="utf-8")
            elif not copy.exists():
                copy.hardlink_to(path)


def run_program(dataset: Path, output: Path, level: str, *options: str) -> None:
    """Run ``bids-film`` and end with it where it fails."""
    command = [sys.executable, "-m", "bids_film", str(dataset), str(output), level, *options]
    print("+", *command[2:], flush=True)
    subprocess.run(command, check=True)


def change_recipe(model: str, changes: Mapping[str, str]) -> str:
    """Read a bundled model's recipe, with parts of its text changed, all of which must be there."""
    recipe = (files("bids_film.models") / model / "recipe.toml").read_text("utf-8")
    for old, new in changes.items():
        if old not in recipe:
            raise ValueError(f"the recipe of {model} has no {old!r} any more")
        recipe = recipe.replace(old, new)
    return recipe


def run_experiment(dataset: Path, output: Path, recipe: Path, *, threads: str) -> str:
    """Run ``bids-film experiment`` and read its tables."""
    options = ["--config-file", str(recipe), "--omp-nthreads", threads]
    run_program(dataset, output, "experiment", *options)
    return (output / "experiment.md").read_text(encoding="utf-8")


def write_report(path: Path | None, results: str, *models: str, script: str) -> None:
    """Print results with what they were made by; write them where a report is asked for."""
    text = f"{results}\n{describe_run(script, *models)}\n"
    sys.stdout.write(text)
    if path:
        path.write_text(text, encoding="utf-8")
