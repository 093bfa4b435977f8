from __future__ import annotations

from pathlib import Path

import pytest

from bids_film.domain.errors import UsageError
from bids_film.domain.patterns import check_pattern, fill_pattern, find_files, is_listed
from bids_film.domain.scan import Scan


def make_scan(root: Path) -> Scan:
    return Scan(
        path=root / "sub-01" / "anat" / "sub-01_run-1_T1w.nii.gz",
        dataset_root=root,
        entities={"sub": "01", "run": "1"},
        suffix="T1w",
        datatype="anat",
    )


def test_a_file_is_found_where_its_pattern_leads_and_missing_ones_are_none(tmp_path: Path) -> None:
    there = tmp_path / "sub-01" / "anat" / "sub-01_run-1_T2w.nii.gz"
    there.parent.mkdir(parents=True)
    there.touch()
    patterns = ("{folder}/{entities}_T2w.nii.gz", "{folder}/{entities}_FLAIR.nii.gz", "{acq}.nii")
    assert find_files(make_scan(tmp_path), patterns) == (there, None, None)
    assert fill_pattern(make_scan(tmp_path), "{acq}.nii") is None


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("fixed.nii.gz", "same file for every scan"),
        ("{folder/x.nii", "labels"),
        ("{folde}/x.nii", "folde"),
        ("/etc/{stem}.nii.gz", "out of the dataset"),
        ("../{folder}/{stem}.nii.gz", "out of the dataset"),
        ("{folder}/../../../{stem}.nii.gz", "out of the dataset"),
    ],
)
def test_patterns_that_cannot_be_meant_are_refused(pattern: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        check_pattern(pattern, where="labels")


def test_a_file_whose_content_was_not_fetched_is_there(tmp_path: Path) -> None:
    path = tmp_path / "sub-01_T2w.nii.gz"
    assert not is_listed(path)
    assert not is_listed(tmp_path)
    path.symlink_to(tmp_path / "annex" / "gone")
    assert is_listed(path)
