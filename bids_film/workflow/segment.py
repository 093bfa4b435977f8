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
        outcome = _find_client(log_folder, job.engine.threads).run(job)
    except WorkerDiedError as error:
        outcome = record_failure(job, error)
    # Without a state file (disk full) the scan counts as not done, and runs again the next time.
    with suppress(BidsFilmError):
        write_outcome(job.state_file, outcome)
    return outcome


def start_nursery(log_folder: Path, threads: int) -> None:
    """Start what workers of this process, and of its forks, come from: it takes a second or two."""
    _nurseries()[threads] = Nursery(threads=threads, log_file=log_folder / "nursery.log")


def close_workers() -> None:
    """End this process's workers; what they had not finished leaves no half file."""
    clients = _worker_clients()
    while clients:
        clients.popitem()[1].close()


def close_nurseries() -> None:
    """End what workers come from; only where it was started."""
    nurseries = _nurseries()
    while nurseries:
        nurseries.popitem()[1].close()


def _find_client(log_folder: Path, threads: int) -> WorkerClient:
    clients = _worker_clients()
    if threads not in clients:
        if threads not in _nurseries():
            start_nursery(log_folder, threads)
        log_file = log_folder / f"worker-{os.getpid()}.log"
        clients[threads] = WorkerClient(_nurseries()[threads], log_file=log_file)
    return clients[threads]


@cache
def _worker_clients() -> dict[int, WorkerClient]:
    # One per process of nipype's pool: the pool gives no place to keep what outlives a node.
    return {}


@cache
def _nurseries() -> dict[int, Nursery]:
    # One per run: the processes of nipype's pool inherit it.
    return {}
