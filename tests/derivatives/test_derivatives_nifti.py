from __future__ import annotations

import gzip
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bids_film.derivatives.nifti import write_labels, write_probabilities
from bids_film.domain.volume import Grid
from bids_film.inputs.nifti import read_grid

_GEOMETRY = (
    "qform_code", "sform_code", "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
    "xyzt_units",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How the voxels of a made-up image lie."""

    codes: tuple[int, int] = (1, 1)
    degrees: tuple[float, float, float] = (0.0, 0.0, 0.0)
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    mirrored: bool = False
    shape: tuple[int, ...] = (4, 5, 3)
    units: int = 2


def turn(degrees: tuple[float, float, float]) -> NDArray[np.float64]:
    matrix = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        first, second = [other for other in range(3) if other != axis]
        step = np.eye(3)
        step[first, first] = step[second, second] = np.cos(angle)
        step[first, second], step[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ step
    return matrix


def make_image(path: Path, placement: Placement | None = None) -> Grid:
    placement = placement or Placement()
    header = nib.Nifti1Header()
    header.set_data_dtype(np.float32)
    header.set_data_shape(placement.shape)
    affine = np.eye(4)
    affine[:3, :3] = turn(placement.degrees) @ np.diag(placement.spacing_mm)
    affine[:3, 3] = (-12.5, 7.25, 31.1)
    if placement.mirrored:
        affine[:3, 0] *= -1
    header.set_qform(affine, code=placement.codes[0])
    # The two may differ on purpose: many scanners write a scanner and an aligned space.
    moved = affine.copy()
    moved[:3, 3] += 0.01
    header.set_sform(moved, code=placement.codes[1])
    header["xyzt_units"] = placement.units
    header["vox_offset"], header["magic"] = 352, b"n+1"
    data = np.arange(np.prod(placement.shape), dtype=np.float32)
    with gzip.open(path, "wb") as stream:
        stream.write(header.binaryblock + bytes(4) + data.tobytes())
    return read_grid(path).grid


def read_header(path: Path) -> dict[str, Any]:
    header = nib.load(path).header
    # A quaternion and its negative are the same half turn: the matrix is what must be equal.
    return {key: header[key].tobytes() for key in _GEOMETRY} | {
        "pixdim": header["pixdim"][:4].tobytes(),
        "qform": header.get_qform().tobytes(),
    }


PLACEMENTS = st.builds(
    Placement,
    codes=st.sampled_from([(0, 0), (1, 0), (0, 1), (1, 1), (1, 4), (2, 2)]),
    degrees=st.tuples(*[st.floats(min_value=-180, max_value=180)] * 3),
    spacing_mm=st.tuples(*[st.floats(min_value=0.1, max_value=9.0)] * 3),
    mirrored=st.booleans(),
    shape=st.sampled_from([(4, 5), (4, 5, 3), (4, 5, 3, 1), (4, 5, 1)]),
    units=st.sampled_from([0, 2, 10, 3]),
)


def change_header(path: Path, **values: Any) -> Grid:
    """Write an image whose header holds other numbers."""
    make_image(path)
    content = bytearray(gzip.decompress(path.read_bytes()))
    header = nib.Nifti1Header(bytes(content[:348]), check=False)
    for name, value in values.items():
        header[name] = value
    content[:348] = header.binaryblock
    path.write_bytes(gzip.compress(bytes(content)))
    return read_grid(path).grid


@pytest.mark.parametrize(
    "values",
    [
        {"quatern_b": 0.9, "quatern_c": 0.9, "quatern_d": 0.9},
        {"quatern_b": 5.0, "qform_code": 0},
        {"qform_code": 7},
        {"sform_code": 9, "qform_code": 0},
    ],
)
def test_a_qform_of_no_use_and_codes_of_no_meaning_are_kept_as_they_are(
    tmp_path: Path, values: dict[str, float]
) -> None:
    image, labels = tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz"
    grid = change_header(image, **values)
    write_labels(labels, np.ones(grid.shape, np.int32), grid)
    before, after = (
        nib.Nifti1Header(gzip.decompress(path.read_bytes())[:348], check=False)
        for path in (image, labels)
    )
    names = ("quatern_b", "quatern_c", "quatern_d", *_GEOMETRY)
    assert all(np.array_equal(before[name], after[name]) for name in names)
    np.testing.assert_array_equal(before["pixdim"][:4], after["pixdim"][:4])


def test_a_voxel_size_that_cannot_be_is_that_of_the_sform(tmp_path: Path) -> None:
    image, labels = tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz"
    grid = change_header(image, pixdim=[1, 0, 1, 1, 0, 0, 0, 0])
    write_labels(labels, np.ones(grid.shape, np.int32), grid)
    written = nib.load(labels)
    np.testing.assert_allclose(written.header.get_zooms()[:3], grid.spacing_mm)
    np.testing.assert_allclose(written.affine, grid.affine)


@given(placement=PLACEMENTS)
def test_a_label_map_lies_where_its_image_lies(
    tmp_path_factory: pytest.TempPathFactory, placement: Placement
) -> None:
    folder = tmp_path_factory.mktemp("grid")
    image, labels = folder / "image.nii.gz", folder / "labels.nii.gz"
    grid = make_image(image, placement)
    write_labels(labels, np.ones(grid.shape, np.int32), grid)
    before, after = nib.load(image), nib.load(labels)
    assert after.shape == before.shape
    for key in ("qform_code", "sform_code", "xyzt_units"):
        assert after.header[key] == before.header[key]
    assert after.header["srow_x"].tobytes() == before.header["srow_x"].tobytes()
    np.testing.assert_allclose(after.header.get_qform(), before.header.get_qform(), atol=2e-5)
    np.testing.assert_allclose(after.affine, before.affine, atol=2e-5)


@pytest.mark.parametrize("codes", [(0, 0), (1, 0), (0, 1), (1, 4)])
@pytest.mark.parametrize(
    "degrees", [(0, 0, 0), (10, -20, 35), (90, 0, 0), (0, 0, 180), (0, 180, 0), (180, 0, 7)]
)
def test_the_stored_geometry_is_the_same_to_the_byte(
    tmp_path: Path, codes: tuple[int, int], degrees: tuple[float, float, float]
) -> None:
    image, labels = tmp_path / "image.nii.gz", tmp_path / "labels.nii.gz"
    grid = make_image(image, Placement(codes=codes, degrees=degrees, spacing_mm=(0.5, 0.5, 3.0)))
    write_labels(labels, np.ones(grid.shape, np.int32), grid)
    assert read_header(labels) == read_header(image)


@pytest.mark.parametrize(
    ("highest", "kind"), [(0, np.uint8), (255, np.uint8), (256, np.int16), (40_000, np.int32)]
)
def test_labels_take_the_smallest_type_and_no_scaling(
    tmp_path: Path, highest: int, kind: type[np.generic]
) -> None:
    grid = make_image(tmp_path / "image.nii.gz")
    labels = np.zeros(grid.shape, np.int32)
    labels[1, 2, 1] = highest
    write_labels(tmp_path / "labels.nii.gz", labels, grid)
    written = nib.load(tmp_path / "labels.nii.gz")
    assert written.get_data_dtype() == kind
    assert (written.dataobj.slope, written.dataobj.inter) == (1.0, 0.0)
    np.testing.assert_array_equal(np.asarray(written.dataobj), labels)


def test_the_same_labels_give_the_same_bytes_under_any_name(tmp_path: Path) -> None:
    grid = make_image(tmp_path / "image.nii.gz")
    labels = np.arange(np.prod(grid.shape), dtype=np.int32).reshape(grid.shape)
    for name in ("a.nii.gz", "b.nii.gz"):
        write_labels(tmp_path / name, labels, grid)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_the_order_of_the_voxels_in_memory_does_not_matter(tmp_path: Path) -> None:
    grid = make_image(tmp_path / "image.nii.gz")
    labels = np.arange(np.prod(grid.shape), dtype=np.int32).reshape(grid.shape[::-1]).T
    write_labels(tmp_path / "labels.nii.gz", labels, grid)
    written = np.asarray(nib.load(tmp_path / "labels.nii.gz").dataobj)
    np.testing.assert_array_equal(written, labels)


def test_probabilities_come_back_within_a_thirty_thousandth(tmp_path: Path) -> None:
    grid = make_image(tmp_path / "image.nii.gz")
    probabilities = np.linspace(0, 1, int(np.prod(grid.shape)), dtype=np.float32)
    probabilities = probabilities.reshape(grid.shape)
    write_probabilities(tmp_path / "p.nii.gz", probabilities, grid)
    written = np.asarray(nib.load(tmp_path / "p.nii.gz").dataobj)
    np.testing.assert_allclose(written, probabilities, atol=1 / 60_000)
    assert (written.min(), written.max()) == (0.0, pytest.approx(1.0, abs=1e-7))


def test_a_map_of_another_shape_is_a_mistake_of_the_caller(tmp_path: Path) -> None:
    grid = make_image(tmp_path / "image.nii.gz")
    with pytest.raises(ValueError, match="expected a map of shape"):
        write_labels(tmp_path / "labels.nii.gz", np.zeros((2, 2, 2), np.int32), grid)


@pytest.mark.realdata
@pytest.mark.parametrize(
    "name",
    [
        "gm-challenge/sub-9418/anat/sub-9418_run-1_T2starw.nii.gz",
        "gm-challenge/sub-9604/anat/sub-9604_run-1_T2starw.nii.gz",
        "spine-multicontrast/sub-unf01/anat/sub-unf01_T1w.nii.gz",
        "hippocampus/sub-001/anat/sub-001_T1w.nii.gz",
    ],
)
def test_real_scans_keep_their_geometry_to_the_byte(
    tmp_path: Path, shared_data: Path, name: str
) -> None:
    grid = read_grid(shared_data / name).grid
    write_labels(tmp_path / "labels.nii.gz", np.ones(grid.shape, np.int32), grid)
    assert read_header(tmp_path / "labels.nii.gz") == read_header(shared_data / name)
