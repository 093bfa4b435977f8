from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from support.bids_factory import make_affine, make_phantom, write_image

from bids_film.domain.errors import ScanError
from bids_film.inputs.nifti import header_source, read_grid, read_volume

_DATA = make_phantom().image


def _edit_header(path: Path, offset: int, layout: str, *values: float) -> Path:
    """Overwrite bytes of the header of an uncompressed file."""
    content = bytearray(path.read_bytes())
    struct.pack_into(layout, content, offset, *values)
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", ["scan.nii", "scan.nii.gz"])
def test_voxels_and_affine_are_those_that_nibabel_reads(tmp_path: Path, name: str) -> None:
    affine = make_affine((0.5, 2, 3), axes="PIR", oblique_deg=17)
    path = write_image(tmp_path / name, _DATA, affine=affine)
    volume = read_volume(path)
    image = nib.load(path)
    assert volume.data.dtype == np.float32
    np.testing.assert_array_equal(volume.data, image.get_fdata(dtype=np.float32))
    np.testing.assert_allclose(volume.grid.affine, image.affine)
    assert volume.grid.shape == volume.grid.stored_shape == image.shape
    assert (volume.grid.qform_code, volume.grid.sform_code) == (1, 1)
    assert volume.grid.xyzt_units == 10
    assert volume.notes == ()


@given(
    axes=st.sampled_from(["RAS", "LPI", "SAR", "ILP"]),
    spacing=st.tuples(*[st.floats(0.1, 8)] * 3),
    angle=st.floats(-40, 40),
)
def test_voxel_sizes_survive_any_orientation(
    tmp_path_factory: pytest.TempPathFactory,
    axes: str,
    spacing: tuple[float, float, float],
    angle: float,
) -> None:
    path = tmp_path_factory.mktemp("orientation") / "scan.nii"
    write_image(path, _DATA, affine=make_affine(spacing, axes=axes, oblique_deg=angle))
    grid = read_grid(path).grid
    np.testing.assert_allclose(grid.spacing_mm, spacing, rtol=1e-5)
    np.testing.assert_allclose(grid.voxel_volume_ml, np.prod(spacing) / 1000, rtol=1e-5)


@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float64, ">i2", ">f4"]
)
def test_every_type_of_number_becomes_native_float32(tmp_path: Path, dtype: str) -> None:
    stored = np.rint(_DATA.clip(0)).astype(dtype)
    data = read_volume(write_image(tmp_path / "scan.nii.gz", stored)).data
    assert data.dtype == np.dtype(np.float32)
    np.testing.assert_array_equal(data, stored.astype(np.float32))


def test_the_scaling_that_the_header_declares_is_applied(tmp_path: Path) -> None:
    stored = np.arange(_DATA.size, dtype=np.int16).reshape(_DATA.shape)
    path = write_image(tmp_path / "scan.nii.gz", stored, scaling=(0.5, -3.0))
    np.testing.assert_allclose(read_volume(path).data, stored * 0.5 - 3.0)


def test_a_large_image_is_scaled_by_parts_exactly_as_nibabel_scales_it(tmp_path: Path) -> None:
    stored = np.random.default_rng(0).integers(-3000, 3000, (120, 110, 100), dtype=np.int16)
    path = write_image(tmp_path / "scan.nii", stored, scaling=(0.0123, -3.7))
    expected = nib.load(path).get_fdata(dtype=np.float32)
    np.testing.assert_array_equal(read_volume(path).data, expected)


def test_a_nifti_2_file_is_read(tmp_path: Path) -> None:
    nib.save(nib.Nifti2Image(_DATA, make_affine()), tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(read_volume(tmp_path / "scan.nii.gz").data, _DATA)


def test_a_file_with_its_bytes_in_the_other_order_is_read(tmp_path: Path) -> None:
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.float32)
    nib.save(nib.Nifti1Image(_DATA, make_affine(), header), tmp_path / "scan.nii.gz")
    assert nib.load(tmp_path / "scan.nii.gz").header.endianness == ">"
    volume = read_volume(tmp_path / "scan.nii.gz")
    np.testing.assert_array_equal(volume.data, _DATA)
    np.testing.assert_allclose(volume.grid.affine, make_affine())


@pytest.mark.parametrize("shape", [(6, 7), (6, 7, 1), (6, 7, 5, 1), (6, 7, 5, 1, 1)])
def test_one_slice_and_one_volume_become_three_dimensions(
    tmp_path: Path, shape: tuple[int, ...]
) -> None:
    stored = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    volume = read_volume(write_image(tmp_path / "scan.nii.gz", stored))
    assert volume.data.shape == volume.grid.shape == (*shape, 1)[:3]
    assert volume.grid.stored_shape == shape
    np.testing.assert_array_equal(volume.data.squeeze(), stored.squeeze())


