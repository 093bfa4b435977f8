"""The files of an evaluation: its tables and its page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import bids_film
from bids_film.derivatives.atomic import write_text_atomically
from bids_film.evaluation.summary import compare, summarise
from bids_film.model.header import ModelHeader
from bids_film.report.evaluation import EvaluationPage, render_evaluation
from bids_film.workflow.evaluation_tables import (
    CALIBRATION_COLUMNS,
    COMPARISON_COLUMNS,
    SUMMARY_COLUMNS,
    calibration_rows,
    comparison_row,
    describe_comparisons,
    describe_summaries,
    find_columns,
    read_evaluation,
    summary_row,
)
from bids_film.workflow.measure import Measured, sum_reliability
from bids_film.workflow.options import Options
from bids_film.workflow.pages import read_dataset_name
from bids_film.workflow.tables import Column, Row, remove_table, write_table


def write_evaluation(
    measured: Sequence[Measured], other: Sequence[Row], options: Options, header: ModelHeader
) -> Path:
    """Write and print what can be said of the measures; the path is that of their table.

    Parameters
    ----------
    measured : Sequence[Measured]
    other : Sequence[Row]
        Table of another evaluation to compare with; empty for none.
    options : Options
    header : ModelHeader
        Of the model.
    """
    rows = [entry.row for entry in measured]
    narrowed = options.participant_label or options.session_label or options.bids_filter_file
    selected = "_selected" if narrowed else ""
    path = options.output_dir / f"evaluation_seg-{header.name}{selected}.tsv"
    for what in ("comparison", "calibration"):  # those of an earlier run are about other rows
        remove_table(_name_beside(path, what))
    write_table(path, find_columns(rows), rows)
    summaries = summarise(rows, by=options.by)
    _write_beside(path, "summary", SUMMARY_COLUMNS, [summary_row(line) for line in summaries])
    sys.stdout.writelines(f"{line}\n" for line in describe_summaries(summaries))
    # Read back, so that both sides are rounded alike.
    comparisons = compare(other, read_evaluation(path)) if options.compare_with else []
    if comparisons:
        lines = [comparison_row(line) for line in comparisons]
        _write_beside(path, "comparison", COMPARISON_COLUMNS, lines)
        sys.stdout.writelines(f"{line}\n" for line in describe_comparisons(comparisons))
    elif options.compare_with:
        sys.stderr.write(f"note: {options.compare_with} has no scan and structure of {path}\n")
    reliability = sum_reliability(measured)
    if reliability:
        bins = [row for name, own in reliability.items() for row in calibration_rows(name, own)]
        _write_beside(path, "calibration", CALIBRATION_COLUMNS, bins)
    page = EvaluationPage(
        model=f"{header.name} {header.version}",
        dataset=read_dataset_name(options.bids_dir),
        version=bids_film.__version__,
        rows=rows,
        by=options.by,
        summaries=summaries,
        comparisons=comparisons,
        reliability=reliability,
        other=other,
        other_name=options.compare_with.name if options.compare_with else "",
    )
    write_text_atomically(path.with_suffix(".html"), render_evaluation(page))
    return path


def _write_beside(path: Path, what: str, columns: dict[str, Column], rows: Sequence[Row]) -> None:
    write_table(_name_beside(path, what), columns, rows)


def _name_beside(path: Path, what: str) -> Path:
    return path.with_name(f"{path.stem}_{what}.tsv")
