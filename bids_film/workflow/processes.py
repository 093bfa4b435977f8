"""How processes end: with the one that started them, and by SIGTERM without leaving halves."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_PR_SET_PDEATHSIG = 1


class Terminated(BaseException):
    """SIGTERM came: a cluster's time limit, or somebody's `kill`."""


@contextmanager
def terminable() -> Iterator[None]:
    """Turn SIGTERM into `Terminated`, so that open files are cleaned up and children end first."""

    def stop(*_: object) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except RuntimeError as error:
        # Until Python 3.12, what comes while a class is made (in an import) comes out wrapped.
        if isinstance(error.__cause__, Terminated | KeyboardInterrupt):
            raise error.__cause__ from None
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def end_with_parent() -> None:
    """Have the kernel send this process SIGTERM when its parent is gone (Linux only)."""
    # Imported here: it is not needed where only `Terminated` is, and `--help` must be quick.
    import ctypes  # noqa: PLC0415

    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def limit_memory(limit_gb: float) -> None:
    """Have allocations of this process fail beyond a limit, instead of those of the whole machine.

    Memory of a graphics card does not count, nor do the files that are mapped, such as libraries.
    """
    limit_bytes = int(limit_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))
