"""A participant's page: what is on disk of that participant, put together."""

from __future__ import annotations

import dataclasses
import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import bids_film
from bids_film.derivatives.atomic import write_text_atomically
from bids_film.derivatives.dataset import DESCRIPTION
from bids_film.derivatives.names import participant_page
from bids_film.derivatives.sidecars import find_sidecars, read_segmentation
from bids_film.domain.errors import ScanError
from bids_film.domain.segmentation import FailedScan
from bids_film.workflow.state import read_outcomes

if TYPE_CHECKING:
    from bids_film.report.page import ScanPage


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
    # Figures and templates are imported in the process that draws, not in the one that waits.
    from bids_film.report.page import ParticipantPage  # noqa: PLC0415
    from bids_film.report.participant import render_participant  # noqa: PLC0415

    output = page.output_dir
    content = ParticipantPage(
        participant=page.participant,
        dataset=read_dataset_name(page.dataset_root),
        version=bids_film.__version__,
        scans=tuple(
            _build_part(sidecar, page) for sidecar in find_sidecars(output, page.participant)
        ),
        failures=tuple(find_failures(output, page.participant)),
    )
    path = participant_page(output, page.participant)
    write_text_atomically(path, render_participant(content))
    return path


def _build_part(sidecar: Path, page: PageJob) -> ScanPage:
    from bids_film.inputs.nifti import read_volume  # noqa: PLC0415
    from bids_film.report.page import build_scan_page  # noqa: PLC0415

    segmentation = read_segmentation(sidecar, page.output_dir)
    volume = None
    # The page says where the image is no longer there or can no longer be read.
    with suppress(ScanError):
        volume = read_volume(page.dataset_root / segmentation.scan)
    output = read_volume(page.output_dir / segmentation.labels_file, labels=True)
    return build_scan_page(segmentation, volume, output)


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
