"""How the commands say what went wrong."""

from __future__ import annotations

import sys
import traceback


def print_error(message: str, hint: str = "", *, show_traceback: bool = False) -> None:
    """Print one message, what to do about it, and on request where in the code it arose."""
    if show_traceback:
        traceback.print_exc()
    sys.stderr.write(f"error: {message}\n" + (f"  hint: {hint}\n" if hint else ""))
