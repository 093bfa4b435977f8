"""How the commands say what went wrong."""

from __future__ import annotations

import os
import sys
import traceback

from bids_film.domain.errors import ExitCode


def print_error(message: str, hint: str = "", *, show_traceback: bool = False) -> None:
    """Print one message, what to do about it, and on request where in the code it arose."""
    if show_traceback:
        traceback.print_exc()
    sys.stderr.write(f"error: {message}\n" + (f"  hint: {hint}\n" if hint else ""))


def leave_broken_pipe() -> int:
    """End quietly where the reader of our output is gone; gives the exit code."""
    # Python would complain once more while it shuts down.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return int(ExitCode.SCANS_FAILED)
