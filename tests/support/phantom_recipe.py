"""The part of a recipe that says where the labels of `write_dataset` are."""

from __future__ import annotations

DATA = """
[data]
images = { suffix = "T1w" }

[[structures]]
index = 3
name = "body"
abbreviation = "B"
labels = "derivatives/labels/{folder}/{stem}_seg-manual.nii.gz"

[[structures]]
index = 7
name = "core"
abbreviation = "C"
part_of = "body"
labels = "derivatives/labels/{folder}/{stem}_gmseg-manual.nii.gz"
"""
