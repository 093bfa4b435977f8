"""Segment one whole head in each way of running, and print what it took.

    python -m benchmarks.containers.ways [--image bids-film] [--sif bids-film.sif]
        [--scratch-sif scratch.sif] [--only WORDS] [--write] [--rebuild …]

The scan is the MNI152 T1w template at 1 mm. Memory is the peak of the proportional set size of all
processes of a run (of the largest job where SLURM runs it), sampled every 0.2 s; seconds are from
the start of the command to its end, the last run of ``--runs`` (2). A way whose program or image is
not on this machine has a row that says so. ``--only`` takes the ways whose name holds the words.
``--rebuild`` also times the image's build after a change of the code; what follows it are arguments
of ``docker build``, which must be those that the image was built with.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from benchmarks.containers.contents import measure_image
from benchmarks.containers.watching import (
    FindProcesses,
    find_in_container,
    find_jobs,
    find_own,
    watch,
)
from benchmarks.demo.run import make_dataset
from benchmarks.pages import write_section
from benchmarks.provenance import describe_run

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "singularity" / "bids_film.sbatch"
PLUGIN = ROOT / "singularity" / "plugins" / "slurm.yml"
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
    needs : Sequence[str]
        A command that succeeds where the way can be had.
    prepare : callable or None
        Makes what it runs from.
    measure_mb : callable or None
        Size of what it runs from; 0 where that is not on this machine.
    find : callable
        Finds the processes that count.
    env : Mapping[str, str]
    """

    name: str
    command: Callable[[Path, Path], Sequence[str]]
    needs: Sequence[str] = ("true",)
    prepare: Callable[[], object] | None = None
    measure_mb: Callable[[], float] | None = None
    find: FindProcesses = find_own
    env: Mapping[str, str] = field(default_factory=dict)


