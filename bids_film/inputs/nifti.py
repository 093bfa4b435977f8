"""NIfTI files to voxels, refusing in plain words what cannot be segmented."""

from __future__ import annotations

import contextlib
import math
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.spatialimages import HeaderDataError
from nibabel.volumeutils import apply_read_scaling
from nibabel.wrapstruct import WrapStructError
from numpy.typing import NDArray
from zlib_ng import gzip_ng, zlib_ng

from bids_film.domain.errors import ScanError
from bids_film.domain.scan import MetadataSource, SourceKind
from bids_film.domain.volume import Volume
from bids_film.inputs.grid import CheckedGrid, make_grid

_GZIP_START = b"\x1f\x8b"
_GZIP_MAX_RATIO = 1100
_NOT_FETCHED_STARTS = (b"/annex/objects/", b"version https://git-lfs")
_HEADER_SIZES = {348: nib.Nifti1Header, 540: nib.Nifti2Header}
_MAGIC_STARTS = (b"n+1", b"n+2")
_LABEL_TOLERANCE = 1e-3
_GZIP_ERROR: type[Exception] = zlib_ng.error  # type: ignore[assignment]  # the stub has it wrong
_READ_ERRORS = (OSError, EOFError, ValueError, _GZIP_ERROR, HeaderDataError, WrapStructError)
_BLOCK_BYTES = 1 << 20
_BLOCK_VOXELS = 1 << 20
_MOST_BESIDE_VOXELS = 1 << 28
"""Bytes before and after the voxels: extension blocks hold some kilobytes to megabytes."""


def read_volume(path: Path, *, labels: bool = False, shares: bool = False) -> Volume:
    """Read an image or a label map.

    Parameters
    ----------
    path : Path
        A ``.nii`` or ``.nii.gz`` file.
    labels : bool
        Whether it is a label map: its values stay integers, and it may be all zero.
    shares : bool
        Whether its values are shares or probabilities, from 0 to 1: it may be all zero.

    Returns
    -------
    Volume
        float32 and finite for images, int32 for label maps; shape (X, Y, Z).

    Raises
    ------
    ScanError
        Where the file is absent, damaged, not one volume of real numbers, or says nothing (all
        zero, constant or NaN).
    """
    with _open_header(path) as (stream, header):
        checked = make_grid(header, path)
        _check_file_size(path, header)
        values = _read_voxels(stream, header, path, labels=labels)
    data = values.reshape(checked.grid.shape, order="F")
    data, notes = _replace_non_finite(data, path)
    if labels:
        data = _round_labels(data, path)
    elif shares:
        _check_shares(data, path)
    else:
        _check_content(data, path)
    return Volume(data=data, grid=checked.grid, notes=(*checked.notes, *notes))


def read_grid(path: Path) -> CheckedGrid:
    """Read where the voxels of an image lie, without reading the voxels.

    Raises
    ------
    ScanError
        As `read_volume`, for what the header shows.
    """
    with _open_header(path) as (_, header):
        return make_grid(header, path)


def check_image(path: Path) -> None:
    """Find what would keep an image from being read, without reading it where that can be.

    What remains unseen is damage within voxels that keeps their number, and that they say nothing.

    Raises
    ------
    ScanError
        As `read_volume`.
    """
    with _open_header(path) as (stream, header):
        make_grid(header, path)
        _check_file_size(path, header)
        if path.suffix == ".gz" and not _ends_as_declared(path, header):
            # It may be made of several parts: only reading it tells whether it is whole.
            _read_voxels(stream, header, path, labels=True)


def header_source(path: Path, *, root: Path | None = None) -> MetadataSource:
    """Metadata that the header of a NIfTI file gives, without reading the voxels.

    Parameters
    ----------
    path : Path
    root : Path or None
        Root of the dataset, to which the source's file is relative.

    Returns
    -------
    MetadataSource
        In mm: ``InPlaneVoxelSize`` (geometric mean of the two smallest voxel sizes),
        ``SliceSpacing`` (the largest), ``VoxelSizeX``, ``VoxelSizeY``, ``VoxelSizeZ`` (along the
        axes nearest to left-right, posterior-anterior, inferior-superior); in mm³:
        ``VoxelVolume``.

    Raises
    ------
    ScanError
        As `read_grid`.
    """
    grid = read_grid(path).grid
    smallest, middle, largest = sorted(grid.spacing_mm)
    values = {
        "InPlaneVoxelSize": float(np.sqrt(smallest * middle)),
        "SliceSpacing": largest,
        "VoxelVolume": grid.voxel_volume_ml * 1000.0,
    }
    axes = nib.io_orientation(grid.affine)[:, 0].astype(int).tolist()
    values |= {f"VoxelSize{'XYZ'[axis]}": grid.spacing_mm[i] for i, axis in enumerate(axes)}
    units = {key: "mm^3" if key == "VoxelVolume" else "mm" for key in values}
    file = path.name if root is None else path.relative_to(root).as_posix()
    # The header stores single precision: 0.43749997 mm is 0.4375 mm.
    rounded = {key: float(f"{value:.6g}") for key, value in values.items()}
    return MetadataSource(kind=SourceKind.HEADER, file=file, values=rounded, units=units)


