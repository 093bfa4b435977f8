from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from support.bids_factory import scan_path, write_dataset
from support.phantom_recipe import DATA
from workflow_models import make_header

from bids_film.domain.scan import Scan
from bids_film.inputs.dataset import open_dataset
from bids_film.inputs.nifti import read_volume
from bids_film.model.header import hash_file
from bids_film.training.labels import hash_scan, hash_voxels
from bids_film.training.recipe import read_recipe
from bids_film.workflow.seen import SeenScans


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    root = write_dataset(tmp_path / "bids", shape=(8, 8, 4), labels=True)
    return open_dataset(root, participants=["01"], filters={"suffix": "T1w"})[0]


def find_part(scan: Scan, other: Scan, tmp_path: Path, *, image: bool, content: bool) -> str:
    """What a model that was trained on a scan takes another one for."""
    (tmp_path / "train.toml").write_text(f'[model]\nname = "phantom"\n{DATA}', encoding="utf-8")
    recipe = read_recipe(tmp_path / "train.toml")
    entry: dict[str, Any] = {"scan": scan.relative_path, "dataset": scan.dataset_root.name}
    if image:
        entry["image_sha256"] = hash_file(scan.path)
    if content:
        entry["sha256"] = hash_scan(scan, recipe.structures)
    header = replace(make_header(), training={"data": {"training": [entry]}})
    return SeenScans(header, recipe).part_of(other)


def copy_scan(scan: Scan, root: Path, name: str) -> Scan:
    path = scan_path(root, "01", name=name)
    path.parent.mkdir(parents=True)
    shutil.copyfile(scan.path, path)
    return replace(scan, path=path, dataset_root=root)


def test_an_image_is_known_under_any_name_in_any_dataset(scan: Scan, tmp_path: Path) -> None:
    other = copy_scan(scan, tmp_path / "elsewhere", "run-2_T1w")
    assert find_part(scan, other, tmp_path, image=True, content=True) == "training"


def test_another_image_of_the_same_name_is_not(scan: Scan, tmp_path: Path) -> None:
    """In a container every dataset is called alike."""
    other = copy_scan(scan, tmp_path / "elsewhere" / "bids", "T1w")
    assert other.relative_path == scan.relative_path
    other.path.write_bytes(b"another image")
    assert find_part(scan, other, tmp_path, image=True, content=True) == ""


def test_an_image_is_known_however_its_voxels_are_kept(scan: Scan, tmp_path: Path) -> None:
    """Compressed anew, and as integers of another size."""
    other = copy_scan(scan, tmp_path / "elsewhere", "run-2_T1w")
    image = nib.load(scan.path)
    whole = np.rint(np.asanyarray(image.dataobj))
    nib.save(nib.Nifti1Image(whole.astype(np.int16), image.affine), scan.path)
    nib.save(nib.Nifti1Image(whole.astype(np.float64), image.affine), other.path)
    entry = {"scan": scan.relative_path, "image_sha256": hash_file(scan.path)}
    entry["voxels_sha256"] = hash_voxels(read_volume(scan.path))
    header = replace(make_header(), training={"data": {"training": [entry]}})
    (tmp_path / "train.toml").write_text(f'[model]\nname = "phantom"\n{DATA}', encoding="utf-8")
    seen = SeenScans(header, read_recipe(tmp_path / "train.toml"))
    assert seen.part_of(other) == "training"
    other.path.write_bytes(b"damaged")
    assert SeenScans(header, read_recipe(tmp_path / "train.toml")).part_of(other) == ""


def test_a_model_without_hashes_of_images_tells_by_path_and_folder(
    scan: Scan, tmp_path: Path
) -> None:
    other = copy_scan(scan, tmp_path / "elsewhere", "T1w")
    for content in (True, False):
        assert find_part(scan, scan, tmp_path, image=False, content=content) == "training"
    assert find_part(scan, other, tmp_path, image=False, content=False) == ""
