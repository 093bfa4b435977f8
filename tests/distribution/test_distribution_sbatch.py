"""The batch script's own arithmetic; tests/containers runs it on a real SLURM."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "singularity" / "bids_film.sbatch"
PROGRAMS = {
    "scontrol": 'echo "MaxArraySize            = $MOST"',
    # Jobs are numbered from 1; what SLURM would have been told is kept beside the script's logs.
    "sbatch": 'echo "$LIST|$FIRST|$*" >> jobs.txt; wc -l < jobs.txt',
    "bids-film": 'printf "%s\\n" "$*"',
}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with programs that answer as those of a cluster do, and a dataset."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, body in PROGRAMS.items():
        (programs / name).write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    monkeypatch.delenv("BIDS_FILM_SIF", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bids").mkdir()
    return tmp_path


def call_script(*words: str, **env: str) -> str:
    done = subprocess.run(
        ["bash", SCRIPT, *words], env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def read_jobs(cluster: Path) -> list[list[str]]:
    return [line.split("|") for line in (cluster / "jobs.txt").read_text().splitlines()]


@pytest.mark.parametrize("most", ["2", "4", "8", "1001"])
def test_each_participant_has_one_task_whatever_an_array_may_hold(cluster: Path, most: str) -> None:
    labels = [f"{number:02}" for number in range(7)]
    for label in labels:
        (cluster / "bids" / f"sub-{label}").mkdir()
    call_script("bids", "out", "--model", "brain", MOST=most)
    *arrays, group = read_jobs(cluster)
    segmented = []
    for names, first, words in arrays:
        (last,) = re.findall(r"--array=1-(\d+)%", words)
        assert int(last) < int(most)
        for task in range(1, int(last) + 1):
            env = {"LIST": names, "FIRST": first, "SLURM_ARRAY_TASK_ID": str(task)}
            slurm = {"SLURM_JOB_ID": "1", "SLURM_CPUS_PER_TASK": "2"}
            said = call_script("participant", "bids", "out", "--model", "brain", **env, **slurm)
            segmented += re.findall(r"--participant-label sub-(\w+) .* --model brain", said)
    assert segmented == labels
    assert f"--dependency=afterany:{len(arrays)} " in group[2]
    assert group[2].endswith("--model brain")


def test_a_study_of_ten_thousand_is_submitted(cluster: Path) -> None:
    for number in range(10_000):
        (cluster / "bids" / f"sub-{number:015}").mkdir()
    assert "of 10000" in call_script("bids", "out", MOST="1001")
