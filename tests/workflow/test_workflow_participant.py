from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.bids_factory import write_dataset
from workflow_models import write_model

ROOT = Path(__file__).parents[2]
BASE = [sys.executable, "-m", "bids_film"]


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    write_dataset(tmp_path / "in", participants=[f"{n:02d}" for n in range(1, 4)])
    model = write_model(tmp_path / "tiny.safetensors")
    return [
        *BASE,
        str(tmp_path / "in"),
        str(tmp_path / "out"),
        "participant",
        "--model",
        str(model),
    ]


def start(command: list[str]) -> subprocess.Popen[str]:
    home = {"HOME": "/nonexistent", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | home,
        start_new_session=True,
    )


def run(command: list[str]) -> tuple[int, str, str]:
    with start(command) as process:
        out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_a_run_does_what_is_missing_and_a_bad_scan_stops_no_other(
    command: list[str], tmp_path: Path
) -> None:
    bad = next((tmp_path / "in/sub-02/anat").glob("*.nii.gz"))
    whole = bad.read_bytes()
    bad.write_bytes(whole[: len(whole) // 2])
    code, out, err = run([*command, "--nprocs", "2"])
    assert code == 1, err
    assert "[3/3]" in out
    assert "sub-02" in err
    assert len(list((tmp_path / "out").glob("sub-*.html"))) == 3
    assert len(list((tmp_path / "out").rglob("*_dseg.nii.gz"))) == 2

    bad.write_bytes(whole)
    code, out, err = run([*command, "--nprocs", "1"])
    assert code == 0, err
    assert "2 of 3 scans are up to date" in out
    assert "[1/1]" in out

    code, out, err = run(command)
    assert (code, out, err) == (0, "3 of 3 scans are up to date\n", "")

    code, out, err = run([*BASE, *command[3:5], "group"])
    assert code == 0, err
    lines = (tmp_path / "out/group_seg-tiny.tsv").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert "SC_volume_ml" in lines[0]


def test_the_first_crash_ends_the_run_and_what_was_not_tried_has_not_failed(
    command: list[str], tmp_path: Path
) -> None:
    next((tmp_path / "in/sub-01/anat").glob("*.nii.gz")).write_bytes(b"")
    code, out, err = run([*command, "--nprocs", "1", "--stop-on-first-crash"])
    assert code == 1
    assert "0 scans done, 1 failed, 2 not finished; no reports" in out
    assert "sub-02" not in err
    assert not list((tmp_path / "out").glob("sub-*.html"))


@pytest.mark.parametrize("scan_fails", [False, True])
def test_a_report_that_failed_is_told_and_not_counted_whatever_the_scans_did(
    command: list[str], tmp_path: Path, *, scan_fails: bool
) -> None:
    if scan_fails:
        next((tmp_path / "in/sub-01/anat").glob("*.nii.gz")).write_bytes(b"")
    (tmp_path / "out/sub-03.html").mkdir(parents=True)
    code, out, err = run([*command, "--nprocs", "1"])
    assert code == 1
    assert f"{int(scan_fails)} failed; 2 of 3 reports in" in out
    assert "a report failed: cannot write" in err
    assert ("1 of 3 scans failed" in err) == scan_fails
    code, _, err = run([*command, "--nprocs", "1"])
    assert (code, "a report failed" in err) == (1, True), "it is tried again"
