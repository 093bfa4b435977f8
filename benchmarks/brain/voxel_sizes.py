"""The brain model on one real scan in other voxel sizes, from 0.5 mm to slices of 5 mm.

    python -m benchmarks.brain.voxel_sizes BRAIN_SAMPLES WORK [--model NAME|FILE] [--report FILE]

Blocks of voxels of sub-vxm01 (1 mm) are averaged, and its reference takes the most frequent label
of each block; for 0.5 mm the image is interpolated and the reference repeated. Prints the mean Dice
over structures on each grid.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks.brain.real_scans import LARGE_ML, REFERENCE
from benchmarks.running import make_parser, run_program, write_report

FOLDER = "sub-vxm01/anat"
LABELS = Path("derivatives/freesurfer-like") / FOLDER
VOXELS = {
    "half": (0.5, 0.5, 0.5),
    "one": (1, 1, 1),
    "two": (2, 2, 2),
    "three": (3, 3, 3),
    "sagittal": (5, 1, 1),
    "axial": (1, 5, 1),
    "coronal": (1, 1, 5),
}
"""Name to voxel size in mm along the axes of the file, whose orientation is LIA."""


def main() -> None:
    """Make the scans, segment, compare, print."""
    arguments = make_parser(__doc__, model="brain").parse_args()
    dataset, output = arguments.work / "bids", arguments.work / "out"
    make_dataset(arguments.dataset, dataset)
    model = ["--model", arguments.model]
    run_program(dataset, output, "participant", *model, "--metadata-effect", "none")
    run_program(dataset, output, "evaluate", *model, "--config-file", str(REFERENCE))
    rows = pd.read_csv(output / "evaluation_seg-brain.tsv", sep="\t")
    text = "\n".join(["# The brain model and the size of voxels", "", *describe(rows), ""])
    write_report(arguments.report, text, arguments.model, script="brain/voxel_sizes.py")


def make_dataset(source: Path, dataset: Path) -> None:
    """Write the scan and its reference in all voxel sizes."""
    for folder in (dataset / FOLDER, dataset / LABELS):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    description = {"Name": "One brain in other voxels", "BIDSVersion": "1.10.0"}
    (dataset / "dataset_description.json").write_text(json.dumps(description), encoding="utf-8")
    image = nib.load(source / FOLDER / "sub-vxm01_T1w.nii.gz")
    labels = nib.load(source / LABELS / "sub-vxm01_desc-aseg_dseg.nii.gz")
    sidecar = (source / FOLDER / "sub-vxm01_T1w.json").read_text(encoding="utf-8")
    for name, voxel_mm in VOXELS.items():
        stem = f"sub-vxm01_acq-{name}"
        (dataset / FOLDER / f"{stem}_T1w.json").write_text(sidecar, encoding="utf-8")
        # A voxel of n mm is centred between the first and the last of its n.
        step = np.diag([*voxel_mm, 1.0])
        step[:3, 3] = (np.array(voxel_mm) - 1) / 2
        for values, path in (
            (change_image(image.get_fdata(dtype=np.float32), voxel_mm), FOLDER + f"/{stem}_T1w"),
            (
                change_labels(np.asarray(labels.dataobj), voxel_mm),
                LABELS / f"{stem}_desc-aseg_dseg",
            ),
        ):
            made = nib.Nifti1Image(values, image.affine @ step)
            made.set_sform(made.affine, code=1)
            nib.save(made, dataset / f"{path}.nii.gz")


def change_image(
    values: NDArray[np.float32], voxel_mm: tuple[float, float, float]
) -> NDArray[np.float32]:
    """Average blocks of voxels, or interpolate where voxels become smaller."""
    if min(voxel_mm) < 1:
        # Centres of halves lie a quarter of a voxel beside those of the whole.
        shape = [2 * length for length in values.shape]
        return ndimage.affine_transform(
            values, [0.5] * 3, offset=-0.25, output_shape=shape, order=1, mode="nearest"
        )
    return _to_blocks(values, voxel_mm).mean(axis=-1)


def change_labels(
    values: NDArray[np.integer], voxel_mm: tuple[float, float, float]
) -> NDArray[np.int16]:
    """Take the most frequent label of each block, or repeat labels."""
    if min(voxel_mm) < 1:
        return values.repeat(2, 0).repeat(2, 1).repeat(2, 2).astype(np.int16)
    blocks = _to_blocks(values, voxel_mm)
    best = np.zeros(blocks.shape[:-1], np.int16)
    most = np.zeros(blocks.shape[:-1], np.int16)
    for label in np.unique(values):
        count = (blocks == label).sum(axis=-1)
        best[count > most] = label
        most = np.maximum(most, count)
    return best


def describe(rows: pd.DataFrame) -> list[str]:
    """Write the table in Markdown."""
    lines = [
        "A real T1w scan without skull (sub-vxm01) and its FreeSurfer-like labels, on each grid.",
        "",
        f"| voxels, mm | structures | mean Dice | of those of at least {LARGE_ML:g} mL |",
        "| --- | --- | --- | --- |",
    ]
    for name, voxel_mm in VOXELS.items():
        own = rows[rows["scan"].str.contains(f"acq-{name}_")]
        known = own[own["reference_volume_ml"] > 0]
        large = known[known["reference_volume_ml"] >= LARGE_ML]
        size = " × ".join(f"{length:g}" for length in voxel_mm)
        thick = f" ({name} slices)" if max(voxel_mm) > 1.5 * min(voxel_mm) else ""
        lines.append(
            f"| {size}{thick} | {len(known)} | {known['dice'].mean():.3f} "
            f"| {large['dice'].mean():.3f} |"
        )
    return lines


def _to_blocks(values: NDArray, voxel_mm: tuple[float, float, float]) -> NDArray:
    """Cut into blocks, shape (X, Y, Z, voxels of a block); what is left over at the end goes."""
    sizes = [round(length) for length in voxel_mm]
    counts = [length // size for length, size in zip(values.shape, sizes, strict=True)]
    cut = values[tuple(slice(count * size) for count, size in zip(counts, sizes, strict=True))]
    shape = [part for pair in zip(counts, sizes, strict=True) for part in pair]
    return cut.reshape(shape).transpose(0, 2, 4, 1, 3, 5).reshape(*counts, -1)


if __name__ == "__main__":
    main()
