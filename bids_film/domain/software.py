"""Which software computes, for the record of a segmentation or a training."""

from __future__ import annotations

import platform
from importlib.metadata import version

import bids_film

_PACKAGES = ("torch", "numpy", "nibabel", "scipy")


def describe_software() -> dict[str, str]:
    """Name to version: this program, Python, and the packages on which results depend."""
    own = {"bids-film": bids_film.__version__, "python": platform.python_version()}
    return own | {name: version(name) for name in _PACKAGES}
