"""The bundled hippocampus model on the people who were kept out of its training.

    python -m benchmarks.hippocampus.held_out HIPPOCAMPUS WORK [--report FILE]

Who they are is read from the record in the model file.
"""

from __future__ import annotations

import pandas as pd

from benchmarks.running import make_parser, run_program, write_report
from bids_film.model.header import read_header
from bids_film.models import find_model

MEASURES = ("dice", "hd95_mm", "assd_mm")


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
    text = describe(rows, header.version)
    write_report(arguments.report, text, arguments.model, script="hippocampus/held_out.py")


def describe(rows: pd.DataFrame, version: str) -> str:
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
    return "\n".join(lines)


if __name__ == "__main__":
    main()
