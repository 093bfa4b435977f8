"""Convolutions rounded as a processor with bfloat16 rounds them, on any processor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = (
    torch.conv2d,
    torch.conv3d,
    torch.conv_transpose2d,
    torch.conv_transpose3d,
    torch.mkldnn_convolution,
)


class RoundedConvolutions(TorchFunctionMode):
    """Within it, what goes into convolutions and comes out of them is rounded to bfloat16.

    Products are summed in float32, as by AMX, AVX-512 and tensor cores. It says what bfloat16 does
    to labels where nothing computes in it: torch's own way is a hundred times slower there.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Compute `func`, rounded where it is a convolution."""
        named = kwargs or {}
        if func not in _CONVOLUTIONS:
            return func(*args, **named)
        rounded = {name: _round(value) for name, value in named.items()}
        return _round(func(*map(_round, args), **rounded))


def _round(value: Any) -> Any:
    if isinstance(value, Tensor) and value.dtype == torch.float32:
        return value.bfloat16().float()
    return value