def test_voxels_that_are_no_number_become_zero_and_are_counted(tmp_path: Path) -> None:
    data = _DATA.copy()
    data[0, 0, 0], data[1, 0, 0], data[2, 0, 0] = np.nan, np.inf, -np.inf
    volume = read_volume(write_image(tmp_path / "scan.nii.gz", data))
    assert np.isfinite(volume.data).all()
    assert not volume.data[:3, 0, 0].any()
    assert volume.notes == ("3 of 210 voxels were NaN or infinite: set to 0",)


def _corrupt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-6] ^= 0xFF
    path.write_bytes(content)


_IMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (lambda path: None, "cannot be read"),
    "a folder": (lambda path: path.mkdir(), "cannot be read"),
    "not fetched": (lambda path: path.symlink_to("nowhere"), "datalad get"),
    "an annex pointer": (
        lambda path: path.write_text("/annex/objects/MD5E-s1--0.nii.gz\n"),
        "datalad get",
    ),
    "a git-lfs pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\n"),
        "git lfs pull",
    ),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "not gzip": (
        lambda path: write_image(path.with_name("a.nii")).rename(path),
        r"not compressed by gzip(?s:.*)rename it to scan\.nii;",
    ),
    "no nifti": (lambda path: path.write_bytes(gzip.compress(b"x" * 999)), "not a NIfTI file"),
    "only a start": (lambda path: path.write_bytes(gzip.compress(b"\x5c\x01")), "not a NIfTI"),
    "half a header": (
        lambda path: path.write_bytes(gzip.compress(struct.pack("<i", 348) + b"\0" * 90)),
        "truncated or damaged|not a NIfTI",
    ),
    "truncated": (
        lambda path: write_image(path).write_bytes(path.read_bytes()[:-60]),
        "truncated or damaged",
    ),
    "a wrong checksum": (lambda path: _corrupt(write_image(path)), "truncated or damaged: CRC"),
    "all zero": (lambda path: write_image(path, _DATA * 0), "is all zero"),
    "constant": (lambda path: write_image(path, _DATA * 0 + 7), "same value, 7,"),
    "only NaN": (lambda path: write_image(path, _DATA * np.nan), "every voxel is NaN"),
    "NaN and zero": (
        lambda path: write_image(path, np.where(_DATA > 50, np.nan, 0.0)),
        "is all zero",
    ),
    "many volumes": (
        lambda path: write_image(path, np.stack([_DATA] * 4, axis=-1)),
        "holds 4 volumes",
    ),
    "no data type": (
        lambda path: _edit_header(write_image(path.with_name("a.nii")), 70, "<h", 999).rename(
            path.with_name("scan.nii")
        ),
        "data type 999",
    ),
    "one dimension": (lambda path: write_image(path, _DATA[:, 0, 0]), "2-D or 3-D"),
    "complex": (lambda path: write_image(path, _DATA.astype(np.complex64)), "complex numbers"),
    "colours": (
        lambda path: write_image(
            path, np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
        ),
        "colours",
    ),
}


@pytest.mark.parametrize("kind", _IMAGES)
def test_a_file_that_cannot_be_segmented_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    make, said = _IMAGES[kind]
    path = tmp_path / "scan.nii.gz"
    make(path)
    path = path if path.exists() or kind in ("absent", "not fetched") else path.with_suffix("")
    with pytest.raises(ScanError, match=said) as caught:
        read_volume(path)
    assert path.name in str(caught.value)


def test_a_compressed_file_that_is_not_named_so_says_its_right_name(tmp_path: Path) -> None:
    path = write_image(tmp_path / "scan.nii.gz").rename(tmp_path / "scan.nii")
    with pytest.raises(ScanError, match=r"rename it to scan\.nii\.gz"):
        read_volume(path)


def test_a_truncated_uncompressed_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = write_image(tmp_path / "scan.nii")
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(ScanError, match="truncated: its header declares 840 bytes"):
        read_volume(path)


@pytest.mark.parametrize("sizes", [(20000, 20000, 20000), (32767, 32767, 3)])
def test_an_absurd_size_is_refused_before_memory_is_asked_for(
    tmp_path: Path, sizes: tuple[int, int, int]
) -> None:
    path = _edit_header(write_image(tmp_path / "scan.nii"), 42, "<3h", *sizes)
    with pytest.raises(ScanError, match="declares"):
        read_volume(path)


