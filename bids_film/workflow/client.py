"""The nipype side of a worker process: give it jobs, notice that it died, get another one."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path
from typing import Self

from bids_film.domain.errors import WorkerDiedError
from bids_film.workflow.job import ScanJob, ScanOutcome, job_to_json, outcome_from_json
from bids_film.workflow.nursery import Nursery, Worker


class WorkerClient:
    """A worker process that is forked at the first job, and again after it died.

    Parameters
    ----------
    nursery : Nursery
    log_file : Path, optional
        Where the worker's output goes, such as warnings of libraries.
    """

    def __init__(self, nursery: Nursery, *, log_file: Path | None = None) -> None:
        self._nursery = nursery
        self._log_file = log_file
        self._worker: Worker | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """Process id of the running worker, or None."""
        return self._worker.process_id if self._worker and not self._worker.ended else None

    def run(self, job: ScanJob) -> ScanOutcome:
        """Have one scan segmented.

        Raises
        ------
        WorkerDiedError
            Where the worker was killed or crashed; the next job gets a new one.
        """
        if self.process_id is None:
            self.close()
            self._worker = self._nursery.fork(self._log_file)
        try:
            reply = self._worker.ask(job_to_json(job)) if self._worker else ""
        except BaseException:
            # Interrupted between question and answer: the next job must not get this one's answer.
            self.close()
            raise
        if not reply.endswith("\n"):
            raise self._bury()
        return outcome_from_json(reply)

    def close(self) -> None:
        """End the worker: at once if it is idle, otherwise as soon as its files are cleaned up."""
        worker, self._worker = self._worker, None
        if worker:
            worker.close()

    def _bury(self) -> WorkerDiedError:
        worker = self._worker
        code = worker.find_exit_code() if worker else None
        self.close()
        if worker and not worker.process_id:
            return WorkerDiedError(
                f"no process could be started that segments scans{self._last_words()}",
                hint="where PyTorch cannot be imported, install it again; otherwise give more "
                "memory, and run the same command again",
            )
        return WorkerDiedError(
            f"the process that segmented the scan {_describe_death(code)}{self._last_words()}",
            hint="give more memory or lower --nprocs, and run the same command again",
        )

    def _last_words(self) -> str:
        if self._log_file is None:
            return ""
        with suppress(OSError):
            lines = self._log_file.read_text(encoding="utf-8", errors="replace").splitlines()
            return f"; its last words: {lines[-1][:300]}" if lines else ""
        return ""


def _describe_death(code: int | None) -> str:
    if code is None:
        return "ended before it answered"
    if code == -signal.SIGKILL:
        return "was killed by signal 9: probably out of memory"
    if code < 0:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    return f"ended with exit code {code} before it answered"
