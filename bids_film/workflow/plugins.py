"""The plugin of nipype that runs the workflow on this machine."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import Any

from nipype.pipeline.plugins import MultiProcPlugin
from nipype.pipeline.plugins.multiproc import run_node

from bids_film.workflow.processes import end_with_parent
from bids_film.workflow.segment import close_worker

_LONGEST_WAIT_S = 1.0


class SturdyMultiProcPlugin(MultiProcPlugin):  # type: ignore[misc]  # nipype is untyped
    """nipype's MultiProc, but a killed process fails its nodes instead of hanging the run.

    It also waits without polling.

    Parameters
    ----------
    plugin_args : Mapping[str, Any]
    folder : Path, optional
        In which the pool's processes run: nipype's monitor leaves its records where they do.
    """

    def __init__(self, plugin_args: Mapping[str, Any], folder: Path | None = None) -> None:
        self._folder = folder
        super().__init__(plugin_args=plugin_args)
        self.pool: ProcessPoolExecutor = self._new_pool()
        self._ended = threading.Event()

    def run(self, graph: Any, config: Any, updatehash: bool = False) -> None:  # noqa: FBT001, FBT002
        """Run a graph.

        nipype collects garbage at every poll, which takes 0.1 s with a few hundred nodes in memory
        and grows with them; what is there before the run begins is not looked at again.
        """
        gc.freeze()
        try:
            super().run(graph, config, updatehash=updatehash)
        finally:
            gc.unfreeze()

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            max_workers=self.processors,
            mp_context=multiprocessing.get_context("fork"),
            initializer=_prepare_pool_process,
            initargs=(self._folder,),
        )

    def _submit_job(self, node: Any, updatehash: bool = False) -> int:  # noqa: FBT001, FBT002
        self._taskid += 1
        taskid: int = self._taskid
        try:
            future = self.pool.submit(run_node, node, updatehash, taskid)
        except BrokenProcessPool:
            self.pool = self._new_pool()
            future = self.pool.submit(run_node, node, updatehash, taskid)
        self._task_obj[taskid] = future
        future.add_done_callback(partial(self._keep_result, taskid))
        return taskid

    def _send_procs_to_workers(self, updatehash: bool = False, graph: Any = None) -> None:  # noqa: FBT001, FBT002
        super()._send_procs_to_workers(updatehash=updatehash, graph=graph)
        # nipype would look again and again, which costs a core; here the next node starts at once.
        if self.pending_tasks:
            self._ended.wait(_LONGEST_WAIT_S)
            self._ended.clear()

    def _keep_result(self, taskid: int, future: Future[dict[str, Any]]) -> None:
        try:
            self._taskresult[taskid] = future.result()
        except (Exception, CancelledError) as error:  # noqa: BLE001 nipype waits for a result
            trace = [f"the process of this node died: {error!r}\n"]
            self._taskresult[taskid] = {"result": None, "traceback": trace, "taskid": taskid}
        self._ended.set()


def make_plugin(
    processes: int,
    memory_gb: float,
    plugin_args: Mapping[str, Any],
    *,
    folder: Path | None = None,
) -> Any:
    """Make the plugin for this machine: a pool, of one process as well.

    nipype's Linear plugin catches Ctrl-C and SIGTERM as if a node had failed, and goes on.
    """
    settings = {
        "n_procs": processes,
        # nipype would wait for ever where there is less than a node asks for, or 0.01.
        "memory_gb": max(memory_gb, 1.0),
        "raise_insufficient": False,
        "n_gpu_procs": processes,
    }
    return SturdyMultiProcPlugin(settings | dict(plugin_args), folder)


def end_pool_processes(grace_s: float = 10.0) -> None:
    """End the processes of a pool that was interrupted, and wait until they are gone."""
    processes = multiprocessing.active_children()
    for process in processes:
        process.terminate()
    for process in processes:
        process.join(grace_s)
        if process.is_alive():
            process.kill()


def _prepare_pool_process(folder: Path | None) -> None:
    if folder:
        os.chdir(folder)
    # Ctrl-C reaches the whole process group; the parent decides what happens to its children.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, _end_pool_process)
    end_with_parent()


def _end_pool_process(*_: object) -> None:
    # nipype catches whatever a node raises, SystemExit too, and would go on with the next one.
    try:
        close_worker()
    finally:
        os._exit(128 + signal.SIGTERM)
