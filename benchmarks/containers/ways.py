"""Segment one whole head in each way of running, and print what it took.

    python -m benchmarks.containers.ways [--image bids-film] [--sif bids-film.sif] [--rebuild …]

The scan is the MNI152 T1w template at 1 mm. Memory is the peak of the proportional set size of all
processes of a run, sampled every 0.2 s; seconds are from the start of the command to its end, the
last run of ``--runs`` (2). A way whose program or image is not on this machine has a row that says
so.
``--rebuild`` also times the image's build after a change of the code; what follows it are arguments
of ``docker build``, which must be those that the image was built with.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.demo.run import make_dataset
from benchmarks.provenance import describe_run

ROOT = Path(__file__).resolve().parents[2]
LOCKED_DOWN = (
    "--network", "none", "--read-only", "--tmpfs", "/tmp:size=64m", "--user", "1234:1234",  # noqa: S108 in the container
    "--cap-drop", "ALL", "--memory", "4g",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way of running.

    Attributes
    ----------
    name : str
    command : callable
        Dataset and output folder to the command.
    needs : str
        Program without which it cannot be had.
    image_mb : float or None
        Size of its image; None where there is no image, 0 where it is not on this machine.
    container : str
        Name of the Docker container, whose processes are not our children.
    """

    name: str
    command: Callable[[Path, Path], Sequence[str]]
    needs: str
    image_mb: float | None = None
    container: str = ""


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", default="bids-film")
    parser.add_argument("--sif", type=Path, default=Path("bids-film.sif"))
    parser.add_argument("--runs", type=int, default=2, help="of each way; the last one counts")
    parser.add_argument("--rebuild", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    print("| way of running | works | seconds | memory, GB | image, MB |")
    print("| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="bids-film-ways-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        make_dataset(folder / "bids")
        first = ""
        for way in list_ways(given.image, given.sif.resolve()):
            row, outcome = measure_way(way, folder, first, given.runs)
            first = first or outcome
            print(row, flush=True)
        if given.rebuild is not None:
            seconds = time_rebuild(folder, given.rebuild)
            print(f"\nRebuild after a change of the code: {seconds:.0f} s.")
    print("\n" + describe_run("containers/ways.py", "brain"))


def list_ways(image: str, sif: Path) -> list[Way]:
    """List the ways; the first is the one that the others are compared with."""

    def in_docker(name: str, *options: str) -> Way:
        container = f"bids-film-{name.replace(' ', '-').replace(',', '')}"
        start = ["docker", "run", "--rm", "--name", container, *options]

        def command(dataset: Path, outputs: Path) -> list[str]:
            mounts = ["-v", f"{dataset}:/bids:ro", "-v", f"{outputs}:/out"]
            return [*start, *mounts, image, "/bids", "/out", "participant"]

        size = _image_size_mb(image)
        return Way(name=name, command=command, needs="docker", image_mb=size, container=container)

    def in_apptainer(dataset: Path, outputs: Path) -> list[str]:
        binds = ["-B", f"{dataset}:/bids:ro", "-B", f"{outputs}:/out"]
        start = ["apptainer", "run", "--containall", "--cleanenv", *binds, str(sif)]
        return [*start, "/bids", "/out", "participant"]

    def plain(dataset: Path, outputs: Path) -> list[str]:
        return [sys.executable, "-m", "bids_film", str(dataset), str(outputs), "participant"]

    size = sif.stat().st_size / 1e6 if sif.is_file() else 0.0
    return [
        Way(name="without container", command=plain, needs=sys.executable),
        in_docker("Docker", "--network", "none"),
        in_docker("Docker, locked down", *LOCKED_DOWN),
        Way(name="Apptainer", command=in_apptainer, needs="apptainer", image_mb=size),
    ]


def measure_way(way: Way, folder: Path, expected: str, runs: int) -> tuple[str, str]:
    """Run a way some times; give its row, and the hash of the label map."""
    if shutil.which(way.needs) is None or way.image_mb == 0:
        return f"| {way.name} | not on this machine | | | |", ""
    for attempt in range(runs):
        outputs = folder / f"out-{way.name}-{attempt}"
        outputs.mkdir()
        outputs.chmod(0o777)
        seconds, peak_gb, code = run_and_watch(way, folder / "bids", outputs)
    maps = list(outputs.glob("sub-*/anat/*_dseg.nii.gz"))
    found = hashlib.sha256(maps[0].read_bytes()).hexdigest() if maps else ""
    works = "yes" if code == 0 and found == (expected or found) else f"no (exit code {code})"
    if code == 0 and expected:
        works += ", the same label map" if found == expected else ", another label map"
    size = "" if way.image_mb is None else f"{way.image_mb:.0f}"
    return f"| {way.name} | {works} | {seconds:.1f} | {peak_gb:.2f} | {size} |", found


def run_and_watch(way: Way, dataset: Path, outputs: Path) -> tuple[float, float, int]:
    """Run a command; give its seconds, its peak of memory in GB and its exit code."""
    start, peak = time.monotonic(), 0
    process = subprocess.Popen(
        way.command(dataset, outputs), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None:
        with suppress(psutil.Error):
            peak = max(peak, _memory_of_tree(_main_process(way, process.pid)))
        time.sleep(0.2)
    return time.monotonic() - start, peak / 1e9, process.returncode


def time_rebuild(folder: Path, arguments: Sequence[str]) -> float:
    """Build the image of a checkout in which one line of code was added; give the seconds."""
    checkout = folder / "checkout"
    ignored = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache")
    shutil.copytree(ROOT, checkout, ignore=ignored)
    with (checkout / "bids_film" / "__init__.py").open("a", encoding="utf-8") as stream:
        stream.write(f"# changed at {time.time()}\n")
    command = ["docker", "build", "--quiet", "--tag", "bids-film:rebuilt", *arguments, checkout]
    start = time.monotonic()
    subprocess.run(command, check=True, env=os.environ | {"DOCKER_BUILDKIT": "1"})
    return time.monotonic() - start


def _main_process(way: Way, pid: int) -> psutil.Process:
    if not way.container:
        return psutil.Process(pid)
    asked = ["docker", "inspect", "--format", "{{.State.Pid}}", way.container]
    said = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return psutil.Process(int(said) if said.isdecimal() and int(said) else pid)


def _memory_of_tree(process: psutil.Process) -> int:
    total = 0
    for member in (process, *process.children(recursive=True)):
        with suppress(psutil.Error):
            total += member.memory_full_info().pss
    return total


def _image_size_mb(image: str) -> float:
    if shutil.which("docker") is None:
        return 0.0
    asked = ["docker", "image", "inspect", image]
    done = subprocess.run(asked, capture_output=True, text=True, check=False)
    return json.loads(done.stdout)[0]["Size"] / 1e6 if done.returncode == 0 else 0.0


if __name__ == "__main__":
    main()
