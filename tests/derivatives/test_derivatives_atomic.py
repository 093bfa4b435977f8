from __future__ import annotations

import fcntl
import json
import os
import stat
from pathlib import Path
from typing import BinaryIO

import pytest

from bids_film.derivatives.atomic import (
    check_output_folder,
    check_writable,
    hold_folder,
    write_atomically,
    write_text_atomically,
)
from bids_film.domain.errors import ExitCode, UsageError
from bids_film.domain.paths import TEMPORARY_PATTERN


def list_names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _write_half_and_fail(stream: BinaryIO) -> None:
    stream.write(b"half")
    raise RuntimeError("stopped in the middle")


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "sub-01" / "a.txt"
    write_text_atomically(path, "old")
    write_atomically(path, lambda stream: stream.write(b"new") and None)
    assert path.read_bytes() == b"new"
    assert list_names(path.parent) == ["a.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text_atomically(path, "old")
    with pytest.raises(RuntimeError, match="in the middle"):
        write_atomically(path, _write_half_and_fail)
    assert path.read_text() == "old"
    assert list_names(tmp_path) == ["a.txt"]


def test_a_full_disk_is_a_usage_error_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(UsageError, match="No space left on device") as caught:
        write_text_atomically(tmp_path / "a.txt", "new")
    assert caught.value.exit_code is ExitCode.USAGE
    assert list_names(tmp_path) == []


def test_a_folder_that_is_a_file_is_a_usage_error(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("a file")
    with pytest.raises(UsageError, match="cannot write"):
        write_text_atomically(tmp_path / "folder" / "a.txt", "new")
    with pytest.raises(UsageError, match="cannot write into"):
        check_writable(tmp_path / "folder")


def test_others_may_read_what_the_umask_lets_them(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_text_atomically(tmp_path / "a.txt", "new")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644


def test_a_writable_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    check_writable(tmp_path / "new" / "folder")
    assert list_names(tmp_path / "new" / "folder") == []


@pytest.mark.parametrize("inside", [".", "out", "sub-01", "derivatives", "sourcedata/out"])
def test_an_output_inside_the_input_is_refused(tmp_path: Path, inside: str) -> None:
    with pytest.raises(UsageError, match="output folder"):
        check_output_folder(tmp_path / "bids" / inside, tmp_path / "bids")


@pytest.mark.parametrize("outside", ["bids/derivatives/film", "out", "bids2", "bids/../out"])
def test_an_output_beside_the_input_or_below_its_derivatives_is_allowed(
    tmp_path: Path, outside: str
) -> None:
    check_output_folder(tmp_path / outside, tmp_path / "bids")


def test_an_output_around_the_input_is_refused_but_for_its_sourcedata(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="contains the input dataset"):
        check_output_folder(tmp_path, tmp_path / "bids")
    check_output_folder(tmp_path, tmp_path / "sourcedata" / "raw")


def test_a_link_into_the_input_is_seen_through(tmp_path: Path) -> None:
    (tmp_path / "bids" / "sub-01").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "bids" / "sub-01")
    with pytest.raises(UsageError, match="inside the input dataset"):
        check_output_folder(tmp_path / "link", tmp_path / "bids")


def test_who_holds_a_folder_alone_removes_what_a_killed_run_left_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "sub-01" / "anat"
    folder.mkdir(parents=True)
    left, kept = folder / TEMPORARY_PATTERN.replace("*", "0123"), folder / "sub-01_dseg.nii.gz"
    left.touch()
    kept.touch()
    with hold_folder(folder, to_read=True):
        assert left.exists()
    with hold_folder(folder):
        assert not left.exists()
        assert kept.exists()


def test_a_folder_is_held_by_one_to_write_or_by_many_to_read(tmp_path: Path) -> None:
    with hold_folder(tmp_path, to_read=True), hold_folder(tmp_path, to_read=True):
        assert not _can_hold(tmp_path)
    with hold_folder(tmp_path):
        assert not _can_hold(tmp_path)
    assert _can_hold(tmp_path)


def _can_hold(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def test_half_a_surrogate_is_written_as_its_escape(tmp_path: Path) -> None:
    text = json.dumps({"Manufacturer": "\ud800"}, ensure_ascii=False)
    write_text_atomically(tmp_path / "a.json", text)
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == {"Manufacturer": "\ud800"}
