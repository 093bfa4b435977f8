"""Images as they come from broken disks, odd converters and strange scanners."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.nifti1 import Nifti1Extension
from support.bids_factory import make_affine, make_phantom

SHAPE = (12, 14, 10)


@dataclass(frozen=True, kw_only=True)
class Case:
    """An image and what must come of it.

    Attributes
    ----------
    write : Callable
        Writes it to a path that ends in ``.nii.gz``; another name may be returned.
    said : str
        Part of the message that refuses it; empty where it is segmented.
    noted : str
        Part of a note that the outputs must hold; empty for none.
    """

    write: Callable[[Path], object]
    said: str = ""
    noted: str = ""


def make_image(shape: tuple[int, ...] = SHAPE, dtype: Any = np.float32) -> nib.Nifti1Image:
    data = make_phantom(shape).image if len(shape) == 3 else np.ones(shape)
    return nib.Nifti1Image(data.astype(dtype), make_affine(), dtype=dtype)


def save(**header: Any) -> Callable[[Path], None]:
    """Write a good image whose header holds these values all the same."""

    def write(path: Path) -> None:
        content = bytearray(make_image().to_bytes())
        changed = nib.Nifti1Header(bytes(content[:348]), check=False)
        for key, value in header.items():
            changed[key] = value
        content[:348] = changed.binaryblock
        path.write_bytes(gzip.compress(bytes(content)))

    return write


def save_array(
    data: Any, affine: Any = None, kind: Any = nib.Nifti1Image
) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        image = kind(data, make_affine() if affine is None else affine, dtype=data.dtype)
        path.write_bytes(gzip.compress(image.to_bytes()))

    return write


def save_bytes(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content)


def save_uncompressed(path: Path) -> None:
    nib.save(make_image(), path.with_suffix(""))


def save_dangling_link(path: Path) -> None:
    path.symlink_to("../../.git/annex/objects/aa/bb/MD5E-s1--c.nii.gz")


def save_extended(path: Path) -> None:
    image = make_image()
    image.header.extensions.append(Nifti1Extension(44, b"x" * 5000))
    path.write_bytes(gzip.compress(image.to_bytes()))


def save_big_endian(path: Path) -> None:
    image = make_image(dtype=np.int16)
    header = image.header.as_byteswapped(">")
    header["vox_offset"] = 352
    voxels = np.asarray(image.dataobj).astype(">i2").tobytes(order="F")
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4) + voxels))


def save_offset(offset: int) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        content = bytearray(make_image().to_bytes())
        content[108:112] = struct.pack("<f", offset)
        path.write_bytes(gzip.compress(bytes(content)))

    return write


def save_bomb(path: Path) -> None:
    content = make_image().to_bytes() + bytes(300 << 20)
    path.write_bytes(gzip.compress(content, 9))


def with_values(value: float) -> Any:
    data = make_phantom(SHAPE).image.astype(np.float64)
    data[3:5] = value
    return data


def colours() -> Any:
    return np.zeros(SHAPE, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])


def long_axis() -> Any:
    return np.tile(np.arange(40000, dtype=np.int16)[:, None, None] % 50, (1, 4, 4))


def slices(count: int) -> Any:
    return make_phantom((24, 24, count)).image


_WHOLE = gzip.compress(make_image().to_bytes())
_HUGE = save(dim=[3, 32767, 32767, 32767, 1, 1, 1, 1])
_SINGULAR = {"srow_x": [0] * 4, "srow_y": [0] * 4, "sform_code": 1}
_LINK = b"/annex/objects/MD5E-s1--c.nii.gz"

CASES = {
    "truncated half": Case(write=save_bytes(_WHOLE[: len(_WHOLE) // 2]), said="truncated"),
    "truncated header": Case(write=save_bytes(_WHOLE[:60]), said="truncated"),
    "empty": Case(write=save_bytes(b""), said="empty (0 bytes)"),
    "no image": Case(write=save_bytes(gzip.compress(b"<html>" * 200)), said="not a NIfTI file"),
    "not compressed": Case(write=save_bytes(make_image().to_bytes()), said="not compressed"),
    "dangling link": Case(write=save_dangling_link, said="datalad get"),
    "annex pointer": Case(write=save_bytes(_LINK), said="pointer of git-annex"),
    "bomb": Case(write=save_bomb, said="long after the voxels"),
    "huge": Case(write=_HUGE, said="this machine has"),
    "no dimensions": Case(write=save(dim=[0] * 8), said="is needed"),
    "negative size": Case(write=save(dim=[3, -5, 14, 10, 1, 1, 1, 1]), said="is needed"),
    "more than declared": Case(write=save(dim=[3, 12, 14, 400, 1, 1, 1, 1]), said="truncated"),
    "voxel size 0": Case(
        write=save(pixdim=[1, 0, 1, 1, 0, 0, 0, 0], sform_code=0), said="positive"
    ),
    "voxel size -1": Case(
        write=save(pixdim=[1, -1, 1, 1, 0, 0, 0, 0], sform_code=0), said="positive"
    ),
    "voxel size NaN": Case(
        write=save(pixdim=[1, np.nan, 1, 1, 0, 0, 0, 0], sform_code=0), said="positive"
    ),
    "singular affine": Case(write=save(**_SINGULAR), said="singular"),
    "affine NaN": Case(write=save(srow_x=[np.nan] * 4), said="singular"),
    "codes 0": Case(write=save(qform_code=0, sform_code=0), noted="the orientation is unknown"),
    "qfac 0": Case(write=save(pixdim=[0, 1, 1, 1, 0, 0, 0, 0], qform_code=1, sform_code=0)),
    "data type": Case(write=save(datatype=77), said="which NIfTI does not have"),
    "colours": Case(write=save_array(colours()), said="colours"),
    "complex": Case(write=save_array(np.ones(SHAPE, np.complex64)), said="complex"),
    "infinite": Case(write=save_array(with_values(np.inf)), noted="NaN or infinite"),
    "NaN": Case(write=save_array(with_values(np.nan)), noted="NaN or infinite"),
    "all NaN": Case(write=save_array(np.full(SHAPE, np.nan, np.float32)), said="holds no number"),
    "constant": Case(write=save_array(np.full(SHAPE, 7, np.int16)), said="same value"),
    "zero": Case(write=save_array(np.zeros(SHAPE, np.int16)), said="all zero"),
    "one bright voxel": Case(
        write=save_array(np.eye(1, 1680, 800, np.uint8).reshape(SHAPE)), said="with contrast"
    ),
    "four dimensions": Case(write=save_array(np.ones((*SHAPE, 2), np.uint8)), said="2 volumes"),
    "one slice": Case(write=save_array(slices(1))),
    "two dimensions": Case(write=save_array(slices(1)[:, :, 0])),
    "anisotropic": Case(write=save_array(slices(5), make_affine((0.25, 0.25, 5)))),
    "8 voxels": Case(write=save_array(make_phantom((8, 8, 8)).image)),
    "float64": Case(write=save_array(make_phantom(SHAPE).image.astype(np.float64) * 1e30)),
    "slope 0": Case(write=save(scl_slope=0, scl_inter=5)),
    "slope NaN": Case(write=save(scl_slope=np.nan, scl_inter=np.nan)),
    "slope infinite": Case(write=save(scl_slope=np.inf)),
    "offset in the clouds": Case(write=save(vox_offset=1e30), said="cannot be"),
    "offset within the header": Case(write=save_offset(16), said="cannot be"),
    "extension": Case(write=save_extended),
    "big endian": Case(write=save_big_endian),
    "NIfTI-2": Case(write=save_array(make_phantom(SHAPE).image, kind=nib.Nifti2Image)),
    "uncompressed": Case(write=save_uncompressed),
    "long axis": Case(write=save_array(long_axis(), kind=nib.Nifti2Image), said="32767"),
}
