"""How fast a network could be on this processor, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.performance.networks import list_precisions
from benchmarks.performance.timing import Row, take_best

SIDE, CHANNELS, PIXELS = 2048, 64, 256
TRIES = 20
"""Each takes a tenth of a second: on a shared machine one of them finds the processor free."""


def measure_limits(run: Callable[[], object], *, times: int = 1) -> Iterator[Row]:
    """Make the rows of what `run` computes, `times` over, at the processor's best.

    Its multiplications and additions are counted (no others are), and divided by how many a second
    the processor does in the larger of two tasks that have next to nothing else to do: a product of
    large matrices and a convolution of many channels.
    """
    with FlopCounterMode(display=False) as counter:
        run()
    operations = times * counter.get_total_flops()
    for precision in list_precisions():
        peak = measure_peak(precision)
        yield Row(
            way=f"the limit: its multiplications and additions alone, {precision}",
            seconds=operations / peak,
            note=f"{operations / 1e9:,.0f} billion, at {peak / 1e9:,.0f} billion a second",
        )


@cache
def measure_peak(precision: str) -> float:
    """Measure multiplications and additions a second."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    matrices = torch.rand(2, SIDE, SIDE, dtype=dtype)
    image, kernels = (
        torch.rand(shape, dtype=dtype).to(memory_format=torch.channels_last)
        for shape in ((1, CHANNELS, PIXELS, PIXELS), (CHANNELS, CHANNELS, 3, 3))
    )

    def multiply() -> Tensor:
        return torch.mm(*matrices)

    def convolve() -> Tensor:
        return functional.conv2d(image, kernels, padding=1)

    with torch.inference_mode():
        return max(
            2 * SIDE**3 / take_best(multiply, repeats=TRIES),
            2 * 9 * CHANNELS**2 * PIXELS**2 / take_best(convolve, repeats=TRIES),
        )
