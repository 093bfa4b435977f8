"""Views of the hippocampus dataset in which training scans keep only some of their labels.

A view is a BIDS dataset of its own: links to the images, and the labels that are left as files.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray

ANTERIOR, POSTERIOR = 1, 2
FULL = "derivatives/full/{folder}/{entities}_desc-manual_dseg.nii.gz"
WEAK = "derivatives/weak/{folder}/{entities}_desc-manual_dseg.nii.gz"
PARTS = {
    ANTERIOR: "derivatives/parts/{folder}/{entities}_label-HA_mask.nii.gz",
    POSTERIOR: "derivatives/parts/{folder}/{entities}_label-HP_mask.nii.gz",
}


def list_people(source: Path, *, seed: int) -> list[str]:
    """Labels of all participants, in an order that depends on the seed only."""
    people = sorted(path.name.removeprefix("sub-") for path in source.glob("sub-*"))
    order = np.random.default_rng(seed).permutation(len(people))
    return [people[index] for index in order]


def make_view(
    source: Path, target: Path, kept: Mapping[str, Collection[int]], test: Collection[str]
) -> None:
    """Make a view.

    Parameters
    ----------
    source : Path
        The hippocampus dataset; it is not changed.
    target : Path
        Folder of the view.
    kept : Mapping[str, Collection[int]]
        Training participants, with the structures whose labels they keep.
    test : Collection[str]
        Participants for the test, who keep all.
    """
    target.mkdir(parents=True, exist_ok=True)
    for name in ("dataset_description.json", "README.md"):
        _link(source / name, target / name)
    for label in (*kept, *test):
        image = Path(f"sub-{label}/anat/sub-{label}_T1w.nii.gz")
        manual = Path(f"sub-{label}/anat/sub-{label}_desc-manual_dseg.nii.gz")
        _link(source / image, target / image)
        _link(source / "derivatives/manual" / manual, target / "derivatives/full" / manual)
        if label in kept:
            _write_kept(target, label, kept[label])
    people = [f"sub-{label}" for label in (*kept, *test)]
    part = ["train"] * len(kept) + ["test"] * len(test)
    annotated = ["+".join(map(str, sorted(values))) for values in kept.values()]
    annotated += ["n/a"] * len(test)
    table = pd.DataFrame({"participant_id": people, "part": part, "annotated": annotated})
    table = table.sort_values("participant_id")
    table.to_csv(target / "participants.tsv", sep="\t", index=False)


def _write_kept(target: Path, label: str, kept: Collection[int]) -> None:
    folder, entities = f"sub-{label}/anat", f"sub-{label}"
    drawn = nib.load(target / FULL.format(folder=folder, entities=entities))
    labels = np.asarray(drawn.dataobj).astype(np.uint8)
    weak = np.where(np.isin(labels, list(kept)), labels, 0)
    _save(weak, drawn.affine, target / WEAK.format(folder=folder, entities=entities))
    for value in kept:
        path = target / PARTS[value].format(folder=folder, entities=entities)
        _save(labels == value, drawn.affine, path)


def _save(data: NDArray[np.generic], affine: NDArray[np.float64], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(nib.Nifti1Image(data.astype(np.uint8), affine), path)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.is_symlink():
        target.symlink_to(source.resolve())
