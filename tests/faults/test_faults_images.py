"""Images that are not what they should be: each is segmented or refused by one message."""

from __future__ import annotations

import contextlib
import gzip
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from bad_images import CASES, make_image
from fault_lab import Lab, check_whole, finish, note
from support.bids_factory import scan_path, write_dataset
from support.tiny_models import write_tiny_model

from bids_film.domain.errors import ScanError
from bids_film.images.geometry import same_grid
from bids_film.inputs.nifti import check_image, read_grid, read_volume

LABELS = {name: re.sub("[^a-z0-9]", "", name.lower()) for name in CASES}


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, int, str, str]:
    """One run over all of them, each the scan of a participant; its code and what it printed."""
    folder = tmp_path_factory.mktemp("ward")
    bids = write_dataset(folder / "bids", participants=[*LABELS.values(), "good"])
    for name, case in CASES.items():
        path = scan_path(bids, LABELS[name])
        path.unlink()
        case.write(path)
    write_tiny_model(folder / "tiny.safetensors")
    lab = Lab(folder=folder)
    return lab, *finish(lab.command(folder / "out", "--nprocs", 1))


def test_a_ward_of_odd_images_ends_with_code_1_and_without_a_traceback(
    ward: tuple[Lab, int, str, str],
) -> None:
    lab, code, out, err = ward
    bad = sum(bool(case.said) for case in CASES.values())
    assert code == 1
    assert f"{len(CASES) + 1 - bad} scans done, {bad} failed" in out, out
    assert "Traceback" not in out + err
    check_whole(lab.folder / "out")


@pytest.mark.parametrize("name", CASES)
def test_an_odd_image_is_segmented_or_refused_by_one_message(
    ward: tuple[Lab, int, str, str], name: str
) -> None:
    lab, _, out, _ = ward
    case, label = CASES[name], LABELS[name]
    (line,) = [line for line in out.splitlines() if f"] sub-{label}/" in line]
    assert ("FAILED" in line) == bool(case.said), line
    assert case.said in line
    assert str(lab.folder) not in line.partition("(see")[0]
    found = list((lab.folder / "out" / f"sub-{label}").rglob("*_dseg.nii.gz"))
    assert len(found) == (0 if case.said else 1)
    if found:
        scan = next((lab.folder / "bids" / f"sub-{label}").rglob("*.nii*"))
        assert same_grid(read_grid(found[0]).grid, read_grid(scan).grid)
        sidecar = found[0].with_suffix("").with_suffix(".json").read_text(encoding="utf-8")
        assert case.noted in sidecar
    note(
        f"image: {name}",
        "refused by one message, exit 1" if case.said else "segmented, on its grid",
    )


@pytest.mark.parametrize("compressed", [False, True])
def test_an_image_cut_at_any_byte_is_refused(tmp_path: Path, *, compressed: bool) -> None:
    content = make_image((5, 4, 3), np.int16).to_bytes()
    whole = gzip.compress(content) if compressed else content
    path = tmp_path / ("a.nii.gz" if compressed else "a.nii")
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        for read in (read_volume, check_image):
            with pytest.raises(ScanError):
                read(path)
    fault = "image cut at a byte" + " of its gzip" * compressed
    note(fault, "refused, whatever the byte", times=len(whole))


def test_any_flipped_bit_of_a_header_is_refused_or_read(tmp_path: Path) -> None:
    whole = bytearray(make_image((5, 4, 3), np.int16).to_bytes())
    path = tmp_path / "a.nii"
    for bit in range(8 * 352):
        whole[bit // 8] ^= 1 << bit % 8
        path.write_bytes(whole)
        with contextlib.suppress(ScanError):
            volume = read_volume(path)
            assert np.isfinite(volume.data).all()
            assert np.isfinite(volume.grid.affine).all()
        whole[bit // 8] ^= 1 << bit % 8
    note("one bit of a header flipped", "read or refused in our words", times=8 * 352)


def test_any_flipped_bit_of_compressed_voxels_is_noticed(tmp_path: Path) -> None:
    data = np.random.default_rng(0).integers(0, 9000, (5, 4, 3), dtype=np.int16)
    whole = bytearray(gzip.compress(nib.Nifti1Image(data, np.eye(4)).to_bytes()))
    path = tmp_path / "a.nii.gz"
    path.write_bytes(whole)
    good = read_volume(path).data
    # The ten bytes of gzip's header say nothing of the content.
    for bit in range(8 * 10, 8 * len(whole)):
        whole[bit // 8] ^= 1 << bit % 8
        path.write_bytes(whole)
        with contextlib.suppress(ScanError):
            np.testing.assert_array_equal(read_volume(path).data, good)
        whole[bit // 8] ^= 1 << bit % 8
    bits = 8 * (len(whole) - 10)
    note("one bit of compressed voxels flipped", "noticed, or no voxel is another", times=bits)