def test_a_dimension_that_is_negative_is_refused(tmp_path: Path) -> None:
    path = _edit_header(write_image(tmp_path / "scan.nii"), 42, "<3h", 6, -7, 5)
    with pytest.raises(ScanError, match="2-D or 3-D"):
        read_volume(path)


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
@pytest.mark.parametrize("codes", [(1, 0), (0, 0)])
def test_a_voxel_size_that_cannot_be_is_refused(
    tmp_path: Path, size: float, codes: tuple[int, int]
) -> None:
    path = write_image(tmp_path / "scan.nii", codes=codes)
    with pytest.raises(ScanError, match="voxel size"):
        read_volume(_edit_header(path, 84, "<f", size))


def test_a_singular_affine_is_refused(tmp_path: Path) -> None:
    path = write_image(tmp_path / "scan.nii")
    for row, values in ((280, (0, 0, 0, 0)), (296, (float("nan"), 0, 0, 0))):
        with pytest.raises(ScanError, match=r"affine \(sform\) that is singular"):
            read_volume(_edit_header(path, row, "<4f", *values))


def _write_with_forms(
    path: Path, qform: NDArray[np.float64], sform: NDArray[np.float64], codes: tuple[int, int]
) -> Path:
    image = nib.Nifti1Image(_DATA, None)
    image.set_qform(qform, code=codes[0])
    image.set_sform(sform, code=codes[1])
    nib.save(image, path)
    return path


@pytest.mark.parametrize(
    ("codes", "used"), [((1, 2), "sform"), ((0, 4), "sform"), ((1, 0), "qform")]
)
def test_the_sform_is_used_where_it_has_a_code_and_else_the_qform(
    tmp_path: Path, codes: tuple[int, int], used: str
) -> None:
    forms = {"qform": make_affine((1, 1, 2)), "sform": make_affine((1, 1, 2), axes="LPS")}
    path = _write_with_forms(tmp_path / "scan.nii.gz", forms["qform"], forms["sform"], codes)
    grid = read_volume(path).grid
    np.testing.assert_allclose(grid.affine, forms[used])
    assert (grid.qform_code, grid.sform_code) == codes
    np.testing.assert_allclose(grid.qform, forms["qform"], atol=1e-6)
    np.testing.assert_allclose(
        grid.sform, forms["sform"] if codes[1] else nib.load(path).get_sform()
    )


def test_a_qform_whose_handedness_is_left_out_is_read_as_the_standard_says(tmp_path: Path) -> None:
    qform = make_affine((1, 1, 2), axes="RPS")
    path = _write_with_forms(tmp_path / "scan.nii", qform, qform, (1, 0))
    _edit_header(path, 76, "<f", 0.0)
    mirrored = qform @ np.diag([1, 1, -1, 1])
    np.testing.assert_allclose(read_volume(path).grid.affine, mirrored, atol=1e-6)


def test_forms_that_disagree_are_said_with_the_millimetres(tmp_path: Path) -> None:
    sform = make_affine()
    shifted = make_affine(origin_mm=(-10, -20, -27.9))
    path = _write_with_forms(tmp_path / "scan.nii.gz", shifted, sform, (1, 1))
    assert read_volume(path).notes == ("qform and sform differ by up to 2.1 mm: the sform is used",)


@pytest.mark.parametrize(("unit", "factor"), [("meter", 1e-3), ("micron", 1e3)])
def test_forms_that_disagree_in_another_unit_are_said_with_the_millimetres_too(
    tmp_path: Path, unit: str, factor: float
) -> None:
    sform = make_affine()
    shifted = make_affine(origin_mm=(-10, -20, -25))
    in_unit = np.diag([factor, factor, factor, 1.0])
    path = _write_with_forms(tmp_path / "a.nii.gz", in_unit @ shifted, in_unit @ sform, (1, 1))
    image = nib.load(path)
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "b.nii.gz")
    notes = read_volume(tmp_path / "b.nii.gz").notes
    assert notes[0] == "qform and sform differ by up to 5.0 mm: the sform is used"


def test_forms_that_contradict_each_other_on_the_sides_are_said_to(tmp_path: Path) -> None:
    swapped = np.diag([-1, 1, 1, 1]) @ make_affine()
    path = _write_with_forms(tmp_path / "scan.nii.gz", swapped, make_affine(), (1, 1))
    (note,) = read_volume(path).notes
    assert "contradict each other on left and right" in note


