"""Paths as the user gave them, made to last."""

from __future__ import annotations

import os
from pathlib import Path


def make_absolute(path: Path) -> Path:
    """Absolute path without ``..``; links stay, so that messages show the path that was given."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - Path.resolve() would follow links