@contextlib.contextmanager
def _open_header(path: Path) -> Iterator[tuple[Any, Any]]:
    _check_file(path)
    with contextlib.ExitStack() as stack:
        try:
            opened = gzip_ng.open(path) if path.suffix == ".gz" else path.open("rb")
            stream = stack.enter_context(opened)
            header = _parse_header(stream)
        except _READ_ERRORS as error:
            raise _damaged_error(path, error) from error
        if header is None:
            raise ScanError(
                f"{path} is not a NIfTI file: it does not begin with a NIfTI header.",
                hint="Convert it to NIfTI, such as by dcm2niix.",
            )
        yield stream, header


def _parse_header(stream: Any) -> Any:
    # nibabel.load would correct wrong voxel sizes on its way; here they are to be seen.
    # Extension blocks are not looked at: nothing in them is needed, and their sizes are anything.
    start = stream.read(4)
    for order in ("<", ">"):
        size = struct.unpack(f"{order}i", start.ljust(4, b"\xff"))[0]
        if size in _HEADER_SIZES:
            content = start + stream.read(size - len(start))
            header = _HEADER_SIZES[size](content, endianness=order, check=False)
            return header if bytes(header["magic"]).startswith(_MAGIC_STARTS) else None
    return None


def _check_file(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise ScanError(
            f"{path} is a link to a file that is not there.",
            hint=f"Its content was not fetched: datalad get {path}",
        )
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_NOT_FETCHED_STARTS[1]))
    except OSError as error:
        raise ScanError(f"{path} cannot be read: {error.strerror}.") from error
    if not start:
        raise ScanError(f"{path} is empty (0 bytes).", hint="Copy or convert it anew.")
    if start.startswith(_NOT_FETCHED_STARTS):
        raise ScanError(
            f"{path} holds a pointer of git-annex or git-lfs, not the image.",
            hint=f"Its content was not fetched: datalad get {path} (or git lfs pull)",
        )
    compressed = start.startswith(_GZIP_START)
    if compressed != (path.suffix == ".gz"):
        raise ScanError(
            f"{path} is named .nii.gz, but is not compressed by gzip."
            if path.suffix == ".gz"
            else f"{path} is named .nii, but is compressed by gzip.",
            hint="If it is a good image, rename it to "
            + (path.name.removesuffix(".gz") if path.suffix == ".gz" else path.name + ".gz")
            + "; else copy it anew.",
        )


def _check_file_size(path: Path, header: Any) -> None:
    # Before memory is asked for: a damaged header may declare what the file cannot hold.
    offset = float(header["vox_offset"])
    if not header.single_vox_offset <= offset <= _MOST_BESIDE_VOXELS:
        raise ScanError(
            f"{path} says that its voxels begin at byte {offset:g}, which cannot be.",
            hint="The header is damaged: copy or convert the image anew.",
        )
    declared = _declared_bytes(header)
    stored = path.stat().st_size
    held = stored * _GZIP_MAX_RATIO if path.suffix == ".gz" else stored - int(offset)
    if declared > held:
        raise ScanError(
            f"{path} is truncated: its header declares {declared} bytes of voxels, the file has "
            f"{stored} bytes.",
            hint="Copy or convert it anew.",
        )


def _declared_bytes(header: Any) -> int:
    return int(header.get_data_dtype().itemsize) * math.prod(map(int, header.get_data_shape()))


def _ends_as_declared(path: Path, header: Any) -> bool:
    """Whether the size at the end of a gzip file is that of the image: it is, in a whole one."""
    with path.open("rb") as stream:
        stream.seek(-4, os.SEEK_END)
        (size,) = struct.unpack("<I", stream.read(4))
    return bool(size == (int(header["vox_offset"]) + _declared_bytes(header)) % 2**32)


