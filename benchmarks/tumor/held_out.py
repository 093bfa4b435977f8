"""The bundled tumour model on the test slices of BRISC, by type and by plane.

python -m benchmarks.tumor.held_out BRISC WORK [--model NAME|FILE] [--report FILE]
"""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from benchmarks.running import make_parser, run_program, write_report
from bids_film.evaluation.statistics import bootstrap_mean
from bids_film.model.header import read_header
from bids_film.models import find_model
from bids_film.report.experiment import describe_interval

MEASURES = ("dice", "surface_dice", "hd95_mm")


def main() -> None:
    """Evaluate on the test part, print."""
    arguments = make_parser(__doc__, model="tumor").parse_args()
    header = read_header(find_model(arguments.model))
    path = arguments.work / f"evaluation_seg-{header.name}.tsv"
    if not path.exists():
        options = ["--part", "test", "--model", arguments.model]
        run_program(arguments.dataset, arguments.work, "evaluate", *options)
    rows = pd.read_csv(path, sep="\t", dtype=str)
    text = "\n".join(describe(rows, header.version))
    write_report(arguments.report, text, arguments.model, script="tumor/held_out.py")


def describe(rows: pd.DataFrame, version: str) -> Iterator[str]:
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


def _describe_mean(rows: pd.DataFrame, measure: str) -> str:
    known = rows[rows[measure] != "n/a"].dropna(subset=[measure])
    values = known[measure].astype(float).tolist()
    return describe_interval(bootstrap_mean(values, known["participant_id"].tolist()))


if __name__ == "__main__":
    main()
