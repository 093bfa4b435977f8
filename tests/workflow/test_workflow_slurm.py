from __future__ import annotations

import pytest

from bids_film.workflow.resources import available_cpus, available_memory_gb
from bids_film.workflow.slurm import explain_end

SHOWN = "JobId=12 JobName=scan\n   JobState={state} Reason=None\n   Restarts=0 ExitCode={code}\n"


@pytest.mark.parametrize(
    ("state", "code", "words", "hint"),
    [
        ("OUT_OF_MEMORY", "0:125", "ran out of memory", "--mem"),
        ("FAILED", "0:9", "out of memory", "--mem"),
        ("TIMEOUT", "0:15", "time limit", "--time"),
        ("CANCELLED", "0:15", "cancelled", "--mem"),
        ("FAILED", "1:0", "without a result", "log"),
        ("COMPLETED", "0:0", "without a result", "log"),
    ],
)
def test_why_a_job_died_is_said(state: str, code: str, words: str, hint: str) -> None:
    error = explain_end(12, SHOWN.format(state=state, code=code))
    assert "12" in error.message
    assert words in error.message
    assert state in error.message
    assert hint in error.hint


def test_a_job_that_slurm_has_forgotten_is_not_taken_for_a_kind_of_death() -> None:
    assert "unknown" in explain_end(12, "").message


def test_a_job_may_use_what_slurm_gave_it_however_it_asked() -> None:
    assert available_cpus({"SLURM_CPUS_ON_NODE": "1"}) == 1
    assert available_cpus({"SLURM_CPUS_PER_TASK": "1", "SLURM_CPUS_ON_NODE": "64"}) == 1
    assert available_memory_gb({"SLURM_MEM_PER_NODE": "512"}) == 0.5
    assert available_memory_gb({"SLURM_MEM_PER_CPU": "256", "SLURM_CPUS_ON_NODE": "1"}) == 0.25
