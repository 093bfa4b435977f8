"""What the metadata did to one scan: it is segmented again as if they had been others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bids_film.derivatives.names import OutputNames
from bids_film.domain.segmentation import Alternative, StructureChange
from bids_film.inference.counterfactual import (
    Told,
    compare_labels,
    find_surroundings,
    list_alternatives,
)
from bids_film.inference.engine import Engine
from bids_film.inference.prepare import Prepared
from bids_film.workflow.job import ScanJob, values_to_dict

NEAR = 0.9
"""Dice with the delivered segmentation below which a part of the image does not stand for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """What other metadata would have given.

    Attributes
    ----------
    alternatives : tuple[Alternative, ...]
    compared_file : str
        Label map that they are compared with, where it is not the delivered one.
    untried : int
        Levels that were too many to try.
    maps : Mapping[Path, ndarray]
        Label maps for the report of the scan, by the file that each is to be written to.
    """

    alternatives: tuple[Alternative, ...] = ()
    compared_file: str = ""
    untried: int = 0
    maps: Mapping[Path, NDArray[np.uint16]] = field(default_factory=dict)


def find_effect(
    job: ScanJob,
    engine: Engine,
    prepared: Prepared,
    delivered: NDArray[np.uint16],
    names: OutputNames,
) -> Effect:
    """Segment a scan with other metadata.

    Parameters
    ----------
    delivered : ndarray
        Labels with the scan's own metadata, shape ``prepared.grid.shape``.
    names : OutputNames
    """
    header, grid, values = engine.header, prepared.grid, values_to_dict(job.values)
    if job.metadata_effect == "none" or header.network.conditioning != "film":
        return Effect()
    told, untried = list_alternatives(header.encoder, values, levels=job.metadata_effect == "all")
    if not told:
        return Effect()
    maps: dict[Path, NDArray[np.uint16]] = {}
    within = find_surroundings(delivered, grid, header.preprocessing.slice_plane)
    own, compared_file = delivered, ""
    if within:
        # Compared with itself in the same surroundings: what these change is not the metadata's.
        own = engine.predict(prepared, header.encoder.encode(values), within=within).labels
        near = compare_labels(own, delivered, header.labels, grid)
        if min(change.dice for change in near) < NEAR:
            # The network leans on what lies farther away: the whole image it is.
            own, within = delivered, None
    if within:
        maps[names.figure("own")] = own
        compared_file = names.figure("own").relative_to(job.output_dir).as_posix()
    alternatives = []
    for number, one in enumerate(told, start=1):
        labels = engine.predict(prepared, header.encoder.encode(one.values), within=within).labels
        path = names.figure(f"other-{number}")
        maps[path] = labels
        changes = compare_labels(labels, own, header.labels, grid)
        alternatives.append(_describe(one, path.relative_to(job.output_dir), changes))
    return Effect(
        alternatives=tuple(alternatives),
        compared_file=compared_file,
        untried=untried,
        maps=maps,
    )


def _describe(told: Told, labels_file: Path, changes: tuple[StructureChange, ...]) -> Alternative:
    return Alternative(
        field=told.field, value=told.level, labels_file=labels_file.as_posix(), changes=changes
    )
