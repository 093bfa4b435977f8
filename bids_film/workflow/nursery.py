"""The process that workers are forked from: it imports PyTorch once, while all else is prepared.

Every process of nipype's pool inherits the socket on which it asks for a worker of its own. A
worker's parent, its keeper, does nothing but wait for it and tell how it ended.
"""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NoReturn, TextIO

from bids_film.workflow.worker import work

_START = """\
import json, sys
sys.path[:] = json.loads(sys.argv.pop(1))
from bids_film.workflow.nursery import tend
tend()
"""
"""The nursery finds the very modules that its parent found, installed or not."""

_FORKS = multiprocessing.get_context("fork")
_LONGEST_REQUEST = 2**16


class Worker:
    """A process that answers one line with another, as those who asked for it see it.

    It ends when they are gone, or have closed it.
    """

    def __init__(self, jobs: socket.socket, status: TextIO) -> None:
        self._questions = jobs.makefile("w", encoding="utf-8")
        self._answers = jobs.makefile("r", encoding="utf-8")
        jobs.close()
        self._status = status
        self.process_id = int(status.readline() or 0)
        """0 where there was no nursery to fork it."""

    @property
    def ended(self) -> bool:
        """Whether the process is gone."""
        return self._wait(0)

    def ask(self, line: str) -> str:
        """Give a line and wait for the answer, which is cut short where the process died."""
        # A process that died is noticed either here while writing or by the empty answer.
        with suppress(BrokenPipeError, ConnectionResetError):
            print(line, file=self._questions, flush=True)
            return self._answers.readline()
        return ""

    def find_exit_code(self) -> int | None:
        """Wait for the end; the exit code, negative for a signal, or None where nobody knows."""
        code = self._status.readline()
        return int(code) if code else None

    def close(self, *, grace_s: float = 5.0) -> None:
        """End the process; by force where it does not end by itself."""
        for lines in (self._questions, self._answers):
            with suppress(OSError):
                lines.close()
        if self.process_id and not self._wait(grace_s):
            with suppress(ProcessLookupError):
                os.kill(self.process_id, signal.SIGKILL)
            self._wait(grace_s)
        self._status.close()

    def _wait(self, seconds: float) -> bool:
        return bool(select.select([self._status], [], [], seconds)[0])


class Nursery:
    """Where workers come from; the process is started at once, and again after it died.

    What it prints is kept from its second start on, in the log of the worker that was asked for.

    Parameters
    ----------
    command : sequence of str, optional
        Another program in its place.
    """

    def __init__(self, *, command: Sequence[str] = ()) -> None:
        self._command = list(command) or [sys.executable, "-c", _START, json.dumps(sys.path)]
        self._start(None)

    def fork(self, log_file: Path | None = None) -> Worker:
        """Fork a worker, whose output goes to a log of its own."""
        with suppress(OSError):
            worker = self._ask(log_file)
            if worker.process_id:
                return worker
            worker.close()
        self.close()
        self._start(log_file)
        return self._ask(log_file)

    def close(self) -> None:
        """End the process at once; workers that there are stay until they are closed."""
        self._requests.close()
        # In a fork of the process that started it, it counts as ended already, and is left alone.
        self._process.kill()
        self._process.wait()

    def _start(self, log_file: Path | None) -> None:
        self._requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, (log_file or Path(os.devnull)).open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 our own interpreter and module
                self._command,
                stdin=theirs.fileno(),
                stdout=log,
                stderr=log,
                # OpenBLAS starts its threads when it is imported; who forks must not have any.
                env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
            )

    def _ask(self, log_file: Path | None) -> Worker:
        jobs, theirs = socket.socketpair()
        status, reported = os.pipe()
        request = json.dumps(str(log_file) if log_file else None).encode()
        try:
            socket.send_fds(self._requests, [request], [theirs.fileno(), reported])
        except OSError:
            jobs.close()
            os.close(status)
            raise
        finally:
            theirs.close()
            os.close(reported)
        return Worker(jobs, os.fdopen(status, encoding="ascii"))


def tend() -> NoReturn:
    """Fork workers as long as there is somebody to ask for one."""
    # Ctrl-C reaches the whole process group; who asked for workers decides what happens to them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # What workers need is imported before they are forked. Looking for garbage meanwhile would
    # take a tenth of the time, and afterwards copy what they share.
    gc.disable()
    import bids_film.inference.engine  # noqa: PLC0415
    import bids_film.workflow.scan  # noqa: F401, PLC0415

    gc.freeze()
    gc.enable()

    with socket.socket(fileno=os.dup(0)) as requests:
        # Nobody else may hold it, or those who ask would wait for a nursery that is gone.
        with Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
        while True:
            request, places, _, _ = socket.recv_fds(requests, _LONGEST_REQUEST, 2)
            if not request:
                # At once: to take PyTorch apart lasts half as long as to import it.
                os._exit(0)
            _FORKS.Process(target=_keep, args=(requests, json.loads(request), *places)).start()
            for place in places:
                os.close(place)


def _keep(requests: socket.socket, log_file: str | None, jobs: int, reported: int) -> None:
    """Fork a worker, and report its process id and, later, its exit code, a line each."""
    requests.close()
    worker = _FORKS.Process(target=_work, args=(log_file, jobs, reported))
    worker.start()
    os.close(jobs)
    _report(worker.pid, reported)
    worker.join()
    _report(worker.exitcode, reported)


def _report(number: int | None, reported: int) -> None:
    with suppress(BrokenPipeError):
        os.write(reported, f"{number}\n".encode("ascii"))


def _work(log_file: str | None, jobs: int, reported: int) -> None:
    os.close(reported)
    with socket.socket(fileno=jobs) as connected:
        work(connected, Path(log_file) if log_file else None)
