"""The FiLMed U-Net, and the one place where its parts are put together."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from bids_film.model.blocks import DecoderLevel, EncoderLevel, make_conv
from bids_film.model.config import NetworkConfig
from bids_film.model.film import Generator, Modulation


class FilmUNet(nn.Module):
    """A U-Net whose convolution units are scaled and shifted by metadata.

    Parameters
    ----------
    config : NetworkConfig
    spans : Sequence[tuple[int, int]]
        Where each metadata field lies in the encoded vector; empty for no metadata.
    """

    def __init__(self, config: NetworkConfig, spans: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.config = config
        levels = range(len(config.channels))
        self.encoder = nn.ModuleList(EncoderLevel(config, level) for level in levels)
        self.decoder = nn.ModuleList(DecoderLevel(config, level) for level in reversed(levels[:-1]))
        drop = nn.Dropout2d if config.dimensions == 2 else nn.Dropout3d  # noqa: PLR2004
        self.dropout = drop(config.dropout)
        self.head = make_conv(
            config.dimensions, config.channels[0], config.out_channels, kernel=1, bias=True
        )
        self.deep_heads = nn.ModuleList(
            make_conv(config.dimensions, count, config.out_channels, kernel=1, bias=True)
            for count in config.channels[1 : 1 + config.deep_supervision]
        )
        self._places = _film_places(config)
        if config.prompts:
            # What is asked for is told like one more field, which is always known.
            start = spans[-1][1] if spans else 0
            spans = [*spans, (start, start + config.prompts)]
        conditioned = config.conditioning != "unconditioned" and bool(spans)
        self.generator = (
            Generator(spans, config.generator, _film_channels(config), config.film_form)
            if conditioned
            else None
        )

    def forward(self, image: Tensor, vector: Tensor, known: Tensor) -> Tensor:
        """Predict one logit per voxel and channel.

        Parameters
        ----------
        image : Tensor
            Shape (batch, in_channels, *spatial); every spatial size a multiple of
            ``config.stride``.
        vector : Tensor
            Encoded metadata of each scan, shape (batch, width), and the prompt where the network
            takes one; see `add_prompt`.
        known : Tensor
            Which fields are known, shape (batch, fields).

        Returns
        -------
        Tensor
            Shape (batch, out_channels, *spatial).

        Raises
        ------
        ValueError
            Where the metadata are not of the images' batch size.
        """
        return self.segment(image, self.modulations(vector, known))

    def modulations(self, vector: Tensor, known: Tensor) -> list[Modulation]:
        """Scale and shift of every FiLM layer; empty for an unconditioned network."""
        if self.generator is None:
            return []
        if self.config.conditioning == "constant":
            known = known.clone()
            known[:, : known.shape[1] - bool(self.config.prompts)] = 0
        modulations: list[Modulation] = self.generator(vector, known)
        return modulations

    def segment(self, image: Tensor, modulations: Sequence[Modulation]) -> Tensor:
        """Run the image part of the network with modulations that are already there."""
        logits: Tensor = self.head(self._decode(image, modulations)[-1])
        return logits

    def supervise(self, image: Tensor, modulations: Sequence[Modulation]) -> list[Tensor]:
        """Predict at each level that training compares with the labels, the finest first.

        Returns
        -------
        list of Tensor
            Shape (batch, out_channels, *spatial), the sides of each half of those of the one before
            it; ``1 + config.deep_supervision`` of them.
        """
        *coarse, finest = self._decode(image, modulations)
        deep = zip(self.deep_heads, reversed(coarse), strict=False)
        return [self.head(finest), *(head(features) for head, features in deep)]

    def _decode(self, image: Tensor, modulations: Sequence[Modulation]) -> list[Tensor]:
        """Features of each level of the decoder, the coarsest first."""
        upcoming = self.spread(modulations)
        features = image
        skips: list[Tensor] = []
        for level in self.encoder:
            features = level(features, upcoming)
            skips.append(features)
        features = self.dropout(skips.pop())
        decoded: list[Tensor] = []
        for level in self.decoder:
            features = level(skips.pop(), features, upcoming)
            decoded.append(features)
        return decoded

    def spread(self, modulations: Sequence[Modulation]) -> Iterator[Modulation | None]:
        """Give each unit its modulation, in the order of the data, or None."""
        if not modulations:
            return itertools.repeat(None)
        remaining = iter(modulations)
        return (next(remaining) if filmed else None for filmed, _ in self._places)


def _film_places(config: NetworkConfig) -> list[tuple[bool, int]]:
    """For each convolution unit in the order of the data: is it followed by FiLM, its channels."""
    last = len(config.channels) - 1
    encoder = [
        (
            config.film_at in ("all", "encoder")
            or (config.film_at == "bottleneck" and level == last),
            count,
        )
        for level, count in enumerate(config.channels)
        for _ in range(2)
    ]
    decoder = [
        (config.film_at in ("all", "decoder"), count)
        for count in reversed(config.channels[:-1])
        for _ in range(2)
    ]
    return encoder + decoder


def _film_channels(config: NetworkConfig) -> list[int]:
    return [count for filmed, count in _film_places(config) if filmed]


def build_network(config: NetworkConfig, spans: Sequence[tuple[int, int]]) -> FilmUNet:
    """Compose a network with fresh weights (He initialisation)."""
    network = FilmUNet(config, spans)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d | nn.ConvTranspose3d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return network


def arrange(images: Tensor) -> Tensor:
    """Bring images (batch, channels, *spatial) into the order in which convolutions are fast.

    One channel is in both orders at once, of which torch would take the slower: its strides are set
    to what tells them apart.
    """
    images = images.contiguous(memory_format=_choose_memory_format(images.dim() - 2))
    batch, _, *spatial = images.stride()
    return images.as_strided(images.shape, (batch, 1, *spatial))


def place_network(network: FilmUNet, device: torch.device) -> FilmUNet:
    """Bring a network to a device, its weights in the order that is fast there."""
    network.to(device)
    layout = _choose_memory_format(network.config.dimensions)
    # torch's stubs leave out the overload for the memory format alone
    network.to(memory_format=layout)  # type: ignore[call-overload]
    return network


def _choose_memory_format(dimensions: int) -> torch.memory_format:
    """Channels last: in bfloat16 it is what makes convolutions fast."""
    planar = dimensions == 2  # noqa: PLR2004 (slices)
    return torch.channels_last if planar else torch.channels_last_3d
