"""Evaluate level: the label maps in the output folder against what experts drew."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_film.domain.entities import parse_name
from bids_film.domain.errors import ExitCode, InputError, ScanError, UsageError
from bids_film.domain.scan import Scan
from bids_film.domain.segmentation import Segmentation
from bids_film.domain.volume import Grid
from bids_film.images.geometry import plan_ras
from bids_film.images.measures import measure_structure
from bids_film.inputs.nifti import read_volume
from bids_film.model.header import ModelHeader, read_header
from bids_film.models import find_model
from bids_film.training.labels import find_labels, read_reference
from bids_film.training.recipe import Recipe, read_recipe, recipe_from_dict
from bids_film.workflow.group import list_participants, read_segmentations
from bids_film.workflow.options import Options
from bids_film.workflow.tables import Cell, Column, write_table

Row = dict[str, Cell]

_COLUMNS = {
    "participant_id": Column(description="Participant label with its prefix"),
    "scan": Column(description="Path of the scan relative to the input dataset"),
    "structure": Column(description="Name of the structure; its parts are included"),
    "dice": Column(description="Overlap: 2 |A and B| / (|A| + |B|)"),
    "hd95_mm": Column(description="95th percentile of the surface distances", unit="mm"),
    "assd_mm": Column(description="Average symmetric surface distance", unit="mm"),
    "volume_ml": Column(description="Volume in the prediction", unit="mL"),
    "reference_volume_ml": Column(description="Volume in the reference", unit="mL"),
    "volume_difference_percent": Column(
        description="Prediction minus reference, relative to the reference", unit="percent"
    ),
}
_MEASURES = ("dice", "hd95_mm", "assd_mm", "volume_difference_percent")


def run_evaluate(options: Options) -> ExitCode:
    """Write ``evaluation_seg-<model>.tsv`` with its data dictionary, and print a summary.

    Raises
    ------
    UsageError
        Where nothing says where the reference labels are.
    InputError
        Where there is no prediction of the model, or no reference for any of them.
    """
    header = read_header(find_model(options.model))
    recipe = _find_recipe(options, header)
    pairs = list(_find_pairs(options, header, recipe))
    if not pairs:
        raise InputError(
            f"no label map of the model {header.name!r} in {options.output_dir} has a reference in "
            f"{options.bids_dir}",
            hint="run the participant level first, and check the patterns of labels in the recipe",
        )
    rows, failed = _measure_all(pairs, options.output_dir, header, recipe)
    path = options.output_dir / f"evaluation_seg-{header.name}.tsv"
    write_table(path, _COLUMNS, rows)
    sys.stdout.writelines(f"{line}\n" for line in summarise(rows))
    sys.stdout.write(f"{path}: {len(pairs) - failed} scans, {failed} failed\n")
    return ExitCode.SCANS_FAILED if failed else ExitCode.DONE


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
        rows.append({**identity, "structure": structure.name, **measures})
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


def summarise(rows: Sequence[Row]) -> Iterator[str]:
    """Describe each structure in one line: mean, standard deviation and number of scans."""
    for structure in dict.fromkeys(str(row["structure"]) for row in rows):
        own = [row for row in rows if row["structure"] == structure]
        parts = [f"{measure} {_describe(own, measure)}" for measure in _MEASURES]
        yield f"{structure} (n = {len(own)}): {', '.join(parts)}"


def _describe(rows: Sequence[Row], measure: str) -> str:
    values = [v for row in rows if isinstance(v := row.get(measure), int | float) and v == v]  # noqa: PLR0124 leaves NaN out
    if not values:
        return "n/a"
    return f"{statistics.fmean(values):.3f} ± {statistics.pstdev(values):.3f}"


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
