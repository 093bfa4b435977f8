"""Label maps, of files or of a model in memory, against what experts drew."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bids_film.derivatives.names import output_names
from bids_film.domain.errors import ScanError
from bids_film.domain.scan import MetadataSource, Scan
from bids_film.domain.segmentation import Segmentation
from bids_film.domain.volume import Grid, Volume
from bids_film.evaluation.calibration import Reliability, count_reliability
from bids_film.evaluation.experiment import AS_FOUND
from bids_film.evaluation.rows import UNKNOWN
from bids_film.images.geometry import plan_ras
from bids_film.images.measures import measure_structure
from bids_film.inference.companions import read_with_companions
from bids_film.inputs.nifti import read_volume
from bids_film.metadata.encoder import MetadataValues
from bids_film.metadata.fields import CategoricalField
from bids_film.model.header import ModelHeader
from bids_film.training.labels import Reference, read_reference
from bids_film.training.recipe import Recipe
from bids_film.training.splits import name_person
from bids_film.workflow.options import Options
from bids_film.workflow.plan import resolve_metadata
from bids_film.workflow.resources import divide_resources
from bids_film.workflow.tables import Row

if TYPE_CHECKING:
    from bids_film.inference.engine import Engine


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """What a model is told of a scan.

    Attributes
    ----------
    name : str
    instead : Mapping[str, str | float | None]
        Fields that are given another value than the scan's own; None withholds one.
    """

    name: str = AS_FOUND
    instead: MetadataValues = field(default_factory=dict)


AS_FOUND_ONLY = (Condition(),)


def find_conditions(header: ModelHeader, *, by: str = "") -> tuple[Condition, ...]:
    """As found, withheld, and every level of a categorical field told of every scan.

    Parameters
    ----------
    header : ModelHeader
    by : str
        The field, where it is one of the model's; every categorical field otherwise.
    """
    fields = header.encoder.fields
    if not fields or header.network.conditioning != "film":
        return AS_FOUND_ONLY
    chosen = [entry for entry in fields if entry.name == by] or fields
    levels = [
        Condition(name=f"{entry.name}={level}", instead={entry.name: level})
        for entry in chosen
        if isinstance(entry, CategoricalField)
        for level in entry.levels
    ]
    withheld = Condition(name="withheld", instead={entry.name: None for entry in fields})
    return (*AS_FOUND_ONLY, withheld, *levels)


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One structure of one scan against its reference.

    Attributes
    ----------
    row : Row
    reliability : Reliability or None
        Of its probabilities, where they are there.
    condition : str
        What the model was told.
    notes : tuple[str, ...]
        On the image, or label map, and the reference.
    """

    row: Row
    reliability: Reliability | None = None
    condition: str = AS_FOUND
    notes: tuple[str, ...] = ()


def load_engine(model: Path, options: Options) -> Engine:
    """Load a model to be measured in memory, as the options ask."""
    from bids_film.inference.engine import Engine  # noqa: PLC0415 imports torch
    from bids_film.inference.ensembling import Ensemble  # noqa: PLC0415 imports torch

    return Engine.load(
        model,
        device=options.device,
        precision=options.precision,
        threads=divide_resources(1, omp_nthreads=options.omp_nthreads).threads,
        ensemble=Ensemble(kind=options.ensemble, passes=options.passes),
    )


def read_measured(
    scan: Scan, recipe: Recipe, companions: Sequence[str]
) -> tuple[Volume, Reference]:
    """Read what `measure_model` needs of a scan: its images and its reference.

    Parameters
    ----------
    scan : Scan
    recipe : Recipe
        Says where the reference is.
    companions : Sequence[str]
        `Preprocessing.companions` of the model.

    Raises
    ------
    ScanError
        Where one of them cannot be used.
    """
    if scan.problem:
        raise ScanError(scan.problem, hint=scan.hint)
    volume = read_with_companions(scan, companions, read=read_volume)
    return volume, _read_reference(scan, recipe, volume.grid)


def measure_model(
    engine: Engine,
    scan: Scan,
    recipe: Recipe,
    *,
    given: Sequence[MetadataSource] = (),
    conditions: Sequence[Condition] = AS_FOUND_ONLY,
) -> list[Measured]:
    """Segment a scan in memory and compare the result with its reference.

    Parameters
    ----------
    engine : Engine
    scan : Scan
    recipe : Recipe
        Says where the reference is.
    given : Sequence[MetadataSource]
        What comes before the dataset's own metadata.
    conditions : Sequence[Condition]
        The scan is segmented once under each. Of the first one, calibration is measured as well.

    Raises
    ------
    ScanError
        Where the scan or its reference cannot be used.
    """
    volume, reference = read_measured(scan, recipe, engine.header.preprocessing.companions)
    found = resolve_metadata(scan, engine.header.encoder, given)
    values = {entry.field: entry.value for entry in found}
    identity = describe_scan(scan, scan.relative_path, values)
    prepared = engine.prepare(volume)
    indices = [entry.index for entry in engine.header.labels]
    notes = (*volume.notes, *reference.notes)
    result: list[Measured] = []
    for condition in conditions:
        calibrates = condition is conditions[0]
        encoded = engine.header.encoder.encode({**values, **condition.instead})
        prediction = engine.predict(prepared, encoded, probabilities=calibrates)
        maps = dict(zip(indices, prediction.probabilities or (), strict=calibrates))
        measured = compare_labels(
            prediction.labels,
            reference,
            volume.grid,
            engine.header,
            recipe,
            find_probability=maps.get,
        )
        result += [
            replace(entry, row={**identity, **entry.row}, condition=condition.name, notes=notes)
            for entry in measured
        ]
    return result


