"""A network run over an image of any size: slice by slice, in one pass, or in blended windows."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from bids_film.model.config import NetworkConfig, Preprocessing

Network = Callable[[Tensor], Tensor]
"""Image (batch, channels, *spatial) to logits (batch, structures + 1, *spatial)."""

_OVERLAP = 0.5
_EDGE_WEIGHT = 0.01
_SIGMA = 0.25


@dataclass(frozen=True, kw_only=True, slots=True)
class WindowSettings:
    """How much is computed at once.

    Attributes
    ----------
    stride : int
        Spatial sizes are padded to a multiple of it.
    patch : tuple[int, ...]
        Size of a window, where a volume is too large for one pass.
    max_voxels : int
        Voxels of a volume that may go through the network at once.
    slice_voxels : int
        Voxels of slices that go through it at once: few are no slower than many, and take less
        memory.
    neighbours : int
        Slices on either side that a network of slices sees as well.
    """

    stride: int
    patch: tuple[int, ...]
    max_voxels: int = 4_500_000
    slice_voxels: int = 500_000
    neighbours: int = 0


def choose_prediction(
    config: NetworkConfig, preprocessing: Preprocessing
) -> Callable[[Network, Tensor], Tensor]:
    """Choose how a network of this kind goes over an image: slice by slice, or as a volume."""
    predict = predict_slices if config.dimensions == 2 else predict_volume  # noqa: PLR2004 (slices)
    settings = WindowSettings(
        stride=config.stride, patch=preprocessing.patch, neighbours=preprocessing.neighbours
    )
    return partial(predict, settings=settings)


def predict_slices(network: Network, image: Tensor, settings: WindowSettings) -> Tensor:
    """Predict probabilities slice by slice.

    Parameters
    ----------
    image : Tensor
        Shape (channels, X, Y, slices).

    Returns
    -------
    Tensor
        float32, shape (structures + 1, X, Y, slices).
    """
    slices = stack_neighbours(image, range(image.shape[-1]), settings.neighbours)
    batch = max(1, settings.slice_voxels // max(1, slices[0, 0].numel()))
    parts = [
        _predict_padded(network, slices[start : start + batch], settings.stride)
        for start in range(0, len(slices), batch)
    ]
    return torch.cat(parts).permute(1, 2, 3, 0)


def stack_neighbours(image: Tensor, slices: Sequence[int], neighbours: int) -> Tensor:
    """Put each slice together with those on either side of it (2.5-D).

    Parameters
    ----------
    image : Tensor
        Shape (channels, X, Y, slices).
    slices : Sequence[int]
        Those that are wanted.
    neighbours : int
        How many on either side; beyond the ends the last slice counts.

    Returns
    -------
    Tensor
        Shape (len(slices), channels · (1 + 2 · neighbours), X, Y): all slices of the first channel,
        then those of the next.
    """
    offsets = torch.arange(-neighbours, neighbours + 1)
    places = (torch.as_tensor(list(slices))[:, None] + offsets).clamp(0, image.shape[-1] - 1)
    taken = image[..., places.to(image.device)]
    return taken.permute(3, 0, 4, 1, 2).flatten(1, 2)


def predict_volume(network: Network, image: Tensor, settings: WindowSettings) -> Tensor:
    """Predict probabilities of a volume in one pass, or in windows where it is too large.

    Parameters
    ----------
    image : Tensor
        Shape (channels, X, Y, Z).

    Returns
    -------
    Tensor
        float32, shape (structures + 1, X, Y, Z).
    """
    if image[0].numel() <= settings.max_voxels:
        return _predict_padded(network, image[None], settings.stride)[0]
    return _blend_windows(network, image, settings)


def _predict_padded(network: Network, images: Tensor, stride: int) -> Tensor:
    """Pad at the far ends with the image's edge, predict, cut off; softmax over channels."""
    size = images.shape[2:]
    lengths = [length + -length % stride for length in size]
    if max(lengths) == stride:
        # A norm of the instance needs more than one voxel at the lowest level.
        lengths[-1] += stride
    ends = [padded - length for length, padded in zip(size, lengths, strict=True)]
    padding = [pad for end in reversed(ends) for pad in (0, end)]
    padded = functional.pad(images, padding, mode="replicate") if any(padding) else images
    logits = network(padded)
    for axis, length in enumerate(size, start=2):
        logits = logits.narrow(axis, 0, length)
    return torch.softmax(logits.float(), dim=1)


def _blend_windows(network: Network, image: Tensor, settings: WindowSettings) -> Tensor:
    size = image.shape[1:]
    patch = [min(length, edge) for length, edge in zip(size, settings.patch, strict=True)]
    weight = _window_weight(patch)
    total: Tensor | None = None
    weights = torch.zeros(size)
    for place in _window_places(size, patch):
        part = _predict_padded(network, image[(slice(None), *place)][None], settings.stride)[0]
        if total is None:
            total = torch.zeros(part.shape[0], *size)
        total[(slice(None), *place)] += part.cpu() * weight
        weights[place] += weight
    assert total is not None  # noqa: S101 (there is at least one window)
    return total / weights


def _window_places(size: Sequence[int], patch: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    starts = []
    for length, edge in zip(size, patch, strict=True):
        count = -(-(length - edge) // max(1, int(edge * (1 - _OVERLAP)))) + 1
        ends = torch.linspace(0, length - edge, count).round().int().tolist()
        starts.append(sorted(set(ends)))
    for corner in itertools.product(*starts):
        yield tuple(slice(start, start + edge) for start, edge in zip(corner, patch, strict=True))


def _window_weight(patch: Sequence[int]) -> Tensor:
    """Gaussian importance: a window is surer in its middle (Isensee et al., 2021)."""
    weight = torch.ones(1)
    for edge in patch:
        distance = (torch.arange(edge) - (edge - 1) / 2) / (_SIGMA * edge)
        weight = weight[..., None] * torch.exp(-0.5 * distance**2)
    return weight[0].clamp(min=_EDGE_WEIGHT)
