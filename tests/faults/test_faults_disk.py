"""Disks that are full, limited, read-only, elsewhere or gone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from fault_lab import BOUND_S, Lab, check_whole, find_times, finish, hash_outputs, note, start

# A mount that nobody else sees; without being root, as root of a user namespace of one's own.
NAMESPACE = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-r", "--mount"]
SMALL_DISK = """
set -e
mkdir -p "$1/small"
mount -t tmpfs -o size="$2" tmpfs "$1/small"
shift 2
"$@"
"""


def run_on_small_disk(
    folder: Path, size: str, script: str, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run a shell script while `folder`/small is a disk of its own."""
    return subprocess.run(
        [
            *NAMESPACE,
            "bash",
            "-c",
            SMALL_DISK,
            "bash",
            folder,
            size,
            "bash",
            "-c",
            script,
            "bash",
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=3 * BOUND_S,
        check=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )


@pytest.mark.parametrize("size", ["80k", "200k", "360k"][: find_times(1)])
def test_a_full_disk_is_named_and_the_run_goes_on_once_there_is_room(
    lab: Lab, tmp_path: Path, size: str
) -> None:
    command = lab.command(lab.folder / "small", "--nprocs", 2)
    script = """
        "${@:2}" >&2; echo "$?" > "$1/code"
        cp -r small "$1/full"
        mount -o remount,size=100m small
        "${@:2}" >&2; echo "$?" >> "$1/code"
        cp -r small "$1/done"
    """
    done = run_on_small_disk(
        lab.folder, size, f"cd {lab.folder}; {script}", str(tmp_path), *command
    )
    assert (tmp_path / "code").read_text() in {"1\n0\n", "2\n0\n"}
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    check_whole(tmp_path / "full")
    assert hash_outputs(tmp_path / "done") == lab.expected
    note(f"output disk full ({size})", "named; no half file, no traceback; goes on with room")


def test_a_full_disk_for_temporary_files_is_named(lab: Lab, output: Path) -> None:
    script = 'mkdir -p small/w; cd /; TMPDIR="$1" "${@:2}" >&2; echo "code $?" >&2'
    command = lab.command(output, "--nprocs", 2)
    small = lab.folder / "small"
    done = run_on_small_disk(
        lab.folder, "16k", f"cd {lab.folder}; {script}", str(small / "w"), *command
    )
    assert "No space left on device" in done.stderr
    assert "code 1" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
    code, _, err = finish(command)
    assert code == 0, err
    assert hash_outputs(output) == lab.expected
    note("disk of temporary files full", "named, exit code 1; goes on with room")


def test_a_quota_is_named(lab: Lab, output: Path) -> None:
    # What a label map needs is more than a file may have.
    code, out, err = finish(lab.command(output), before=["prlimit", "--fsize=1500"])
    assert code in (1, 2)
    assert "File too large" in out + err
    assert "Traceback" not in out + err
    check_whole(output)
    note("quota on the size of files", "named, no half file, no traceback")


def test_a_read_only_output_is_refused_before_anything_runs(lab: Lab, output: Path) -> None:
    # Root may write into any folder, so that only a read-only mount stops it.
    script = """
        mkdir "$1"
        mount --bind "$1" "$1"
        mount -o remount,bind,ro "$1"
        "${@:2}" >&2
        echo "code $?" >&2
    """
    done = subprocess.run(
        [*NAMESPACE, "bash", "-c", script, "bash", str(output), *lab.command(output)],
        capture_output=True,
        text=True,
        timeout=BOUND_S,
        check=False,
    )
    assert "code 2" in done.stderr, done.stderr
    assert "Read-only file system" in done.stderr
    assert "Traceback" not in done.stderr
    note("read-only output folder", "refused before anything runs, exit code 2")


def test_an_output_folder_that_is_removed_meanwhile_hangs_nothing(lab: Lab, output: Path) -> None:
    with start(lab.command(output, "--nprocs", 2)) as process:
        deadline = time.monotonic() + BOUND_S
        while not list(output.rglob("*_dseg.nii.gz")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        shutil.rmtree(output, ignore_errors=True)
        out, err = process.communicate(timeout=BOUND_S)
    assert process.returncode in (0, 1)
    assert "Traceback" not in out + err
    code, _, err = finish(lab.command(output))
    assert code == 0, err
    assert hash_outputs(output) == lab.expected
    note("output folder removed during a run", "the run ends; the same command makes all of it")


def test_whatever_output_was_removed_is_made_again(lab: Lab, output: Path) -> None:
    shutil.copytree(lab.folder / "undisturbed", output)
    made = sorted((output / "sub-02").rglob("*.*"))
    assert len(made) == 6
    # Of each scan another file, so that one run makes all of them again.
    for participant, path in enumerate(made, start=1):
        Path(str(path).replace("sub-02", f"sub-{participant:02d}")).unlink()
    code, out, err = finish(lab.command(output))
    assert code == 0, err
    # What the page's checks found takes a page alone.
    assert "5 scans done, 0 failed; 6 reports" in out
    assert hash_outputs(output) == lab.expected


def test_a_work_folder_on_another_file_system_changes_nothing(lab: Lab, output: Path) -> None:
    other = Path("/dev/shm") / f"bids-film-{output.name}"
    assert other.parent.stat().st_dev != lab.folder.stat().st_dev
    try:
        code, _, err = finish(lab.command(output, "--work-dir", other))
    finally:
        shutil.rmtree(other, ignore_errors=True)
    assert code == 0, err
    assert hash_outputs(output) == lab.expected
    note("work folder on another file system", "same outputs to the bit")


@pytest.mark.parametrize("damage", ["flip", "cut", "other"][: find_times(1)])
def test_an_output_that_was_damaged_is_made_anew(lab: Lab, output: Path, damage: str) -> None:
    shutil.copytree(lab.folder / "undisturbed", output)
    path = next(output.rglob("*_dseg.nii.gz"))
    whole = path.read_bytes()
    middle = len(whole) // 2
    flipped = bytes([whole[middle] ^ 1])
    path.write_bytes(
        {
            "cut": whole[:middle],
            "flip": whole[:middle] + flipped + whole[middle + 1 :],
            "other": b"notes",
        }[damage]
    )
    code, out, err = finish(lab.command(output))
    assert code == 0, err
    assert "5 of 6 scans are up to date" in out
    assert hash_outputs(output) == lab.expected
    note("label map damaged after the run", "noticed by the next run and made anew")


@pytest.mark.parametrize("content", ["", "{", '{"result": "done"}', "[]", "\x00" * 100])
def test_a_damaged_state_file_has_its_scan_segmented_again(
    lab: Lab, output: Path, content: str
) -> None:
    shutil.copytree(lab.folder / "undisturbed", output)
    state = next((output / "logs").rglob("sub-*.json"))
    state.write_text(content, encoding="utf-8")
    code, out, err = finish(lab.command(output, "--dry-run"))
    assert code == 0, err
    assert "1 of 6 scans" in out
    note("state file damaged", "its scan is segmented again, no other")


def test_a_stale_index_of_a_dead_run_is_made_anew(lab: Lab, output: Path, tmp_path: Path) -> None:
    index = tmp_path / "index"
    command = lab.command(output, "--dry-run", "--bids-database-dir", index)
    assert finish(command)[0] == 0
    database = index / "layout_index.sqlite"
    whole = database.read_bytes()
    for content in (b"", whole[: len(whole) // 2], os.urandom(4096)):
        database.write_bytes(content)
        (index / ".building-dead").mkdir(exist_ok=True)
        code, out, err = finish(command)
        assert code == 0, err
        assert "6 of 6 scans of 6 participants would be segmented" in out
        note("index left damaged by a dead run", "made anew")


def test_a_clock_that_was_set_back_changes_nothing(lab: Lab, output: Path) -> None:
    # Outputs and state files from a future that the clock has not reached again.
    shutil.copytree(lab.folder / "undisturbed", output)
    future = time.time() + 10 * 365 * 86400
    for path in output.rglob("*"):
        os.utime(path, (future, future))
    code, out, err = finish(lab.command(output))
    assert (code, out) == (0, "6 of 6 scans are up to date\n"), err
    state = next((output / "logs").rglob("sub-*.json"))
    content = json.loads(state.read_text(encoding="utf-8"))
    state.write_text(json.dumps({**content, "finished": "2099-01-01T00:00:00+00:00"}))
    assert finish(lab.command(output))[1] == "6 of 6 scans are up to date\n"
    note("clock set back", "what is up to date stays so")
