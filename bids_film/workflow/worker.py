"""A process that segments one scan after the other: torch and the network are loaded once.

It is not the process that runs nipype's nodes, because one that is killed for want of memory would
leave nipype waiting for ever. Jobs come in and outcomes go out as lines of JSON; the process ends
with the one that gives it jobs.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from bids_film.domain.errors import BidsFilmError, UsageError
from bids_film.workflow.job import job_from_json, outcome_to_json
from bids_film.workflow.processes import limit_memory
from bids_film.workflow.state import record_failure, record_refusal

if TYPE_CHECKING:
    from bids_film.inference.engine import Engine
    from bids_film.workflow.job import EngineSettings, ScanJob, ScanOutcome

_OOM_SCORE = "800"


def work(jobs: socket.socket, log_file: Path | None) -> None:
    """Serve the jobs that come through a socket, as long as somebody waits for the answers."""
    _prepare_process(log_file)
    _end_with_client(jobs)
    lines, replies = (jobs.makefile(mode, encoding="utf-8") for mode in ("r", "w"))
    serve(attempt_scan, lines, replies)


def serve(handle: Callable[[ScanJob], ScanOutcome], jobs: TextIO, replies: TextIO) -> None:
    """Answer each line of `jobs` with one line."""
    for line in jobs:
        outcome = handle(job_from_json(line))
        replies.write(outcome_to_json(outcome) + "\n")
        replies.flush()


def attempt_scan(job: ScanJob) -> ScanOutcome:
    """Segment a scan; whatever goes wrong becomes its outcome, and the next one goes on."""
    # Imported here for those who call this without a nursery, and without torch until they do.
    from bids_film.workflow.scan import process_scan  # noqa: PLC0415

    try:
        engine = _load_engine(job.engine)
    except BidsFilmError as error:
        return record_refusal(job, error)
    except MemoryError as error:
        return record_refusal(job, UsageError(f"out of memory: {error}"))
    except Exception as error:  # noqa: BLE001 a defect of ours
        return record_failure(job, error, details=traceback.format_exc())
    try:
        return process_scan(job, engine)
    except Exception as error:  # noqa: BLE001 one bad scan in a thousand costs one line
        return record_failure(job, error, details=traceback.format_exc())


@lru_cache(maxsize=1)
def _load_engine(settings: EngineSettings) -> Engine:
    from bids_film.inference.engine import Engine  # noqa: PLC0415 imports torch
    from bids_film.inference.ensembling import Ensemble  # noqa: PLC0415 imports torch

    if settings.memory_gb:
        limit_memory(settings.memory_gb)
    return Engine.load(
        settings.model,
        device=settings.device,
        precision=settings.precision,
        threads=settings.threads,
        ensemble=Ensemble(kind=settings.ensemble, passes=settings.passes),
    )


def _prepare_process(log_file: Path | None) -> None:
    if log_file:
        with log_file.open("ab") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        # Where memory runs out, the kernel should take this process and not the one that reports.
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")


def _end_with_client(jobs: socket.socket) -> None:
    """Have this process terminated when the other end of the socket is closed."""

    def watch() -> None:
        hang_up = select.poll()
        hang_up.register(jobs, 0)
        hang_up.poll()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
