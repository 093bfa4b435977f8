"""A network with one scan's metadata folded into its convolutions.

The metadata of a scan is the same for all of its slices or windows, so the scale and shift of FiLM,
and those of batch normalisation at inference, are constants: a convolution that is followed by them
is another convolution. What is left is a plain U-Net; conditioning costs nothing.

Each convolution computes in the precision of its weights. What bfloat16 loses, it loses most where
the image comes in and where the logits are made: there float32 stays. With it the labels of all
bundled models are those of float32 to a mean Dice of 0.999, without it those of one are.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

from bids_film.model.blocks import ConvUnit, DecoderLevel, EncoderLevel, MergeUnit
from bids_film.model.film import Modulation
from bids_film.model.rounding import EmulatedConvolutions
from bids_film.model.unet import FilmUNet, arrange

_CONV = {2: functional.conv2d, 3: functional.conv3d}
_CONV_TRANSPOSE = {2: functional.conv_transpose2d, 3: functional.conv_transpose3d}

_ONEDNN = torch.ops.mkldnn
"""oneDNN's convolutions with what follows them in one pass: private to torch, and not in each."""


def can_fold(network: FilmUNet) -> bool:
    """Whether the network's norms are constants: batch normalisation, and not in training."""
    return network.config.norm == "batch" and not network.training


class FoldedUNet:
    """A U-Net of plain convolutions, for one scan.

    Parameters
    ----------
    network : FilmUNet
        In evaluation mode, with batch normalisation; its weights stay as they are.
    modulations : Sequence[tuple[Tensor, Tensor]]
        Of one scan: scale and shift of every FiLM layer, each of shape (1, channels); empty for an
        unconditioned network.
    bfloat16 : bool
        Compute in it all but the first level of the encoder, the last unit and the head.
    """

    @torch.no_grad()
    def __init__(
        self,
        network: FilmUNet,
        modulations: Sequence[Modulation],
        *,
        bfloat16: bool = False,
    ) -> None:
        inner = torch.bfloat16 if bfloat16 else torch.float32
        upcoming = network.spread(modulations)
        first, *deeper = network.encoder
        self._encoder = [_fold_encoder(first, upcoming, torch.float32)]
        self._encoder += [_fold_encoder(level, upcoming, inner) for level in deeper]
        *coarse, last = network.decoder
        self._decoder = [_fold_decoder(level, upcoming, inner, inner) for level in coarse]
        self._decoder += [_fold_decoder(last, upcoming, inner, torch.float32)]
        self._dropout = network.dropout
        self._head = _Head(*network.head.parameters())

    def __call__(self, image: Tensor) -> Tensor:
        """Predict as `FilmUNet.segment` does.

        Parameters
        ----------
        image : Tensor
            Shape (batch, in_channels, *spatial).

        Returns
        -------
        Tensor
            Shape (batch, out_channels, *spatial).
        """
        features = arrange(image)
        skips: list[Tensor] = []
        for pool, units in self._encoder:
            features = pool(features)
            for unit in units:
                features = unit(features)
            skips.append(features)
        features = self._dropout(skips.pop())
        for merge, unit in self._decoder:
            features = unit(merge(skips.pop(), features))
        return self._head(features)


