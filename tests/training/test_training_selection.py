from __future__ import annotations

from pathlib import Path

import pytest

from bids_film.domain.errors import InputError, UsageError
from bids_film.domain.scan import Scan
from bids_film.training.selection import find_roots, keep_present, leave_out
from bids_film.training.settings import DataSettings


def make_scan(name: str) -> Scan:
    participant = name.split("_", maxsplit=1)[0].removeprefix("sub-")
    return Scan(
        path=Path(f"/data/sub-{participant}/anat/{name}.nii.gz"),
        dataset_root=Path("/data"),
        entities={"sub": participant},
        suffix="T1w",
    )


def test_further_datasets_are_absolute_or_relative_to_the_first(tmp_path: Path) -> None:
    first, beside, elsewhere = (tmp_path / name for name in ("first", "beside", "elsewhere"))
    for folder in (first, beside, elsewhere):
        folder.mkdir()
    data = DataSettings(also=("../beside", str(elsewhere), "../beside"))
    assert find_roots(first, data) == [first, beside, elsewhere]


def test_a_further_dataset_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'\.\./absent' is no folder"):
        find_roots(tmp_path, DataSettings(also=("../absent",)))


def test_of_the_datasets_of_a_training_those_that_are_there_are_kept(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "beside").mkdir()
    data = DataSettings(also=("../beside", "../absent"))
    assert keep_present(tmp_path / "here", data).also == ("../beside",)


def test_excluded_scans_are_taken_out_by_pattern() -> None:
    scans = [make_scan(name) for name in ("sub-1_run-1_T1w", "sub-1_run-2_T1w", "sub-2_T1w")]
    kept = leave_out(scans, DataSettings(exclude=("*_run-2_*", "sub-2/*")))
    assert kept == scans[:1]


def test_a_pattern_that_excludes_nothing_is_refused() -> None:
    with pytest.raises(UsageError, match="'sub-3' matches none of 1 scans"):
        leave_out([make_scan("sub-1_T1w")], DataSettings(exclude=("sub-3",)))


def test_a_dataset_is_taken_once_though_it_is_named_by_a_link_as_well(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "link").symlink_to("data")
    for root in (tmp_path / "link", tmp_path / "data"):
        assert find_roots(root, DataSettings(also=("../data", "../link"))) == [root]
