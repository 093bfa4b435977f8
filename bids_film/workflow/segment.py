"""One job in this process's worker: what a node of the workflow does, without nipype."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path

from bids_film.domain.errors import BidsFilmError, WorkerDiedError
from bids_film.workflow.client import WorkerClient
from bids_film.workflow.job import ScanJob, ScanOutcome
from bids_film.workflow.nursery import Nursery
from bids_film.workflow.state import record_failure, write_outcome

NodeDied = Callable[[str, WorkerDiedError], None]
"""Told the name of a node whose process or cluster job was killed, and why."""


def segment_scan(job: ScanJob, log_folder: Path) -> ScanOutcome:
    """Segment one scan in a worker process and keep its outcome; a bad scan does not raise.

    The worker stays for the next job of this process, with its network loaded.
    """
    try:
        outcome = _find_client(log_folder).run(job)
    except WorkerDiedError as error:
        outcome = record_failure(job, error)
    # Without a state file (disk full) the scan counts as not done, and runs again the next time.
    with suppress(BidsFilmError):
        write_outcome(job.state_file, outcome)
    return outcome


def start_nursery() -> None:
    """Start what workers of this process, and of its forks, come from, unless it is there.

    It is ready after two or three seconds, and nobody need wait for it until then.
    """
    if not _nursery():
        _nursery().append(Nursery())


def close_worker() -> None:
    """End this process's worker; what it had not finished leaves no half file."""
    while _client():
        _client().pop().close()


def close_nursery() -> None:
    """End what workers come from, where it was started."""
    while _nursery():
        _nursery().pop().close()


def _find_client(log_folder: Path) -> WorkerClient:
    if not _client():
        start_nursery()
        log_file = log_folder / f"worker-{os.getpid()}.log"
        _client().append(WorkerClient(_nursery()[0], log_file=log_file))
    return _client()[0]


@cache
def _client() -> list[WorkerClient]:
    # One per process of nipype's pool: the pool gives no place to keep what outlives a node.
    return []


@cache
def _nursery() -> list[Nursery]:
    # One per run: the processes of nipype's pool inherit it.
    return []
