"""From label values to intensities, partial volume and texture, and to shares of structures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bids_film.training.contrasts import Contrast
from bids_film.training.separable import acquisition_matrices, apply_matrices
from bids_film.training.spatial import flat_index


@dataclass(frozen=True, kw_only=True, slots=True)
class Painted:
    """A scan without what a scanner does to it, and what lies in its voxels.

    Attributes
    ----------
    image : Tensor
        float32, shape (*patch).
    tissue : Tensor
        int32 value of the label map in each voxel's middle, shape (*patch).
    shares : Tensor or None
        float32 share of each channel in each voxel, shape (channels, *patch); None where no
        channels were given.
    """

    image: Tensor
    tissue: Tensor
    shares: Tensor | None = None


def paint(
    label_map: Tensor,
    located: Tensor,
    contrast: Contrast,
    *,
    scale: float,
    seed: int,
    channels: Tensor | None = None,
) -> Painted:
    """Give every voxel of a scan the intensity of its tissues.

    Parameters
    ----------
    label_map : Tensor
        int16, contiguous, shape (X, Y, Z).
    located : Tensor
        Voxel of the label map for each of the scan's, shape (3, *patch); beyond the map its border
        goes on.
    contrast : Contrast
    scale : float
        Size of the scan's voxels relative to those of the map: about so many of the map, along each
        axis, are averaged.
    seed : int
        Of the texture.
    channels : Tensor, optional
        int64 channel of each value of the label map, where shares are wanted.
    """
    shape, flat, means = located.shape[1:], label_map.reshape(-1), contrast.means
    tissue = flat.index_select(0, flat_index(located, label_map.shape)).to(torch.int32)
    side = max(1, round(scale))
    corner = flat_index(located, label_map.shape, reach=side - 1)
    image = torch.zeros(corner.numel())
    shares = None if channels is None else torch.zeros(int(channels.max()) + 1, corner.numel())
    part = torch.full((1, corner.numel()), 1 / side**3)
    for steps in itertools.product(range(side), repeat=len(shape)):
        offset = sum(map(math.prod, zip(steps, label_map.stride(), strict=True)))
        values = flat.index_select(0, corner + offset).to(torch.int32)
        image.add_(means.index_select(0, values), alpha=1 / side**3)
        if shares is not None and channels is not None:
            shares.scatter_add_(0, channels.index_select(0, values)[None], part)
    grain = _draw_grain(shape, contrast.grain, seed).reshape(-1)
    image.addcmul_(contrast.spreads.index_select(0, tissue), grain)
    return Painted(
        image=image.view(shape),
        tissue=tissue.view(shape),
        shares=None if shares is None else shares.view(-1, *shape),
    )


def _draw_grain(shape: Sequence[int], grain: int, seed: int) -> Tensor:
    """Draw noise of unit variance whose samples are so many voxels apart."""
    generator = torch.Generator().manual_seed(seed)
    if grain == 1:
        return torch.randn(tuple(shape), generator=generator)
    ups = [acquisition_matrices(size, grain, grain)[1] for size in shape]
    ups = [up / up.square().sum(dim=1, keepdim=True).sqrt() for up in ups]
    coarse = torch.randn([up.shape[1] for up in ups], generator=generator)
    return apply_matrices(coarse, ups)