class _Unit:
    """Convolution → ReLU, in the precision of its weights, by oneDNN where it can be."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight, bias
        self._dimensions = weight.dim() - 2
        self._padding = [weight.shape[-1] // 2] * self._dimensions

    def __call__(self, features: Tensor) -> Tensor:
        """Convolve, and apply the ReLU."""
        features = features.to(self._weight.dtype)
        if _can_ask_onednn(features):
            fused: Tensor = _ONEDNN._convolution_pointwise(  # noqa: SLF001
                features, *self._arguments, "relu", [], ""
            )
            return fused
        return self._convolve(features).relu_()

    def add_to(self, raised: Tensor, features: Tensor) -> Tensor:
        """Add to other features of the same precision, in their memory, and apply the ReLU.

        Both must be arranged (`unet.arrange`): oneDNN adds to nothing else.
        """
        features = features.to(self._weight.dtype)
        if _can_ask_onednn(features):
            fused: Tensor = _ONEDNN._convolution_pointwise_.binary(
                raised, features, *self._arguments, "add", 1.0, "relu", [], ""
            )
            return fused
        return raised.add_(self._convolve(features)).relu_()

    def _convolve(self, features: Tensor) -> Tensor:
        conv = _CONV[self._dimensions]
        return conv(features, self._weight, self._bias, padding=self._padding)

    @property
    def _arguments(self) -> tuple[Tensor, Tensor, list[int], list[int], list[int], int]:
        ones = [1] * self._dimensions
        return self._weight, self._bias, self._padding, ones, ones, 1


def _can_ask_onednn(features: Tensor) -> bool:
    """Whether oneDNN may be called by name.

    Left to itself, torch 2 computes a single scan's first, last and coarsest layers by a path that
    is two to three times slower, as it thinks them small (`use_mkldnn` in its Convolution.cpp); and
    what follows a convolution costs a pass over memory of its own.
    """
    emulated = EmulatedConvolutions.active and features.dtype == torch.bfloat16
    return features.device.type == "cpu" and features.dtype in _find_onednn_types() and not emulated


@cache
def _find_onednn_types() -> frozenset[torch.dtype]:
    """Find what oneDNN computes in on this machine; nothing where this torch does not have it."""
    known = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not (known and hasattr(_ONEDNN, "_convolution_pointwise")):
        return frozenset()
    lowered = [torch.bfloat16] if _ONEDNN._is_mkldnn_bf16_supported() else []  # noqa: SLF001
    return frozenset([torch.float32, *lowered])


class _Head:
    """A channel of logits for each structure, one after the other in memory, as softmax likes them.

    Of the features, whose channels lie side by side, that is one product of matrices.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight.flatten(1), bias[:, None]

    def __call__(self, features: Tensor) -> Tensor:
        batch, channels, *spatial = features.shape
        voxels = features.movedim(1, -1).reshape(batch, -1, channels)
        weight = self._weight.expand(batch, -1, -1)
        return torch.baddbmm(self._bias, weight, voxels.mT).view(batch, -1, *spatial)


class _Merge:
    """Skip connection and deeper features → ReLU."""

    def __init__(self, skip: Tensor, deep: Tensor, bias: Tensor) -> None:
        self._skip, self._deep = _Unit(skip, bias), deep

    def __call__(self, skip: Tensor, deep: Tensor) -> Tensor:
        upsample = _CONV_TRANSPOSE[self._deep.dim() - 2]
        return self._skip.add_to(upsample(deep, self._deep, stride=2, padding=1), skip)


def _fold_encoder(
    level: nn.Module, upcoming: Iterator[Modulation | None], dtype: torch.dtype
) -> tuple[nn.Module, list[_Unit]]:
    assert isinstance(level, EncoderLevel)  # noqa: S101 (tells the type checker)
    units = (level.first, level.second)
    return level.pool, [_fold_unit(unit, next(upcoming), dtype) for unit in units]


def _fold_decoder(
    level: nn.Module,
    upcoming: Iterator[Modulation | None],
    merging: torch.dtype,
    after: torch.dtype,
) -> tuple[_Merge, _Unit]:
    assert isinstance(level, DecoderLevel)  # noqa: S101 (tells the type checker)
    merge = _fold_merge(level.first, next(upcoming), merging)
    return merge, _fold_unit(level.second, next(upcoming), after)


def _fold_unit(unit: ConvUnit, modulation: Modulation | None, dtype: torch.dtype) -> _Unit:
    scale, shift = _find_constants(unit.norm, modulation)
    return _Unit(_scale(unit.conv, scale, axis=0).to(dtype), shift.to(dtype))


def _fold_merge(unit: MergeUnit, modulation: Modulation | None, dtype: torch.dtype) -> _Merge:
    scale, shift = _find_constants(unit.norm, modulation)
    # The weights of a transposed convolution have their output channels second.
    skip, deep = _scale(unit.skip, scale, axis=0), _scale(unit.deep, scale, axis=1)
    return _Merge(skip.to(dtype), deep.to(dtype), shift.to(dtype))


def _find_constants(norm: nn.Module, modulation: Modulation | None) -> tuple[Tensor, Tensor]:
    """Scale and shift, each of shape (channels,), that norm and FiLM come to together."""
    assert isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d)  # noqa: S101 (tells the type checker)
    assert norm.running_mean is not None  # noqa: S101
    assert norm.running_var is not None  # noqa: S101
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    if modulation is None:
        return scale, shift
    (gamma,), (beta,) = modulation
    return scale * gamma, shift * gamma + beta


def _scale(conv: nn.Module, scale: Tensor, *, axis: int) -> Tensor:
    assert isinstance(conv.weight, Tensor)  # noqa: S101 (tells the type checker)
    shape = [1] * conv.weight.dim()
    shape[axis] = -1
    return conv.weight * scale.view(shape)
