"""The whole way of one scan: image and metadata in, label map and what is known of it out.

No nipype and no processes here: a notebook or a loop can call it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from bids_film.derivatives.atomic import check_inside, hold_folder
from bids_film.derivatives.names import OutputNames, output_names
from bids_film.derivatives.nifti import write_entropy, write_labels, write_probabilities
from bids_film.derivatives.sidecars import (
    record_value,
    remove_outputs,
    write_probabilities_sidecar,
    write_sidecar,
)
from bids_film.derivatives.tables import measure_volumes, write_label_table
from bids_film.domain.errors import ScanError
from bids_film.domain.patterns import find_files
from bids_film.domain.scan import Scan
from bids_film.domain.segmentation import (
    ModelIdentity,
    RecordedValue,
    Segmentation,
    StructureVolume,
)
from bids_film.domain.software import describe_software
from bids_film.domain.volume import Grid
from bids_film.images.geometry import same_grid
from bids_film.inference.companions import read_with_companions
from bids_film.inference.engine import Engine, Prediction
from bids_film.inputs.nifti import read_grid, read_volume
from bids_film.metadata.fields import CategoricalField
from bids_film.metadata.resolve import FieldValue, MetadataPolicy, check_policy
from bids_film.model.header import ModelHeader
from bids_film.workflow.effect import find_effect
from bids_film.workflow.fingerprint import describe_output
from bids_film.workflow.flags import find_flags
from bids_film.workflow.job import Result, ScanJob, ScanOutcome, values_to_dict
from bids_film.workflow.state import now

_GRID_TOLERANCE_VOXELS = 0.01


def process_scan(job: ScanJob, engine: Engine) -> ScanOutcome:
    """Segment one scan and write its outputs, each whole or not at all.

    Parameters
    ----------
    job : ScanJob
    engine : Engine
        With the network of ``job.engine``.

    Raises
    ------
    ScanError
        Where the scan cannot be read or segmented, or lacks metadata that must be there.
    UsageError
        Where the output folder cannot be written.
    """
    header = engine.header
    seconds: dict[str, float] = {}
    if job.problem:
        raise ScanError(job.problem, hint=job.hint)
    check_policy(job.values, MetadataPolicy(job.on_missing_metadata))
    with _timed(seconds, "read"):
        volume = read_with_companions(job.scan, header.preprocessing.companions, read=read_volume)
    with _timed(seconds, "predict"):
        encoded = header.encoder.encode(values_to_dict(job.values))
        prepared = engine.prepare(volume)
        prediction = engine.predict(
            prepared, encoded, probabilities=job.save_probabilities, uncertainty=True
        )
    names = output_names(job.scan, header.name, job.output_dir)
    check_inside(names.folder, job.output_dir)
    with _timed(seconds, "metadata effect"):
        effect = find_effect(job, engine, prepared, prediction.labels, names)
    with _timed(seconds, "write"):
        segmentation = _describe(job, header, names, prediction, volume.grid, volume.notes)
        segmentation = replace(
            segmentation,
            alternatives=effect.alternatives,
            compared_file=effect.compared_file,
            untried=effect.untried,
        )
        with hold_folder(names.folder):
            # A sidecar says that the rest is there, so it goes first when old outputs are removed
            # and is written last.
            remove_outputs(names)
            for path, labels in effect.maps.items():
                write_labels(path, labels, volume.grid)
            paths = _write(job, header, names, prediction, volume.grid, segmentation)
            paths += effect.maps
            outputs = tuple(describe_output(path, job.output_dir) for path in paths)
    return ScanOutcome(
        result=Result.DONE,
        entities=job.entities,
        input=job.scan.relative_path,
        model=job.fingerprint.get("model", {}),
        outputs=outputs,
        flags=find_flags(segmentation),
        seconds={step: round(duration_s, 3) for step, duration_s in seconds.items()},
        finished=now(),
        fingerprint=job.fingerprint,
    )


def _describe(
    job: ScanJob,
    header: ModelHeader,
    names: OutputNames,
    prediction: Prediction,
    grid: Grid,
    notes: tuple[str, ...],
) -> Segmentation:
    return Segmentation(
        scan=job.scan.relative_path,
        labels_file=names.labels.relative_to(job.output_dir).as_posix(),
        model=ModelIdentity(
            name=header.name,
            version=header.version,
            sha256=str(job.fingerprint["model"]["sha256"]),
            description=header.description,
            dimensions=header.network.dimensions,
            plane=header.preprocessing.slice_plane,
            conditioning=header.network.conditioning,
            postprocessing=header.postprocessing.description,
        ),
        values=tuple(_record(value, header) for value in job.values),
        volumes=tuple(
            _add_knowledge(item, prediction, header)
            for item in measure_volumes(prediction.labels, header.labels, grid)
        ),
        notes=(*notes, *prediction.notes),
        software=describe_software(),
        settings={
            "device": prediction.device,
            "precision": prediction.precision,
            **({"ensemble": prediction.ensemble} if prediction.ensemble else {}),
            "command": job.command,
        },
        companions=_find_companions(job.scan, header),
        entropy_file=names.figure("entropy").relative_to(job.output_dir).as_posix(),
    )


def _find_companions(scan: Scan, header: ModelHeader) -> tuple[str, ...]:
    paths = find_files(scan, header.preprocessing.companions)
    root = scan.dataset_root
    return tuple(path.relative_to(root).as_posix() for path in paths if path is not None)


def _add_knowledge(
    item: StructureVolume, prediction: Prediction, header: ModelHeader
) -> StructureVolume:
    own = prediction.confidence[item.structure.name]
    return replace(
        item,
        expected_dice=_round(own.expected_dice),
        entropy=_round(own.entropy),
        trained_ml=header.volumes_ml.get(item.structure.name),
        reached_dice=_round(header.reached_dice.get(item.structure.name)),
    )


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _record(value: FieldValue, header: ModelHeader) -> RecordedValue:
    field = next(field for field in header.encoder.fields if field.name == value.field)
    unit = "" if isinstance(field, CategoricalField) else field.unit
    return record_value(value, unit=unit, trained_on=header.encoder.trained_on(value.field))


def _write(
    job: ScanJob,
    header: ModelHeader,
    names: OutputNames,
    prediction: Prediction,
    grid: Grid,
    segmentation: Segmentation,
) -> list[Path]:
    write_labels(names.labels, prediction.labels, grid)
    _check_grid(names.labels, grid)
    write_label_table(names.table, segmentation.volumes)
    outputs = [names.labels, names.table]
    if prediction.entropy is not None:
        write_entropy(names.figure("entropy"), prediction.entropy, grid)
        outputs.append(names.figure("entropy"))
    if job.save_probabilities and prediction.probabilities is not None:
        maps = zip(header.labels, prediction.probabilities, strict=True)
        for structure, probabilities in maps:
            path, sidecar = names.probabilities(structure), names.probabilities_sidecar(structure)
            write_probabilities(path, probabilities, grid)
            write_probabilities_sidecar(sidecar, segmentation, structure)
            outputs += [path, sidecar]
    write_sidecar(names.sidecar, segmentation)
    return [*outputs, names.sidecar]


def _check_grid(labels: Path, grid: Grid) -> None:
    """Compare what was written with the scan, voxel by voxel in the world: nothing may be moved.

    Raises
    ------
    ScanError
        Where a corner of the label map lies elsewhere than that of the scan.
    """
    written = read_grid(labels).grid
    tolerance_mm = _GRID_TOLERANCE_VOXELS * min(grid.spacing_mm)
    if not same_grid(written, grid, tolerance_mm=tolerance_mm):
        labels.unlink()
        raise ScanError(
            f"the label map would lie elsewhere than the scan: shape {written.shape} for "
            f"{grid.shape}, affine {written.affine.tolist()} for {grid.affine.tolist()}",
            hint="this is a defect of bids-film: please report it with the scan's header",
        )


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - started
