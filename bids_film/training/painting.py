"""From label values to intensities, partial volume and texture, and to shares of structures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from bids_film.training.contrasts import Contrast
from bids_film.training.separable import acquisition_matrices, apply_matrices
from bids_film.training.spatial import flat_index


def paint(
    label_map: Tensor, located: Tensor, contrast: Contrast, *, scale: float, seed: int
) -> tuple[Tensor, Tensor]:
    """Give every voxel of a scan the intensity of its tissue.

    Parameters
    ----------
    label_map : Tensor
        int16, contiguous, shape (X, Y, Z).
    located : Tensor
        Voxel of the label map for each of the scan's, shape (3, *patch); beyond the map its border
        goes on.
    contrast : Contrast
    scale : float
        Size of the scan's voxels relative to those of the map.
    seed : int
        Of the texture.

    Returns
    -------
    tissue : Tensor
        int32 value of the label map, shape (*patch).
    image : Tensor
        float32, shape (*patch).
    """
    shape = located.shape[1:]
    flat, means = label_map.reshape(-1), contrast.means
    tissue = flat.index_select(0, flat_index(located, label_map.shape)).to(torch.int32)
    image = means.index_select(0, tissue)
    reach = round(scale / 2)
    if reach > 0:
        # The voxel's middle and two opposite corners, then a blur, look like all eight corners and
        # take a third of the time.
        corner = flat_index(located, label_map.shape, reach=reach)
        across = reach * sum(label_map.stride())
        for index in (corner, corner + across):
            values = flat.index_select(0, index).to(torch.int32)
            image.add_(means.index_select(0, values), alpha=0.5)
        image /= 2
    grain = _draw_grain(shape, contrast.grain, seed).reshape(-1)
    image.addcmul_(contrast.spreads.index_select(0, tissue), grain)
    return tissue.view(shape), image.view(shape)


def find_shares(label_map: Tensor, located: Tensor, channels: Tensor, *, scale: float) -> Tensor:
    """Find how much of every voxel of a scan each structure takes.

    Parameters
    ----------
    label_map, located, scale
        As for `paint`.
    channels : Tensor
        int64 channel of each value of the label map.

    Returns
    -------
    Tensor
        float32, shape (highest channel + 1, *patch): of the voxels of the label map that one of the
        scan's covers, those of the channel.
    """
    spatial, side = located.shape[1:], max(1, round(scale / 2) + 1)
    corner = flat_index(located, label_map.shape, reach=side - 1)
    values = label_map.reshape(-1)
    shares = torch.zeros(int(channels.max()) + 1, corner.numel())
    part = torch.full((1, corner.numel()), 1 / side**3)
    for steps in itertools.product(range(side), repeat=len(spatial)):
        offset = sum(map(math.prod, zip(steps, label_map.stride(), strict=True)))
        own = channels.index_select(0, values.index_select(0, corner + offset).int())
        shares.scatter_add_(0, own[None], part)
    return shares.view(-1, *spatial)


def _draw_grain(shape: Sequence[int], grain: int, seed: int) -> Tensor:
    """Draw noise of unit variance whose samples are so many voxels apart."""
    generator = torch.Generator().manual_seed(seed)
    if grain == 1:
        return torch.randn(tuple(shape), generator=generator)
    ups = [acquisition_matrices(size, grain, grain)[1] for size in shape]
    ups = [up / up.square().sum(dim=1, keepdim=True).sqrt() for up in ups]
    coarse = torch.randn([up.shape[1] for up in ups], generator=generator)
    return apply_matrices(coarse, ups)