def test_forms_that_differ_by_less_than_a_tenth_of_a_voxel_agree(tmp_path: Path) -> None:
    nearly = make_affine(origin_mm=(-10, -20, -30.05))
    path = _write_with_forms(tmp_path / "scan.nii.gz", nearly, make_affine(), (1, 1))
    assert read_volume(path).notes == ()


def test_without_both_forms_the_orientation_is_said_to_be_unknown(tmp_path: Path) -> None:
    affine = make_affine((1, 2, 3))
    volume = read_volume(write_image(tmp_path / "scan.nii.gz", _DATA, affine=affine, codes=(0, 0)))
    assert volume.grid.spacing_mm == (1, 2, 3)
    assert "orientation is unknown" in volume.notes[0]


@pytest.mark.parametrize(
    ("unit", "spacing", "expected", "note"),
    [
        ("micron", (500, 500, 2000), (0.5, 0.5, 2), "converted"),
        ("meter", (0.001, 0.001, 0.002), (1, 1, 2), "converted"),
        ("meter", (1, 1, 2), (1, 1, 2), "read as millimetres"),
        ("micron", (1, 1, 5), (1, 1, 5), "read as millimetres"),
    ],
)
def test_units_other_than_millimetres_are_converted_where_that_can_be(
    tmp_path: Path, unit: str, spacing: tuple[float, ...], expected: tuple[float, ...], note: str
) -> None:
    image = nib.Nifti1Image(_DATA, make_affine(spacing))
    image.header.set_xyzt_units(unit)
    nib.save(image, tmp_path / "scan.nii.gz")
    volume = read_volume(tmp_path / "scan.nii.gz")
    np.testing.assert_allclose(volume.grid.spacing_mm, expected, rtol=1e-5)
    assert note in volume.notes[-1]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64, ">i2"])
def test_label_maps_stay_integers_and_may_be_empty(tmp_path: Path, dtype: str) -> None:
    labels = make_phantom().labels.astype(dtype)
    volume = read_volume(write_image(tmp_path / "seg.nii.gz", labels), labels=True)
    assert volume.data.dtype == np.int32
    np.testing.assert_array_equal(volume.data, labels)
    empty = read_volume(write_image(tmp_path / "empty.nii.gz", labels * 0), labels=True)
    assert not empty.data.any()


def test_labels_that_are_all_but_integers_are_rounded(tmp_path: Path) -> None:
    labels = make_phantom().labels
    noisy = labels.astype(np.float32) + np.float32(0.0004)
    volume = read_volume(write_image(tmp_path / "seg.nii.gz", noisy), labels=True)
    np.testing.assert_array_equal(volume.data, labels)


@pytest.mark.parametrize("factor", [0.5, 3e9])
def test_values_that_are_no_labels_are_refused(tmp_path: Path, factor: float) -> None:
    path = write_image(tmp_path / "seg.nii.gz", make_phantom().labels * factor)
    with pytest.raises(ScanError, match="label map"):
        read_volume(path, labels=True)


def test_the_header_gives_voxel_sizes_by_anatomical_axis(tmp_path: Path) -> None:
    affine = make_affine((3.0, 0.5, 2.0), axes="SRA")
    path = write_image(tmp_path / "sub-01" / "scan.nii.gz", affine=affine)
    source = header_source(path, root=tmp_path)
    assert source.file == "sub-01/scan.nii.gz"
    assert source.values == {
        "InPlaneVoxelSize": 1.0,
        "SliceSpacing": 3.0,
        "VoxelVolume": 3.0,
        "VoxelSizeX": 0.5,
        "VoxelSizeY": 2.0,
        "VoxelSizeZ": 3.0,
    }
    assert source.units["SliceSpacing"] == "mm"
    assert header_source(path).file == "scan.nii.gz"


@pytest.mark.realdata
@pytest.mark.parametrize("name", ["gm-challenge", "spine-multicontrast", "brain-samples"])
def test_real_scans_and_labels_are_read(shared_data: Path, name: str) -> None:
    files = sorted((shared_data / name).rglob("*.nii.gz"))
    drawn = [file for file in files if "derivatives" in file.parts][:6]
    scans = [file for file in files if "derivatives" not in file.parts][:6]
    assert scans
    for file in (*scans, *drawn):
        labels = file in drawn
        volume = read_volume(file, labels=labels)
        np.testing.assert_array_equal(volume.grid.affine, nib.load(file).affine)
        assert volume.data.any()
