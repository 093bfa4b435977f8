"""What a command took, with all processes that work for it, wherever they were started."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

INTERVAL_S = 0.2
FindProcesses = Callable[[int], Mapping[str, psutil.Process]]
"""Number of the command's process to the processes whose trees count, by a name of each."""


@dataclass(kw_only=True)
class Usage:
    """What one tree of processes took while it was seen.

    Attributes
    ----------
    seconds : float
    peak_gb : float
        Of the proportional set size.
    """

    seconds: float = 0.0
    peak_gb: float = 0.0


@dataclass(kw_only=True)
class Watched:
    """A command that has ended.

    Attributes
    ----------
    code : int
    seconds : float
    trees : dict[str, Usage]
    """

    code: int = 0
    seconds: float = 0.0
    trees: dict[str, Usage] = field(default_factory=dict)

    @property
    def peak_gb(self) -> float:
        """Peak of the largest tree; 0 where none was seen."""
        return max((usage.peak_gb for usage in self.trees.values()), default=0.0)


def watch(
    command: Sequence[str], find: FindProcesses, env: Mapping[str, str] | None = None
) -> Watched:
    """Run a command, and look at the trees of its processes until it ends."""
    watched, start = Watched(), time.monotonic()
    seen: dict[str, float] = {}
    process = subprocess.Popen(
        command,
        env=os.environ | (env or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while process.poll() is None:
        with suppress(psutil.Error):
            for name, root in find(process.pid).items():
                now = time.monotonic()
                usage = watched.trees.setdefault(name, Usage())
                usage.seconds = now - seen.setdefault(name, now)
                usage.peak_gb = max(usage.peak_gb, _measure_tree(root) / 1e9)
        time.sleep(INTERVAL_S)
    watched.seconds, watched.code = time.monotonic() - start, process.returncode
    return watched


def find_own(pid: int) -> dict[str, psutil.Process]:
    """Find the command itself."""
    return {"": psutil.Process(pid)}


def find_in_container(name: str) -> FindProcesses:
    """Find the first process of a Docker container, which is no child of the command."""

    def find(_pid: int) -> dict[str, psutil.Process]:
        asked = ["docker", "inspect", "--format", "{{.State.Pid}}", name]
        said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
        number = int(said or 0)  # 0 before the container has begun
        return {name: psutil.Process(number)} if number else {}

    return find


def find_jobs(_pid: int) -> dict[str, psutil.Process]:
    """Find what SLURM runs on this machine, by the number of each job."""
    jobs = {}
    for process in psutil.process_iter(["cmdline"]):
        found = re.match(r"slurmstepd: \[(\d+)\.batch\]", " ".join(process.info["cmdline"] or []))
        if found:
            jobs[found[1]] = process
    return jobs


def _measure_tree(process: psutil.Process) -> int:
    total = 0
    for member in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):
            total += member.memory_full_info().pss
    return total
