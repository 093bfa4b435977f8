"""Group level: one table and one page per model with the volumes and flags of all participants."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import bids_film
from bids_film.derivatives.atomic import hold_folder, write_text_atomically
from bids_film.derivatives.dataset import check_output
from bids_film.derivatives.sidecars import find_sidecars, read_segmentation
from bids_film.domain.errors import ExitCode, InputError, MetadataError
from bids_film.domain.labels import Structure
from bids_film.domain.segmentation import Segmentation
from bids_film.domain.words import count_of, name_some
from bids_film.inputs.folders import choose_participants, list_participants
from bids_film.inputs.tables import index_rows, read_table
from bids_film.report.checks import Check
from bids_film.report.cohort import COHORT_CHECK, check_cohort
from bids_film.report.group import GroupPage, render_group
from bids_film.workflow.folders import read_excluded
from bids_film.workflow.group_tables import (
    COLUMNS,
    COMPARISON_COLUMNS,
    LAST_COLUMNS,
    compare_volumes,
    describe_structures,
    done_row,
    excluded_row,
    failed_row,
    find_spreads,
    identify,
    skipped_row,
)
from bids_film.workflow.job import ScanOutcome
from bids_film.workflow.options import Options
from bids_film.workflow.pages import read_dataset_name
from bids_film.workflow.state import read_outcomes
from bids_film.workflow.tables import Column, Row, remove_table, write_table
from bids_film.workflow.verdicts import read_checks


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupScans:
    """What is known of all scans of one model.

    Attributes
    ----------
    segmentations : Sequence[Segmentation]
        Those that count: neither failed since nor excluded.
    failed : Sequence[ScanOutcome]
    excluded : Mapping[str, str]
        Scan to note.
    skipped : Sequence[str]
        Participants of whom nothing was segmented.
    checks : Mapping[str, Sequence[Check]]
        Scan to what its report found; nothing where the report was not written.
    outputs : Mapping[str, str]
        Scan to its label map, whether it counts or not.
    """

    segmentations: Sequence[Segmentation]
    failed: Sequence[ScanOutcome] = ()
    excluded: Mapping[str, str] = field(default_factory=dict)
    skipped: Sequence[str] = ()
    checks: Mapping[str, Sequence[Check]] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)


def run_group(options: Options) -> ExitCode:
    """Write ``group_seg-<model>`` (``.tsv``, ``.json``, ``.html``) for each model in the folder.

    A table of some participants only goes beside that of all of them.

    Raises
    ------
    InputError
        Where the dataset is not there, or there is no segmentation of those asked for yet.
    """
    output = options.output_dir
    in_dataset = list_participants(options.bids_dir)
    participants = choose_segmented(output, options.participant_label, further=in_dataset)
    check_output(output, options.bids_dir)
    excluded = read_excluded(options)
    other = _read_other(options.compare_with) if options.compare_with else []
    segmentations = list(read_segmentations(output, participants))
    outcomes = [o for label in participants for o in read_outcomes(output, label)]
    models = sorted({s.model.name for s in segmentations} | {_model_name(o) for o in outcomes})
    if not models:
        raise _nothing_segmented_error(output, options.participant_label or ())
    expected = sorted(set(in_dataset).intersection(participants))
    for model in models:
        scans = _choose_scans(
            [s for s in segmentations if s.model.name == model],
            [o for o in outcomes if o.failed and _model_name(o) == model],
            excluded,
            expected,
            output,
        )
        _note_doubts(model, scans, options)
        path = _write_group(model, scans, other, options)
        sys.stdout.write(f"{path}: {describe_scans(scans)}\n")
        behind = 0 if options.participant_label else count_behind(scans)
        if behind:
            sys.stdout.write(
                f"{behind} of {len(scans.segmentations)} reports do not compare their volumes with "
                "these scans yet; to write them anew:\n  bids-film BIDS_DIR OUTPUT_DIR participant "
                f"--model {model} --reports-only\n"
            )
    return ExitCode.DONE


def _note_doubts(model: str, scans: GroupScans, options: Options) -> None:
    """Say where not all scans belong together."""
    files = {item.model.sha256 for item in scans.segmentations}
    if len(files) > 1:
        sys.stderr.write(
            f"note: the scans of {model} were segmented by {len(files)} model files of that name; "
            "to segment all by one, run the participant level with it again\n"
        )
    scanned = [item.scan for item in scans.segmentations]
    gone = [scan for scan in scanned if not os.path.lexists(options.bids_dir / scan)]
    if gone:
        sys.stderr.write(
            f"note: {len(gone)} scans are not in {options.bids_dir} any more, and count all the "
            f"same: {name_some(gone)}; to leave them out, remove their outputs or name them by "
            "--exclude-list\n"
        )


def choose_segmented(
    output: Path, asked: Sequence[str] | None, *, further: Iterable[str] = ()
) -> list[str]:
    """Choose the participants of an output folder that are asked for; all of them for None.

    Parameters
    ----------
    output : Path
    asked : Sequence[str] or None
    further : Iterable[str]
        Participants that may be chosen as well, although the folder does not know them.

    Raises
    ------
    InputError
        Where there is none, or not all that are asked for.
    """
    folders = [*output.glob("sub-*/"), *output.glob("logs/seg-*/sub-*/")]
    known = {folder.name.removeprefix("sub-") for folder in folders}
    if not known:
        raise _nothing_segmented_error(output)
    return choose_participants(sorted(known.union(further)), asked, output)


def _nothing_segmented_error(output: Path, asked: Sequence[str] = ()) -> InputError:
    of = f" of {name_some([f'sub-{label}' for label in asked])}" if asked else ""
    return InputError(f"no segmentations{of} in {output}", hint="run the participant level first")


def read_segmentations(output: Path, participants: Iterable[str]) -> Iterator[Segmentation]:
    """Read what is known of each finished segmentation."""
    for participant in participants:
        for sidecar in find_sidecars(output, participant):
            with hold_folder(sidecar.parent, to_read=True):
                segmentation = read_segmentation(sidecar, output)
            yield segmentation


def describe_scans(scans: GroupScans) -> str:
    """Count the scans in words."""
    counts = f"{len(scans.segmentations)} scans, {len(scans.failed)} failed"
    excluded, skipped = len(scans.excluded), len(scans.skipped)
    more = [f"{excluded} excluded"] if excluded else []
    more += [f"{count_of(skipped, 'participant')} skipped"] if skipped else []
    return ", ".join([counts, *more])


def count_behind(scans: GroupScans) -> int:
    """Count the reports that say of their volumes otherwise than these scans do."""
    spreads = find_spreads(scans.segmentations)
    return sum(
        check_cohort(item, spreads).verdict
        not in [
            check.verdict for check in scans.checks.get(item.scan, ()) if check.name == COHORT_CHECK
        ]
        for item in scans.segmentations
    )


def make_rows(scans: GroupScans) -> list[Row]:
    """Write one row per scan, in the order of their paths."""
    spreads = find_spreads(scans.segmentations)
    rows = [
        *(failed_row(outcome) for outcome in scans.failed),
        *(done_row(item, spreads, scans.checks.get(item.scan, ())) for item in scans.segmentations),
        *(excluded_row(scan, note) for scan, note in scans.excluded.items()),
        *(skipped_row(participant) for participant in scans.skipped),
    ]
    return sorted(rows, key=lambda row: (str(row["participant_id"]), str(row.get("scan") or "")))


def _choose_scans(
    segmentations: Sequence[Segmentation],
    failed: Sequence[ScanOutcome],
    excluded: Mapping[str, str],
    expected: Sequence[str],
    output: Path,
) -> GroupScans:
    """Let each scan count once; one that failed after an earlier success counts as failed.

    Expected participants without any are skipped, whatever else the output holds of them.
    """
    gone = {outcome.input for outcome in failed} | set(excluded)
    own = {item.scan for item in segmentations} | {outcome.input for outcome in failed}
    tried = {identify(scan)["participant_id"] for scan in own}
    counting = [item for item in segmentations if item.scan not in gone]
    return GroupScans(
        segmentations=counting,
        failed=[outcome for outcome in failed if outcome.input not in excluded],
        excluded={scan: note for scan, note in excluded.items() if scan in own},
        skipped=[label for label in expected if f"sub-{label}" not in tried],
        checks={item.scan: read_checks(output / item.labels_file) for item in counting},
        outputs={item.scan: item.labels_file for item in segmentations},
    )


def _write_group(
    model: str, scans: GroupScans, other: Sequence[Mapping[str, str]], options: Options
) -> Path:
    """Write table, data dictionary and page of one model; the path is that of the table."""
    selected = "_selected" if options.participant_label else ""
    path = options.output_dir / f"group_seg-{model}{selected}.tsv"
    rows = make_rows(scans)
    structures = {
        item.structure.abbreviation: item.structure
        for segmentation in scans.segmentations
        for item in segmentation.volumes
    }
    columns = describe_columns(list(structures.values()), scans.segmentations)
    write_table(path, columns, rows)
    compared = compare_volumes(rows, other, list(structures.values()))
    comparison = path.with_name(f"{path.stem}_comparison.tsv")
    if compared:
        write_table(comparison, COMPARISON_COLUMNS, compared)
    else:
        remove_table(comparison)
        if options.compare_with:
            sys.stderr.write(f"note: {options.compare_with} has no scan and structure of {path}\n")
    people = _read_people(options.bids_dir)
    page = GroupPage(
        model=model,
        dataset=read_dataset_name(options.bids_dir),
        version=bids_film.__version__,
        columns=columns,
        rows=rows,
        structures=tuple(structures.values()),
        segmentations=scans.segmentations,
        outputs=scans.outputs,
        people=people,
        compared=compared,
        compared_with=options.compare_with.name if options.compare_with else "",
    )
    write_text_atomically(path.with_suffix(".html"), render_group(page))
    return path


def describe_columns(
    structures: Sequence[Structure], segmentations: Sequence[Segmentation]
) -> dict[str, Column]:
    """Describe the columns of a group's table, in their order."""
    fields = dict.fromkeys(value.field for item in segmentations for value in item.values)
    told = {name: Column(description=f"{name} as the model was told") for name in fields}
    return COLUMNS | describe_structures(structures) | told | LAST_COLUMNS


def _read_people(bids_dir: Path) -> dict[str, Mapping[str, str]]:
    """Read the columns of ``participants.tsv``; a table that cannot be used is named and left."""
    path = bids_dir / "participants.tsv"
    if not path.exists():
        return {}
    try:
        table = read_table(path, required="participant_id")
        rows = index_rows(table, [("participant_id", "sub-")])
    except MetadataError as problem:
        sys.stderr.write(f"warning: the page does without participants.tsv: {problem}\n")
        return {}
    return {f"sub-{label}": row.values for (label,), row in rows.items()}


def _read_other(path: Path) -> list[Mapping[str, str]]:
    if not path.is_file():
        raise InputError(f"--compare-with: {path} is not there", hint="give a group_seg-….tsv")
    return [row.values for row in read_table(path, required="scan").rows]


def _model_name(outcome: ScanOutcome) -> str:
    return str(outcome.model.get("name", ""))
