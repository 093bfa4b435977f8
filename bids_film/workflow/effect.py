"""What the metadata did to one scan: it is segmented again as if they had been others."""

from __future__ import annotations

from pathlib import Path

from bids_film.derivatives.names import OutputNames
from bids_film.derivatives.nifti import write_labels
from bids_film.domain.segmentation import Alternative, StructureChange
from bids_film.domain.volume import Volume
from bids_film.inference.counterfactual import Told, compare_labels, list_alternatives
from bids_film.inference.engine import Engine, Prediction
from bids_film.workflow.job import ScanJob, values_to_dict


def find_effect(
    job: ScanJob, engine: Engine, volume: Volume, delivered: Prediction, names: OutputNames
) -> tuple[tuple[Alternative, ...], int]:
    """Segment a scan with other metadata, and write the label maps for its report.

    Returns
    -------
    alternatives : tuple[Alternative, ...]
    untried : int
        Levels that were too many to try.

    Raises
    ------
    UsageError
        Where the output folder cannot be written.
    """
    header = engine.header
    if job.metadata_effect == "none" or header.network.conditioning != "film":
        return (), 0
    told, untried = list_alternatives(
        header.encoder, values_to_dict(job.values), levels=job.metadata_effect == "all"
    )
    alternatives = []
    for number, one in enumerate(told, start=1):
        labels = engine.predict(volume, header.encoder.encode(one.values)).labels
        path = names.figure(f"other-{number}")
        write_labels(path, labels, volume.grid)
        alternatives.append(
            _describe(
                one,
                path.relative_to(job.output_dir),
                compare_labels(labels, delivered.labels, header.labels, volume.grid),
            )
        )
    return tuple(alternatives), untried


def _describe(told: Told, labels_file: Path, changes: tuple[StructureChange, ...]) -> Alternative:
    return Alternative(
        field=told.field, value=told.level, labels_file=labels_file.as_posix(), changes=changes
    )