def measure_outputs(
    segmentation: Segmentation, scan: Scan, output: Path, header: ModelHeader, recipe: Recipe
) -> list[Measured]:
    """Compare a label map in the output folder with its reference.

    Raises
    ------
    ScanError
        Where one of them cannot be read, or they lie elsewhere.
    """
    prediction = read_volume(output / segmentation.labels_file, labels=True)
    reference = _read_reference(scan, recipe, prediction.grid)
    names = output_names(scan, header.name, output)
    paths = {entry.index: names.probabilities(entry) for entry in header.labels}

    def find_probability(index: int) -> NDArray[Any] | None:
        return read_volume(paths[index], shares=True).data if paths[index].exists() else None

    values = {entry.field: entry.value for entry in segmentation.values}
    identity = describe_scan(scan, segmentation.scan, values)
    measured = compare_labels(
        prediction.data,
        reference,
        prediction.grid,
        header,
        recipe,
        find_probability=find_probability,
    )
    notes = (*prediction.notes, *reference.notes)
    return [replace(entry, row={**identity, **entry.row}, notes=notes) for entry in measured]


def sum_reliability(measured: Sequence[Measured]) -> dict[str, Reliability]:
    """Add up the reliability of each structure over the scans that have one."""
    total: dict[str, Reliability] = {}
    for entry in measured:
        if entry.reliability is not None:
            name = str(entry.row["structure"])
            own = entry.reliability
            total[name] = total[name] + own if name in total else own
    return total


def name_dataset(scan: Scan, bids_dir: Path) -> Row:
    """Say which dataset a scan is of, where it is not the first one."""
    if scan.dataset_root == bids_dir:
        return {}
    return {"dataset": os.path.relpath(scan.dataset_root, bids_dir)}


def name_person_of(scan: Scan, recipe: Recipe) -> Row:
    """Say who a participant is, where several labels may be of one person."""
    if not recipe.split.group_pattern:
        return {}
    return {"person": name_person(scan.participant, recipe.split)}


def describe_scan(scan: Scan, path: str, values: Mapping[str, str | float | None]) -> Row:
    """Identify a scan in a table, with what is known of it."""
    known = {name: UNKNOWN if value is None else value for name, value in values.items()}
    return {"participant_id": f"sub-{scan.participant}", "scan": path, **known}


def compare_labels(
    labels: NDArray[Any],
    reference: Reference,
    grid: Grid,
    header: ModelHeader,
    recipe: Recipe,
    *,
    find_probability: Callable[[int], NDArray[Any] | None],
) -> Iterator[Measured]:
    """Compare a label map with a reference, structure by structure.

    Parameters
    ----------
    labels : ndarray
        Structure indices of the model, shape ``grid.shape``.
    reference : Reference
        On the same grid.
    find_probability : Callable
        Structure index to its probability map, where there is one.
    """
    compared = _find_annotated_slices(reference.labels, header, grid, recipe)
    known = {structure.name for structure in header.labels}
    for structure in recipe.label_table:
        if structure.name not in known & reference.annotated:
            continue
        indices = header.labels.indices_of(structure.name)
        found = np.isin(labels, indices) & compared
        true = np.isin(reference.labels, recipe.label_table.indices_of(structure.name))
        maps = [entry for index in indices if (entry := find_probability(index)) is not None]
        reliability = count_reliability(sum(maps) * compared, true) if maps else None
        row = {
            "structure": structure.name,
            **measure_structure(found, true, grid.affine[:3, :3]),
            "ece": reliability.ece if reliability else None,
        }
        yield Measured(row=row, reliability=reliability)


def _find_annotated_slices(
    reference: NDArray[Any], header: ModelHeader, grid: Grid, recipe: Recipe
) -> NDArray[np.bool_]:
    """Mark the voxels that can be compared; the shape broadcasts to that of the reference."""
    if not recipe.data.labelled_slices_only:
        return np.ones((1, 1, 1), dtype=bool)
    across = plan_ras(grid, plane=header.preprocessing.slice_plane).axes[2]
    others = tuple(axis for axis in range(3) if axis != across)
    annotated = np.asarray((reference > 0).any(axis=others, keepdims=True))
    if not annotated.any():
        raise ScanError("no slice of the reference has a label: none was annotated")
    return annotated


def _read_reference(scan: Scan, recipe: Recipe, grid: Grid) -> Reference:
    soft = recipe.data.soft_labels
    return read_reference(scan, recipe.structures, grid, read=read_volume, soft=soft)
