"""A network with more channels that begins by computing what a narrower one has learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from bids_film.model.unet import FilmUNet, build_network

_INCOMING = {nn.Conv2d: 1, nn.Conv3d: 1, nn.ConvTranspose2d: 0, nn.ConvTranspose3d: 0}
"""Dimension of a convolution's weights that counts the channels that come in."""


@torch.no_grad()
def widen(network: FilmUNet, channels: Sequence[int], spans: Sequence[tuple[int, int]]) -> FilmUNet:
    """Make a network with more channels at some levels whose output is the same.

    The new channels have fresh weights of their own, but what the old ones and the output take from
    them begins at zero. So nothing is lost, and they can learn. As Net2WiderNet (Chen et al., ICLR
    2016) it keeps the function; there, channels are copied in place of being drawn.

    Parameters
    ----------
    network : FilmUNet
        Unchanged.
    channels : Sequence[int]
        Of as many levels, at each level no fewer.
    spans : Sequence[tuple[int, int]]
        Where each metadata field lies in the encoded vector.
    """
    wide = build_network(replace(network.config, channels=tuple(channels)), spans)
    modules, state = dict(wide.named_modules()), wide.state_dict()
    for name, value in network.state_dict().items():
        learned, target = value, state[name]
        incoming = _INCOMING.get(type(modules[name.rpartition(".")[0]]))
        if incoming is not None and learned.dim() > 1:
            target.narrow(1 - incoming, 0, learned.shape[1 - incoming]).zero_()
        if name.startswith("generator.heads."):  # the scales of all channels, then the shifts
            learned, target = learned.unflatten(0, (2, -1)), target.unflatten(0, (2, -1))
        target[tuple(map(slice, learned.shape))].copy_(learned)
    return wide
