from __future__ import annotations

import re
import shutil
import sys
import time
from pathlib import Path

import pytest
from conftest import PARTICIPANTS, SHAPE, HashOutputs
from field import ORDINARY_USER, ROOT, check, make_ordinary_user, run
from support.bids_factory import write_dataset

from bids_film.domain.paths import TEMPORARY_PATTERN

SMALL = {"SBATCH_MEM_PER_NODE": "1500M", "MAX_TASKS": "4"}


class Cluster:
    """Our batch script, as a user of the cluster submits it."""

    def __init__(self, folder: Path, dataset: Path, outputs: Path, **env: str) -> None:
        self._user = make_ordinary_user() if "BIDS_FILM_SIF" in env else ""
        self._script = folder / "bids_film.sbatch"
        shutil.copyfile(ROOT / "singularity" / "bids_film.sbatch", self._script)
        self._folders = (dataset, outputs)
        self._folder = folder
        self._env = SMALL | env

    def submit(self, *options: object) -> tuple[str, str]:
        """Submit array and group; give their numbers."""
        command = ["bash", self._script, *self._folders, *options]
        said = check(run(*command, user=self._user, cwd=self._folder, **self._env))
        array, group = [line.split()[1].rstrip(":") for line in said.splitlines()]
        return array, group


def wait_for_job(job: str, timeout_s: float = 400) -> None:
    end = time.monotonic() + timeout_s
    while job in run("squeue", "--noheader", "--format=%A %F").stdout:
        assert time.monotonic() < end, run("squeue").stdout
        time.sleep(0.5)


def wait_for_files(folder: Path, pattern: str, timeout_s: float = 240, *, count: int = 1) -> None:
    end = time.monotonic() + timeout_s
    while len(list(folder.glob(pattern))) < count:
        assert time.monotonic() < end, f"no {pattern}; {run('squeue').stdout}"
        time.sleep(0.1)


def read_logs(outputs: Path) -> str:
    return "\n".join(path.read_text() for path in sorted((outputs / "logs/slurm").iterdir()))


@pytest.fixture
def bin_in_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")


@pytest.mark.slurm
@pytest.mark.apptainer
@pytest.mark.docker
def test_an_array_of_all_participants_in_the_same_second_and_the_group(
    sif: Path, dataset: Path, reference: Path, folder: Path, outputs: Path,
    hash_outputs: HashOutputs,
) -> None:  # fmt: skip
    cluster = Cluster(folder, dataset, outputs, BIDS_FILM_SIF=str(sif))
    table = folder / "metadata.tsv"
    table.write_text("participant_id\tMagneticFieldStrength\nsub-01\tn/a\n")
    array, group = cluster.submit("--metadata-file", table)
    wait_for_job(group)
    starts, ends = (
        re.findall(rf"{name}=(\S+)", check(run("scontrol", "show", "job", array)))
        for name in ("StartTime", "EndTime")
    )
    assert len(starts) == len(PARTICIPANTS)
    assert max(starts) < min(ends), "the tasks did not run at the same time"
    assert hash_outputs(outputs) == hash_outputs(reference), read_logs(outputs)
    rows = (outputs / "group_seg-brain.tsv").read_text().splitlines()
    assert len(rows) == 1 + len(PARTICIPANTS), read_logs(outputs)
    assert len(list((outputs / "logs/slurm").glob("participant_*.log"))) == len(PARTICIPANTS)
    assert {path.owner() for path in outputs.rglob("*")} <= {ORDINARY_USER, "root"}


@pytest.mark.slurm
@pytest.mark.usefixtures("bin_in_path")
def test_what_was_cancelled_half_way_is_finished_by_the_same_line(
    dataset: Path, reference: Path, folder: Path, outputs: Path, hash_outputs: HashOutputs
) -> None:
    cluster = Cluster(folder, dataset, outputs, MAX_TASKS="1")
    array, group = cluster.submit()
    wait_for_files(outputs, "sub-01/anat/*_dseg.json")
    wait_for_files(outputs, "logs/slurm/participant_*_2.log")
    check(run("scancel", array))
    wait_for_job(group)
    assert not list(outputs.rglob(TEMPORARY_PATTERN))
    assert "sub-01" in (outputs / "group_seg-brain.tsv").read_text()
    assert 0 < len(hash_outputs(outputs)) < len(hash_outputs(reference))
    _, group = cluster.submit()
    wait_for_job(group)
    assert hash_outputs(outputs) == hash_outputs(reference), read_logs(outputs)
    assert "up to date" in read_logs(outputs)
    rows = (outputs / "group_seg-brain.tsv").read_text().splitlines()
    assert len(rows) == 1 + len(PARTICIPANTS)


@pytest.mark.slurm
@pytest.mark.apptainer
@pytest.mark.docker
def test_the_time_limit_leaves_no_halves_and_says_what_to_run_next(
    sif: Path, folder: Path, outputs: Path
) -> None:
    dataset = write_dataset(folder / "bids", participants=("01",), shape=SHAPE)
    cluster = Cluster(folder, dataset, outputs, BIDS_FILM_SIF=str(sif), SBATCH_TIMELIMIT="2")
    # One scan that takes longer than any limit, however fast the machine is.
    array, group = cluster.submit("--ensemble", "augment", "--passes", "999999")
    check(run("scancel", group))
    wait_for_job(array)
    (log,) = outputs.glob("logs/slurm/participant_*.log")
    assert "the same command goes on where it stopped" in log.read_text()
    shown = check(run("scontrol", "show", "job", array))
    assert "ExitCode=143:0" in shown
    assert "JobState=FAILED" in shown, "the limit itself ended it, not the signal before it"
    assert not list(outputs.rglob(TEMPORARY_PATTERN))
    assert not list(outputs.rglob("*_dseg.nii.gz"))


def run_by_plugin(folder: Path, dataset: Path, outputs: Path, memory: str) -> tuple[int, str]:
    plugin = folder / "plugin.yml"
    settings = f"--mem={memory} --cpus-per-task=1 --time=10"
    plugin.write_text(f"plugin: SLURM\nplugin_args:\n  sbatch_args: {settings}\n")
    program = [Path(sys.executable).with_name("bids-film"), dataset, outputs, "participant"]
    options = ["--use-plugin", plugin, "--work-dir", folder / "work"]
    done = run("env", "-u", "LOGNAME", *program, *options, "--participant-label", "01", "02")
    return done.returncode, done.stderr


@pytest.mark.slurm
def test_nipype_runs_the_scans_as_jobs(
    dataset: Path, reference: Path, folder: Path, outputs: Path, hash_outputs: HashOutputs
) -> None:
    code, said = run_by_plugin(folder, dataset, outputs, "1500M")
    assert code == 0, said
    found = hash_outputs(outputs)
    assert found
    assert found.items() <= hash_outputs(reference).items()
    assert (outputs / "sub-02.html").exists()


@pytest.mark.slurm
def test_a_job_that_is_killed_for_memory_is_said_to_be_and_has_a_page(
    dataset: Path, folder: Path, outputs: Path
) -> None:
    code, said = run_by_plugin(folder, dataset, outputs, "120M")
    assert code == 1
    assert "memory" in said
    assert "memory" in (outputs / "sub-02.html").read_text()


@pytest.mark.slurm
def test_jobs_that_slurm_does_not_take_are_said_to_be_refused_and_why(
    dataset: Path, folder: Path, outputs: Path
) -> None:
    code, said = run_by_plugin(folder, dataset, outputs, "900G")
    assert code == 1
    assert "SLURM took no job" in said
    assert "node configuration" in said or "emory" in said
