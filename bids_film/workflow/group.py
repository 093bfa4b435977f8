"""Group level: one table per model with the volumes and flags of all participants."""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from bids_film.derivatives.sidecars import find_sidecars, read_segmentation
from bids_film.domain.entities import parse_name
from bids_film.domain.errors import ExitCode, InputError
from bids_film.domain.labels import Structure
from bids_film.domain.segmentation import Segmentation
from bids_film.inputs.folders import choose_participants
from bids_film.workflow.flags import find_flags
from bids_film.workflow.job import ScanOutcome
from bids_film.workflow.options import Options
from bids_film.workflow.state import read_outcomes
from bids_film.workflow.tables import Cell, Column, write_table

Row = dict[str, Cell]

_COLUMNS = {
    "participant_id": Column(description="Participant label with its prefix"),
    "session_id": Column(description="Session label with its prefix"),
    "scan": Column(description="Path of the scan relative to the input dataset"),
    "status": Column(description="done, or failed"),
    "model_version": Column(description="Version of the model"),
}
_LAST_COLUMNS = {
    "n_flags": Column(description="Number of flags"),
    "flags": Column(description="What to look at: notes on file, geometry and metadata"),
    "reason": Column(description="Why a scan failed"),
}


def run_group(options: Options) -> ExitCode:
    """Write ``group_seg-<model>.tsv`` and its data dictionary for each model in the output folder.

    A table of some participants only goes beside that of all of them.

    Raises
    ------
    InputError
        Where there is no segmentation yet, or none of a participant that is asked for.
    """
    output = options.output_dir
    participants = choose_segmented(output, options.participant_label)
    selected = "_selected" if options.participant_label else ""
    segmentations = list(read_segmentations(output, participants))
    outcomes = [o for label in participants for o in read_outcomes(output, label)]
    models = sorted({s.model.name for s in segmentations} | {_model_name(o) for o in outcomes})
    if not models:
        raise InputError(
            f"no segmentations in {output}", hint="run the participant level on this folder first"
        )
    for model in models:
        path = output / f"group_seg-{model}{selected}.tsv"
        chosen = [s for s in segmentations if s.model.name == model]
        failed = [o for o in outcomes if o.failed and _model_name(o) == model]
        write_group_table(path, chosen, failed)
        sys.stdout.write(f"{path}: {len(chosen)} scans, {len(failed)} failed\n")
    return ExitCode.DONE


def list_participants(output: Path) -> list[str]:
    """List the labels of all participants that an output folder or its logs know."""
    folders = [*output.glob("sub-*/"), *output.glob("logs/seg-*/sub-*/")]
    return sorted({folder.name.removeprefix("sub-") for folder in folders})


def choose_segmented(output: Path, asked: Sequence[str] | None) -> list[str]:
    """Choose the participants of an output folder that are asked for; all of them for None.

    Raises
    ------
    InputError
        Where there is none, or not all that are asked for.
    """
    available = list_participants(output)
    if not available:
        raise InputError(
            f"no segmentations in {output}", hint="run the participant level on this folder first"
        )
    return choose_participants(available, asked, output)


def read_segmentations(output: Path, participants: Iterable[str]) -> Iterator[Segmentation]:
    """Read what is known of each finished segmentation."""
    for participant in participants:
        for sidecar in find_sidecars(output, participant):
            yield read_segmentation(sidecar, output)


def write_group_table(
    path: Path, segmentations: Sequence[Segmentation], failed: Sequence[ScanOutcome]
) -> None:
    """Write one row per scan; a scan that failed after an earlier success counts as failed."""
    gone = {outcome.input for outcome in failed}
    structures: dict[str, Structure] = {}
    rows = [_failed_row(outcome) for outcome in failed]
    for segmentation in segmentations:
        if segmentation.scan not in gone:
            rows.append(_done_row(segmentation))
            structures |= {_column(v.structure): v.structure for v in segmentation.volumes}
    volumes = {
        name: Column(description=f"Volume of {structure.name}, its parts included", unit="mL")
        for name, structure in structures.items()
    }
    rows.sort(key=lambda row: str(row["scan"]))
    write_table(path, _COLUMNS | volumes | _LAST_COLUMNS, rows)


def _done_row(segmentation: Segmentation) -> Row:
    flags = find_flags(segmentation)
    volumes: Row = {_column(v.structure): v.volume_ml for v in segmentation.volumes}
    return (
        _identify(segmentation.scan)
        | volumes
        | {
            "status": "done",
            "model_version": segmentation.model.version,
            "n_flags": len(flags),
            "flags": "; ".join(flags),
        }
    )


def _failed_row(outcome: ScanOutcome) -> Row:
    return _identify(outcome.input) | {
        "status": "failed",
        "model_version": outcome.model.get("version"),
        "reason": outcome.message,
    }


def _identify(scan: str) -> Row:
    name = parse_name(Path(scan).name)
    labels = defaultdict(str, name.entities if name else {})
    session = labels["ses"]
    return {
        "participant_id": f"sub-{labels['sub']}",
        "session_id": f"ses-{session}" if session else None,
        "scan": scan,
    }


def _column(structure: Structure) -> str:
    return f"{structure.abbreviation}_volume_ml"


def _model_name(outcome: ScanOutcome) -> str:
    return str(outcome.model.get("name", ""))
