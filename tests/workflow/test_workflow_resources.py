from __future__ import annotations

import os

import pytest

from bids_film.workflow.resources import (
    available_cpus,
    available_memory_gb,
    divide_resources,
)

MACHINE = (8, 64.0)


@pytest.mark.parametrize(
    ("scans", "processes", "threads"), [(1, 1, 8), (3, 3, 2), (8, 8, 1), (500, 8, 1)]
)
def test_many_scans_get_processes_and_few_get_threads(
    scans: int, processes: int, threads: int
) -> None:
    found = divide_resources(scans, limits=MACHINE)
    assert (found.processes, found.threads) == (processes, threads)


def test_what_was_asked_for_is_kept() -> None:
    found = divide_resources(500, nprocs=2, omp_nthreads=3, mem_gb=1, limits=MACHINE)
    assert (found.processes, found.threads, found.memory_gb) == (2, 3, 1)


def test_processes_and_threads_share_the_processors() -> None:
    assert divide_resources(500, nprocs=2, limits=MACHINE).threads == 4
    assert divide_resources(500, omp_nthreads=4, limits=MACHINE).processes == 2
    assert divide_resources(500, omp_nthreads=16, limits=MACHINE).processes == 1


def test_memory_limits_the_number_of_processes() -> None:
    assert divide_resources(500, limits=(8, 9.0)).processes == 2
    assert divide_resources(500, mem_gb=1, limits=MACHINE).processes == 1


def test_limits_of_slurm_are_kept() -> None:
    assert available_cpus({"SLURM_CPUS_PER_TASK": "1"}) == 1
    assert available_memory_gb({"SLURM_MEM_PER_NODE": "512"}) == 0.5


def test_what_the_machine_has_is_positive_and_within_its_affinity() -> None:
    assert 1 <= available_cpus({}) <= len(os.sched_getaffinity(0))
    assert available_memory_gb({}) > 0
