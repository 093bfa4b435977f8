"""nipype's SLURM plugin, but a job that dies is said to have died, and why.

Defects of nipype 1.11 that are worked around here: the name of a job is made from ``LOGNAME``,
which may be unset; a job that left no result ends the whole run with a TypeError while its crash
file is written; each poll runs ``squeue`` once per job, and takes job 12 for job 123; jobs go on
when the run that submitted them is stopped.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Mapping
from typing import Any

from nipype.pipeline.plugins import SLURMPlugin

from bids_film.domain.errors import UsageError, WorkerDiedError
from bids_film.workflow.segment import NodeDied

_LISTING_AGE_S = 2.0
_LATE_FILES_S = "60"
_WHY = {
    "OUT_OF_MEMORY": ("ran out of memory", "give more memory: --mem in sbatch_args"),
    "TIMEOUT": ("reached its time limit", "give more time: --time in sbatch_args"),
    "NODE_FAIL": ("ended because its machine failed", "run the same command again"),
    "PREEMPTED": ("was preempted", "run the same command again"),
    "CANCELLED": (
        "was cancelled, by somebody or for more memory than it had asked for",
        "give more memory (--mem in sbatch_args), or run the same command again",
    ),
}
_KILLED = (
    "was killed by signal 9: probably out of memory",
    "give more memory: --mem in sbatch_args",
)
_UNKNOWN = (
    "ended without a result",
    "see its log in the work folder; give more memory (--mem in sbatch_args) if it says nothing",
)
_REFUSED = "change sbatch_args in the plugin's file to what the cluster's nodes have"


class SturdySLURMPlugin(SLURMPlugin):  # type: ignore[misc]  # nipype is untyped
    """Runs each node as a SLURM job.

    Parameters
    ----------
    plugin_args : Mapping
        As nipype's: ``sbatch_args``, ``max_jobs``, ``template`` …
    died : callable
        Called with the name of a node whose job died, and the error that says why.
    """

    def __init__(self, plugin_args: Mapping[str, Any], died: NodeDied) -> None:
        if shutil.which("sbatch") is None:
            raise UsageError(
                "SLURM was asked for, but its command sbatch is not on this machine",
                hint="start the program on a login node, and in a container bind SLURM's commands",
            )
        super().__init__(plugin_args=dict(plugin_args))
        self._died = died
        self._names: dict[int, str] = {}
        self._listed: set[str] = set()
        self._listed_at = 0.0

    def run(self, graph: Any, config: Any, updatehash: bool = False) -> None:  # noqa: FBT001, FBT002
        """Run a graph; where that is interrupted, cancel the jobs that are left."""
        try:
            super().run(graph, config, updatehash=updatehash)
        finally:
            left = [str(job) for job in self._pending]
            if left:
                _run_quietly("scancel", *left)

    def _submit_batchtask(self, scriptfile: str, node: Any) -> int:
        try:
            job: int = super()._submit_batchtask(scriptfile, node)
        except (IndexError, RuntimeError) as problem:
            # nipype looks for the number of a job, and not at why there is none.
            asked = ("sbatch", "--test-only", *shlex.split(self._sbatch_args or ""), scriptfile)
            said = " ".join(_run_quietly(*asked).stderr.split()) or "it does not say why"
            error = WorkerDiedError(f"SLURM took no job for it: {said}", hint=_REFUSED)
            self._died(node.name, error)
            raise error from problem
        self._names[job] = node.name
        self._listed.add(str(job))
        return job

    def _is_pending(self, taskid: int) -> bool:
        if time.monotonic() - self._listed_at > _LISTING_AGE_S:
            self._list_jobs()
        return str(taskid) in self._listed

    def _list_jobs(self) -> None:
        done = _run_quietly("squeue", "--noheader", "--format=%i", f"--user={os.getuid()}")
        self._listed_at = time.monotonic()
        if done.returncode:
            # A controller that is busy for a minute is no reason to give up a night's work.
            logging.getLogger("nipype.workflow").warning("squeue: %s", done.stderr.strip())
            return
        self._listed = set(done.stdout.split())

    def _get_result(self, taskid: int) -> dict[str, Any] | None:
        if self._is_pending(taskid):
            return None
        shown = _run_quietly("scontrol", "show", "job", str(taskid)).stdout
        # A shared file system may show late what a job wrote; a job that died wrote nothing.
        died = bool(shown) and "JobState=COMPLETED" not in shown
        self._config["execution"]["job_finished_timeout"] = "1" if died else _LATE_FILES_S
        result: dict[str, Any] | None = super()._get_result(taskid)
        if result and isinstance(result["traceback"], str):
            error = explain_end(taskid, shown)
            self._died(self._names[taskid], error)
            result["traceback"] = [f"{error.message}\n", result["traceback"]]
        return result


def explain_end(job: int, shown: str) -> WorkerDiedError:
    """Say why a job left no result.

    Parameters
    ----------
    job : int
    shown : str
        What ``scontrol show job`` says of it; empty where SLURM has forgotten it.
    """
    found = re.search(r"\bJobState=(\w+)", shown)
    state = found[1] if found else "unknown"
    # Not every cluster has SLURM notice that it was the kernel that wanted the memory back.
    killed = re.search(r"\bExitCode=\d+:9\b", shown)
    why, hint = _KILLED if killed and state == "FAILED" else _WHY.get(state, _UNKNOWN)
    return WorkerDiedError(f"the SLURM job {job} {why} (state {state})", hint=hint)


def _run_quietly(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
