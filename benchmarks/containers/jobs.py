"""What the jobs of the batch script ask for, and what they took on a SLURM of one's own.

    python -m benchmarks.containers.jobs [--sif bids-film.sif] [--participants 4] [--rows 10000]
        [--write]

The array segments the MNI152 T1w template at 1 mm as several participants, by Apptainer where the
image is there. The group job then runs once more on a folder in which the results of one of them
stand under many names. Memory is the peak of the proportional set size of all processes of a job,
sampled every 0.2 s.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.containers.watching import Usage, find_jobs, watch
from benchmarks.demo.run import make_dataset
from benchmarks.pages import write_section
from benchmarks.provenance import describe_run
from benchmarks.running import copy_participant

SCRIPT = Path(__file__).resolve().parents[2] / "singularity" / "bids_film.sbatch"
LABEL = "mni152"


def main() -> None:
    """Submit, wait, print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sif", type=Path, default=Path("bids-film.sif"))
    parser.add_argument("--participants", type=int, default=4)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--write", action="store_true", help="put the table into hpc.md")
    given = parser.parse_args()
    settings = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "MAX_TASKS": "1"}
    if given.sif.is_file():
        settings["BIDS_FILM_SIF"] = str(given.sif.resolve())
    with tempfile.TemporaryDirectory(prefix="bids-film-jobs-") as name:
        dataset, outputs = Path(name) / "bids", Path(name) / "out"
        make_dataset(dataset)
        copy_participant(dataset, LABEL, given.participants)
        *tasks, group = submit(["bash", str(SCRIPT), str(dataset), str(outputs)], settings)
        copy_participant(outputs, LABEL, given.rows)
        command = [*list_group_command(outputs), str(SCRIPT), "group", str(dataset), str(outputs)]
        (large,) = submit(command, settings)
        rows = (outputs / "group_seg-brain.tsv").read_text(encoding="utf-8").splitlines()[1:]
        if len(rows) != given.rows:
            raise SystemExit(f"the group's table has {len(rows)} rows, not {given.rows}")
    asked, asked_by_group = re.findall(
        r"--mem=(\S+)[\s\S]*?--time=([\d:]+)", SCRIPT.read_text(encoding="utf-8")
    )
    lines = [
        "| job | asks for | seconds | memory, GB |",
        "| --- | --- | --- | --- |",
        describe(f"a participant, the worst of {len(tasks)}", asked, tasks),
        describe(f"group level, {given.participants} scans", asked_by_group, [group]),
        describe(f"group level, {given.rows} scans", asked_by_group, [large]),
    ]
    text = "\n".join([*lines, "", describe_run("containers/jobs.py", "brain")])
    print(text)
    if given.write:
        write_section("hpc.md", "jobs", text)


def list_group_command(outputs: Path) -> list[str]:
    """List how the batch script submits the group level."""
    (options,) = re.findall(r"(--cpus-per-task=1 --mem=\S+ --time=\S+)", SCRIPT.read_text("utf-8"))
    return ["sbatch", "--wait", f"--output={outputs}/group.log", *options.split()]


def submit(command: Sequence[str], settings: Mapping[str, str]) -> list[Usage]:
    """Submit jobs, wait for them, and give what each of them took, in the order of their start."""
    watched = watch(command, find_jobs, {**settings, "SBATCH_WAIT": "1"})
    if watched.code:
        raise SystemExit(f"{' '.join(command)} failed with code {watched.code}")
    return list(watched.trees.values())


def describe(name: str, asked: Sequence[str], jobs: Sequence[Usage]) -> str:
    """Write a row of the table."""
    memory, time = asked
    seconds = max(job.seconds for job in jobs)
    peak_gb = max(job.peak_gb for job in jobs)
    return f"| {name} | {memory}, {time} | {seconds:.0f} | {peak_gb:.2f} |"


if __name__ == "__main__":
    main()
