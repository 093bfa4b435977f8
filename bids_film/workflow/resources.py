"""How many scans at the same time, with how many threads: what the machine and the job allow."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

SCAN_MEMORY_GB = 4.0
"""What one worker needs for a 1 mm whole-head scan, with torch itself."""
MOST_THREADS = 8
_CGROUP_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """How a run divides the machine.

    Attributes
    ----------
    processes : int
        Scans that are segmented at the same time.
    threads : int
        Threads of each.
    memory_gb : float
        For all together.
    """

    processes: int
    threads: int
    memory_gb: float


def divide_resources(
    scans: int,
    *,
    nprocs: int | None = None,
    omp_nthreads: int | None = None,
    mem_gb: float | None = None,
    limits: tuple[int, float] | None = None,
) -> Resources:
    """Choose what the user left open; what was asked for is kept.

    Many scans on few processors go fastest with one thread each; few scans get the threads that
    are left.

    Parameters
    ----------
    scans : int
        Scans that will be segmented.
    limits : tuple[int, float], optional
        Processors and gigabytes that may be used; found out where not given.
    """
    cpus, machine_gb = limits or (available_cpus(), available_memory_gb())
    memory_gb = mem_gb or machine_gb
    if nprocs is None:
        by_cpu = cpus // (omp_nthreads or 1)
        nprocs = max(1, min(by_cpu, scans, int(memory_gb // SCAN_MEMORY_GB)))
    threads = omp_nthreads or max(1, min(cpus // nprocs, MOST_THREADS))
    return Resources(processes=nprocs, threads=threads, memory_gb=memory_gb)


def available_cpus(environment: Mapping[str, str] = os.environ) -> int:
    """Processors that this process may use: affinity, container and SLURM limits counted."""
    limits = [len(os.sched_getaffinity(0)), *_cgroup_cpus()]
    # A job that did not ask for processors has no SLURM_CPUS_PER_TASK.
    slurm = environment.get("SLURM_CPUS_PER_TASK") or environment.get("SLURM_CPUS_ON_NODE", "")
    if slurm.isdecimal():
        limits.append(int(slurm))
    return max(1, min(limits))


def available_memory_gb(environment: Mapping[str, str] = os.environ) -> float:
    """Memory that this process may use: free memory, container and SLURM limits counted."""
    limits = [_machine_memory_gb(), *_cgroup_memory_gb()]
    for name, count in (
        ("SLURM_MEM_PER_NODE", 1),
        ("SLURM_MEM_PER_CPU", available_cpus(environment)),
    ):
        slurm_mb = environment.get(name, "")
        if slurm_mb.isdecimal() and int(slurm_mb):
            limits.append(count * int(slurm_mb) / 1024)
    return min(limits)


def _machine_memory_gb() -> float:
    with suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) / 2**20
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _cgroup_cpus() -> Iterator[int]:
    for folder in _cgroup_folders("cpu"):
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
            if quota != "max":
                yield math.ceil(int(quota) / int(period))
        with suppress(OSError, ValueError):
            quota_us = int((folder / "cpu.cfs_quota_us").read_text(encoding="ascii"))
            period_us = int((folder / "cpu.cfs_period_us").read_text(encoding="ascii"))
            if quota_us > 0:
                yield math.ceil(quota_us / period_us)


def _cgroup_memory_gb() -> Iterator[float]:
    for folder in _cgroup_folders("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with suppress(OSError, ValueError):
                yield int((folder / name).read_text(encoding="ascii")) / 2**30


def _cgroup_folders(controller: str) -> Iterator[Path]:
    """Folders of this process's control group and those above it, versions 1 and 2."""
    yield from (_CGROUP_ROOT, _CGROUP_ROOT / controller)
    with suppress(OSError):
        for line in Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
            _, controllers, group = line.split(":", 2)
            if controllers and controller not in controllers.split(","):
                continue
            root = _CGROUP_ROOT / controller if controllers else _CGROUP_ROOT
            inner = root / group.lstrip("/")
            yield from (folder for folder in (inner, *inner.parents) if root in folder.parents)
