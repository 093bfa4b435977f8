"""One bad scan in a thousand: what it costs, and what is said of it.

    python -m benchmarks.faults.thousand BRISC WORK [--model tumor] [--write]

Links a thousand participants of a dataset into one of their own, truncates one image, and runs
the program on it as a user does, twice: the second time nothing but the bad scan is left to do.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.pages import write_section
from benchmarks.provenance import describe_run
from bids_film.inputs.folders import list_participants

SCANS = 1000
BAD = 500


def main() -> None:
    """Make the dataset, run, count."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--model", default="tumor")
    parser.add_argument("--write", action="store_true", help="put the text into reliability.md")
    arguments = parser.parse_args()
    dataset, output = arguments.work / "bids", arguments.work / "out"
    bad = make_dataset(arguments.dataset.resolve(), dataset)
    lines = [
        describe_pass(dataset, output, arguments.model, bad, name=name)
        for name in ("First run", "The same command again")
    ]
    text = "\n".join([*lines, "", describe_run("faults/thousand.py", arguments.model)])
    print(text)
    if arguments.write:
        write_section("reliability.md", "thousand", text)


def make_dataset(source: Path, target: Path) -> str:
    """Link participants, and write one of them anew with half of its image; give its name."""
    target.mkdir(parents=True)
    for name in ("dataset_description.json", "participants.tsv", "participants.json"):
        shutil.copy(source / name, target / name)
    labels = list_participants(source)[:SCANS]
    bad = f"sub-{labels[BAD]}"
    for label in labels:
        name = f"sub-{label}"
        if name == bad:
            shutil.copytree(source / name, target / name)
        else:
            (target / name).symlink_to(source / name)
    (image,) = (target / bad).glob("anat/*.nii.gz")
    image.write_bytes(image.read_bytes()[: image.stat().st_size // 2])
    return bad


def describe_pass(dataset: Path, output: Path, model: str, bad: str, *, name: str) -> str:
    """Run once and put what came of it into a sentence."""
    command = [sys.executable, "-m", "bids_film", str(dataset), str(output), "participant"]
    command += ["--model", model, "-w", str(output.parent / "work"), "--metadata-effect", "none"]
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.monotonic() - started
    written = len(list(output.glob("sub-*/**/*_dseg.nii.gz")))
    about = [line.strip() for line in done.stderr.splitlines() if bad in line]
    return (
        f"- {name}: exit {done.returncode} after {seconds:.0f} s; {written} of {SCANS} label maps "
        f"are there; lines on standard error that name the bad scan: {len(about)}, "
        f"`{about[0] if about else ''}`"
    )


if __name__ == "__main__":
    main()
