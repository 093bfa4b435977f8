"""How long a participant's report takes, and how large it is: a head, a spinal cord, a slice.

    python -m benchmarks.reports.seconds DATA WORK [--write]

DATA holds the public datasets by name. A participant of each is segmented into WORK as a user does
it, unless that is done; what is timed is the page alone, from the files on disk to the file.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.pages import write_section
from benchmarks.provenance import describe_run
from benchmarks.running import run_program
from bids_film.derivatives.sidecars import find_sidecars, read_segmentation
from bids_film.domain.words import count_of
from bids_film.inputs.nifti import read_volume
from bids_film.workflow.pages import PageJob, write_page

REPEATS = 5


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Whose page is written.

    Attributes
    ----------
    what, dataset, model, participant : str
    effect : str
        As ``--metadata-effect``.
    """

    what: str
    dataset: str
    model: str
    participant: str
    effect: str = "withheld"


HEAD = {"dataset": "brain-samples", "model": "brain", "participant": "oms07"}
SUBJECTS = (
    Subject(what="head", **HEAD),
    Subject(what="head, every level of the metadata told", effect="all", **HEAD),
    Subject(what="spinal cord", dataset="gm-challenge", model="spinalcord", participant="9418"),
    Subject(what="single slice", dataset="brisc", model="tumor", participant="te00001"),
)


def main() -> None:
    """Segment, write each page a few times, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--write", action="store_true", help="put the table into docs/reports.md")
    arguments = parser.parse_args()
    lines = [
        "| report of | voxels | structures | scans | first, s a scan | next, s a scan | page, MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        *(measure(subject, arguments.data, arguments.work) for subject in SUBJECTS),
    ]
    cores = len(os.sched_getaffinity(0))
    told = f"On {count_of(cores, 'hyper-thread')}; next: median of {REPEATS}. "
    models = sorted({subject.model for subject in SUBJECTS})
    text = "\n".join([*lines, "", told + describe_run("reports/seconds.py", *models)])
    print(text)
    if arguments.write:
        write_section("reports.md", "seconds of a report", text)


def measure(subject: Subject, data: Path, work: Path) -> str:
    """Write the page of a participant, and the row of the table."""
    dataset, output = data / subject.dataset, work / f"{subject.dataset}-{subject.effect}"
    whom = ["--participant-label", subject.participant, "--model", subject.model]
    how = ["--metadata-effect", subject.effect, "-w", str(work / "work")]
    run_program(dataset, output, "participant", *whom, *how)
    job = PageJob(
        participant=subject.participant, output_dir=output.resolve(), dataset_root=dataset.resolve()
    )
    first, *others = (time_page(job) for _ in range(1 + REPEATS))
    sidecars = find_sidecars(output, subject.participant)
    segmentation = read_segmentation(sidecars[0], output)
    shape = read_volume(output / segmentation.labels_file, labels=True).grid.shape
    size = (output / f"sub-{subject.participant}.html").stat().st_size / 1e6
    seconds = [f"{time_ / len(sidecars):.2f}" for time_ in (first, statistics.median(others))]
    cells = [
        subject.what,
        " × ".join(map(str, shape)),
        str(len(segmentation.volumes)),
        str(len(sidecars)),
        *seconds,
        f"{size:.1f}",
    ]
    return f"| {' | '.join(cells)} |"


def time_page(job: PageJob) -> float:
    """Seconds to write a page."""
    started = time.perf_counter()
    write_page(job)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
