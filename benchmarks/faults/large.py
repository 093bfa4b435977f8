"""A whole head at 0.25 mm: how long one thread takes for it, and how much memory.

    python -m benchmarks.faults.large SCAN WORK [--size-mm 0.25] [--model brain] [--write]

A real scan is resampled, and noise is added everywhere, air included: nothing is zero, so that
nothing is cut off before the network. The program then runs on it as a user runs it.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from benchmarks.pages import write_section
from benchmarks.performance.timing import run_command
from benchmarks.provenance import describe_run
from benchmarks.running import write_scan
from bids_film.images.resample import resize

_HIGHEST = 30_000
_NOISE = 300


def main() -> None:
    """Make the scan, run, measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scan", type=Path, help="image of about a head's size")
    parser.add_argument("work", type=Path)
    parser.add_argument("--size-mm", type=float, default=0.25)
    parser.add_argument("--model", default="brain")
    parser.add_argument("--write", action="store_true", help="put the text into reliability.md")
    arguments = parser.parse_args()
    dataset, output = arguments.work / "bids", arguments.work / "out"
    shape = make_dataset(arguments.scan, dataset, arguments.size_mm)
    command = [sys.executable, "-m", "bids_film", str(dataset), str(output), "participant"]
    command += ["--model", arguments.model, "--nprocs", "1", "--omp-nthreads", "1"]
    run = run_command(command)
    (state,) = (output / "logs").rglob("sub-01_T1w.json")
    steps = json.loads(state.read_text(encoding="utf-8"))["seconds"]
    size = " × ".join(map(str, shape))
    rows = {
        "image": f"{size} voxels of {arguments.size_mm:g} mm, none of them zero",
        "whole run, one thread": f"{run.seconds:.0f} s, of which {run.processor_s:.0f} s on the "
        "processor",
        **{f"of that: {step}": f"{value:.0f} s" for step, value in steps.items()},
        "of that: start and report": f"{run.seconds - sum(steps.values()):.0f} s",
        "most memory of a process": f"{run.memory_mb / 1024:.1f} GB",
    }
    lines = [f"| {name} | {value} |" for name, value in rows.items()]
    made = describe_run("faults/large.py", arguments.model)
    text = "\n".join(["| what | measured |", "| --- | --- |", *lines, "", made])
    print(text)
    if arguments.write:
        write_section("reliability.md", "large", text)


def make_dataset(scan: Path, root: Path, size_mm: float) -> tuple[int, ...]:
    """Write a scan again in smaller voxels, as a dataset of its own; give its shape."""
    image = nib.load(scan)
    old = np.array(image.header.get_zooms()[:3])
    shape = tuple(int(n) for n in np.rint(np.array(image.shape) * old / size_mm))
    affine = image.affine @ np.diag([*(size_mm / old), 1])
    voxels = _add_noise(resize(np.asarray(image.dataobj), shape))
    nib.openers.Opener.default_compresslevel = 1
    write_scan(root, nib.Nifti1Image(voxels, affine))
    sidecar = root / "sub-01" / "anat" / "sub-01_T1w.json"
    sidecar.write_text('{"MagneticFieldStrength": 3}', encoding="utf-8")
    return shape


def _add_noise(data: NDArray[np.float32]) -> NDArray[np.int16]:
    rng = np.random.default_rng(0)
    data *= _HIGHEST / data.max()
    voxels = np.empty(data.shape, dtype=np.int16)
    for own, target in zip(data, voxels, strict=True):
        noise = np.abs(rng.standard_normal(own.shape, dtype=np.float32)) * _NOISE
        target[...] = np.maximum(own + noise, 1)
    return voxels


if __name__ == "__main__":
    main()
