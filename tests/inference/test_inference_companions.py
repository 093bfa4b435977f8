from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.volumes import make_grid

from bids_film.domain.scan import Scan
from bids_film.domain.volume import Volume
from bids_film.inference.companions import read_with_companions
from bids_film.inference.prepare import prepare_volume
from bids_film.inference.windows import stack_neighbours
from bids_film.model.config import Preprocessing

SHAPE = (12, 10, 8)
PATTERNS = ("{folder}/{entities}_T2w.nii.gz",)
KEPT = Preprocessing(spacing_mm=(0.0, 0.0, 0.0), patch=(8, 8, 8), foreground="all")


def draw(seed: int) -> Volume:
    data = np.random.default_rng(seed).uniform(10, 100, SHAPE).astype(np.float32)
    return Volume(data=data, grid=make_grid(SHAPE, np.diag([-1.0, 1, 1, 1])))


@pytest.fixture
def scan(tmp_path: Path) -> Scan:
    path = tmp_path / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    path.parent.mkdir(parents=True)
    return Scan(
        path=path, dataset_root=tmp_path, entities={"sub": "01"}, suffix="T1w", datatype="anat"
    )


def read_as(volumes: dict[str, Volume], scan: Scan) -> Volume:
    """Read volumes of memory by the suffix of the file."""
    return read_with_companions(
        scan, PATTERNS, read=lambda path, *, labels=False: volumes[path.name.split("_")[-1][:3]]
    )


def test_a_companion_becomes_a_channel_of_its_own(scan: Scan) -> None:
    (scan.path.parent / "sub-01_T2w.nii.gz").touch()
    one, other = draw(0), draw(1)
    together = prepare_volume(read_as({"T1w": one, "T2w": other}, scan), KEPT)
    assert together.image.shape == (2, *SHAPE)
    np.testing.assert_array_equal(together.image[:1], prepare_volume(one, KEPT).image)
    np.testing.assert_array_equal(together.image[1:], prepare_volume(other, KEPT).image)


def test_a_missing_companion_is_nothing_and_is_said(scan: Scan) -> None:
    volume = read_as({"T1w": draw(0)}, scan)
    assert not prepare_volume(volume, KEPT).image[1].any()
    assert any("segmented without" in note for note in volume.notes)


def test_a_companion_on_another_grid_is_brought_to_the_same_place(scan: Scan) -> None:
    (scan.path.parent / "sub-01_T2w.nii.gz").touch()
    one = draw(0)
    flipped = replace(
        one, data=one.data[::-1], grid=make_grid(SHAPE, np.array(
            [[1.0, 0, 0, -11], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
        )),
    )  # fmt: skip
    volume = read_as({"T1w": one, "T2w": flipped}, scan)
    (companion,) = volume.companions
    assert companion is not None
    np.testing.assert_allclose(companion.data, one.data, rtol=1e-5)
    assert any("another grid" in note for note in volume.notes)


def test_a_companion_that_lies_elsewhere_is_nothing_and_is_said(scan: Scan) -> None:
    (scan.path.parent / "sub-01_T2w.nii.gz").touch()
    one = draw(0)
    affine = one.grid.affine.copy()
    affine[:3, 3] += 500
    far = replace(one, grid=make_grid(SHAPE, affine))
    volume = read_as({"T1w": one, "T2w": far}, scan)
    assert volume.companions == (None,)
    assert any("does not lie where the scan does" in note for note in volume.notes)


def test_a_companion_whose_header_rounds_is_not_resampled(scan: Scan) -> None:
    (scan.path.parent / "sub-01_T2w.nii.gz").touch()
    one, other = draw(0), draw(1)
    affine = other.grid.affine.copy()
    affine[:3, 3] += 0.02
    volume = read_as({"T1w": one, "T2w": replace(other, grid=make_grid(SHAPE, affine))}, scan)
    (companion,) = volume.companions
    assert companion is not None
    np.testing.assert_array_equal(companion.data, other.data)
    assert not volume.notes


def test_slices_come_with_their_neighbours_and_the_last_one_stands_for_what_is_beyond() -> None:
    image = torch.arange(5.0).expand(2, 3, 4, 5) + torch.tensor([0.0, 10.0]).view(2, 1, 1, 1)
    stacked = stack_neighbours(image, range(5), 1)
    assert stacked.shape == (5, 6, 3, 4)
    assert stacked[0, :, 0, 0].tolist() == [0, 0, 1, 10, 10, 11]
    assert stacked[2, :, 0, 0].tolist() == [1, 2, 3, 11, 12, 13]
    assert stacked[4, :, 0, 0].tolist() == [3, 4, 4, 13, 14, 14]
    assert torch.equal(stack_neighbours(image, [3], 0)[0], image[..., 3])
