"""Segment the MNI152 T1w template that nilearn carries, and show where the report is.

    python -m benchmarks.demo.run --output FOLDER

Makes a BIDS dataset of one participant, runs ``bids-film`` on it with the bundled brain model, and
prints the Dice against nilearn's own gray- and white-matter masks.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from nilearn.datasets import load_mni152_gm_mask, load_mni152_template, load_mni152_wm_mask
from numpy.typing import NDArray

from bids_film.images.measures import dice

TISSUES = {
    "gray-matter": (3, 42, 8, 47, 10, 49, 11, 50, 12, 51, 13, 52, 17, 53, 18, 54, 26, 58),
    "white-matter": (2, 41, 7, 46, 16, 28, 60),
}
"""Numbers of FreeSurfer's colour table."""


def main() -> int:
    """Make the dataset, segment it, compare."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("demo"))
    folder = parser.parse_args().output
    dataset, derivatives = folder / "bids", folder / "derivatives"
    make_dataset(dataset)
    command = [sys.executable, "-m", "bids_film", str(dataset), str(derivatives), "participant"]
    print("+ bids-film", *command[3:], flush=True)
    status = subprocess.run(command, check=False).returncode
    if status:
        return status
    for name, value in compare(derivatives).items():
        print(f"Dice against nilearn's {name} mask: {value:.3f}")
    print(f"Report: {(derivatives / 'sub-mni152.html').resolve()}")
    return 0


def make_dataset(root: Path) -> None:
    """Write the template as the T1w scan of one participant."""
    anatomy = root / "sub-mni152" / "anat"
    anatomy.mkdir(parents=True, exist_ok=True)
    description = {"Name": "MNI152 T1w template", "BIDSVersion": "1.10.0", "DatasetType": "raw"}
    _write_json(root / "dataset_description.json", description)
    (root / "README").write_text("The ICBM 152 2009a template, as nilearn carries it.\n", "utf-8")
    (root / "participants.tsv").write_text("participant_id\nsub-mni152\n", "utf-8")
    scan = anatomy / "sub-mni152_T1w.nii.gz"
    if not scan.exists():  # a scan that is written anew would be segmented anew
        load_mni152_template(resolution=1).to_filename(scan)
    _write_json(anatomy / "sub-mni152_T1w.json", {"Modality": "MR", "SkullStripped": True})


def compare(derivatives: Path) -> dict[str, float]:
    """Compute the Dice of gray and white matter against nilearn's masks."""
    (path,) = derivatives.glob("sub-mni152/anat/*_dseg.nii.gz")
    labels = np.asarray(nib.load(path).dataobj)
    return {name: dice(np.isin(labels, TISSUES[name]), mask) for name, mask in read_masks().items()}


def read_masks() -> dict[str, NDArray[np.bool_]]:
    """Read nilearn's masks of gray and white matter."""
    masks = {
        "gray-matter": load_mni152_gm_mask(resolution=1),
        "white-matter": load_mni152_wm_mask(resolution=1),
    }
    return {name: np.asarray(mask.dataobj).astype(bool) for name, mask in masks.items()}


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
