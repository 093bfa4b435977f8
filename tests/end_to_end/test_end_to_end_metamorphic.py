"""The same scan stored in another way gets the same labels at the same places of the world."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from nibabel.orientations import inv_ornt_aff
from numpy.typing import NDArray

from bids_film.derivatives.nifti import write_labels
from bids_film.inference.engine import Engine
from bids_film.inputs.nifti import read_volume
from bids_film.models import find_model

pytestmark = pytest.mark.realdata

Store = Callable[[nib.Nifti1Image, Path], Path]
SCANS = {
    "hippocampus": "hippocampus/sub-001/anat/sub-001_T1w.nii.gz",
    "spinalcord": "gm-challenge/sub-9418/anat/sub-9418_run-1_T2starw.nii.gz",
}
MASKED = {
    "brain": "brain-samples/sub-vxm01/anat/sub-vxm01_T1w.nii.gz",
    "spinalcord": "gm-challenge/sub-9418/anat/sub-9418_run-1_T2starw.nii.gz",
}
LEAST_DICE = 0.995


@dataclass(frozen=True, kw_only=True)
class Labelled:
    """A scan and what a model finds in it."""

    engine: Engine
    image: nib.Nifti1Image
    labels: NDArray[Any]

    def segment(self, path: Path) -> NDArray[Any]:
        """Segment a copy; labels on the grid of the original, by the places in the world."""
        volume = read_volume(path)
        found = self.engine.predict(volume, self.engine.header.encoder.encode({})).labels
        to_copy = np.linalg.inv(volume.grid.affine) @ self.image.affine
        indices = np.indices(self.labels.shape).reshape(3, -1)
        places = np.rint(to_copy[:3, :3] @ indices + to_copy[:3, 3:]).astype(int)
        inside = ((places >= 0) & (places < np.array(found.shape)[:, None])).all(axis=0)
        moved = np.zeros(self.labels.size, found.dtype)
        moved[inside] = found[tuple(places[:, inside])]
        return moved.reshape(self.labels.shape)


@pytest.fixture(scope="module", params=SCANS)
def labelled(shared_data: Path, request: pytest.FixtureRequest) -> Labelled:
    return segment(request.param, shared_data / SCANS[request.param])


def segment(model: str, path: Path) -> Labelled:
    engine = Engine.load(find_model(model), precision="fp32", threads=1)
    labels = engine.predict(read_volume(path), engine.header.encoder.encode({})).labels
    assert (labels > 0).sum() > 100
    return Labelled(engine=engine, image=nib.load(path), labels=labels)


def voxels(image: nib.Nifti1Image) -> NDArray[Any]:
    return np.asarray(image.dataobj)


def save(data: NDArray[Any], affine: NDArray[Any], path: Path) -> Path:
    image = nib.Nifti1Image(data, affine, dtype=data.dtype)
    image.header.set_xyzt_units("mm", "sec")
    nib.save(image, path)
    return path


def reorient(axes: tuple[int, ...], flips: tuple[int, ...]) -> Store:
    def store(image: nib.Nifti1Image, folder: Path) -> Path:
        order = np.array(list(zip(axes, flips, strict=True)), dtype=float)
        data = nib.orientations.apply_orientation(voxels(image), order)
        affine = image.affine @ inv_ornt_aff(order, image.shape)
        return save(np.ascontiguousarray(data), affine, folder / "a.nii.gz")

    return store


def scale(factor: float, dtype: Any) -> Store:
    return lambda image, folder: save(
        (voxels(image) * factor).astype(dtype), image.affine, folder / "a.nii.gz"
    )


def crop_background(image: nib.Nifti1Image, folder: Path) -> Path:
    """Take off what is zero around the head."""
    data = voxels(image)
    filled = np.argwhere(data > 0)
    low, high = filled.min(axis=0), filled.max(axis=0) + 1
    affine = image.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ low
    inner = data[tuple(slice(*ends) for ends in zip(low, high, strict=True))]
    assert inner.size < 0.95 * data.size
    return save(inner.copy(), affine, folder / "a.nii.gz")


def store_plainly(image: nib.Nifti1Image, folder: Path) -> Path:
    return save(voxels(image), image.affine, folder / "a.nii")


FLIPS = ((1, 1, 1), (-1, 1, 1), (1, -1, 1), (1, 1, -1), (-1, -1, 1), (-1, -1, -1))
ORDERS = zip(itertools.permutations(range(3)), FLIPS, strict=True)
EXACT = {f"axes {axes} flipped {flips}": reorient(axes, flips) for axes, flips in ORDERS} | {
    "float64": scale(1, np.float64),
    "not compressed": store_plainly,
}
NEAR = {
    "intensities × 1000": scale(1000, np.float64),
    "intensities / 1000": scale(0.001, np.float32),
    "whole numbers of 16 bits": lambda image, folder: save(
        np.rint(voxels(image) * (30000 / voxels(image).max())).astype(np.int16),
        image.affine,
        folder / "a.nii.gz",
    ),
}


@pytest.mark.parametrize("name", EXACT)
def test_another_order_or_type_of_the_same_numbers_changes_no_label(
    labelled: Labelled, tmp_path: Path, name: str
) -> None:
    found = labelled.segment(EXACT[name](labelled.image, tmp_path))
    np.testing.assert_array_equal(found, labelled.labels)


@pytest.mark.parametrize("name", NEAR)
def test_another_scale_of_the_intensities_hardly_changes_a_label(
    labelled: Labelled, tmp_path: Path, name: str
) -> None:
    assert (
        measure_dice(labelled, labelled.segment(NEAR[name](labelled.image, tmp_path))) > LEAST_DICE
    )


@pytest.mark.parametrize("name", MASKED)
def test_a_masked_background_that_is_cropped_changes_no_label(
    shared_data: Path, tmp_path: Path, name: str
) -> None:
    labelled = segment(name, shared_data / MASKED[name])
    found = labelled.segment(crop_background(labelled.image, tmp_path))
    np.testing.assert_array_equal(found, labelled.labels)


def test_left_stays_left(labelled: Labelled, tmp_path: Path) -> None:
    """A mirrored copy whose header says so is the same head; one whose header lies is not."""
    mirrored = voxels(labelled.image)[::-1].copy()
    affine = labelled.image.affine @ inv_ornt_aff(
        np.array([[0, -1], [1, 1], [2, 1]]), labelled.image.shape
    )
    told = labelled.segment(save(mirrored, affine, tmp_path / "told.nii.gz"))
    np.testing.assert_array_equal(told, labelled.labels)
    lied = labelled.segment(save(mirrored, labelled.image.affine, tmp_path / "lied.nii.gz"))
    assert measure_dice(labelled, lied[::-1]) > measure_dice(labelled, lied)


def test_the_same_input_gives_the_same_bytes(labelled: Labelled, tmp_path: Path) -> None:
    path = save(voxels(labelled.image), labelled.image.affine, tmp_path / "a.nii.gz")
    volume = read_volume(path)
    contents = set()
    for number in range(2):
        found = labelled.engine.predict(volume, labelled.engine.header.encoder.encode({})).labels
        write_labels(tmp_path / f"{number}.nii.gz", found, volume.grid)
        contents.add((tmp_path / f"{number}.nii.gz").read_bytes())
    assert len(contents) == 1


@pytest.mark.parametrize("threads", [2, 4])
def test_the_number_of_threads_hardly_changes_a_label(labelled: Labelled, threads: int) -> None:
    name = labelled.engine.header.name
    engine = Engine.load(find_model(name), precision="fp32", threads=threads)
    try:
        volume = read_volume(Path(labelled.image.get_filename()))
        found = engine.predict(volume, engine.header.encoder.encode({})).labels
    finally:
        Engine.load(find_model(name), precision="fp32", threads=1)
    assert (found == labelled.labels).mean() >= 0.9999


def measure_dice(labelled: Labelled, found: NDArray[Any]) -> float:
    """Smallest Dice of all structures."""
    indices = np.unique(labelled.labels[labelled.labels > 0])
    return min(
        2.0
        * float(((found == index) & (labelled.labels == index)).sum())
        / float((found == index).sum() + (labelled.labels == index).sum())
        for index in indices
    )


def test_left_and_right_of_a_brain_are_never_exchanged(shared_data: Path, tmp_path: Path) -> None:
    """Nor by flipped axes; a head that is truly mirrored gets the other side's labels."""
    labelled = segment("brain", shared_data / MASKED["brain"])
    told = reorient((1, 2, 0), (-1, 1, -1))(labelled.image, tmp_path)
    np.testing.assert_array_equal(labelled.segment(told), labelled.labels)
    pairs = {
        entry.index: other.index
        for entry in labelled.engine.header.labels
        for other in labelled.engine.header.labels
        if other.name == entry.name.replace("Left-", "Right-") != entry.name
    }
    assert len(pairs) > 10
    world = find_centres_mm(labelled)
    found = [(left, right) for left, right in pairs.items() if {left, right} <= world.keys()]
    assert len(found) > 10
    for left, right in found:
        assert world[left][0] < world[right][0]
    mirror = save(voxels(labelled.image)[::-1].copy(), labelled.image.affine, tmp_path / "m.nii.gz")
    exchanged = np.arange(int(labelled.labels.max()) + 1)
    for left, right in found:
        exchanged[left], exchanged[right] = right, left
    expected = exchanged[labelled.labels[::-1]]
    sided = np.isin(expected, [label for pair in found for label in pair])
    again = labelled.segment(mirror)
    assert (again == expected)[sided].sum() > 20 * (again == exchanged[expected])[sided].sum()


def find_centres_mm(labelled: Labelled) -> dict[int, NDArray[Any]]:
    """Centre of each structure in the world, x to the right."""
    return {
        int(index): nib.affines.apply_affine(
            labelled.image.affine, np.argwhere(labelled.labels == index).mean(axis=0)
        )
        for index in np.unique(labelled.labels[labelled.labels > 0])
    }
