"""Made-up groups of scans for the tests of the group page."""

from __future__ import annotations

import math
from pathlib import Path

from report_scenes import CORD, GRAY, TABLE
from support.cohorts import make_cohort, make_group, make_structures

from bids_film.domain.segmentation import (
    ModelIdentity,
    RecordedValue,
    Segmentation,
    StructureVolume,
)
from bids_film.report.checks import Check, Verdict
from bids_film.report.group import GroupPage, render_group
from bids_film.workflow.group import GroupScans, describe_columns, make_rows
from bids_film.workflow.job import Result, ScanOutcome

HOSTILE = "\"'><img src=x onerror=window.hacked=1><script>window.hacked=1</script>"


def make_member(number: int, *, cord_ml: float, manufacturer: str = "Siemens") -> Segmentation:
    """Make a scan of a group; its gray matter is a fifth of its cord."""
    stem = f"sub-{number:05d}/anat/sub-{number:05d}"
    return Segmentation(
        scan=f"{stem}_T2starw.nii.gz",
        labels_file=f"{stem}_space-T2starw_seg-cord_dseg.nii.gz",
        model=ModelIdentity(name="cord", version="1", sha256="0" * 64),
        values=(RecordedValue(field="Manufacturer", value=manufacturer, status="used"),),
        volumes=(
            StructureVolume(structure=CORD, voxels=9, volume_ml=cord_ml, expected_dice=0.95),
            StructureVolume(structure=GRAY, voxels=3, volume_ml=cord_ml / 5, expected_dice=0.9),
        ),
    )


def make_members(count: int) -> list[Segmentation]:
    """Make scans whose volumes spread a little; the fourth lies far off."""
    return [
        make_member(
            number,
            cord_ml=50.0 if number == 4 else 5 + math.sin(number),
            manufacturer="Philips" if number % 3 else "Siemens",
        )
        for number in range(1, count + 1)
    ]


def make_checks(*verdicts: Verdict) -> tuple[Check, ...]:
    """Make checks that came out so."""
    return tuple(
        Check(name=f"Check {place}", verdict=verdict, detail=f"It is {verdict}.")
        for place, verdict in enumerate(verdicts)
    )


CHECKS = {
    2: make_checks(Verdict.LOOK, Verdict.FAILED),
    3: make_checks(Verdict.PASSED, Verdict.LOOK),
    5: make_checks(Verdict.LOOK, Verdict.LOOK),
    6: (),
}
"""Of scans by their number: the others passed, the sixth has no report."""


def write_large_page(folder: Path, scans: int, structures: int) -> Path:
    """Write the page of many scans with many structures."""
    table = make_structures(structures)
    page = make_group(table, make_cohort(table, scans, model="brain"))
    path = folder / "group_seg-brain.html"
    path.write_text(render_group(page), encoding="utf-8")
    return path


def write_group_page(folder: Path, count: int, *, hostile: bool = False) -> Path:
    """Write the page of a group, with one scan that failed."""
    members = make_members(count)
    failed = ScanOutcome(
        result=Result.FAILED,
        entities={"sub": "99999"},
        input=f"sub-99999/anat/sub-99999_{HOSTILE}_T1w.nii.gz"
        if hostile
        else "sub-99999/anat/sub-99999_T1w.nii.gz",
        message=HOSTILE if hostile else "ends early",
    )
    passed = make_checks(Verdict.PASSED)
    checks = {one.scan: CHECKS.get(number, passed) for number, one in enumerate(members, start=1)}
    rows = make_rows(GroupScans(segmentations=members, failed=[failed], checks=checks))
    people = {
        str(row["participant_id"]): {
            "participant_id": str(row["participant_id"]),
            "age": str(20 + place % 60),
            HOSTILE if hostile else "site": HOSTILE if hostile else "abc"[place % 3],
        }
        for place, row in enumerate(rows)
    }
    page = GroupPage(
        model="cord",
        dataset=HOSTILE if hostile else "Cords",
        version="0.1.0",
        columns=describe_columns(TABLE.structures, members),
        rows=rows,
        structures=TABLE.structures,
        segmentations=members,
        outputs={item.scan: item.labels_file for item in members},
        people=people,
        compared=[
            {"scan": row["scan"], "structure": "SC", "other_ml": 5.0, "this_ml": 5.5}
            for row in rows
            if row["status"] == "done"
        ],
        compared_with=HOSTILE if hostile else "other.tsv",
    )
    path = folder / "group_seg-cord.html"
    path.write_text(render_group(page), encoding="utf-8")
    return path
