"""nipype told what to do: where to log, what not to write, and how a run ends."""

from __future__ import annotations

import dataclasses
import logging
import os
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from bids_film.domain.errors import BidsFilmError, UsageError, WorkerDiedError
from bids_film.workflow.job import ScanJob
from bids_film.workflow.options import Options
from bids_film.workflow.pages import PageJob, write_page
from bids_film.workflow.plugin_file import CLUSTER_PLUGINS, read_plugin_file
from bids_film.workflow.resources import Resources
from bids_film.workflow.segment import (
    NodeDied,
    close_nursery,
    close_worker,
    start_nursery,
)
from bids_film.workflow.state import LOGS, identify_file, record_failure, write_outcome

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

    Notes
    -----
    A node whose process or cluster job was killed takes the page that waits for it along; such
    pages are written here, so that they say what failed.
    """
    _prepare_environment(folder)
    name, arguments = _read_plugin(options)
    on_cluster = name in CLUSTER_PLUGINS
    if on_cluster and options.omp_nthreads is None:
        jobs = [_with_all_threads(job) for job in jobs]
    if not on_cluster and not options.resource_monitor:
        _import_early(segmenting=bool(jobs))
    # nipype is imported this late because a dry run needs none of it, and reads its settings
    # from the environment at that moment.
    from bids_film.workflow.nodes import build_workflow, name_nodes, name_page  # noqa: PLC0415

    log = options.output_dir / LOGS / f"nipype-{folder.name}.log"
    with _logging_to(log, options.verbose):
        _configure(options, on_cluster=on_cluster)
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

        watch = _Watch(named, finished)
        arguments["status_callback"] = watch.notify
        monitored = folder if options.resource_monitor else None
        plugin = _make_plugin(name, arguments, resources, watch.record_death, monitored)
        problem = _run(workflow, plugin)
        if not options.stop_on_first_crash:
            _write_pages(page for page in pages if name_page(page) not in watch.ended)
    measured = folder / workflow.name / "resource_monitor.json"
    if measured.is_file():
        with suppress(OSError):
            shutil.copyfile(measured, log.with_suffix(".resources.json"))
    return problem


def _import_early(*, segmenting: bool) -> None:
    """Import what the pool's processes need once, before they are forked; PyTorch meanwhile.

    Not where nipype's monitor shall see what a node takes: it looks at the node's descendants.
    """
    if segmenting:
        start_nursery()
    import bids_film.report.page  # noqa: PLC0415
    import bids_film.report.participant  # noqa: F401, PLC0415


class _Watch:
    """What the plugin says of the nodes while they run."""

    def __init__(self, named: Mapping[str, ScanJob], finished: Finished) -> None:
        self._named = named
        self._finished = finished
        self.ended: set[str] = set()
        self._before = {name: identify_file(job.state_file) for name, job in named.items()}

    def notify(self, node: Any, status: str) -> None:
        """Take note of a node that ended, well or not."""
        if status in {"end", "exception"}:
            self.ended.add(node.name)
            if node.name in self._named:
                self._finished(self._named[node.name])

    def record_death(self, name: str, error: WorkerDiedError) -> None:
        """Give the scan of a dead node an outcome, where it left none itself."""
        job = self._named.get(name)
        if job and identify_file(job.state_file) == self._before[name]:
            write_outcome(job.state_file, record_failure(job, error))


def _write_pages(pages: Iterable[PageJob]) -> None:
    for page in pages:
        try:
            write_page(page)
        except Exception:
            logging.getLogger("nipype.workflow").exception("no page of %s", page.participant)


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
        close_worker()
        end_pool_processes()
        close_nursery()
    return ""


def _find_reason(error: Exception) -> str:
    """Find what went wrong in the traceback of a node, which is all that nipype hands on."""
    text = str(error.__cause__ or error).partition("\n\nWhen creating this crashfile")[0]
    own = _OWN_ERROR.findall(text)
    return str(own[-1]) if own else (text.strip().splitlines() or [repr(error)])[-1].strip()


def find_processes(options: Options) -> int | None:
    """Find how many processes the user asked for; a plugin file has no ``--nprocs`` beside it.

    Raises
    ------
    UsageError
        Where the plugin file cannot be used.
    """
    name, arguments = _read_plugin(options)
    if name == "Linear":
        return 1
    return int(arguments["n_procs"]) if "n_procs" in arguments else options.nprocs


def _read_plugin(options: Options) -> tuple[str, dict[str, Any]]:
    """Name of the plugin and its arguments; the name is empty where the program chooses."""
    if options.use_plugin is None:
        return "", {}
    name, arguments = read_plugin_file(options.use_plugin)
    if name in CLUSTER_PLUGINS and options.work_dir is None:
        raise UsageError(
            f"the plugin {name} runs nodes on other machines, which must see the work folder",
            hint="give a folder on a shared file system with --work-dir",
        )
    return name, arguments


def _make_plugin(
    name: str,
    arguments: dict[str, Any],
    resources: Resources,
    record_death: NodeDied,
    folder: Path | None,
) -> dict[str, Any]:
    from bids_film.workflow.plugins import make_plugin  # noqa: PLC0415
    from bids_film.workflow.slurm import SturdySLURMPlugin  # noqa: PLC0415

    if name == "SLURM":
        return {"plugin": SturdySLURMPlugin(arguments, record_death)}
    if name in CLUSTER_PLUGINS:
        # nipype's PBS plugin reads this default under another name than it stores it.
        return {"plugin": name, "plugin_args": {"max_jobname_len": 15, **arguments}}
    pool = make_plugin(resources.processes, resources.memory_gb, arguments, folder=folder)
    return {"plugin": pool}


def _with_all_threads(job: ScanJob) -> ScanJob:
    # How many those are is known where the job runs, and not here.
    return dataclasses.replace(job, engine=dataclasses.replace(job.engine, threads=0))


def _prepare_environment(folder: Path) -> None:
    # No asking for newer versions over the network, and nothing read from or written to a HOME
    # that may be read-only or shared by a thousand jobs.
    os.environ["NO_ET"] = os.environ["NIPYPE_NO_ET"] = "1"
    os.environ["NIPYPE_CONFIG_DIR"] = str(folder)
    # nipype's cluster plugins name their jobs after it; not every login shell or container sets it.
    os.environ.setdefault("LOGNAME", f"uid{os.getuid()}")


def _configure(options: Options, *, on_cluster: bool) -> None:
    from nipype import config  # noqa: PLC0415

    config.update_config(
        {
            "logging": {"log_to_file": "false"},
            "execution": {
                # nipype's settings are a ConfigParser's, which would take % for a reference.
                "crashdump_dir": str(options.output_dir / LOGS).replace("%", "%%"),
                "crashfile_format": "txt",
                "create_report": "false",
                "check_version": "false",
                # A scheduler is asked rarely, and its shared file system may show results late.
                "poll_sleep_duration": "1" if on_cluster else "0.01",
                "job_finished_timeout": "60" if on_cluster else "5",
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
