from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from bids_film.model.rounding import RoundedConvolutions

CONVOLUTIONS = {
    "conv2d": (functional.conv2d, 2),
    "conv3d": (functional.conv3d, 3),
    "conv_transpose2d": (functional.conv_transpose2d, 2),
    "conv_transpose3d": (functional.conv_transpose3d, 3),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_come_out_as_a_processor_with_bfloat16_computes_them(name: str) -> None:
    conv, dimensions = CONVOLUTIONS[name]
    torch.manual_seed(0)
    image, weight = torch.randn(1, 4, *[6] * dimensions), torch.randn(4, 4, *[3] * dimensions)
    with RoundedConvolutions():
        rounded = conv(image, weight, padding=1)
    assert rounded.dtype == torch.float32
    exact = conv(image.bfloat16().double(), weight.bfloat16().double(), padding=1)
    torch.testing.assert_close(rounded.double(), exact, rtol=2**-8, atol=1e-5)
    assert torch.equal(rounded, rounded.bfloat16().float())


def test_nothing_else_is_rounded() -> None:
    values = torch.randn(100)
    with RoundedConvolutions():
        assert torch.equal(values * 1.0, values)
    image, weight = torch.randn(1, 1, 5, 5), torch.randn(1, 1, 3, 3)
    plain = functional.conv2d(image, weight)
    assert not torch.equal(plain, plain.bfloat16().float())
