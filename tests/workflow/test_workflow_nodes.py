from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from workflow_jobs import make_job

from bids_film.workflow import nipype_run
from bids_film.workflow.job import Result, ScanJob, ScanOutcome
from bids_film.workflow.options import AnalysisLevel, Options
from bids_film.workflow.pages import PageJob
from bids_film.workflow.resources import Resources
from bids_film.workflow.state import write_outcome


def fake_segment(job: ScanJob, log_folder: Path) -> ScanOutcome:
    acq = job.entities["acq"]
    if acq == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    result = Result.FAILED if acq == "bad" else Result.DONE
    outcome = ScanOutcome(result=result, entities=job.entities, input=job.scan.relative_path)
    write_outcome(job.state_file, outcome)
    return outcome


def fake_page(page: PageJob) -> None:
    if page.participant == "02":
        raise ValueError("no page")
    states = sorted(path.name for path in (page.output_dir / "logs").rglob("sub-*.json"))
    (page.output_dir / f"sub-{page.participant}.html").write_text("\n".join(states))


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    monkeypatch.setenv("HOME", "/nonexistent")
    nipype_run._prepare_environment(tmp_path)
    from bids_film.workflow import nodes  # noqa: PLC0415 nipype reads HOME when it is imported

    monkeypatch.setattr(nodes, "segment_scan", fake_segment)
    monkeypatch.setattr(nodes, "write_page", fake_page)
    monkeypatch.setattr(nipype_run, "write_page", fake_page)
    (tmp_path / "out").mkdir()
    (tmp_path / "work").mkdir()
    return Options(
        bids_dir=tmp_path, output_dir=tmp_path / "out", analysis_level=AnalysisLevel.PARTICIPANT
    )


def run(options: Options, acqs: list[str], *, processes: int, page: str = "01") -> list[str]:
    jobs = [make_job(options.bids_dir, options.output_dir, acq) for acq in acqs]
    finished: list[str] = []
    problem = nipype_run.run_nodes(
        jobs,
        [PageJob(participant=page, output_dir=options.output_dir, dataset_root=options.bids_dir)],
        options=options,
        resources=Resources(processes=processes, threads=1, memory_gb=8),
        folder=options.bids_dir / "work",
        finished=lambda job: finished.append(job.entities["acq"]),
    )
    return [*sorted(finished), problem or "well"]


@pytest.mark.parametrize("processes", [1, 2])
def test_a_bad_scan_stops_neither_the_others_nor_the_page(options: Options, processes: int) -> None:
    assert run(options, ["a", "bad", "b"], processes=processes) == ["a", "b", "bad", "well"]
    page = (options.output_dir / "sub-01.html").read_text()
    assert len(page.splitlines()) == 3


@pytest.mark.parametrize("processes", [1, 2])
def test_a_page_that_fails_is_noticed(options: Options, processes: int) -> None:
    assert run(options, ["a"], processes=processes, page="02") == ["a", "ValueError: no page"]
    crashes = list((options.output_dir / "logs").glob("crash-*.txt"))
    assert len(crashes) == 1


def test_a_killed_process_of_the_pool_does_not_hang_the_run(options: Options) -> None:
    started = time.monotonic()
    names = run(options, ["kill", "a", "b", "c", "d", "e"], processes=2)
    assert time.monotonic() - started < 30
    assert "the process of this node died" in names[-1]
    assert {"a", "b", "c", "d", "e", "kill"} == set(names[:-1])
    assert (options.output_dir / "sub-01.html").exists()


def test_nothing_is_printed_by_nipype(options: Options, capfd: pytest.CaptureFixture[str]) -> None:
    run(options, ["a"], processes=1)
    assert capfd.readouterr() == ("", "")


def test_the_graph_is_written_where_it_is_asked_for(options: Options) -> None:
    run(dataclasses.replace(options, write_graph=True), ["a"], processes=1)
    assert list((options.output_dir / "logs").glob("workflow*.dot"))


def test_planning_modules_import_neither_torch_nor_nipype() -> None:
    program = (
        "import sys\nimport bids_film.workflow.participant\nimport bids_film.workflow.group\n"
        "print([name for name in ('torch', 'nipype') if name in sys.modules])"
    )
    root = str(Path(nipype_run.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": root},
    )
    assert done.stdout.strip() == "[]"
