"""What the metadata did to one scan: it is segmented again as if they had been others."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_film.derivatives.names import OutputNames
from bids_film.derivatives.nifti import write_labels
from bids_film.domain.segmentation import Alternative, Segmentation, StructureChange
from bids_film.domain.volume import Volume
from bids_film.inference.counterfactual import (
    Told,
    compare_labels,
    find_surroundings,
    list_alternatives,
)
from bids_film.inference.engine import Engine
from bids_film.workflow.job import ScanJob, values_to_dict

NEAR = 0.9
"""Dice with the delivered segmentation below which a part of the image does not stand for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ToldScan:
    """A scan as it was segmented with its own metadata.

    Attributes
    ----------
    job : ScanJob
    volume : Volume
    delivered : ndarray
        Its labels, shape ``volume.grid.shape``.
    names : OutputNames
    """

    job: ScanJob
    volume: Volume
    delivered: NDArray[np.uint16]
    names: OutputNames


def add_effect(segmentation: Segmentation, scan: ToldScan, engine: Engine) -> Segmentation:
    """Segment a scan with other metadata, and write the label maps for its report.

    Raises
    ------
    UsageError
        Where the output folder cannot be written.
    """
    job, volume, names, header = scan.job, scan.volume, scan.names, engine.header
    grid, values = volume.grid, values_to_dict(job.values)
    if job.metadata_effect == "none" or header.network.conditioning != "film":
        return segmentation
    told, untried = list_alternatives(header.encoder, values, levels=job.metadata_effect == "all")
    if not told:
        return segmentation
    within = find_surroundings(scan.delivered, grid, header.preprocessing.plane)
    own, compared_file = scan.delivered, ""
    if within:
        # Compared with itself in the same surroundings: what these change is not the metadata's.
        own = engine.predict(volume, header.encoder.encode(values), within=within).labels
        near = compare_labels(own, scan.delivered, header.labels, grid)
        if min(change.dice for change in near) < NEAR:
            # The network leans on what lies farther away: the whole image it is.
            own, within = scan.delivered, None
    if within:
        write_labels(names.figure("own"), own, grid)
        compared_file = names.figure("own").relative_to(job.output_dir).as_posix()
    alternatives = []
    for number, one in enumerate(told, start=1):
        labels = engine.predict(volume, header.encoder.encode(one.values), within=within).labels
        path = names.figure(f"other-{number}")
        write_labels(path, labels, grid)
        changes = compare_labels(labels, own, header.labels, grid)
        alternatives.append(_describe(one, path.relative_to(job.output_dir), changes))
    return replace(
        segmentation,
        alternatives=tuple(alternatives),
        compared_file=compared_file,
        untried=untried,
    )


def _describe(told: Told, labels_file: Path, changes: tuple[StructureChange, ...]) -> Alternative:
    return Alternative(
        field=told.field, value=told.level, labels_file=labels_file.as_posix(), changes=changes
    )
