"""Evaluate level: the label maps in the output folder against what experts drew."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bids_film
from bids_film.derivatives.atomic import write_text_atomically
from bids_film.domain.entities import parse_name
from bids_film.domain.errors import ExitCode, InputError, ScanError, UsageError
from bids_film.domain.records import check_key
from bids_film.domain.scan import Scan
from bids_film.domain.segmentation import Segmentation
from bids_film.domain.volume import Grid
from bids_film.evaluation.summary import UNKNOWN, compare, summarise
from bids_film.images.geometry import plan_ras
from bids_film.images.measures import measure_structure
from bids_film.inputs.nifti import read_volume
from bids_film.inputs.tables import index_rows, read_table
from bids_film.model.header import ModelHeader, read_header
from bids_film.models import find_model
from bids_film.report.evaluation import EvaluationPage, render_evaluation
from bids_film.training.labels import find_labels, read_reference
from bids_film.training.recipe import Recipe, read_recipe, recipe_from_dict
from bids_film.workflow.evaluation_tables import (
    COLUMNS,
    COMPARISON_COLUMNS,
    SUMMARY_COLUMNS,
    Row,
    comparison_row,
    describe_comparisons,
    describe_summaries,
    read_evaluation,
    summary_row,
)
from bids_film.workflow.group import list_participants, read_segmentations
from bids_film.workflow.options import Options
from bids_film.workflow.pages import read_dataset_name
from bids_film.workflow.tables import Column, write_table


def run_evaluate(options: Options) -> ExitCode:
    """Write ``evaluation_seg-<model>.tsv`` with its summary, and print it.

    Raises
    ------
    UsageError
        Where nothing says where the reference labels are, or ``--by`` names no column.
    InputError
        Where there is no prediction of the model, no reference for any of them, or nothing to
        compare with.
    """
    header = read_header(find_model(options.model))
    recipe = _find_recipe(options, header)
    other = read_evaluation(options.compare_with) if options.compare_with else []
    level_of = _read_levels(options, header) if options.by else {}
    pairs = list(_find_pairs(options, header, recipe))
    if not pairs:
        raise InputError(
            f"no label map of the model {header.name!r} in {options.output_dir} has a reference in "
            f"{options.bids_dir}",
            hint="run the participant level first, and check the patterns of labels in the recipe",
        )
    rows, failed = _measure_all(pairs, options.output_dir, header, recipe)
    for row in rows:
        row.update(level_of.get(str(row["participant_id"]), {}))
    path = _write_evaluation(rows, other, options, header)
    sys.stdout.write(f"{path}: {len(pairs) - failed} scans, {failed} failed\n")
    return ExitCode.SCANS_FAILED if failed else ExitCode.DONE


def _write_evaluation(
    rows: Sequence[Row], other: Sequence[Row], options: Options, header: ModelHeader
) -> Path:
    """Write and print what can be said of the measures; the path is that of their table."""
    path = options.output_dir / f"evaluation_seg-{header.name}.tsv"
    write_table(path, _find_columns(rows), rows)
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
        raise InputError(f"{options.compare_with} has no scan and structure of {path}")
    page = EvaluationPage(
        model=f"{header.name} {header.version}",
        dataset=read_dataset_name(options.bids_dir),
        version=bids_film.__version__,
        rows=rows,
        by=options.by,
        summaries=summaries,
        comparisons=comparisons,
        other=other,
        other_name=options.compare_with.name if options.compare_with else "",
    )
    write_text_atomically(path.with_suffix(".html"), render_evaluation(page))
    return path


def measure_scan(
    segmentation: Segmentation, scan: Scan, output: Path, header: ModelHeader, recipe: Recipe
) -> list[Row]:
    """Compare one label map with its reference, structure by structure.

    Raises
    ------
    ScanError
        Where one of them cannot be read, or they lie elsewhere.
    """
    prediction = read_volume(output / segmentation.labels_file, labels=True)
    reference = read_reference(scan, recipe.structures, prediction.grid, read=read_volume)
    compared = _find_annotated_slices(reference.labels, header, prediction.grid, recipe)
    known = {structure.name for structure in header.labels}
    rows: list[Row] = []
    for structure in recipe.label_table:
        if structure.name not in known & reference.annotated:
            continue
        measures = measure_structure(
            np.isin(prediction.data, header.labels.indices_of(structure.name)) & compared,
            np.isin(reference.labels, recipe.label_table.indices_of(structure.name)),
            prediction.grid.spacing_mm,
        )
        identity = {"participant_id": f"sub-{scan.participant}", "scan": segmentation.scan}
        told = {entry.field: entry.value or UNKNOWN for entry in segmentation.values}
        rows.append({**identity, "structure": structure.name, **measures, **told})
    return rows


def _find_annotated_slices(
    reference: NDArray[Any], header: ModelHeader, grid: Grid, recipe: Recipe
) -> NDArray[np.bool_]:
    """Mark the voxels that can be compared; the shape broadcasts to that of the reference."""
    if not recipe.data.labelled_slices_only:
        return np.ones((1, 1, 1), dtype=bool)
    across = plan_ras(grid, plane=header.preprocessing.plane).axes[2]
    others = tuple(axis for axis in range(3) if axis != across)
    return np.asarray((reference > 0).any(axis=others, keepdims=True))


def _write_beside(path: Path, what: str, columns: dict[str, Column], rows: Sequence[Row]) -> None:
    write_table(path.with_name(f"{path.stem}_{what}.tsv"), columns, rows)


def _find_columns(rows: Sequence[Row]) -> dict[str, Column]:
    """Columns of the table: those of every evaluation, and the metadata of these scans."""
    told = dict.fromkeys(key for row in rows for key in row if key not in COLUMNS)
    return COLUMNS | {key: Column(description=f"{key} of the scan") for key in told}


def _read_levels(options: Options, header: ModelHeader) -> dict[str, Row]:
    """Read the column of ``--by`` from ``participants.tsv``; the model's fields are known anyway.

    Raises
    ------
    UsageError
        Where it is neither.
    """
    fields = [field.name for field in header.encoder.fields]
    if options.by in fields:
        return {}
    path = options.bids_dir / "participants.tsv"
    table = read_table(path, required="participant_id") if path.exists() else None
    columns = table.columns if table else ()
    check_key(options.by, [*fields, *columns], where=f"--by, for {header.name} and {path}")
    rows = index_rows(table, [("participant_id", "sub-")]) if table else {}
    return {f"sub-{label}": {options.by: row.values[options.by]} for (label,), row in rows.items()}


def _measure_all(
    pairs: Sequence[tuple[Segmentation, Scan]], output: Path, header: ModelHeader, recipe: Recipe
) -> tuple[list[Row], int]:
    rows: list[Row] = []
    failed = 0
    for number, (segmentation, scan) in enumerate(pairs, start=1):
        try:
            found = measure_scan(segmentation, scan, output, header, recipe)
        except ScanError as error:
            failed += 1
            sys.stderr.write(f"error: {segmentation.scan}: {error}\n")
            continue
        rows += found
        dice = ", ".join(f"{row['structure']} {row['dice']:.3f}" for row in found)
        sys.stdout.write(f"[{number}/{len(pairs)}] {segmentation.scan} Dice: {dice}\n")
    return rows, failed


def _find_recipe(options: Options, header: ModelHeader) -> Recipe:
    if options.config_file:
        return read_recipe(options.config_file)
    record = header.training.get("recipe")
    if record is None:
        raise UsageError(
            "evaluate needs to know where the reference labels are",
            hint="give a recipe with [[structures]] by --config-file",
        )
    return recipe_from_dict(record, where=f"recipe of the model {header.name}")


def _find_pairs(
    options: Options, header: ModelHeader, recipe: Recipe
) -> Iterator[tuple[Segmentation, Scan]]:
    participants = options.participant_label or list_participants(options.output_dir)
    for segmentation in read_segmentations(options.output_dir, participants):
        scan = _find_scan(segmentation, options.bids_dir)
        if segmentation.model.name == header.name and find_labels(scan, recipe.structures):
            yield segmentation, scan


def _find_scan(segmentation: Segmentation, bids_dir: Path) -> Scan:
    path = PurePosixPath(segmentation.scan)
    name = parse_name(path.name)
    if name is None:
        raise InputError(f"{segmentation.scan} is not the BIDS name of a scan")
    return Scan(
        path=bids_dir / path,
        dataset_root=bids_dir,
        entities=name.entities,
        suffix=name.suffix,
        datatype=path.parent.name,
    )
