"""Made-up groups of scans, of any size and any number of structures."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

from bids_film.domain.labels import Structure
from bids_film.domain.segmentation import (
    ModelIdentity,
    RecordedValue,
    Segmentation,
    StructureVolume,
)
from bids_film.report.checks import Check
from bids_film.report.group import GroupPage
from bids_film.workflow.group import GroupScans, describe_columns, make_rows

_MANUFACTURERS = ("Siemens", "Philips", "GE")


def make_structures(count: int) -> tuple[Structure, ...]:
    """Make structures with names as long as those of a brain's."""
    return tuple(
        Structure(
            index=index,
            name=f"Left-Structure-{index:02d}-White-Matter",
            abbreviation=f"Left-Structure-{index:02d}",
            color=f"#{index * 40503 % 0xFFFFFF:06x}",
        )
        for index in range(1, count + 1)
    )


def make_cohort(
    structures: Sequence[Structure], scans: int, *, model: str, seed: int = 0
) -> list[Segmentation]:
    """Make scans of two sessions each, whose volumes spread by a tenth."""
    chance = random.Random(seed)
    return [_make_scan(number, structures, model, chance) for number in range(scans)]


def make_group(
    structures: tuple[Structure, ...],
    segmentations: Sequence[Segmentation],
    checks: Mapping[str, Sequence[Check]] | None = None,
) -> GroupPage:
    """Make the page of a group."""
    return GroupPage(
        model=segmentations[0].model.name,
        version="0",
        columns=describe_columns(structures, segmentations),
        rows=make_rows(GroupScans(segmentations=segmentations, checks=checks or {})),
        structures=structures,
        segmentations=segmentations,
        outputs={item.scan: item.labels_file for item in segmentations},
    )


def _make_scan(
    number: int, structures: Sequence[Structure], model: str, chance: random.Random
) -> Segmentation:
    folder = f"sub-{number // 2:05d}/ses-{number % 2}/anat"
    stem = f"{folder}/sub-{number // 2:05d}_ses-{number % 2}"
    volumes = (
        StructureVolume(
            structure=structure,
            voxels=1000,
            volume_ml=(1 + structure.index) * chance.gauss(1, 0.1),
            expected_dice=0.9 + 0.05 * chance.random(),
        )
        for structure in structures
    )
    values = (
        RecordedValue(field="Manufacturer", value=chance.choice(_MANUFACTURERS), status="used"),
        RecordedValue(field="EchoTime", value=chance.uniform(2, 100), unit="ms", status="used"),
        RecordedValue(field="FlipAngle", status="missing"),
    )
    return Segmentation(
        scan=f"{stem}_T1w.nii.gz",
        labels_file=f"{stem}_space-T1w_seg-{model}_dseg.nii.gz",
        model=ModelIdentity(name=model, version="1", sha256="0" * 64),
        values=values,
        volumes=tuple(volumes),
    )
