from __future__ import annotations

import logging
from pathlib import Path

import pytest
from bids.layout import BIDSLayout
from support.bids_factory import scan_path, write_dataset, write_scan

from bids_film.domain.errors import UsageError
from bids_film.inputs.dataset import open_dataset


def _database_file(folder: Path) -> Path:
    return folder / "layout_index.sqlite"


def test_a_saved_index_is_used_again_where_nothing_changed(tmp_path: Path) -> None:
    data, saved = write_dataset(tmp_path / "data"), tmp_path / "saved"
    expected = open_dataset(data)
    assert open_dataset(data, participants=["01"], database_dir=saved) == expected[:1]
    made = _database_file(saved).stat().st_mtime_ns
    assert open_dataset(data, database_dir=saved) == expected
    assert _database_file(saved).stat().st_mtime_ns == made
    assert sorted(p.name for p in saved.iterdir()) == [
        "bids_film_index.json",
        "layout_index.sqlite",
    ]


@pytest.mark.parametrize("change", ["participant", "scan", "removed", "moved", "damaged", "record"])
def test_a_saved_index_that_no_longer_fits_is_made_anew(
    tmp_path: Path, change: str, caplog: pytest.LogCaptureFixture
) -> None:
    data, saved = write_dataset(tmp_path / "data"), tmp_path / "saved"
    open_dataset(data, database_dir=saved)
    if change == "participant":
        write_scan(scan_path(data, "03"))
    elif change == "scan":
        write_scan(scan_path(data, "02", name="T2w"))
    elif change == "removed":
        scan_path(data, "02").unlink()
    elif change == "moved":
        data = data.rename(tmp_path / "moved")
    elif change == "damaged":
        _database_file(saved).write_bytes(b"not a database at all" * 100)
    else:
        (saved / "bids_film_index.json").write_text("{")
    with caplog.at_level(logging.WARNING):
        assert open_dataset(data, database_dir=saved) == open_dataset(data)
    assert "making it anew" in caplog.text or "cannot be used" in caplog.text


def test_an_index_of_another_program_is_used_where_it_fits_and_never_overwritten(
    tmp_path: Path,
) -> None:
    data, saved = write_dataset(tmp_path / "data"), tmp_path / "saved"
    BIDSLayout(data, database_path=saved)
    before = _database_file(saved).read_bytes()
    assert open_dataset(data, database_dir=saved) == open_dataset(data)
    added = scan_path(data, "01", name="T2w")
    write_scan(added)
    with pytest.raises(UsageError, match="made by another program"):
        open_dataset(data, database_dir=saved)
    added.unlink()
    write_scan(scan_path(data, "03"))
    with pytest.raises(UsageError, match="made by another program"):
        open_dataset(data, database_dir=saved)
    assert _database_file(saved).read_bytes() == before


def test_a_database_folder_that_cannot_be_made_is_a_usage_error(tmp_path: Path) -> None:
    write_dataset(tmp_path / "data")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be written to"):
        open_dataset(tmp_path / "data", database_dir=tmp_path / "file" / "saved")
