from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_film.domain.errors import ScanError
from bids_film.domain.patterns import fill_pattern
from bids_film.domain.scan import Scan
from bids_film.domain.volume import Grid, Volume
from bids_film.training.labels import (
    find_labelled,
    find_labels,
    read_reference,
    sort_by_depth,
)
from bids_film.training.settings import TargetStructure

SHAPE = (6, 7, 8)


def make_grid(
    shape: tuple[int, ...] = SHAPE,
    *,
    spacing: float = 1.0,
    origin: Sequence[float] = (0.0, 0.0, 0.0),
    flip: bool = False,
) -> Grid:
    affine = np.diag([spacing, spacing, spacing, 1.0])
    affine[:3, 3] = origin
    if flip:
        affine[0, 0] = -spacing
        affine[0, 3] = origin[0] + spacing * (shape[0] - 1)
    return Grid(
        shape=shape,
        stored_shape=shape,
        affine=affine,
        qform=affine,
        sform=affine,
        qform_code=1,
        sform_code=1,
    )


def make_scan(root: Path, name: str = "sub-01_ses-a_run-1_T2starw") -> Scan:
    folder = root / "sub-01" / "ses-a" / "anat"
    return Scan(
        path=folder / f"{name}.nii.gz",
        dataset_root=root,
        entities={"sub": "01", "ses": "a", "run": "1"},
        suffix="T2starw",
        datatype="anat",
    )


def make_target(name: str, index: int, labels: str, **more: Any) -> TargetStructure:
    return TargetStructure(index=index, name=name, abbreviation=f"S{index}", labels=labels, **more)


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


class Files:
    """Stands for a reader of NIfTI files."""

    def __init__(self) -> None:
        self.volumes: dict[Path, Volume] = {}

    def add(self, path: Path, data: np.ndarray, grid: Grid | None = None) -> None:
        self.volumes[put(path)] = Volume(data=data, grid=grid or make_grid(data.shape))

    def __call__(self, path: Path, *, labels: bool = False, shares: bool = False) -> Volume:
        assert labels != shares
        return self.volumes[path]


CORD = "derivatives/labels/{folder}/{stem}_seg-manual.nii.gz"
GRAY = "derivatives/labels/{folder}/{stem}_gmseg-manual.nii.gz"
STRUCTURES = (
    make_target("gray matter", 7, GRAY, part_of="spinal cord"),
    make_target("spinal cord", 3, CORD),
)


def mask(*region: slice) -> np.ndarray:
    data = np.zeros(SHAPE, dtype=np.uint8)
    data[region] = 1
    return data


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        (
            CORD,
            "derivatives/labels/sub-01/ses-a/anat/sub-01_ses-a_run-1_T2starw_seg-manual.nii.gz",
        ),
        (
            "derivatives/manual/{folder}/{entities}_desc-manual_dseg.nii.gz",
            "derivatives/manual/sub-01/ses-a/anat/sub-01_ses-a_run-1_desc-manual_dseg.nii.gz",
        ),
        (
            "labels/{sub}/{ses}/{entities}_label-tumor_desc-manual_mask.nii.gz",
            "labels/01/a/sub-01_ses-a_run-1_label-tumor_desc-manual_mask.nii.gz",
        ),
        ("labels/sub-{sub}_{suffix}.nii", "labels/sub-01_T2starw.nii"),
    ],
)
def test_the_three_conventions_are_found_by_pattern(
    tmp_path: Path, pattern: str, expected: str
) -> None:
    assert fill_pattern(make_scan(tmp_path), pattern) == tmp_path / expected


def test_a_scan_without_the_entity_of_a_pattern_has_no_label_file(tmp_path: Path) -> None:
    assert fill_pattern(make_scan(tmp_path), "labels/{acq}.nii.gz") is None


