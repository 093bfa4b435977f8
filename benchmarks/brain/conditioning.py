"""What the acquisition's metadata do for the brain model, on synthetic scans of held-out heads.

    python -m benchmarks.brain.conditioning LABEL_MAPS RECIPE [--model NAME|FILE] [--report FILE]

LABEL_MAPS is what `make_label_dataset` made. Every scan is simulated from relaxation times and a
sequence, and segmented three times by the same network: told the metadata of its own sequence,
none, and those of the next scan of its kind.
"""

from __future__ import annotations

import argparse
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.running import write_report
from bids_film.evaluation.statistics import bootstrap_mean, compare_pairs
from bids_film.inputs.dataset import open_dataset
from bids_film.inputs.nifti import read_volume
from bids_film.model.checkpoint import load_checkpoint
from bids_film.model.header import ModelHeader
from bids_film.models import find_model
from bids_film.report.experiment import describe_interval
from bids_film.training.label_maps import (
    LabelMap,
    check_synthesis,
    load_label_maps,
)
from bids_film.training.recipe import read_recipe
from bids_film.training.synthesis_settings import SynthesisSettings
from bids_film.training.validation import Case, draw_cases, validate_cases

SUFFIXES = ("T1w", "T2w", "FLAIR", "PDw", "T2starw")
SEED = 7
NOTE = (
    "Mean Dice over structures, on scans simulated from {heads} heads that were not trained on. "
    "The same network is told the metadata of the scan's own sequence, nothing, or those of "
    "another sequence with the same suffix; differences with the 95 % interval over scans. Scans "
    "are such as its recipe draws, and are segmented as in training's validation: once, without "
    "mirror image and postprocessing."
)


def main() -> None:
    """Draw, segment, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("label_maps", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--model", default="brain")
    parser.add_argument("--scans", type=int, default=12, help="of each kind")
    parser.add_argument("--report", type=Path)
    arguments = parser.parse_args()
    settings, _ = check_synthesis(read_recipe(arguments.recipe))
    header, network = load_checkpoint(find_model(arguments.model))
    held_out = {entry["scan"] for entry in header.training["data"]["validation"]}
    scans = open_dataset(arguments.label_maps, filters={"suffix": "dseg"}, validate=False)
    sources = load_label_maps(
        [scan for scan in scans if scan.relative_path in held_out],
        brain_below=settings.brain_below,
        read=read_volume,
    )
    rows = []
    for suffix in SUFFIXES:
        cases = simulate(sources, settings, header, suffix, arguments.scans)
        for condition, told in tell(cases).items():
            for number, case in enumerate(told):
                dice = validate_cases(
                    network, [case], header.encoder, header.labels, header.preprocessing
                )
                mean = float(np.mean(list(dice.values())))
                rows.append({"suffix": suffix, "scan": number, "told": condition, "dice": mean})
    text = describe(pd.DataFrame(rows), len(sources))
    write_report(arguments.report, text, arguments.model, script="brain/conditioning.py")


def simulate(
    sources: list[LabelMap],
    settings: SynthesisSettings,
    header: ModelHeader,
    suffix: str,
    count: int,
) -> list[Case]:
    """Simulate scans of one kind, always the same ones."""
    simulated = replace(
        settings,
        realistic_probability=0.0,
        simulated_probability=1.0,
        contrast_weights={suffix: 1.0},
    )
    rng = np.random.default_rng((SEED, SUFFIXES.index(suffix)))
    repeated = itertools.islice(itertools.cycle(sources), count)
    return list(draw_cases(repeated, simulated, header.preprocessing, rng))


def tell(cases: list[Case]) -> dict[str, list[Case]]:
    """Give the scans their own metadata, none, and those of the next one."""
    following = [*cases[1:], cases[0]]
    return {
        "its own": cases,
        "nothing": [replace(case, values={}) for case in cases],
        "another's": [
            replace(case, values=other.values) for case, other in zip(cases, following, strict=True)
        ],
    }


def describe(rows: pd.DataFrame, heads: int) -> str:
    """Write the table in Markdown."""
    lines = [
        "# What the acquisition's metadata do for the brain model",
        "",
        NOTE.format(heads=heads),
        "",
        "| suffix | scans | own | nothing | another's | own minus nothing | own minus another's |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for suffix, group in [*rows.groupby("suffix", sort=False), ("all", rows)]:
        wide = group.pivot_table("dice", ["suffix", "scan"], "told")
        names = [str(place) for place in range(len(wide))]
        means = [describe_interval(bootstrap_mean(wide[told].tolist(), names)) for told in wide]
        means = dict(zip(wide, means, strict=True))
        gains = [
            describe_interval(
                compare_pairs(wide[told].tolist(), wide["its own"].tolist(), names).difference,
                sign="+",
            )
            for told in ("nothing", "another's")
        ]
        cells = [means["its own"], means["nothing"], means["another's"], *gains]
        lines.append(f"| {suffix} | {len(wide)} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
