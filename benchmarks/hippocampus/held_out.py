"""The bundled hippocampus model on the people who were kept out of its training.

    python -m benchmarks.hippocampus.held_out HIPPOCAMPUS WORK [--report FILE]

Who they are is read from the record in the model file.
"""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd

from benchmarks.hippocampus import border
from benchmarks.running import make_parser, run_program, write_report
from bids_film.model.header import read_header
from bids_film.models import find_model

MEASURES = ("dice", "hd95_mm", "assd_mm")
BORDER = (
    "Where one part ends and the other begins is a coronal plane, which the expert chose. Dice and "
    "slices, mean over the same people:"
)


def main() -> None:
    """Segment, evaluate, print."""
    arguments = make_parser(__doc__, model="hippocampus").parse_args()
    header = read_header(find_model(arguments.model))
    people = [entry["scan"].split("/")[0] for entry in header.training["data"]["validation"]]
    output = arguments.work / "out"
    options = ["--model", arguments.model, "--participant-label", *people]
    work = ["-w", str(arguments.work / "work")]
    run_program(arguments.dataset, output, "participant", *options, *work)
    run_program(arguments.dataset, output, "evaluate", *options)
    rows = pd.read_csv(output / f"evaluation_seg-{header.name}_selected.tsv", sep="\t")
    text = describe(rows, header.version, compare_borders(output, arguments.dataset))
    write_report(arguments.report, text, arguments.model, script="hippocampus/held_out.py")


def compare_borders(output: Path, dataset: Path) -> list[dict[str, float]]:
    """Compare all label maps with their references, see `border`."""
    scans = []
    for path in sorted(output.glob("sub-*/anat/*_dseg.nii.gz")):
        person = path.name.partition("_")[0]
        reference = f"derivatives/manual/{person}/anat/{person}_desc-manual_dseg.nii.gz"
        images = (nib.load(path), nib.load(dataset / reference))
        scans.append(border.compare(*(np.asarray(image.dataobj).astype(int) for image in images)))
    return scans


def describe(rows: pd.DataFrame, version: str, borders: list[dict[str, float]]) -> str:
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
        BORDER,
        "",
        *border.describe(borders),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