def test_scans_are_told_apart_by_whether_a_label_file_exists(tmp_path: Path) -> None:
    labelled = make_scan(tmp_path)
    without = make_scan(tmp_path, "sub-01_ses-a_run-2_T2starw")
    put(fill_pattern(labelled, CORD))
    found = find_labelled([without, labelled], STRUCTURES)
    assert found.scans == (labelled,)
    assert found.without == (without,)
    assert list(find_labels(labelled, STRUCTURES)) == ["spinal cord"]


def test_parts_are_painted_over_what_contains_them_in_whatever_order_they_come(
    tmp_path: Path,
) -> None:
    scan, files = make_scan(tmp_path), Files()
    files.add(fill_pattern(scan, CORD), mask(slice(1, 5), slice(1, 5)))
    files.add(fill_pattern(scan, GRAY), mask(slice(2, 4), slice(2, 4)))
    for structures in (STRUCTURES, STRUCTURES[::-1]):
        reference = read_reference(scan, structures, make_grid(), read=files)
        assert reference.labels[2, 2, 0] == 7
        assert reference.labels[1, 1, 0] == 3
        assert reference.labels[0, 0, 0] == 0
        assert reference.annotated == {"spinal cord", "gray matter"}


def test_soft_labels_keep_their_shares_and_leave_parts_out_of_their_container(
    tmp_path: Path,
) -> None:
    scan, files = make_scan(tmp_path), Files()
    cord, gray = np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.float32)
    cord[0], cord[1], cord[2], gray[2] = 0.25, 0.75, 1.0, 0.6
    files.add(fill_pattern(scan, CORD), cord)
    files.add(fill_pattern(scan, GRAY), gray)
    reference = read_reference(scan, STRUCTURES, make_grid(), read=files, soft=True)
    assert reference.shares is not None
    order = [target.name for target in STRUCTURES]
    of_cord = reference.shares[order.index("spinal cord"), :4, 0, 0]
    of_gray = reference.shares[order.index("gray matter"), :4, 0, 0]
    np.testing.assert_allclose(of_cord, [0.25, 0.75, 0.4, 0])
    np.testing.assert_allclose(of_gray, [0, 0, 0.6, 0])
    assert reference.labels[:4, 0, 0].tolist() == [0, 3, 7, 0], "from one half on"
    hard = read_reference(scan, STRUCTURES, make_grid(), read=files)
    assert hard.shares is None


def test_shares_that_add_up_to_more_than_a_voxel_are_scaled_down(tmp_path: Path) -> None:
    left, right = "{folder}/{stem}_l.nii.gz", "{folder}/{stem}_r.nii.gz"
    structures = (make_target("left", 1, left), make_target("right", 2, right))
    scan, files = make_scan(tmp_path), Files()
    files.add(fill_pattern(scan, left), np.full(SHAPE, 0.9, np.float32))
    files.add(fill_pattern(scan, right), np.full(SHAPE, 0.6, np.float32))
    reference = read_reference(scan, structures, make_grid(), read=files, soft=True)
    assert reference.shares is not None
    np.testing.assert_allclose(reference.shares[:, 0, 0, 0], [0.6, 0.4], rtol=1e-6)


def test_a_structure_without_a_file_is_not_annotated(tmp_path: Path) -> None:
    scan, files = make_scan(tmp_path), Files()
    files.add(fill_pattern(scan, CORD), mask(slice(1, 5)))
    reference = read_reference(scan, STRUCTURES, make_grid(), read=files)
    assert reference.annotated == {"spinal cord"}
    assert set(np.unique(reference.labels)) == {0, 3}


def test_an_empty_label_file_is_an_annotation(tmp_path: Path) -> None:
    scan, files = make_scan(tmp_path), Files()
    files.add(fill_pattern(scan, CORD), np.zeros(SHAPE, dtype=np.uint8))
    assert read_reference(scan, STRUCTURES, make_grid(), read=files).annotated == {"spinal cord"}


