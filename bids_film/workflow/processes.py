"""How processes end: with the one that started them, and by SIGTERM without leaving halves."""

from __future__ import annotations

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

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

    Raises
    ------
    MemoryError
        Where the process has more already.
    """
    limit_bytes = int(limit_gb * 2**30)
    # With nothing left, libraries wait for ever for what they cannot have.
    if limit_bytes < (used := _measure_data()):
        raise MemoryError(f"{used / 2**30:.2g} GB are in use, {limit_gb:.2g} GB may be")
    resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, limit_bytes))


def _measure_data() -> int:
    """Bytes of this process that the limit counts; 0 where the system does not say."""
    with suppress(OSError, ValueError):
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[5]
        return int(pages) * resource.getpagesize()
    return 0
