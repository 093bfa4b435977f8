"""A participant's page: what is on disk of that participant, put together."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import bids_film
from bids_film.derivatives.atomic import hold_folder, write_text_atomically
from bids_film.derivatives.dataset import DESCRIPTION
from bids_film.derivatives.names import participant_page
from bids_film.derivatives.sidecars import find_sidecars, read_segmentation
from bids_film.domain.errors import MetadataError, ScanError
from bids_film.domain.segmentation import FailedScan, Segmentation
from bids_film.domain.volume import Volume
from bids_film.inputs.nifti import read_volume
from bids_film.inputs.tables import read_table
from bids_film.workflow.state import LOGS, find_outcome, identify_file, read_outcomes
from bids_film.workflow.verdicts import write_checks

if TYPE_CHECKING:
    from bids_film.report.cohort import Spread
    from bids_film.report.page import Failure, ScanPage

_LONGEST_CRASH_TEXT = 20_000


@dataclass(frozen=True, kw_only=True, slots=True)
class PageJob:
    """What it takes to write a participant's page.

    Attributes
    ----------
    participant : str
        Label without ``sub-``.
    output_dir, dataset_root : Path
        Absolute.
    """

    participant: str
    output_dir: Path
    dataset_root: Path


def page_job_to_json(page: PageJob) -> str:
    """Write a job as JSON."""
    return json.dumps(dataclasses.asdict(page), default=str)


def page_job_from_json(text: str) -> PageJob:
    """Read what `page_job_to_json` wrote."""
    content = json.loads(text)
    return PageJob(
        participant=content["participant"],
        output_dir=Path(content["output_dir"]),
        dataset_root=Path(content["dataset_root"]),
    )


def write_page(page: PageJob) -> Path:
    """Write the page of a participant from the segmentations and failures on disk.

    Raises
    ------
    InputError, ScanError
        Where an output is damaged.
    UsageError
        Where the page cannot be written.
    """
    while True:
        drawn = _list_parts(page)
        path = _write_page(page)
        # Jobs of one participant's sessions may end together: the last page must show all.
        if drawn == _list_parts(page):
            return path


def _list_parts(page: PageJob) -> list[tuple[int, int] | None]:
    return [identify_file(sidecar) for sidecar in find_sidecars(page.output_dir, page.participant)]


def _write_page(page: PageJob) -> Path:
    # Figures and templates are imported in the process that draws, not in the one that waits.
    from bids_film.report.page import ParticipantPage  # noqa: PLC0415
    from bids_film.report.participant import render_participant  # noqa: PLC0415

    output = page.output_dir
    sidecars = find_sidecars(output, page.participant)
    scans = [_build_part(sidecar, page) for sidecar in sidecars]
    failed = find_failures(output, page.participant)
    content = ParticipantPage(
        participant=page.participant,
        dataset=read_dataset_name(page.dataset_root),
        version=bids_film.__version__,
        scans=tuple(scans),
        failures=tuple(_describe_failure(scan, output) for scan in failed),
    )
    for scan in scans:
        write_checks(output, scan.segmentation, scan.checks)
    path = participant_page(output, page.participant)
    write_text_atomically(path, render_participant(content))
    write_citations([scan.segmentation for scan in scans], output)
    return path


def write_citations(segmentations: list[Segmentation], output: Path) -> None:
    """Write methods and references of each model as Markdown, HTML and BibTeX into the logs.

    They depend on the model alone, so participants that end together write the same.
    """
    from bids_film.report.methods import write_citation  # noqa: PLC0415

    for name in {item.model.name for item in segmentations}:
        own = [item for item in segmentations if item.model.name == name]
        for ending, text in write_citation(own, bids_film.__version__).items():
            path = output / LOGS / f"CITATION_seg-{name}.{ending}"
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                write_text_atomically(path, text)


def _build_part(sidecar: Path, page: PageJob) -> ScanPage:
    from bids_film.report.page import ScanFiles, build_scan_page  # noqa: PLC0415

    output = page.output_dir
    # Another run may be replacing the very files: they are read together.
    with hold_folder(sidecar.parent, to_read=True):
        segmentation = read_segmentation(sidecar, output)
        labels = read_volume(output / segmentation.labels_file, labels=True)
        entropy_file = segmentation.entropy_file
        entropy = _read_if_there(output / entropy_file) if entropy_file else None
    outcome = find_outcome(output, segmentation)
    files = ScanFiles(
        volume=_read_if_there(page.dataset_root / segmentation.scan),
        output=labels,
        entropy=entropy,
        read_map=lambda path: _read_if_there(output / path, labels=True),
        cohort=read_cohort(output, segmentation.model.name),
        failed=outcome.message if outcome and outcome.failed else "",
    )
    return build_scan_page(segmentation, files)


def read_cohort(output: Path, model: str) -> dict[str, Spread]:
    """Read how volumes spread over the scans of the group table; empty where there is none yet."""
    path = output / f"group_seg-{model}.tsv"
    try:
        state = path.stat()
    except FileNotFoundError:
        return {}
    return _measure_cohort(path, (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=1)
def _measure_cohort(path: Path, version: tuple[int, int]) -> dict[str, Spread]:  # noqa: ARG001
    """Read a version of a group table, once for all pages that this process writes."""
    from bids_film.report.cohort import measure_spread  # noqa: PLC0415

    ending = "_volume_ml"
    try:
        table = read_table(path, required="scan")
        rows = [row.values for row in table.rows]
        columns = [name for name in table.columns if name.endswith(ending)]
        volumes = {
            name: [float(row[name]) for row in rows if row[name] != "n/a"] for name in columns
        }
    except (MetadataError, ValueError):
        # Somebody's own edits: the group level writes it anew.
        return {}
    return {name.removesuffix(ending): measure_spread(own) for name, own in volumes.items() if own}


def _read_if_there(path: Path, *, labels: bool = False) -> Volume | None:
    # The page says what is no longer there or can no longer be read.
    with suppress(ScanError):
        return read_volume(path, labels=labels)
    return None


def _describe_failure(failed: FailedScan, output: Path) -> Failure:
    from bids_film.report.page import Failure  # noqa: PLC0415

    text = ""
    with suppress(OSError):
        if failed.crash_file:
            text = (output / failed.crash_file).read_text(encoding="utf-8", errors="replace")
    return Failure(scan=failed, crash_text=text[-_LONGEST_CRASH_TEXT:])


def read_dataset_name(root: Path) -> str:
    """Read what a dataset calls itself; empty where it does not say."""
    try:
        description = json.loads((root / DESCRIPTION).read_text(encoding="utf-8-sig"))
        return str(description["Name"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""


def find_failures(output: Path, participant: str = "*") -> list[FailedScan]:
    """List the scans whose last attempt failed, of one participant or of all."""
    return [
        FailedScan(
            scan=outcome.input,
            message=outcome.message,
            hint=outcome.hint,
            crash_file=outcome.crash_file,
        )
        for outcome in read_outcomes(output, participant)
        if outcome.failed
    ]
