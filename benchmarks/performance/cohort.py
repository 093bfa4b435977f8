"""Many scans: the whole program against the bare function in a loop, and how cost grows.

    python -m benchmarks.performance.cohort --of DATASET MODEL [--of …] [--write]

DATASET has at least 100 participants with scans for MODEL, or one, who then stands for 100. Outputs
are written to a folder that is removed at the end. The loops segment the same scans one after the
other in as many processes as the program uses, without nipype: the bare function alone, and with
the page of each scan, which is all that the program writes.
"""

from __future__ import annotations

import multiprocessing
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from time import perf_counter

from benchmarks.performance.timing import Row, make_parser, parse_arguments, publish, run_command
from benchmarks.running import copy_participant
from bids_film.inputs.folders import list_participants
from bids_film.workflow.job import ScanJob
from bids_film.workflow.options import AnalysisLevel, Options
from bids_film.workflow.pages import PageJob, read_dataset_name, write_page
from bids_film.workflow.plan import make_plan
from bids_film.workflow.worker import attempt_scan

STEPS = (1, 100, 200, 300, 400)
COMPARED = 100
CLUSTER = (40_000, 100)
ESTIMATE = (
    "One more scan costs {per_scan:.2f} s. By that, {scans:,} such scans on {nodes} nodes like "
    "this machine take about {minutes:.1f} minutes: an estimate, not a measurement."
)
CHART = """```mermaid
xychart-beta
  x-axis "scans" [{counts}]
  y-axis "seconds"
  line [{seconds}]
```"""


def main() -> None:
    """Run both ways and the growing cohorts, print the tables."""
    parser = make_parser(__doc__)
    parser.add_argument("--of", nargs=2, action="append", required=True)
    parser.add_argument("--most", type=int, default=max(STEPS), help="scans of the largest cohort")
    arguments = parse_arguments(parser)
    processes = arguments.threads
    tables, remarks = {}, []
    for place, model in arguments.of:
        loops, growth = measure(Path(place), model, processes, arguments.most)
        name = read_dataset_name(Path(place)) or Path(place).name
        compared = next(row for row in growth if row.way == f"{COMPARED} participants")
        tables[f"{COMPARED} participants of {name} by {model}, {processes} processes"] = [
            *loops,
            replace(compared, way="bids-film participant, pages included"),
        ]
        grown = f"How time and memory grow with {name} (peak memory is that of the largest process)"
        tables[grown] = growth
        remarks.append(f"{name}:\n\n{draw(growth)}\n\n{estimate(growth)}")
    models = [model for _, model in arguments.of]
    publish("cohort", tables, arguments, *models, remark="\n\n".join(remarks))


def measure(
    dataset: Path, model: str, processes: int, most: int
) -> tuple[tuple[Row, ...], list[Row]]:
    """Time the bare functions on some scans, and the program on ever more."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        labels = list_participants(dataset)
        if len(labels) == 1:
            dataset = Path(shutil.copytree(dataset, work / dataset.name))
            copy_participant(dataset, labels[0], COMPARED)
            labels = list_participants(dataset)
        loops = tuple(
            time_loop(dataset, work, labels[:COMPARED], model, processes, pages=pages)
            for pages in (False, True)
        )
        growth = [
            time_program(dataset, work, labels[:count], model, processes)
            for count in STEPS
            if count <= min(len(labels), most)
        ]
    return loops, growth


def estimate(growth: Sequence[Row]) -> str:
    """Say what a large cluster would take, by what one more scan costs."""
    first, last = growth[0], growth[-1]
    per_scan = (last.seconds - first.seconds) / (int(last.way.split()[0]) - 1)
    scans, nodes = CLUSTER
    minutes = (first.seconds + per_scan * scans / nodes) / 60
    return ESTIMATE.format(per_scan=per_scan, scans=scans, nodes=nodes, minutes=minutes)


def draw(growth: Sequence[Row]) -> str:
    """Plot seconds over scans, as a chart that the page's viewer draws."""
    counts = ", ".join(row.way.split()[0] for row in growth)
    seconds = ", ".join(f"{row.seconds:.1f}" for row in growth)
    return CHART.format(counts=counts, seconds=seconds)


def time_program(
    dataset: Path, work: Path, labels: Sequence[str], model: str, processes: int
) -> Row:
    """Run the program as a user does."""
    output = work / "out"
    command = [
        sys.executable, "-m", "bids_film", str(dataset), str(output), "participant",
        "--model", model, "-w", str(work / "work"), "--nprocs", str(processes),
        "--omp-nthreads", "1", "--metadata-effect", "none", "--participant-label", *labels,
    ]  # fmt: skip
    run = run_command(command)
    kept = sum(path.stat().st_size for path in (work / "work").rglob("*") if path.is_file())
    shutil.rmtree(output)
    shutil.rmtree(work / "work")
    return Row(
        way=f"{len(labels)} participants",
        seconds=run.seconds,
        memory_mb=run.memory_mb,
        note=f"work folder {kept / 2**20:.1f} MB",
    )


def time_loop(
    dataset: Path, work: Path, labels: Sequence[str], model: str, processes: int, *, pages: bool
) -> Row:
    """Segment the same scans by the bare function, in as many processes; and write their pages."""
    output = work / "loop"
    options = Options(
        bids_dir=dataset.resolve(), output_dir=output, analysis_level=AnalysisLevel.PARTICIPANT,
        participant_label=tuple(labels), model=model, metadata_effect="none",
    )  # fmt: skip
    jobs = [
        replace(item.job, engine=replace(item.job.engine, threads=1))
        for item in make_plan(options).scans
    ]
    started = perf_counter()
    parts = [jobs[place::processes] for place in range(processes)]
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=segment_all, args=(part,), kwargs={"pages": pages}) for part in parts
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    seconds = perf_counter() - started
    shutil.rmtree(output)
    way = "the same, with each scan's page" if pages else "the bare function in a loop"
    return Row(way=way, seconds=seconds, note="no checks after it")


def segment_all(jobs: Sequence[ScanJob], *, pages: bool) -> None:
    """Segment scans one after the other, in this process."""
    for job in jobs:
        attempt_scan(job)
        if pages:
            write_page(
                PageJob(
                    participant=job.scan.participant,
                    output_dir=job.output_dir,
                    dataset_root=job.scan.dataset_root,
                )
            )


if __name__ == "__main__":
    main()
