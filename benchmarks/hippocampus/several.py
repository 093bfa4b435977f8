"""Several networks together: what the mean of their probabilities gains over each alone.

    python -m benchmarks.hippocampus.several HIPPOCAMPUS MODEL MODEL ... [--report FILE]

The models differ in nothing but the seed of their training, as those that the `experiment` level
writes for the seeds of one arm. They are compared on the scans that chose the step of each.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.running import write_report
from bids_film.inference.engine import Engine
from bids_film.inputs.dataset import open_dataset
from bids_film.training.recipe import recipe_from_dict
from bids_film.workflow.measure import measure_model


class Together(Engine):
    """Segments with the mean of several networks' probabilities."""

    def join(self, others: Sequence[Engine]) -> None:
        """Take further networks in."""
        self._all = (super().compute, *(other.compute for other in others))

    def compute(self, *arguments: object) -> np.ndarray:
        """Average what all compute."""
        return np.mean([compute(*arguments) for compute in self._all], axis=0)


def main() -> None:
    """Measure each network, and all together."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--report", type=Path, help="writes the table in Markdown")
    arguments = parser.parse_args()
    single = [Engine.load(path, threads=2) for path in arguments.models]
    together = Together.load(arguments.models[0], threads=2)
    together.join(single[1:])
    seeds = [engine.header.training["recipe"]["training"]["seed"] for engine in single]
    engines = {f"seed {seed}": engine for seed, engine in zip(seeds, single, strict=True)}
    record = together.header.training
    recipe = recipe_from_dict(record["recipe"], where=str(arguments.models[0]))
    validated = {entry["scan"] for entry in record["data"]["validation"]}
    scans = [s for s in open_dataset(arguments.dataset) if s.relative_path in validated]
    rows = [
        {"network": name, **entry.row}
        for name, engine in {**engines, "the mean of all": together}.items()
        for scan in scans
        for entry in measure_model(engine, scan, recipe)
    ]
    write_report(arguments.report, describe(pd.DataFrame(rows)), script="hippocampus/several.py")


def describe(rows: pd.DataFrame) -> str:
    """Write the table."""
    table = rows.pivot_table("dice", "network", "structure", sort=False)
    lines = [
        "# Several networks of one recipe together",
        "",
        f"Dice on {rows['scan'].nunique()} scans, which chose the step of each network.",
        "",
        f"| networks | {' | '.join(table.columns)} |",
        "| --- " * (1 + len(table.columns)) + "|",
        *(
            f"| {name} | {' | '.join(f'{value:.3f}' for value in row)} |"
            for name, row in table.iterrows()
        ),
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