def main() -> None:
    """Run and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--image", default="bids-film")
    parser.add_argument("--sif", type=Path, default=Path("bids-film.sif"))
    parser.add_argument("--scratch-sif", type=Path, default=Path("scratch.sif"))
    parser.add_argument("--runs", type=int, default=2, help="of each way; the last one counts")
    parser.add_argument("--only", default="")
    parser.add_argument("--write", action="store_true", help="put the table into containers.md")
    parser.add_argument("--rebuild", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    lines = [
        "| way of running | works | seconds | memory, GB | image, MB |",
        "| --- | --- | --- | --- | --- |",
    ]
    with tempfile.TemporaryDirectory(prefix="bids-film-ways-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        make_dataset(folder / "bids")
        first = ""
        for way in list_ways(given, folder):
            if given.only in way.name:
                row, outcome = measure_way(way, folder, first, given.runs)
                first = first or outcome
                lines.append(row)
                print(row, flush=True)
        if given.rebuild is not None:
            seconds = time_rebuild(folder, given.rebuild)
            lines += ["", f"The image is built anew in {seconds:.0f} s after a change of the code."]
    text = "\n".join([*lines, "", describe_run("containers/ways.py", "brain")])
    print("\n" + text)
    if given.write:
        write_section("containers.md", "ways", text)


def list_ways(given: argparse.Namespace, folder: Path) -> list[Way]:
    """List the ways; the first is the one that the others are compared with."""
    program = Path(sys.executable).with_name("bids-film")
    on_slurm = {"SBATCH_WAIT": "1", "PATH": f"{program.parent}:{os.environ['PATH']}"}
    sif = given.sif.resolve()
    cluster = ("sinfo", "--noheader")

    def batch(dataset: Path, outputs: Path) -> list[str]:
        return ["bash", str(SCRIPT), str(dataset), str(outputs)]

    def plugin(dataset: Path, outputs: Path) -> list[str]:
        options = ["--use-plugin", str(PLUGIN), "--work-dir", f"{outputs}-work"]
        return [str(program), str(dataset), str(outputs), "participant", *options]

    return [
        _run_program("without container", program),
        _run_installed(folder / "environment"),
        _run_in_docker("Docker", given.image, "--network", "none"),
        _run_in_docker("Docker, locked down", given.image, *LOCKED_DOWN),
        _run_in_apptainer("Apptainer", sif),
        _run_in_apptainer(
            "Apptainer, image made from nothing but Debian", given.scratch_sif.resolve()
        ),
        Way(
            name="SLURM, the batch script with Apptainer, group level included",
            command=batch,
            needs=cluster,
            measure_mb=partial(_file_mb, sif),
            find=find_jobs,
            env=on_slurm | {"BIDS_FILM_SIF": str(sif)},
        ),
        Way(
            name="SLURM by nipype's plugin",
            command=plugin,
            needs=cluster,
            find=find_jobs,
            env=on_slurm,
        ),
    ]


def measure_way(way: Way, folder: Path, expected: str, runs: int) -> tuple[str, str]:
    """Run a way some times; give its row, and the hash of the label map."""
    if way.prepare:
        way.prepare()
    size_mb = way.measure_mb() if way.measure_mb else None
    if size_mb == 0 or not _succeeds(*way.needs):
        return f"| {way.name} | not on this machine | | | |", ""
    for attempt in range(runs):
        outputs = folder / f"out-{hashlib.sha256(way.name.encode()).hexdigest()[:8]}-{attempt}"
        outputs.mkdir()
        outputs.chmod(0o777)
        watched = watch(way.command(folder / "bids", outputs), way.find, way.env)
    maps = list(outputs.glob("sub-*/anat/*_dseg.nii.gz"))
    found = hashlib.sha256(maps[0].read_bytes()).hexdigest() if maps else ""
    works = "yes" if watched.code == 0 and found else f"no (exit code {watched.code})"
    if found and expected:
        works += ", the same label map" if found == expected else ", another label map"
    size = "" if size_mb is None else f"{size_mb:.0f}"
    figures = f"{watched.seconds:.1f} | {watched.peak_gb:.2f} | {size}"
    return f"| {way.name} | {works} | {figures} |", found


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


def _run_program(name: str, program: Path) -> Way:
    def command(dataset: Path, outputs: Path) -> list[str]:
        return [str(program), str(dataset), str(outputs), "participant"]

    return Way(name=name, command=command)


def _run_installed(environment: Path) -> Way:
    def install() -> None:
        venv.create(environment, with_pip=True)
        pip = [environment / "bin" / "python", "-m", "pip", "install", "--quiet"]
        subprocess.run([*pip, "--constraint", ROOT / "constraints.txt", ROOT], check=True)

    def measure_mb() -> float:
        return sum(path.lstat().st_size for path in environment.rglob("*")) / 1e6

    way = _run_program("pip install", environment / "bin" / "bids-film")
    # Nothing of a checkout that the caller's Python may have been told of.
    return replace(way, prepare=install, measure_mb=measure_mb, env={"PYTHONPATH": ""})


def _run_in_docker(name: str, image: str, *options: str) -> Way:
    container = f"bids-film-{name.replace(' ', '-').replace(',', '')}"
    start = ["docker", "run", "--rm", "--name", container, *options]

    def command(dataset: Path, outputs: Path) -> list[str]:
        mounts = ["-v", f"{dataset}:/bids:ro", "-v", f"{outputs}:/out"]
        return [*start, *mounts, image, "/bids", "/out", "participant"]

    return Way(
        name=name,
        command=command,
        needs=("docker", "version"),
        measure_mb=partial(_image_mb, image),
        find=find_in_container(container),
    )


def _run_in_apptainer(name: str, sif: Path) -> Way:
    def command(dataset: Path, outputs: Path) -> list[str]:
        binds = ["-B", f"{dataset}:/bids:ro", "-B", f"{outputs}:/out"]
        start = ["apptainer", "run", "--containall", "--cleanenv", *binds, str(sif)]
        return [*start, "/bids", "/out", "participant"]

    needs = ("apptainer", "--version")
    return Way(name=name, command=command, needs=needs, measure_mb=partial(_file_mb, sif))


def _succeeds(*command: str) -> bool:
    if shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _file_mb(path: Path) -> float:
    return path.stat().st_size / 1e6 if path.is_file() else 0.0


def _image_mb(image: str) -> float:
    if not _succeeds("docker", "image", "inspect", image):
        return 0.0
    return measure_image(image)


if __name__ == "__main__":
    main()
