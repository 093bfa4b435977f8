"""nipype told what to do: where to log, what not to write, and how a run ends."""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bids_film.domain.errors import BidsFilmError, UsageError
from bids_film.workflow.job import ScanJob
from bids_film.workflow.options import Options
from bids_film.workflow.pages import PageJob
from bids_film.workflow.resources import Resources
from bids_film.workflow.segment import close_workers
from bids_film.workflow.state import LOGS

Finished = Callable[[ScanJob], None]
_OWN_ERROR = re.compile(r"^\s*bids_film\.domain\.errors\.\w+: (.+)$", re.MULTILINE)


class _LogFile(logging.FileHandler):
    """A log that a full disk cuts short; the run says by itself what it could not write."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 its name in the library
        """Say nothing."""


def run_nodes(
    jobs: Sequence[ScanJob],
    pages: Sequence[PageJob],
    *,
    options: Options,
    resources: Resources,
    folder: Path,
    finished: Finished,
) -> str:
    """Run all jobs, and then the pages that wait for them.

    Parameters
    ----------
    folder : Path
        For nipype's files.
    finished : callable
        Called with each job when its node has ended, well or not, from this process.

    Returns
    -------
    str
        Why a node did not end well, of the first that did not; empty where all did.
    """
    _prepare_environment(folder)
    # nipype is imported this late because a dry run needs none of it, and reads its settings
    # from the environment at that moment.
    from bids_film.workflow.nodes import build_workflow, name_nodes  # noqa: PLC0415

    log = options.output_dir / LOGS / f"nipype-{folder.name}.log"
    with _logging_to(log, options.verbose):
        _configure(options)
        named = name_nodes(jobs)
        workflow = build_workflow(
            named,
            pages,
            folder=folder,
            resources=resources,
            stop_on_first_crash=options.stop_on_first_crash,
        )
        if options.write_graph:
            _write_graph(workflow, options.output_dir / LOGS)

        def notify(node: Any, status: str) -> None:
            if status in {"end", "exception"} and node.name in named:
                finished(named[node.name])

        problem = _run(workflow, _choose_plugin(options, resources, notify))
    measured = folder / workflow.name / "resource_monitor.json"
    if measured.is_file():
        with suppress(OSError):
            shutil.copyfile(measured, log.with_suffix(".resources.json"))
    return problem


def _run(workflow: Any, plugin: dict[str, Any]) -> str:
    from bids_film.workflow.plugins import end_pool_processes  # noqa: PLC0415

    try:
        workflow.run(**plugin)
    except BidsFilmError:
        # What was found out of one scan that holds for all of them.
        raise
    except Exception as error:
        logging.getLogger("nipype.workflow").exception("at least one node failed")
        return _find_reason(error)
    finally:
        close_workers()
        end_pool_processes()
    return ""


def _find_reason(error: Exception) -> str:
    """Find what went wrong in the traceback of a node, which is all that nipype hands on."""
    text = str(error.__cause__ or error).partition("\n\nWhen creating this crashfile")[0]
    own = _OWN_ERROR.findall(text)
    return str(own[-1]) if own else (text.strip().splitlines() or [repr(error)])[-1].strip()


def _choose_plugin(
    options: Options, resources: Resources, notify: Callable[[Any, str], None]
) -> dict[str, Any]:
    from bids_film.workflow.plugins import (  # noqa: PLC0415
        CLUSTER_PLUGINS,
        make_plugin,
        read_plugin_file,
    )

    if options.use_plugin is None:
        callback = {"status_callback": notify}
        return {"plugin": make_plugin(resources.processes, resources.memory_gb, callback)}
    name, arguments = read_plugin_file(options.use_plugin)
    arguments["status_callback"] = notify
    if name in CLUSTER_PLUGINS:
        if options.work_dir is None:
            raise UsageError(
                f"the plugin {name} runs nodes on other machines, which must see the work folder",
                hint="give a folder on a shared file system with --work-dir",
            )
        return {"plugin": name, "plugin_args": arguments}
    processes = 1 if name == "Linear" else int(arguments.get("n_procs", resources.processes))
    return {"plugin": make_plugin(processes, resources.memory_gb, arguments)}


def _prepare_environment(folder: Path) -> None:
    # No asking for newer versions over the network, and nothing read from or written to a HOME
    # that may be read-only or shared by a thousand jobs.
    os.environ["NO_ET"] = os.environ["NIPYPE_NO_ET"] = "1"
    os.environ["NIPYPE_CONFIG_DIR"] = str(folder)


def _configure(options: Options) -> None:
    from nipype import config  # noqa: PLC0415

    config.update_config(
        {
            "logging": {"log_to_file": "false"},
            "execution": {
                "crashdump_dir": str(options.output_dir / LOGS),
                "crashfile_format": "txt",
                "create_report": "false",
                "check_version": "false",
                "poll_sleep_duration": "0.01",
                "remove_unnecessary_outputs": "true",
                "stop_on_first_crash": str(options.stop_on_first_crash).lower(),
                "write_provenance": "false",
            },
            "monitoring": {"enabled": str(options.resource_monitor).lower()},
        }
    )
    if options.resource_monitor:
        config.enable_resource_monitor()


@contextmanager
def _logging_to(path: Path, verbose: int) -> Iterator[None]:
    """Have nipype log to a file of this run instead of standard output."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logger = logging.getLogger("nipype")
    handlers: list[logging.Handler] = [_LogFile(path, encoding="utf-8", delay=True)]
    if verbose:
        handlers.append(logging.StreamHandler())
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s: %(message)s"))
    before = logger.handlers[:]
    logger.handlers[:] = handlers
    try:
        yield
    finally:
        logger.handlers[:] = before
        with suppress(OSError):
            handlers[0].close()


def _write_graph(workflow: Any, folder: Path) -> None:
    try:
        workflow.write_graph(
            graph2use="flat", dotfilename=str(folder / "workflow.dot"), format="svg"
        )
    except OSError as error:
        # The .dot file is written first; only the picture needs Graphviz on the machine.
        logging.getLogger("nipype.workflow").warning("no picture of the graph: %s", error)
