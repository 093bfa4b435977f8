from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.bids_factory import write_dataset
from support.phantom_recipe import DATA

from bids_film.domain.errors import ScanError
from bids_film.domain.scan import Scan
from bids_film.inputs.dataset import open_dataset
from bids_film.training.recipe import Recipe, read_recipe
from bids_film.workflow.experiment import check_evaluated, hash_measured

SIDECAR = "sub-01/anat/sub-01_T1w.json"
COMPANION = "sub-01/anat/sub-01_T2w.nii.gz"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "bids", shape=(8, 8, 4), labels=True)


def open_scan(root: Path) -> Scan:
    return open_dataset(root, participants=["01"], filters={"suffix": "T1w"})[0]


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    path = tmp_path / "train.toml"
    fields = '[metadata]\nfields = ["Manufacturer"]\n'
    path.write_text(f'[model]\nname = "phantom"\n{DATA}\n{fields}', encoding="utf-8")
    found = read_recipe(path)
    patterns = ("{folder}/{entities}_T2w.nii.gz",)
    return replace(found, preprocessing=replace(found.preprocessing, companions=patterns))


def test_the_same_files_and_metadata_are_measured_once(root: Path, recipe: Recipe) -> None:
    assert hash_measured(open_scan(root), recipe) == hash_measured(open_scan(root), recipe)


@pytest.mark.parametrize("change", ["image", "labels", "companion", "metadata"])
def test_whatever_a_measure_depends_on_has_it_measured_anew(
    root: Path, recipe: Recipe, change: str
) -> None:
    (root / COMPANION).write_bytes(b"another contrast")
    before = hash_measured(open_scan(root), recipe)
    scan = open_scan(root)
    if change == "metadata":
        path = root / SIDECAR
        content = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.write_text(json.dumps(content | {"Manufacturer": "another"}), encoding="utf-8")
    else:
        label = next(root.glob("derivatives/**/sub-01*.nii.gz"))
        {"image": scan.path, "labels": label, "companion": root / COMPANION}[change].write_bytes(
            b"other content"
        )
    assert hash_measured(open_scan(root), recipe) != before


@pytest.mark.parametrize("damaged", ["image", "labels"])
def test_a_scan_that_cannot_be_measured_is_found_before_anything_is_trained(
    root: Path, recipe: Recipe, damaged: str
) -> None:
    scan = open_scan(root)
    check_evaluated([scan], recipe)
    label = next(root.glob("derivatives/**/sub-01*.nii.gz"))
    path = scan.path if damaged == "image" else label
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ScanError, match="truncated or damaged"):
        check_evaluated([scan], recipe)


def test_shares_are_read_as_they_will_be_measured(root: Path, recipe: Recipe) -> None:
    for path in root.glob("derivatives/**/sub-01*.nii.gz"):
        image = nib.load(path)
        shares = np.asanyarray(image.dataobj) * np.float32(0.7)
        nib.save(nib.Nifti1Image(shares, image.affine), path)
    soft = replace(recipe, data=replace(recipe.data, soft_labels=True))
    check_evaluated([open_scan(root)], soft)
    with pytest.raises(ScanError, match="no integer"):
        check_evaluated([open_scan(root)], recipe)
