"""Small BIDS datasets, written in milliseconds: every part can be had by itself or all at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

SMALL_SHAPE = (6, 7, 5)
SIDECAR: Mapping[str, Any] = {
    "Manufacturer": "Siemens",
    "MagneticFieldStrength": 3,
    "EchoTime": 0.03,
}


@dataclass(frozen=True, kw_only=True)
class Phantom:
    """An image with one bright ellipsoid in it.

    Attributes
    ----------
    image : ndarray
        float32, positive inside a head-like ellipsoid, 0 around it.
    labels : ndarray
        uint8: 1 in the structure, 2 in the smaller one inside it, 0 elsewhere.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]


def make_affine(
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    *,
    axes: str = "RAS",
    oblique_deg: float = 0.0,
    origin_mm: Sequence[float] = (-10.0, -20.0, -30.0),
) -> NDArray[np.float64]:
    """Affine with voxel axes along the given directions, turned about the superior axis."""
    start = nib.orientations.axcodes2ornt(tuple(axes))
    directions = np.zeros((3, 3))
    for voxel_axis, (world_axis, sign) in enumerate(start):
        directions[int(world_axis), voxel_axis] = sign
    angle = np.deg2rad(oblique_deg)
    turn = np.array(
        [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = turn @ directions @ np.diag(spacing_mm)
    affine[:3, 3] = origin_mm
    return affine


def make_phantom(
    shape: Sequence[int] = SMALL_SHAPE, *, contrast: float = 1.0, seed: int = 0
) -> Phantom:
    """Ellipsoid in an ellipsoid with a little noise; a negative contrast makes it dark."""
    rng = np.random.default_rng(seed)
    centre = [(size - 1) / 2 + rng.uniform(-0.05, 0.05) * size for size in shape]
    grid = np.meshgrid(*(np.arange(size) for size in shape), indexing="ij", sparse=True)

    def inside(radius: float) -> NDArray[np.bool_]:
        scaled = [
            ((axis - mid) / (radius * size / 2)) ** 2
            for axis, mid, size in zip(grid, centre, shape, strict=True)
        ]
        return np.asarray(sum(scaled) <= 1.0)

    image = np.where(inside(0.95), 100.0, 0.0)
    image += contrast * (40.0 * inside(0.6) + 30.0 * inside(0.3))
    image += inside(0.95) * rng.normal(0, 3, size=tuple(shape))
    labels = inside(0.6).astype(np.uint8) + inside(0.3).astype(np.uint8)
    return Phantom(image=image.astype(np.float32), labels=labels)


def write_image(
    path: Path,
    data: NDArray[Any] | None = None,
    *,
    affine: NDArray[np.float64] | None = None,
    codes: tuple[int, int] = (1, 1),
    scaling: tuple[float, float] | None = None,
) -> Path:
    """Write a NIfTI image.

    Parameters
    ----------
    data : ndarray or None
        Written in its own type; a small phantom for None.
    codes : tuple[int, int]
        qform and sform code.
    scaling : tuple[float, float] or None
        Slope and intercept that the header declares for the stored values.
    """
    voxels = make_phantom().image if data is None else data
    matrix = make_affine() if affine is None else affine
    image = nib.Nifti1Image(voxels, matrix, dtype=voxels.dtype)
    image.set_qform(matrix, code=codes[0])
    image.set_sform(matrix, code=codes[1])
    image.header.set_xyzt_units("mm", "sec")
    if scaling is not None:
        image.header.set_slope_inter(*scaling)
    path.parent.mkdir(parents=True, exist_ok=True)
    if scaling is None:
        nib.save(image, path)
    else:
        # nibabel resets the scaling of images that it saves: the file is written by parts.
        image.header["vox_offset"] = 352
        with nib.openers.ImageOpener(str(path), "wb") as stream:
            image.header.write_to(stream)
            stream.write(voxels.tobytes(order="F"))
    return path


def write_json(path: Path, content: Any) -> Path:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return path


def write_tsv(path: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write a table whose columns are the keys of its first row."""
    columns = list(rows[0])
    lines = [columns, *([str(row.get(column, "n/a")) for column in columns] for row in rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(line) + "\n" for line in lines), encoding="utf-8")
    return path


def write_description(root: Path, *, name: str = "Small test dataset", **extra: Any) -> Path:
    """Write dataset_description.json."""
    content = {"Name": name, "BIDSVersion": "1.10.0", "DatasetType": "raw", **extra}
    return write_json(root / "dataset_description.json", content)


def scan_path(
    root: Path, participant: str, *, session: str | None = None, name: str = "T1w"
) -> Path:
    """Path of a scan: ``name`` is all that follows the session, such as ``acq-a_T2w``."""
    folders = [f"sub-{participant}", *([f"ses-{session}"] if session else [])]
    return root.joinpath(*folders, "anat", "_".join([*folders, name]) + ".nii.gz")


def write_scan(
    path: Path, *, sidecar: Mapping[str, Any] | None = None, phantom: Phantom | None = None
) -> Path:
    """Write an image of a phantom, and its sidecar where there is one."""
    write_image(path, None if phantom is None else phantom.image)
    if sidecar is not None:
        write_json(path.with_name(path.name.replace(".nii.gz", ".json")), sidecar)
    return path


def write_label_map(root: Path, scan: Path, labels: NDArray[Any], *, seg: str = "manual") -> Path:
    """Write the label map of a scan into ``derivatives/labels``, as BIDS names it.

    Its name has no place for the image's suffix: scans of two contrasts need another entity.
    """
    derivative = root / "derivatives" / "labels"
    generated = [{"Name": "by hand"}]
    write_description(derivative, DatasetType="derivative", GeneratedBy=generated)
    stem = scan.name.rpartition("_")[0]
    folder = derivative / scan.parent.relative_to(root)
    return write_image(
        folder / f"{stem}_seg-{seg}_dseg.nii.gz",
        labels.astype(np.uint8),
        affine=nib.load(scan).affine,
    )


def write_mask(root: Path, scan: Path, mask: NDArray[Any], *, ending: str = "seg-manual") -> Path:
    """Write a binary mask into ``derivatives/labels``, as the spinal cord community names it."""
    derivative = root / "derivatives" / "labels"
    generated = [{"Name": "by hand"}]
    write_description(derivative, DatasetType="derivative", GeneratedBy=generated)
    folder = derivative / scan.parent.relative_to(root)
    name = scan.name.replace(".nii.gz", f"_{ending}.nii.gz")
    return write_image(folder / name, mask.astype(np.uint8), affine=nib.load(scan).affine)


def write_dataset(
    root: Path,
    *,
    participants: Sequence[str] = ("01", "02"),
    sessions: Sequence[str | None] = (None,),
    names: Sequence[str] = ("T1w",),
    shape: Sequence[int] = SMALL_SHAPE,
    labels: bool = False,
) -> Path:
    """Write a whole dataset: description, participants.tsv, scans with sidecars, cord masks.

    With labels, each scan has the masks ``seg-manual`` (the whole structure) and ``gmseg-manual``
    (the part inside it). Ages, sexes, field strengths and manufacturers differ between
    participants; the structure is bright at 3 T and dark at 1.5 T.
    """
    write_description(root)
    rows = []
    for number, participant in enumerate(participants):
        tesla = (3, 1.5)[number % 2]
        rows.append(
            {"participant_id": f"sub-{participant}", "age": 20 + number, "sex": "FM"[number % 2]}
        )
        maker = ("Siemens", "Philips", "GE")[number % 3]
        sidecar = {**SIDECAR, "MagneticFieldStrength": tesla, "Manufacturer": maker}
        phantom = make_phantom(shape, contrast=1.0 if number % 2 == 0 else -0.7, seed=number)
        for session in sessions:
            for name in names:
                scan = scan_path(root, participant, session=session, name=name)
                write_scan(scan, sidecar=sidecar, phantom=phantom)
                if labels:
                    write_mask(root, scan, phantom.labels > 0)
                    write_mask(root, scan, phantom.labels > 1, ending="gmseg-manual")
    write_tsv(root / "participants.tsv", rows)
    return root
