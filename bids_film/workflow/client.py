"""The nipype side of a worker process: start it, give it jobs, notice that it died."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from bids_film.domain.errors import WorkerDiedError
from bids_film.workflow.job import ScanJob, ScanOutcome, job_to_json, outcome_from_json

_START = """\
import json, sys
sys.path[:] = json.loads(sys.argv.pop(2))
from bids_film.workflow.worker import main
main()
"""
"""The worker finds the very modules that its parent found, installed or not."""


class WorkerClient:
    """A worker process that is started at the first job, and again after it died.

    Parameters
    ----------
    log_file : Path, optional
        Where the worker's output goes, such as warnings of libraries; standard error if not given.
    threads : int
        Threads that its libraries may use.
    command : sequence of str, optional
        Another program that speaks the worker's protocol.
    """

    def __init__(
        self, *, log_file: Path | None = None, threads: int = 1, command: Sequence[str] = ()
    ) -> None:
        self._log_file = log_file
        self._threads = threads
        self._command = list(command)
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def process_id(self) -> int | None:
        """Process id of the running worker, or None."""
        return self._process.pid if self._process and self._process.poll() is None else None

    def run(self, job: ScanJob) -> ScanOutcome:
        """Have one scan segmented.

        Raises
        ------
        WorkerDiedError
            Where the worker was killed or crashed; the next job gets a new one.
        """
        process = self._running_process()
        reply = ""
        # A worker that died is noticed either here while writing or by the empty reply.
        try:
            with suppress(BrokenPipeError):
                print(job_to_json(job), file=process.stdin, flush=True)
                reply = process.stdout.readline() if process.stdout else ""
        except BaseException:
            # Interrupted between question and answer: the next job must not get this one's answer.
            self.close()
            raise
        if not reply.endswith("\n"):
            raise self._bury(process)
        return outcome_from_json(reply)

    def close(self, *, grace_s: float = 5.0) -> None:
        """End the worker: by the end of its input if it is idle, otherwise by force."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(timeout=grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            with suppress(subprocess.TimeoutExpired):
                process.wait(timeout=grace_s)
        _close_pipes(process)

    def _running_process(self) -> subprocess.Popen[str]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = self._start()
        return self._process

    def _start(self) -> subprocess.Popen[str]:
        threads = str(self._threads)
        names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
        default = [sys.executable, "-c", _START, str(os.getpid()), json.dumps(sys.path)]
        log = self._log_file.open("ab") if self._log_file else None
        try:
            return subprocess.Popen(  # noqa: S603 our own interpreter and module
                self._command or default,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                encoding="utf-8",
                env=os.environ | dict.fromkeys(names, threads),
            )
        finally:
            if log:
                log.close()

    def _bury(self, process: subprocess.Popen[str]) -> WorkerDiedError:
        code = process.wait()
        _close_pipes(process)
        self._process = None
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


def _describe_death(code: int) -> str:
    if code == -signal.SIGKILL:
        return "was killed by signal 9: probably out of memory"
    if code < 0:
        return f"was killed by signal {-code} ({signal.Signals(-code).name})"
    return f"ended with exit code {code} before it answered"


def _close_pipes(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe:
            with suppress(OSError):
                pipe.close()
