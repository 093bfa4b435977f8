"""The building blocks of the U-Net, in two and three dimensions.

Every convolution unit is convolution → norm → FiLM → ReLU: FiLM follows the norm and precedes the
activation, as in Perez et al. (2018), so that the three fold into one convolution at inference.
"""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor, nn

from bids_film.model.config import NetworkConfig, Norm
from bids_film.model.film import Modulation, modulate

_CONV: dict[int, type[nn.Conv2d | nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_CONV_TRANSPOSE: dict[int, type[nn.ConvTranspose2d | nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
_POOL: dict[int, type[nn.MaxPool2d | nn.MaxPool3d]] = {2: nn.MaxPool2d, 3: nn.MaxPool3d}
_NORM: dict[tuple[Norm, int], type[nn.Module]] = {
    ("batch", 2): nn.BatchNorm2d,
    ("batch", 3): nn.BatchNorm3d,
    ("instance", 2): nn.InstanceNorm2d,
    ("instance", 3): nn.InstanceNorm3d,
}

Modulations = Iterator[Modulation | None]
"""The modulations of the units to come, in the order of the data; None where a unit has none."""


def make_conv(
    dimensions: int, size_in: int, size_out: int, *, kernel: int = 3, bias: bool = False
) -> nn.Module:
    """Make a convolution that keeps the spatial size."""
    return _CONV[dimensions](size_in, size_out, kernel, padding=kernel // 2, bias=bias)


def make_norm(norm: Norm, dimensions: int, channels: int) -> nn.Module:
    """Make a normalisation with a learned scale and shift of its own."""
    return _NORM[norm, dimensions](channels, affine=True)


class ConvUnit(nn.Module):
    """Convolution → norm → FiLM → ReLU."""

    def __init__(self, config: NetworkConfig, size_in: int, size_out: int) -> None:
        super().__init__()
        self.conv = make_conv(config.dimensions, size_in, size_out)
        self.norm = make_norm(config.norm, config.dimensions, size_out)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, features: Tensor, modulation: Modulation | None) -> Tensor:
        """Run the unit; features have shape (batch, channels, *spatial)."""
        features = self.norm(self.conv(features))
        if modulation is not None:
            features = modulate(features, modulation)
        result: Tensor = self.activation(features)
        return result


class MergeUnit(nn.Module):
    """Skip connection and deeper features → one convolution unit at the finer resolution.

    Equals concatenating the skip with the upsampled deeper features and convolving both, but
    neither the upsampled nor the concatenated tensor exists: the deeper part is a transposed
    convolution (kernel 4, stride 2), which contains nearest-neighbour upsampling followed by a
    3-voxel convolution as a special case.
    """

    def __init__(self, config: NetworkConfig, size_deep: int, size_out: int) -> None:
        super().__init__()
        self.skip = make_conv(config.dimensions, size_out, size_out)
        self.deep = _CONV_TRANSPOSE[config.dimensions](
            size_deep, size_out, 4, stride=2, padding=1, bias=False
        )
        self.norm = make_norm(config.norm, config.dimensions, size_out)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, skip: Tensor, deep: Tensor, modulation: Modulation | None) -> Tensor:
        """Merge (batch, channels, *spatial) with (batch, deeper channels, *spatial / 2)."""
        features = self.norm(self.skip(skip) + self.deep(deep))
        if modulation is not None:
            features = modulate(features, modulation)
        result: Tensor = self.activation(features)
        return result


class EncoderLevel(nn.Module):
    """Two convolution units, after halving the resolution on all levels but the first."""

    def __init__(self, config: NetworkConfig, level: int) -> None:
        super().__init__()
        size_in = config.channels[level - 1] if level else config.in_channels
        size_out = config.channels[level]
        self.pool = _POOL[config.dimensions](2) if level else nn.Identity()
        self.first = ConvUnit(config, size_in, size_out)
        self.second = ConvUnit(config, size_out, size_out)

    def forward(self, features: Tensor, modulations: Modulations) -> Tensor:
        """Run the level; takes two modulations."""
        features = self.first(self.pool(features), next(modulations))
        result: Tensor = self.second(features, next(modulations))
        return result


class DecoderLevel(nn.Module):
    """Merge with the skip connection, then a convolution unit."""

    def __init__(self, config: NetworkConfig, level: int) -> None:
        super().__init__()
        self.first = MergeUnit(config, config.channels[level + 1], config.channels[level])
        self.second = ConvUnit(config, config.channels[level], config.channels[level])

    def forward(self, skip: Tensor, deep: Tensor, modulations: Modulations) -> Tensor:
        """Run the level; takes two modulations."""
        features = self.first(skip, deep, next(modulations))
        result: Tensor = self.second(features, next(modulations))
        return result
