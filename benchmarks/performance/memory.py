"""Memory of the whole program, pages included, on one large scan of the head.

python -m benchmarks.performance.memory SCAN.nii.gz [--model NAME] [--threads N] [--write]

The scan is put into the middle of a larger field of view, and each voxel divided, so that its sizes
are those that users have; around the head there is noise, as a scanner gives it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.performance.timing import Row, make_parser, parse_arguments, publish, run_command
from benchmarks.running import write_scan
from bids_film.images.geometry import resampled_affine
from bids_film.images.resample import resize

SHAPE = (256, 256, 192)
FINER = (1, 2)
"""By how much each axis is divided."""
_HIGHEST = 4000
WAYS = {
    "as it is": (),
    "probability maps too": ("--save-probabilities",),
}


def main() -> None:
    """Run the program on each size, print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--model", default="brain")
    arguments = parse_arguments(parser)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for factor in FINER:
            dataset = make_dataset(Path(folder) / f"bids-{factor}", arguments.scan, factor)
            size = " × ".join(str(length * factor) for length in SHAPE)
            for way, options in WAYS.items():
                run = run_command(
                    [
                        sys.executable, "-m", "bids_film", str(dataset),
                        str(Path(folder) / f"out-{factor}-{len(options)}"), "participant",
                        "--model", arguments.model, "--omp-nthreads", str(arguments.threads),
                        *options,
                    ]
                )  # fmt: skip
                way_of = f"{size} voxels, {way}"
                rows.append(Row(way=way_of, seconds=run.seconds, memory_mb=run.memory_mb))
    title = f"One scan by {arguments.model}, from the command to its page"
    publish("memory", {title: rows}, arguments, arguments.model)


def make_dataset(root: Path, scan: Path, factor: int) -> Path:
    """Write a dataset with the scan at the size that is asked for."""
    image = nib.load(scan)
    data = np.asarray(image.dataobj, dtype=np.float32)
    noise = np.random.default_rng(1).normal(scale=0.01 * data.max(), size=(2, *SHAPE))
    field = np.hypot(*noise).astype(np.float32)
    starts = [(wide - own) // 2 for wide, own in zip(SHAPE, data.shape, strict=True)]
    place = tuple(slice(start, start + own) for start, own in zip(starts, data.shape, strict=True))
    field[place] += data
    affine = image.affine.copy()
    affine[:3, 3] -= affine[:3, :3] @ starts
    shape = tuple(length * factor for length in SHAPE)
    # Whole numbers, as scanners give them, whatever the scan's own range is.
    fine = (resize(field, shape) * (_HIGHEST / field.max())).round().astype(np.int16)
    write_scan(root, nib.Nifti1Image(fine, resampled_affine(affine, SHAPE, shape)))
    return root


if __name__ == "__main__":
    main()