def test_the_values_of_a_label_map_are_given_to_their_structures(tmp_path: Path) -> None:
    pattern = "derivatives/manual/{folder}/{entities}_dseg.nii.gz"
    structures = (
        make_target("anterior", 1, pattern, values=(10, 11)),
        make_target("posterior", 2, pattern, values=(20,)),
    )
    scan, files = make_scan(tmp_path), Files()
    data = np.zeros(SHAPE, dtype=np.int16)
    data[0], data[1], data[2], data[3] = 10, 11, 20, 30
    files.add(fill_pattern(scan, pattern), data)
    reference = read_reference(scan, structures, make_grid(), read=files)
    assert reference.labels[:, 0, 0].tolist() == [1, 1, 2, 0, 0, 0]
    assert len(reference.files) == 1


def test_a_label_map_that_holds_none_of_the_structures_is_noted(tmp_path: Path) -> None:
    pattern = "derivatives/manual/{folder}/{entities}_dseg.nii.gz"
    structures = (
        make_target("anterior", 1, pattern, values=(1,)),
        make_target("posterior", 2, pattern, values=(2,)),
    )
    for values, noted in (((3, 6), True), ((1, 6), False), ((0, 0), False)):
        scan, files = make_scan(tmp_path), Files()
        data = np.zeros(SHAPE, dtype=np.int16)
        data[0], data[1] = values
        files.add(fill_pattern(scan, pattern), data)
        notes = read_reference(scan, structures, make_grid(), read=files).notes
        assert [note.endswith("holds 3, 6, none of which is of a structure") for note in notes] == (
            [True] if noted else []
        )


def test_a_flipped_label_file_is_brought_onto_its_image_with_a_note(tmp_path: Path) -> None:
    scan, files = make_scan(tmp_path), Files()
    flipped = mask(slice(0, 2))[::-1].copy()
    files.add(fill_pattern(scan, CORD), flipped, make_grid(flip=True))
    reference = read_reference(scan, STRUCTURES, make_grid(), read=files)
    assert (reference.labels > 0).tolist() == (mask(slice(0, 2)) > 0).tolist()
    assert "another grid" in reference.notes[0]


def test_a_finer_label_file_is_brought_onto_its_image(tmp_path: Path) -> None:
    scan, files = make_scan(tmp_path), Files()
    fine = np.zeros((12, 14, 16), dtype=np.uint8)
    fine[4:8] = 1
    grid = make_grid(fine.shape, spacing=0.5, origin=(-0.25, -0.25, -0.25))
    files.add(fill_pattern(scan, CORD), fine, grid)
    reference = read_reference(scan, STRUCTURES, make_grid(), read=files)
    assert (reference.labels[:, 3, 3] > 0).tolist() == [False, False, True, True, False, False]


def test_a_rounding_error_of_the_affine_is_no_other_grid(tmp_path: Path) -> None:
    scan, files = make_scan(tmp_path), Files()
    files.add(fill_pattern(scan, CORD), mask(slice(1, 5)), make_grid(origin=(0.01, 0, 0)))
    assert not read_reference(scan, STRUCTURES, make_grid(), read=files).notes


def test_labels_that_lie_elsewhere_than_the_image_are_refused(tmp_path: Path) -> None:
    scan, files = make_scan(tmp_path), Files()
    files.add(fill_pattern(scan, CORD), mask(slice(1, 5)), make_grid(origin=(100, 0, 0)))
    with pytest.raises(ScanError, match=r"only 0% of the labels in .*seg-manual"):
        read_reference(scan, STRUCTURES, make_grid(), read=files)


def test_a_scan_without_any_label_file_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(ScanError, match=r"looked for .*gmseg-manual"):
        read_reference(make_scan(tmp_path), STRUCTURES, make_grid(), read=Files())


def test_structures_are_sorted_so_that_parts_come_after_their_container() -> None:
    nested = (
        make_target("core", 1, CORD, part_of="tumour"),
        make_target("tumour", 2, CORD, part_of="lesion"),
        make_target("lesion", 3, CORD),
    )
    assert [target.name for target in sort_by_depth(nested)] == ["lesion", "tumour", "core"]
