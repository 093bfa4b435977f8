"""Words that messages and pages share."""

from __future__ import annotations

from collections.abc import Sequence

_NAMED = 5


def count_of(number: int, noun: str) -> str:
    """Write how many there are of a noun with a regular plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def name_some(items: Sequence[str], *, most: int = _NAMED) -> str:
    """Name the first of many, and count the others."""
    rest = len(items) - most
    return ", ".join(items[:most]) + (f" and {rest} more" if rest > 0 else "")
