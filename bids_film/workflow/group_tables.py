"""Columns and rows of the tables of the group level."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_film.domain.entities import parse_name
from bids_film.domain.labels import Structure
from bids_film.domain.segmentation import Segmentation
from bids_film.evaluation.rows import number
from bids_film.report.checks import Check, find_light, list_concerns
from bids_film.report.cohort import Spread, measure_spread
from bids_film.workflow.flags import find_flags
from bids_film.workflow.job import ScanOutcome
from bids_film.workflow.tables import Column, Row

COLUMNS = {
    "participant_id": Column(description="Participant label with its prefix"),
    "session_id": Column(description="Session label with its prefix"),
    "scan": Column(description="Path of the scan relative to the input dataset"),
    "status": Column(
        description="done; failed; excluded, by the list of a review; or skipped, where nothing of "
        "a participant was segmented"
    ),
    "verdict": Column(
        description="Traffic light of the participant's report: passed; look, for something to "
        "look at; failed; n/a where the report was not written"
    ),
    "n_concerns": Column(description="Number of checks that did not pass"),
    "model_version": Column(description="Version of the model"),
}
LAST_COLUMNS = {
    "lowest_expected_dice": Column(
        description="Dice that the network expects of itself, of the structure where it is lowest"
    ),
    "farthest_robust_z": Column(description="Robust z of the volume that lies farthest off"),
    "farthest_structure": Column(description="Abbreviation of the structure that lies there"),
    "concerns": Column(description="The checks of the participant's report that did not pass"),
    "notes": Column(description="Notes on file, geometry and metadata"),
    "reason": Column(description="Why a scan failed, was excluded or was skipped"),
}
COMPARISON_COLUMNS = {
    "scan": Column(description="Path of the scan relative to the input dataset"),
    "structure": Column(description="Abbreviation of the structure"),
    "other_ml": Column(description="Volume in the table that was given", unit="mL"),
    "this_ml": Column(description="Volume in this run", unit="mL"),
    "difference_ml": Column(description="This run minus the other", unit="mL"),
    "difference_percent": Column(description="The difference in percent of the other", unit="%"),
}


def volume_column(structure: Structure) -> str:
    """Name the column of a structure's volume."""
    return f"{structure.abbreviation}_volume_ml"


def z_column(structure: Structure) -> str:
    """Name the column of a structure's robust z."""
    return f"{structure.abbreviation}_robust_z"


def describe_structures(structures: Sequence[Structure]) -> dict[str, Column]:
    """Describe the columns of the structures."""
    volumes = {
        volume_column(one): Column(
            description=f"Volume of {one.name}, its parts included", unit="mL"
        )
        for one in structures
    }
    scores = {
        z_column(one): Column(
            description=f"Robust z of the volume of {one.name}: its distance from the median of "
            "all scans, in scaled median absolute deviations; n/a for fewer than 8 scans, and "
            "where half of them or more have the same volume"
        )
        for one in structures
    }
    return volumes | scores


def find_spreads(segmentations: Sequence[Segmentation]) -> Mapping[str, Spread]:
    """Find how the volumes of each structure spread, by abbreviation."""
    volumes = defaultdict(list)
    for segmentation in segmentations:
        for item in segmentation.volumes:
            volumes[item.structure.abbreviation].append(item.volume_ml)
    return {name: measure_spread(own) for name, own in volumes.items()}


def done_row(
    segmentation: Segmentation, spreads: Mapping[str, Spread], checks: Sequence[Check] = ()
) -> Row:
    """Write the row of a segmented scan, with what the checks of its report found."""
    concerns = list_concerns(checks)
    row: Row = {**identify(segmentation.scan), "status": "done"}
    scores: dict[str, float] = {}
    for item in segmentation.volumes:
        name = item.structure.abbreviation
        score = spreads[name].rate(item.volume_ml)
        row[volume_column(item.structure)] = item.volume_ml
        row[z_column(item.structure)] = None if score is None else round(score, 3)
        scores |= {} if score is None else {name: score}
    farthest = max(scores, key=lambda name: abs(scores[name]), default=None)
    expected = [v.expected_dice for v in segmentation.volumes if v.expected_dice is not None]
    told: Row = {value.field: value.value for value in segmentation.values}
    return (
        told
        | row  # a field of an older model may be named like one of the table's own columns
        | {
            "model_version": segmentation.model.version,
            "lowest_expected_dice": min(expected, default=None),
            "farthest_robust_z": scores.get(farthest or ""),
            "farthest_structure": farthest,
            "verdict": find_light(checks).value if checks else None,
            "n_concerns": len(concerns) if checks else None,
            "concerns": " ".join(f"{check.name}: {check.detail}" for check in concerns),
            "notes": "; ".join(find_flags(segmentation)),
        }
    )


def failed_row(outcome: ScanOutcome) -> Row:
    """Write the row of a scan that could not be segmented."""
    return identify(outcome.input) | {
        "status": "failed",
        "model_version": outcome.model.get("version"),
        "reason": outcome.message,
    }


def excluded_row(scan: str, note: str) -> Row:
    """Write the row of a scan that a review rejected."""
    reason = f"rejected in review: {note}" if note else "rejected in review"
    return identify(scan) | {"status": "excluded", "reason": reason}


def skipped_row(participant: str) -> Row:
    """Write the row of a participant of whom nothing was segmented."""
    return {
        "participant_id": f"sub-{participant}",
        "status": "skipped",
        "reason": "nothing was segmented: not run or not finished yet, or no scan that the model "
        "is meant for",
    }


def compare_volumes(
    rows: Sequence[Row], other: Sequence[Mapping[str, str]], structures: Sequence[Structure]
) -> list[Row]:
    """Compare volumes with those of another table, scan by scan."""
    known = {row["scan"]: row for row in other}
    found: list[Row] = []
    for row in rows:
        for structure in structures:
            column = volume_column(structure)
            before = number(known.get(str(row.get("scan")), {}), column)
            after = row.get(column)
            if math.isnan(before) or not isinstance(after, int | float):
                continue
            difference = after - before
            found.append(
                {
                    "scan": row["scan"],
                    "structure": structure.abbreviation,
                    "other_ml": before,
                    "this_ml": after,
                    "difference_ml": difference,
                    "difference_percent": 100 * difference / before if float(before) else None,
                }
            )
    return found


def identify(scan: str) -> Row:
    """Tell participant and session from a scan's name."""
    name = parse_name(Path(scan).name)
    labels = defaultdict(str, name.entities if name else {})
    session = labels["ses"]
    return {
        "participant_id": f"sub-{labels['sub']}",
        "session_id": f"ses-{session}" if session else None,
        "scan": scan,
    }
