"""What a run would do, in words."""

from __future__ import annotations

from collections.abc import Iterator

from bids_film.domain.errors import ScanError
from bids_film.domain.words import count_of
from bids_film.metadata.resolve import FieldValue, MetadataPolicy, check_policy
from bids_film.workflow.job import ScanJob
from bids_film.workflow.plan import Plan, ScanPlan
from bids_film.workflow.state import shorten_paths


def describe_plan(plan: Plan) -> Iterator[str]:
    """Describe each scan: what would be done, and each metadata value with where it was found."""
    header = plan.header
    yield f"model {header.name} {header.version} ({plan.model})"
    failing = 0
    for scan in plan.scans:
        problem = _find_problem(scan.job) if scan.reason else ""
        failing += bool(problem)
        yield from _describe_scan(scan, problem)
    pending, total = len(plan.pending), len(plan.scans)
    people = count_of(len(plan.participants), "participant")
    yield (
        f"{pending - failing} of {total} scans of {people} would be segmented, "
        f"{f'{failing} would fail, ' if failing else ''}{total - pending} are up to date"
    )


def _describe_scan(plan: ScanPlan, problem: str) -> Iterator[str]:
    action = "would be tried" if problem else "would be segmented"
    action = f"{action} ({plan.reason})" if plan.reason else "is up to date"
    yield f"{plan.job.scan.relative_path} {action}"
    if problem:
        yield f"    would fail: {problem}"
    width = max((len(value.field) for value in plan.job.values), default=0)
    for value in plan.job.values:
        yield f"    {value.field:<{width}}  {_describe_value(value)}"


def _find_problem(job: ScanJob) -> str:
    """Say why segmenting a scan will fail, as far as its metadata and its header tell."""
    from bids_film.inputs.nifti import check_image  # noqa: PLC0415 imports nibabel

    problem = ScanError(job.problem, hint=job.hint)
    try:
        if not job.problem:
            check_image(job.path)
            check_policy(job.values, MetadataPolicy(job.on_missing_metadata))
            return ""
    except ScanError as error:
        problem = error
    message, hint = (shorten_paths(text, job) for text in (problem.message, problem.hint))
    return f"{message} ({hint})" if hint else message


def _describe_value(value: FieldValue) -> str:
    shown = "unknown" if value.value is None else f"{value.value}"
    parts = [shown, str(value.status)]
    if value.outside_range:
        parts.append("outside training range")
    if value.source:
        says_it_all = value.file.endswith(str(value.source))
        place = value.file if says_it_all else f"{value.source} {value.file}".strip()
        parts.append(f"{place}: {value.key} = {value.raw!r}")
    if value.note:
        parts.append(value.note)
    return ", ".join(parts)
