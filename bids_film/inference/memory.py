"""Memory that every layer of a network frees, and the next one asks for again."""

from __future__ import annotations

import ctypes
import sys

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4
"""Of glibc's ``mallopt(3)``."""
_EXTRA_BYTES = 2**28


def keep_memory() -> bool:
    """Tell the C library to keep what is freed, for the rest of this process.

    By default each large tensor is mapped anew, and the kernel clears its pages one by one: in
    bfloat16 that is a third of the time and more (``benchmarks/performance``).

    Returns
    -------
    bool
        Whether the C library was told; only glibc can be.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt"):
        return False
    settings = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: _EXTRA_BYTES}
    return all(library.mallopt(name, value) for name, value in settings.items())
