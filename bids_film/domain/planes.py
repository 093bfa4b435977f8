"""Planes of slices."""

from typing import Literal

SlicePlane = Literal["axial", "coronal", "sagittal", "thickest"]
"""Plane of the slices that a 2-D network sees; the thickest is that of the acquisition."""
