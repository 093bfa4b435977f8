"""State files: one per scan, in which an outcome outlives the run that made it."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import bids_film
from bids_film.derivatives.atomic import write_text_atomically
from bids_film.domain.errors import BidsFilmError
from bids_film.domain.segmentation import Segmentation
from bids_film.workflow.job import (
    Result,
    ScanJob,
    ScanOutcome,
    outcome_from_json,
    outcome_to_json,
)

LOGS = "logs"
_MORE_MEMORY = "give more memory (--mem), or run fewer scans at the same time (--nprocs)"


def state_path(output_dir: Path, model: str, relative_path: str) -> Path:
    """State file of a scan: it mirrors the input's path, so that no two scans share one.

    The `.bidsignore` keeps validators out of the folder.
    """
    stem = Path(relative_path).name.partition(".")[0]
    return output_dir / LOGS / f"seg-{model}" / Path(relative_path).parent / f"{stem}.json"


def refusal_path(state_file: Path) -> Path:
    """Where a run is told that no scan is to blame: what is known of the scan stays."""
    return state_file.with_suffix(".refusal")


def write_outcome(state_file: Path, outcome: ScanOutcome) -> None:
    """Keep an outcome; the file is there whole or not at all."""
    path = refusal_path(state_file) if outcome.exit_code else state_file
    write_text_atomically(path, outcome_to_json(outcome, indent=2) + "\n")


def read_outcome(path: Path) -> ScanOutcome | None:
    """Outcome of an earlier run; None where there is none, or none that this version can read."""
    try:
        return outcome_from_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def read_outcomes(output_dir: Path, participant: str = "*") -> list[ScanOutcome]:
    """Outcomes of all models for one participant, or for all, in the order of their files."""
    paths = sorted((output_dir / LOGS).glob(f"seg-*/sub-{participant}/**/sub-*.json"))
    return [outcome for outcome in map(read_outcome, paths) if outcome]


def find_outcome(output_dir: Path, segmentation: Segmentation) -> ScanOutcome | None:
    """Find the last outcome of a segmented scan; None where there is none."""
    return read_outcome(state_path(output_dir, segmentation.model.name, segmentation.scan))


def record_failure(job: ScanJob, error: Exception, *, details: str = "") -> ScanOutcome:
    """Turn an error into the outcome of a scan, and write a crash file with its details."""
    known = error if isinstance(error, BidsFilmError) else None
    message = shorten_paths(known.message if known else describe_error(error), job)
    crash_file = _write_crash_file(job, message, details)
    hint = f"see {crash_file}; if it looks like a defect of bids-film, please report it"
    if is_want_of_memory(error):
        hint = _MORE_MEMORY
    if known:
        hint = shorten_paths(known.hint, job)
    return ScanOutcome(
        result=Result.FAILED,
        entities=job.entities,
        input=job.scan.relative_path,
        model=job.fingerprint.get("model", {}),
        message=message,
        hint=hint,
        crash_file=crash_file,
        finished=now(),
        fingerprint=job.fingerprint,
    )


def record_refusal(job: ScanJob, error: BidsFilmError) -> ScanOutcome:
    """Turn an error that no scan is to blame for into an outcome: the whole run ends with it."""
    message, hint = error.message, error.hint
    if is_want_of_memory(error.__cause__ or error):
        message, hint = "there is not enough memory to load the model", _MORE_MEMORY
    return ScanOutcome(
        result=Result.FAILED,
        entities=job.entities,
        input=job.scan.relative_path,
        message=message,
        hint=hint,
        exit_code=int(error.exit_code),
        finished=now(),
    )


def describe_error(error: Exception) -> str:
    """One line for an error that is not ours."""
    if is_want_of_memory(error):
        return "not enough memory for this scan"
    return " ".join(f"{type(error).__name__}: {error}".split())


def is_want_of_memory(error: BaseException) -> bool:
    """Whether an error, of whatever library, says that memory is used up."""
    # torch raises a RuntimeError where numpy raises a MemoryError.
    told = ("can't allocate memory", "out of memory", "Cannot allocate memory")
    return isinstance(error, MemoryError) or any(text in str(error) for text in told)


def shorten_paths(text: str, job: ScanJob) -> str:
    """Take folders of this machine out of a text that goes into files which people share.

    What is about the scan itself always stands beside its path, which need not be said twice.
    """
    for root in (job.dataset_root, job.output_dir):
        text = text.replace(f"{root}/", "")
    path = job.scan.relative_path
    return "the image " + text.removeprefix(f"{path} ") if text.startswith(f"{path} ") else text


def now() -> str:
    """Time of day in UTC, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def _hide_places(text: str, job: ScanJob) -> str:
    """Name folders of this machine by what they are: the participant's page quotes the text."""
    places = {
        str(job.dataset_root): "BIDS_DIR",
        str(job.output_dir): "OUTPUT_DIR",
        str(Path(bids_film.__file__).parents[1]): "…",
        sys.prefix: "…",
        sys.base_prefix: "…",
        os.path.expanduser("~"): "~",  # noqa: PTH111 Path.home() fails where there is none
    }
    for place in sorted(places, key=len, reverse=True):
        if len(place) > 1:
            text = text.replace(place, places[place])
    return text


def _write_crash_file(job: ScanJob, message: str, details: str) -> str:
    time = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    name = f"{LOGS}/crash-{time}-{job.scan.stem}.txt"
    values = "\n".join(f"  {v.field} = {v.value} ({v.status})" for v in job.values)
    text = (
        f"{message}\n\nscan {job.scan.relative_path}\nmodel {job.fingerprint.get('model')}\n"
        f"bids-film {bids_film.__version__}\nmetadata\n{values}\n\n{_hide_places(details, job)}\n"
    )
    # Where the disk is full or the folder is gone, the message itself still gets through.
    with suppress(BidsFilmError):
        write_text_atomically(job.output_dir / name, text)
        return name
    return ""


def identify_file(path: Path) -> tuple[int, int] | None:
    """Tell one writing of a file from the next, which replaces it; None where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns
