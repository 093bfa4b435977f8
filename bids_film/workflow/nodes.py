"""The nodes of the participant level: thin, for all they do is call functions of other modules."""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nipype.interfaces.base import (
    BaseInterface,
    BaseInterfaceInputSpec,
    DynamicTraitedSpec,
    TraitedSpec,
    traits,
)
from nipype.pipeline import engine

from bids_film.domain.errors import ScanError
from bids_film.workflow.job import ScanJob, job_from_json, job_to_json
from bids_film.workflow.pages import PageJob, page_job_from_json, page_job_to_json, write_page
from bids_film.workflow.resources import MOST_THREADS, SCAN_MEMORY_GB, Resources, available_cpus
from bids_film.workflow.segment import segment_scan


class _SegmentInput(BaseInterfaceInputSpec):  # type: ignore[misc]  # nipype is untyped
    job = traits.Str(mandatory=True)
    log_folder = traits.Str(mandatory=True)
    raise_failure = traits.Bool(False, usedefault=True)


class _SegmentOutput(TraitedSpec):  # type: ignore[misc]
    result = traits.Str()


class SegmentScan(BaseInterface):  # type: ignore[misc]
    """Segments one scan; a scan that fails is an outcome, so that the others and its page go on."""

    input_spec = _SegmentInput
    output_spec = _SegmentOutput
    always_run = True

    def _run_interface(self, runtime: Any) -> Any:
        job = _with_known_threads(job_from_json(self.inputs.job))
        outcome = segment_scan(job, Path(self.inputs.log_folder))
        if outcome.failed and self.inputs.raise_failure:
            raise ScanError(outcome.message, hint=outcome.hint)
        self._result = str(outcome.result)
        return runtime

    def _list_outputs(self) -> dict[str, str]:
        return {"result": self._result}


class _PageInput(DynamicTraitedSpec, BaseInterfaceInputSpec):  # type: ignore[misc]
    page = traits.Str(mandatory=True)


class WritePage(BaseInterface):  # type: ignore[misc]
    """Writes a participant's report, once each of the scans connected to it has ended."""

    input_spec = _PageInput
    output_spec = TraitedSpec
    always_run = True

    def __init__(self, *, scans: int = 0, **inputs: Any) -> None:
        super().__init__(**inputs)
        for index in range(scans):
            self.inputs.add_trait(f"scan_{index}", traits.Str())

    def _run_interface(self, runtime: Any) -> Any:
        write_page(page_job_from_json(self.inputs.page))
        return runtime

    def _list_outputs(self) -> dict[str, str]:
        return {}


def build_workflow(
    jobs: Mapping[str, ScanJob],
    pages: Sequence[PageJob],
    *,
    folder: Path,
    resources: Resources,
    stop_on_first_crash: bool,
) -> Any:
    """Build the workflow: a node per scan, and one per participant that waits for its scans.

    Parameters
    ----------
    jobs : Mapping[str, ScanJob]
        Node name to job, see `name_nodes`.
    folder : Path
        For nipype's files and the logs of the workers.

    Returns
    -------
    nipype.pipeline.engine.Workflow
    """
    workflow = engine.Workflow(name="participants", base_dir=str(folder))
    memory_gb = min(SCAN_MEMORY_GB, resources.memory_gb / resources.processes)
    scans = {
        name: _make_node(
            name,
            SegmentScan(
                job=job_to_json(job), log_folder=str(folder), raise_failure=stop_on_first_crash
            ),
            memory_gb,
        )
        for name, job in jobs.items()
    }
    workflow.add_nodes(list(scans.values()))
    scans_of = defaultdict(list)
    for name, job in jobs.items():
        scans_of[job.scan.participant].append(scans[name])
    for page in pages:
        own = scans_of[page.participant]
        node = _make_node(
            name_page(page),
            WritePage(page=page_job_to_json(page), scans=len(own)),
            0.5,
        )
        workflow.add_nodes([node])
        for index, scan in enumerate(own):
            workflow.connect(scan, "result", node, f"scan_{index}")
    return workflow


def name_nodes(jobs: Sequence[ScanJob]) -> dict[str, ScanJob]:
    """Give each job a node name that nipype accepts and that tells which scan it is."""
    return {f"scan_{i:06d}_{_identifier(job.scan.stem)[:80]}": job for i, job in enumerate(jobs)}


def name_page(page: PageJob) -> str:
    """Name of the node that writes a participant's page."""
    return f"page_{_identifier(page.participant)}"


def _with_known_threads(job: ScanJob) -> ScanJob:
    # On a cluster a job takes what it was given.
    threads = job.engine.threads or min(available_cpus(), MOST_THREADS)
    return dataclasses.replace(job, engine=dataclasses.replace(job.engine, threads=threads))


def _make_node(name: str, interface: Any, memory_gb: float) -> Any:
    return engine.Node(interface, name=name, mem_gb=memory_gb, n_procs=1)


def _identifier(text: str) -> str:
    return re.sub(r"[^a-zA-Z0-9]+", "_", text)
