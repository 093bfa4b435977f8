"""A volume brought into the space in which the network works; the same for training."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_film.domain.errors import ScanError
from bids_film.domain.volume import Grid, Volume
from bids_film.images.frame import Frame, cut, find_frame
from bids_film.images.geometry import Plan, plan_ras, reorient, resampled_shape
from bids_film.images.intensity import normalise
from bids_film.images.resample import resize
from bids_film.model.config import Preprocessing

_MOST_VOXELS = 2**31


@dataclass(frozen=True, kw_only=True, slots=True)
class Prepared:
    """An image in the network's space, with the way back.

    Attributes
    ----------
    image : ndarray
        float32, about 0 to 1, shape (1 + companions, X, Y, Z); the slice axis of a 2-D network is
        the last. A companion that is missing is all zero.
    plan : Plan
        How the stored voxels were reordered, before resampling.
    frame : Frame
        What was taken of the reordered voxels.
    spacing_mm : tuple[float, float, float]
        Voxel size of `image`.
    grid : Grid
        Of the volume.
    """

    image: NDArray[np.float32]
    plan: Plan
    frame: Frame
    spacing_mm: tuple[float, float, float]
    grid: Grid


def prepare_volume(volume: Volume, preprocessing: Preprocessing) -> Prepared:
    """Reorder to closest RAS, cut off a masked background, normalise, and resample.

    Raises
    ------
    ScanError
        Where the image has no contrast, or would be absurdly large.
    """
    plan = plan_ras(volume.grid, plane=preprocessing.slice_plane)
    contrasts = [
        None if contrast is None else reorient(contrast.data, plan)
        for contrast in (volume, *volume.companions)
    ]
    frame = find_frame(
        [data for data in contrasts if data is not None],
        plan.spacing_mm,
        # A network of slices takes each for itself: there is no background between them.
        axes=range(len(preprocessing.patch)),
    )
    shape = resampled_shape(frame.shape, plan.spacing_mm, preprocessing.spacing_mm)
    if math.prod(shape) > _MOST_VOXELS:
        raise ScanError(
            f"at the model's voxel size, {preprocessing.spacing_mm} mm, it would have "
            f"{' × '.join(map(str, shape))} voxels",
            hint="crop the scan, or use another model",
        )
    channels = [
        np.zeros(shape, dtype=np.float32)
        if data is None
        # Order and frame come first: a turned or cropped copy must give the same percentiles.
        else resize(_normalise(cut(data, frame), preprocessing), shape)
        for data in contrasts
    ]
    x, y, z = (
        old * size / new for old, size, new in zip(plan.spacing_mm, frame.shape, shape, strict=True)
    )
    return Prepared(
        image=np.stack(channels)
        if len(channels) > 1
        else np.ascontiguousarray(channels[0])[np.newaxis],
        plan=plan,
        frame=frame,
        spacing_mm=(x, y, z),
        grid=volume.grid,
    )


def _normalise(data: NDArray[Any], preprocessing: Preprocessing) -> NDArray[np.float32]:
    return normalise(
        data, percentiles=preprocessing.percentiles, foreground=preprocessing.foreground
    )
