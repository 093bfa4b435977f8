"""What the metadata did to one scan: it is segmented again as if they had been others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_film.derivatives.names import OutputNames
from bids_film.domain.segmentation import Alternative, StructureChange
from bids_film.domain.volume import Volume
from bids_film.inference.counterfactual import Told, compare_labels, list_alternatives
from bids_film.inference.engine import Engine, Prediction
from bids_film.workflow.job import ScanJob, values_to_dict


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """What other metadata would have given.

    Attributes
    ----------
    alternatives : tuple[Alternative, ...]
    untried : int
        Levels that were too many to try.
    maps : Mapping[Path, ndarray]
        Label maps for the report of the scan, by the file that each is to be written to.
    """

    alternatives: tuple[Alternative, ...] = ()
    untried: int = 0
    maps: Mapping[Path, NDArray[np.uint16]] = field(default_factory=dict)


def find_effect(
    job: ScanJob, engine: Engine, volume: Volume, delivered: Prediction, names: OutputNames
) -> Effect:
    """Segment a scan with other metadata."""
    header = engine.header
    if job.metadata_effect == "none" or header.network.conditioning != "film":
        return Effect()
    told, untried = list_alternatives(
        header.encoder, values_to_dict(job.values), levels=job.metadata_effect == "all"
    )
    alternatives, maps = [], {}
    for number, one in enumerate(told, start=1):
        labels = engine.predict(volume, header.encoder.encode(one.values)).labels
        path = names.figure(f"other-{number}")
        maps[path] = labels
        alternatives.append(
            _describe(
                one,
                path.relative_to(job.output_dir),
                compare_labels(labels, delivered.labels, header.labels, volume.grid),
            )
        )
    return Effect(alternatives=tuple(alternatives), untried=untried, maps=maps)


def _describe(told: Told, labels_file: Path, changes: tuple[StructureChange, ...]) -> Alternative:
    return Alternative(
        field=told.field, value=told.level, labels_file=labels_file.as_posix(), changes=changes
    )
