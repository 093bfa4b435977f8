"""The real datasets through the recipes that are shipped with the program."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import bids_film.models
from bids_film.domain.entities import parse_name
from bids_film.domain.scan import Scan
from bids_film.inputs.nifti import read_volume
from bids_film.training.examples import load_example
from bids_film.training.labels import Labelled, find_labelled, read_reference
from bids_film.training.recipe import Recipe, read_recipe
from bids_film.training.selection import find_roots
from bids_film.training.settings import TargetStructure
from bids_film.training.splits import split_scans

pytestmark = pytest.mark.realdata


def bundled(name: str) -> Recipe:
    return read_recipe(Path(bids_film.models.__file__).parent / name / "recipe.toml")


def list_scans(root: Path, pattern: str = "sub-*/anat/*.nii.gz") -> list[Scan]:
    names = [(path, parse_name(path.name)) for path in sorted(root.glob(pattern))]
    return [
        Scan(path=path, dataset_root=root, entities=name.entities, suffix=name.suffix)
        for path, name in names
        if name is not None
    ]


def find_cords(shared_data: Path) -> Labelled:
    recipe = bundled("spinalcord")
    roots = find_roots(shared_data / "gm-challenge", recipe.data)
    scans = [scan for root in roots for scan in list_scans(root)]
    return find_labelled(scans, recipe.structures)


def test_the_cord_recipe_finds_its_labels_and_the_scans_without(shared_data: Path) -> None:
    found = find_cords(shared_data)
    assert len(found.scans) == 14
    assert all("run-2" in scan.stem for scan in found.without)
    split = split_scans(found.scans, bundled("spinalcord").split, seed=1)
    for sessions in ("9709Ses", "10062Ses"):
        sides = [
            side
            for side in (split.training, split.validation)
            if any(scan.participant.startswith(sessions) for scan in side)
        ]
        assert len(sides) == 1


def test_cords_without_drawn_gray_matter_are_partly_annotated(shared_data: Path) -> None:
    recipe, found = bundled("spinalcord"), find_cords(shared_data)
    annotated = Counter[int]()
    for scan in found.scans:
        grid = read_volume(scan.path).grid
        reference = read_reference(scan, recipe.structures, grid, read=read_volume)
        assert all("qform and sform differ" in note for note in reference.notes)
        assert (reference.labels > 0).sum() > 100
        annotated[len(reference.annotated)] += 1
    assert annotated == {2: 9, 1: 5}


def test_gray_matter_lies_inside_of_the_cord(shared_data: Path) -> None:
    scan = find_cords(shared_data).scans[0]
    example = load_example(scan, bundled("spinalcord"), read=read_volume)
    assert example.spacing_mm[:2] == pytest.approx((0.5, 0.5), abs=0.01)
    slices = (example.labels == 2).any(axis=(0, 1))
    assert slices.all()
    cord, gray = ((example.labels == channel).sum() for channel in (1, 2))
    assert 2 < cord / gray < 8


def test_the_hippocampus_keeps_its_two_parts(shared_data: Path) -> None:
    recipe = bundled("hippocampus")
    found = find_labelled(list_scans(shared_data / "hippocampus"), recipe.structures)
    assert len(found.scans) == 200
    assert not found.without
    example = load_example(found.scans[0], recipe, read=read_volume)
    anterior, posterior = (np.argwhere(example.labels == channel) for channel in (1, 2))
    assert anterior[:, 1].mean() > posterior[:, 1].mean(), "RAS: the second axis runs forward"


def test_masks_named_by_their_label_are_found(shared_data: Path) -> None:
    tumour = TargetStructure(
        index=1,
        name="tumour",
        abbreviation="T",
        labels="derivatives/manual/{folder}/{entities}_label-tumor_desc-manual_mask.nii.gz",
    )
    scans = list_scans(shared_data / "brisc", "sub-te0001*/anat/*_T1w.nii.gz")
    found = find_labelled(scans, [tumour])
    assert found.scans
    assert not found.without
    for scan in found.scans:
        grid = read_volume(scan.path).grid
        reference = read_reference(scan, [tumour], grid, read=read_volume)
        assert set(np.unique(reference.labels)) == {0, 1}
