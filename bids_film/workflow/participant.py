"""Participant level: segment each scan that is not done yet, and write the participants' pages."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

import bids_film
from bids_film.derivatives.atomic import check_writable
from bids_film.derivatives.dataset import check_output, write_dataset_files
from bids_film.derivatives.names import name_checks, output_names, participant_page
from bids_film.derivatives.sidecars import find_sidecars
from bids_film.domain.errors import BidsFilmError, ExitCode, InputError, UsageError
from bids_film.domain.words import count_of
from bids_film.workflow.dry_run import describe_plan
from bids_film.workflow.folders import check_folders, run_folder
from bids_film.workflow.job import Result, ScanJob, ScanOutcome
from bids_film.workflow.options import Options
from bids_film.workflow.pages import PageJob, find_failures
from bids_film.workflow.plan import Plan, make_plan
from bids_film.workflow.progress import Progress
from bids_film.workflow.resources import Resources, divide_resources
from bids_film.workflow.state import LOGS, identify_file, read_outcome, refusal_path
from bids_film.workflow.verdicts import count_lights


def run_participant(options: Options) -> ExitCode:
    """Run the participant level.

    Returns
    -------
    ExitCode
        ``DONE``, or ``SCANS_FAILED`` where at least one scan failed and the others were finished.

    Raises
    ------
    UsageError, InputError
        Before anything runs, where nothing can.
    """
    check_folders(options)
    plan = make_plan(options)
    jobs = () if options.reports_only else plan.pending
    check_output(options.output_dir, options.bids_dir)
    if options.dry_run and not options.reports_only:
        sys.stdout.writelines(f"{line}\n" for line in describe_plan(plan))
        return ExitCode.DONE
    pages = _choose_pages(plan, jobs, options)
    if options.dry_run:
        sys.stdout.writelines(
            f"sub-{page.participant}: its report would be written\n" for page in pages
        )
        return ExitCode.DONE
    if options.reports_only and not pages:
        raise InputError(
            f"{options.output_dir} holds nothing of these participants to report",
            hint="leave --reports-only out to segment them first",
        )
    check_writable(options.output_dir)
    write_dataset_files(
        options.output_dir,
        options.bids_dir,
        version=bids_film.__version__,
        environment=os.environ,
    )
    skipped = len(plan.scans) - len(jobs)
    if skipped and not options.reports_only:
        sys.stdout.write(f"{skipped} of {len(plan.scans)} scans are up to date\n")
    if not jobs and not pages:
        return ExitCode.DONE
    return _run(jobs, pages, options)


def _run(jobs: Sequence[ScanJob], pages: Sequence[PageJob], options: Options) -> ExitCode:
    from bids_film.workflow.nipype_run import find_processes, run_nodes  # noqa: PLC0415 a dry run needs no nipype

    resources = divide_resources(
        max(1, len(jobs)),
        nprocs=find_processes(options),
        omp_nthreads=options.omp_nthreads,
        mem_gb=options.mem,
    )
    ready = [_with_resources(job, resources, options) for job in jobs]
    with (
        run_folder(options.work_dir, clean=options.clean_workdir) as folder,
        Progress(len(ready), sys.stdout) as progress,
    ):
        run = _Outcomes(ready, folders=(options.output_dir, folder))
        before = _identify_reports(pages)
        problem = run_nodes(
            ready,
            pages,
            options=options,
            resources=resources,
            folder=folder,
            finished=lambda job: progress.show(run.read(job)),
        )
        # Plugins that hand a whole graph to a cluster do not say when a node has ended. What
        # --stop-on-first-crash left unfinished has not failed.
        for job in () if options.stop_on_first_crash and progress.failed else run.unread:
            progress.show(run.read(job))
    written = sum(now != then for now, then in zip(_identify_reports(pages), before, strict=True))
    code = _sum_up(progress, (written, len(pages)), options, problem)
    if lights := count_lights(_find_labels(job) for job in ready):
        sys.stdout.write(f"scans by the light of their report: {lights}\n")
    return code


def _find_labels(job: ScanJob) -> Path:
    return output_names(job.scan, str(job.fingerprint["model"]["name"]), job.output_dir).labels


def _identify_reports(pages: Sequence[PageJob]) -> list[tuple[int, int] | None]:
    return [identify_file(participant_page(page.output_dir, page.participant)) for page in pages]


class _Outcomes:
    """Outcomes of this run's jobs; one that left none has failed."""

    def __init__(self, jobs: Sequence[ScanJob], *, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._unread = {job.state_file: job for job in jobs}
        # What an earlier run left must not pass for an outcome of this one; that of another run,
        # which segments the same scan at the same time, may.
        self._before = {path: identify_file(path) for path in self._unread}
        self._forget_refusals()

    @property
    def unread(self) -> list[ScanJob]:
        return list(self._unread.values())

    def read(self, job: ScanJob) -> ScanOutcome:
        refusal = read_outcome(refusal_path(job.state_file))
        if refusal:
            self._forget_refusals()
            raise _refusal(refusal)
        self._unread.pop(job.state_file, None)
        written = identify_file(job.state_file) != self._before[job.state_file]
        outcome = read_outcome(job.state_file) if written else None
        if outcome:
            return outcome
        return ScanOutcome(
            result=Result.FAILED,
            entities=job.entities,
            input=job.scan.relative_path,
            message="it ended without an outcome" + self._find_write_problem(),
            hint=f"see the crash files and logs in {job.output_dir / LOGS}",
        )

    def _forget_refusals(self) -> None:
        for path in self._before:
            with suppress(OSError):
                refusal_path(path).unlink()

    def _find_write_problem(self) -> str:
        for folder in self._folders:
            try:
                check_writable(folder)
            except UsageError as error:
                return f": {error.message}"
        return ""


def _refusal(outcome: ScanOutcome) -> BidsFilmError:
    """Make the error of a model or a device that cannot be used: no scan need be tried with it."""
    kind = UsageError if outcome.exit_code == ExitCode.USAGE else InputError
    return kind(outcome.message, hint=outcome.hint)


def _with_resources(job: ScanJob, resources: Resources, options: Options) -> ScanJob:
    share_gb = resources.memory_gb / resources.processes if options.mem else 0.0
    engine = dataclasses.replace(job.engine, threads=resources.threads, memory_gb=share_gb)
    return dataclasses.replace(job, engine=engine)


def _choose_pages(plan: Plan, jobs: Sequence[ScanJob], options: Options) -> list[PageJob]:
    changed = {job.scan.participant for job in jobs}
    return [
        PageJob(
            participant=participant,
            output_dir=options.output_dir,
            dataset_root=options.bids_dir,
        )
        for participant in plan.participants
        if _needs_page(participant, changed, options)
    ]


def _needs_page(participant: str, changed: Collection[str], options: Options) -> bool:
    output = options.output_dir
    if options.reports_only:
        return bool(find_sidecars(output, participant) or find_failures(output, participant))
    if participant in changed or not participant_page(output, participant).is_file():
        return True
    # A run that was killed after it had segmented a scan again leaves the old page, but no checks.
    return not all(name_checks(path).is_file() for path in find_sidecars(output, participant))


def _sum_up(
    progress: Progress, reports: tuple[int, int], options: Options, problem: str
) -> ExitCode:
    """Say what was done; `reports` were written of how many."""
    failed = len(progress.failed)
    done, left = progress.done - failed, progress.total - progress.done
    written, wanted = reports
    made = count_of(written, "report") if written else "no reports"
    if 0 < written < wanted:
        made = f"{written} of {wanted} reports"
    more = f", {left} not finished" if left else ""
    sys.stdout.write(
        f"{count_of(done, 'scan')} done, {failed} failed{more}; {made} in {options.output_dir}\n"
    )
    if failed:
        sys.stderr.write(f"error: {failed} of {progress.total} scans failed:\n")
        for outcome in progress.failed[:20]:
            sys.stderr.write(f"  {outcome.input}: {outcome.message}\n")
    # The first crash ends the run before its report is written.
    stopped = failed and options.stop_on_first_crash
    if problem and not stopped and (written < wanted or not failed):
        logs = options.output_dir / LOGS
        sys.stderr.write(f"error: a report failed: {problem}\n  hint: see {logs}\n")
    return ExitCode.SCANS_FAILED if failed or problem else ExitCode.DONE