def _read_voxels(stream: Any, header: Any, path: Path, *, labels: bool) -> NDArray[Any]:
    try:
        proxy = ArrayProxy(stream, header, mmap=False)
        with np.errstate(over="ignore", invalid="ignore"):
            values = np.asarray(proxy) if labels else _scale(proxy)
        _read_to_end(stream, path)
    except _READ_ERRORS as error:
        raise _damaged_error(path, error) from error
    except MemoryError as error:
        raise ScanError(
            f"{path} does not fit into memory: {' × '.join(map(str, header.get_data_shape()))}.",
            hint="Run it where there is more memory, or with fewer scans at a time (--nprocs).",
        ) from error
    return values


def _scale(proxy: ArrayProxy) -> NDArray[np.float32]:
    """Read and scale as nibabel does, in its precision, but by parts.

    A whole copy in double precision takes four times the room of the integers of a scanner.
    """
    stored = proxy.get_unscaled()
    flat = stored.reshape(-1, order="F")
    values = np.empty(flat.shape, dtype=np.float32)
    for start in range(0, flat.size, _BLOCK_VOXELS):
        part = slice(start, start + _BLOCK_VOXELS)
        values[part] = apply_read_scaling(flat[part], proxy.slope, proxy.inter)
    return values.reshape(stored.shape, order="F")


def _read_to_end(stream: Any, path: Path) -> None:
    # gzip's checksum stands at the end: without reading on, damage would go unnoticed. A few bytes
    # that unpack to a terabyte are not read to their end.
    beyond = 0
    while block := stream.read(_BLOCK_BYTES):
        beyond += len(block)
        if beyond > _MOST_BESIDE_VOXELS:
            raise ScanError(
                f"{path} goes on long after the voxels that its header declares.",
                hint="The header is damaged, or this is no image: convert it anew.",
            )


def _replace_non_finite(data: NDArray[Any], path: Path) -> tuple[NDArray[Any], list[str]]:
    if data.dtype.kind != "f":
        return data, []
    bad = ~np.isfinite(data)
    count = int(bad.sum())
    if count == 0:
        return data, []
    if count == data.size:
        raise ScanError(
            f"{path} holds no number: every voxel is NaN or infinite.",
            hint="Look at how it was made; it cannot be segmented.",
        )
    return np.where(bad, data.dtype.type(0), data), [
        f"{count} of {data.size} voxels were NaN or infinite: set to 0"
    ]


def _check_content(data: NDArray[Any], path: Path) -> None:
    low, high = float(data.min()), float(data.max())
    if low == high:
        what = "is all zero" if low == 0.0 else f"has the same value, {low:g}, everywhere"
        raise ScanError(f"{path} {what}: there is nothing to segment.", hint="Exclude this scan.")


def _check_shares(data: NDArray[Any], path: Path) -> None:
    low, high = float(data.min()), float(data.max())
    if low < -_LABEL_TOLERANCE or high > 1 + _LABEL_TOLERANCE:
        raise ScanError(
            f"{path} is to hold shares from 0 to 1, but reaches from {low:g} to {high:g}.",
            hint="Divide it by its largest value, or leave soft_labels out of the recipe.",
        )


def _round_labels(data: NDArray[Any], path: Path) -> NDArray[Any]:
    rounded = np.rint(data) if data.dtype.kind == "f" else data
    if data.dtype.kind == "f" and np.abs(data - rounded).max() > _LABEL_TOLERANCE:
        worst = float(data.flat[np.abs(data - rounded).argmax()])
        raise ScanError(
            f"{path} is to be a label map, but holds {worst:g}, which is no integer.",
            hint="Is it a probability map? Threshold it, or choose the label files by another "
            "pattern.",
        )
    limits = np.iinfo(np.int32)
    if rounded.min() < limits.min or rounded.max() > limits.max:
        raise ScanError(f"{path} is to be a label map, but its values exceed 32 bits.")
    return rounded.astype(np.int32)


def _damaged_error(path: Path, error: Exception) -> ScanError:
    reason = str(error).strip().splitlines()
    return ScanError(
        f"{path} is truncated or damaged: {reason[0] if reason else type(error).__name__}.",
        hint="Copy or convert it anew.",
    )
