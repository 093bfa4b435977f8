"""The largest and the smallest heads: what a run of each takes.

    python -m benchmarks.faults.large HEAD.nii.gz WORK [--write]

HEAD is a whole scan of about 1 mm. It is stored anew with every voxel repeated four times along
each axis (0.25 mm), every fourth voxel alone (4 mm), and the middle 8 × 8 × 8 voxels of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from benchmarks.pages import write_section
from benchmarks.performance.timing import run_command
from benchmarks.provenance import describe_run

Change = Callable[[NDArray[np.int16]], tuple[NDArray[np.int16], float]]


def main() -> None:
    """Make each scan, run the program on it, print a row."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("head", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--write", action="store_true", help="put the table into reliability.md")
    arguments = parser.parse_args()
    image = nib.load(arguments.head)
    values = np.asarray(image.dataobj, dtype=np.float32)
    head = np.rint(values * (1000 / values.max())).astype(np.int16)
    lines = ["| scan | voxels | seconds | peak memory |", "| --- | --- | --- | --- |"]
    for name, change in CHANGES.items():
        folder = arguments.work / name.replace(" ", "-").replace("³", "")
        data, factor = change(head)
        make_dataset(folder / "bids", data, image.affine @ np.diag([factor, factor, factor, 1]))
        command = [sys.executable, "-m", "bids_film", str(folder / "bids"), str(folder / "out")]
        command += ["participant", "-w", str(folder / "work")]
        seconds, memory_mb = run_command(command)
        size = " × ".join(map(str, data.shape))
        lines.append(f"| {name} | {size} | {seconds:.0f} | {memory_mb:,.0f} MB |")
    text = "\n".join([*lines, "", describe_run("faults/large.py", "brain")])
    print(text)
    if arguments.write:
        write_section("reliability.md", "sizes", text)


def repeat(head: NDArray[np.int16]) -> tuple[NDArray[np.int16], float]:
    """Store every voxel four times along each axis."""
    for axis in range(3):
        head = head.repeat(4, axis=axis)
    return head, 0.25


def thin_out(head: NDArray[np.int16]) -> tuple[NDArray[np.int16], float]:
    """Take every fourth voxel along each axis."""
    return head[::4, ::4, ::4], 4.0


def take_middle(head: NDArray[np.int16]) -> tuple[NDArray[np.int16], float]:
    """Take the 8 × 8 × 8 voxels in the middle."""
    x, y, z = (size // 2 - 4 for size in head.shape)
    return head[x : x + 8, y : y + 8, z : z + 8], 1.0


CHANGES: Mapping[str, Change] = {
    "0.25 mm head": repeat,
    "4 mm head": thin_out,
    "8³ voxels": take_middle,
}


def make_dataset(root: Path, data: NDArray[np.int16], affine: NDArray[np.float64]) -> None:
    """Write the scan as that of one participant."""
    anatomy = root / "sub-01" / "anat"
    anatomy.mkdir(parents=True)
    (root / "dataset_description.json").write_text('{"Name": "sizes", "BIDSVersion": "1.10.0"}')
    image = nib.Nifti1Image(data, affine, dtype=np.int16)
    image.header.set_xyzt_units("mm")
    nib.save(image, anatomy / "sub-01_T1w.nii.gz")


if __name__ == "__main__":
    main()
