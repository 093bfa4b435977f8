from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from bids_film.model.rounding import EmulatedConvolutions

CONVOLUTIONS = {
    "conv2d": (functional.conv2d, 2),
    "conv3d": (functional.conv3d, 3),
    "conv_transpose2d": (functional.conv_transpose2d, 2),
    "conv_transpose3d": (functional.conv_transpose3d, 3),
}


@pytest.mark.parametrize("lowered", ["tensors", "autocast"])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_come_out_as_a_processor_with_bfloat16_computes_them(
    name: str, lowered: str
) -> None:
    conv, dimensions = CONVOLUTIONS[name]
    torch.manual_seed(0)
    image, weight = torch.randn(1, 4, *[6] * dimensions), torch.randn(4, 4, *[3] * dimensions)
    exact = conv(image.bfloat16().double(), weight.bfloat16().double(), padding=1)
    if lowered == "tensors":
        image, weight = image.bfloat16(), weight.bfloat16()
    with EmulatedConvolutions(), torch.autocast("cpu", enabled=lowered == "autocast"):
        rounded = conv(image, weight, padding=1)
    assert rounded.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.double(), exact, rtol=2**-8, atol=1e-5)


def test_what_is_in_float32_stays_in_it() -> None:
    image, weight = torch.randn(1, 1, 5, 5), torch.randn(1, 1, 3, 3)
    plain = functional.conv2d(image, weight)
    with EmulatedConvolutions():
        assert torch.equal(functional.conv2d(image, weight), plain)
        assert torch.equal(image * 1.0, image)
    assert not torch.equal(plain, plain.bfloat16().float())
