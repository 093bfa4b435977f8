"""Label and probability maps on exactly the grid of the image that they were drawn on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import nibabel as nib
import numpy as np
from numpy.typing import NDArray
from zlib_ng import gzip_ng

from bids_film.derivatives.atomic import write_atomically
from bids_film.domain.volume import QFORM_KEYS, Grid

_COMPRESSION = 5
"""What zlib packs at its usual 6, to a hundredth, in a third of the time."""
_NO_EXTENSIONS = b"\x00\x00\x00\x00"
_DATA_OFFSET = 352
_FULL_SCALE = 32767
_PERCENT = 100
_LABEL_TYPES = (np.uint8, np.int16, np.int32)
"""The three integer types that every viewer knows."""


def write_labels(path: Path, labels: NDArray[np.integer[Any]], grid: Grid) -> None:
    """Write a label map as the smallest integer type that holds it, without scaling.

    Parameters
    ----------
    path : Path
        Ends in ``.nii.gz``.
    labels : ndarray of int
        Shape ``grid.shape``; not negative.
    grid : Grid
        Of the input: shape, both affines, their codes and the units are written as they are.

    Raises
    ------
    UsageError
        Where the file cannot be written.
    """
    highest = int(labels.max(initial=0))
    kind = next(kind for kind in _LABEL_TYPES if highest <= np.iinfo(kind).max)
    _write_map(path, labels.astype(kind, copy=False), grid, slope=1.0)


def write_probabilities(path: Path, probabilities: NDArray[np.floating[Any]], grid: Grid) -> None:
    """Write the probability map of one structure in steps of 1/32767.

    Sixteen bits with a slope take a fraction of the space of floats, and are finer than what a
    network in half precision gives.

    Parameters
    ----------
    path : Path
        Ends in ``.nii.gz``.
    probabilities : ndarray of float
        Shape ``grid.shape``; 0 to 1.
    grid : Grid
        Of the input.

    Raises
    ------
    UsageError
        Where the file cannot be written.
    """
    _write_steps(path, probabilities, grid, _FULL_SCALE)


def write_entropy(path: Path, entropy: NDArray[np.floating[Any]], grid: Grid) -> None:
    """Write a map of entropies from 0 to 1 in steps of 1/100, as many as an eye can tell apart.

    Parameters
    ----------
    path : Path
        Ends in ``.nii.gz``.
    entropy : ndarray of float
        Shape ``grid.shape``.
    grid : Grid
        Of the input.

    Raises
    ------
    UsageError
        Where the file cannot be written.
    """
    _write_steps(path, entropy, grid, _PERCENT)


def _write_steps(path: Path, values: NDArray[np.floating[Any]], grid: Grid, count: int) -> None:
    """Write values from 0 to 1 as whole numbers from 0 to a count, with the slope back."""
    kind = next(kind for kind in _LABEL_TYPES if count <= np.iinfo(kind).max)
    steps = np.empty(values.shape, kind)
    # Slice by slice: a copy of the floats takes four times the room of the steps.
    for target, own in zip(steps, values, strict=True):
        target[...] = np.rint(np.clip(own, 0.0, 1.0) * np.float32(count))
    _write_map(path, steps, grid, slope=1.0 / count)


def _write_map(path: Path, data: NDArray[Any], grid: Grid, *, slope: float) -> None:
    if data.shape != grid.shape:
        raise ValueError(f"{path.name}: expected a map of shape {grid.shape}, got {data.shape}")
    header = _header_on(grid, data.dtype, slope=slope)
    write_atomically(path, _gzip_writer(header, data))


def _header_on(grid: Grid, kind: np.dtype[Any], *, slope: float) -> bytes:
    header = nib.Nifti1Header()
    header.set_data_dtype(kind)
    header.set_data_shape(grid.stored_shape)
    if grid.qform_numbers:
        _copy_qform(header, grid)
    else:
        header.set_qform(grid.qform)
    header.set_sform(grid.sform)
    header["qform_code"], header["sform_code"] = grid.qform_code, grid.sform_code
    header["pixdim"][4:] = [float(size > 0) for size in header["dim"][4:]]
    header["xyzt_units"] = grid.xyzt_units
    header["scl_slope"], header["scl_inter"] = slope, 0.0
    header["vox_offset"] = _DATA_OFFSET
    header["magic"] = b"n+1"
    return bytes(header.binaryblock)


def _copy_qform(header: Any, grid: Grid) -> None:
    """Store the qform's own numbers, even of one that is of no use: nothing is better than it was.

    Only a voxel size that cannot be is replaced, by that of the sform.
    """
    sizes = zip(grid.qform_numbers[1:4], grid.spacing_mm, strict=True)
    header["pixdim"][0] = grid.qform_numbers[0]
    header["pixdim"][1:4] = [own if np.isfinite(own) and own > 0 else used for own, used in sizes]
    for name, value in zip(QFORM_KEYS, grid.qform_numbers[4:], strict=True):
        header[name] = value


def _gzip_writer(header: bytes, data: NDArray[Any]) -> Callable[[BinaryIO], None]:
    def write(stream: BinaryIO) -> None:
        # No time and no file name in the gzip header: the same labels give the same bytes.
        with gzip_ng.GzipNGFile(
            filename="", mode="wb", fileobj=stream, mtime=0, compresslevel=_COMPRESSION
        ) as zipped:
            zipped.write(header + _NO_EXTENSIONS)
            zipped.write(data.tobytes(order="F"))

    return write
