"""Convolutions in bfloat16 as a processor that has it computes them, on any processor."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_CONVOLUTIONS = (
    torch.conv2d,
    torch.conv3d,
    torch.conv_transpose2d,
    torch.conv_transpose3d,
)


class EmulatedConvolutions(TorchFunctionMode):
    """Within it, convolutions in bfloat16 are computed in float32 from values that are rounded.

    Products are summed in float32, as by AMX, AVX-512 and tensor cores, and their sums rounded. It
    says what bfloat16 does to labels where nothing computes in it: torch's own way is a hundred
    times slower there. Under autocast all convolutions are in bfloat16.

    Attributes
    ----------
    active : bool
        Whether it is entered: what else calls oneDNN by name then leaves it to them.
    """

    active: ClassVar[bool] = False

    def __enter__(self) -> Self:
        type(self).active = True
        super().__enter__()  # type: ignore[no-untyped-call]
        return self

    def __exit__(self, *problem: object) -> None:
        type(self).active = False
        super().__exit__(*problem)  # type: ignore[no-untyped-call]

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Compute `func`; in this way where it is a convolution in bfloat16."""
        named = kwargs or {}
        if func not in _CONVOLUTIONS or not _is_lowered(args[0]):
            return func(*args, **named)
        rounded = {name: _round(value) for name, value in named.items()}
        with torch.autocast(args[0].device.type, enabled=False):
            return func(*map(_round, args), **rounded).bfloat16()


def _is_lowered(features: Tensor) -> bool:
    return features.dtype == torch.bfloat16 or torch.is_autocast_enabled(features.device.type)


def _round(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.bfloat16().float()
    return value
