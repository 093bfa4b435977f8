from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_models import make_header
from torch import Tensor, nn
from torch.nn import functional

from bids_film.inference.windows import WindowSettings, predict_slices, predict_volume
from bids_film.model.unet import build_network

LARGE = WindowSettings(stride=4, patch=(16, 16, 16))


def run_pointwise(images: Tensor) -> Tensor:
    """A network that looks at single voxels: nothing around them can change its answer."""
    return torch.cat([torch.sin(9 * images), images, 1 - images], dim=1)


def softmax_pointwise(image: Tensor) -> Tensor:
    return torch.softmax(run_pointwise(image[None]), dim=1)[0]


SIZES = st.tuples(*[st.integers(1, 9)] * 3)


@given(SIZES, st.sampled_from([1, 2, 4, 16]))
def test_padding_does_not_change_a_pointwise_network(size: tuple[int, ...], stride: int) -> None:
    image = torch.rand(1, *size)
    settings = WindowSettings(stride=stride, patch=(16, 16, 16))
    expected = softmax_pointwise(image)
    for predict in (predict_slices, predict_volume):
        torch.testing.assert_close(predict(run_pointwise, image, settings), expected)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_padding_reaches_no_further_than_the_network_sees(dimensions: int) -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 2, 3, padding=1) if dimensions == 2 else nn.Conv3d(1, 2, 3, padding=1)
    image = torch.rand(1, 7, 9, 5)
    predict = predict_slices if dimensions == 2 else predict_volume
    with torch.inference_mode():
        padded = predict(conv, image, WindowSettings(stride=8, patch=(16, 16, 16)))
        plain = predict(conv, image, WindowSettings(stride=1, patch=(16, 16, 16)))
    inner = (slice(None), *[slice(0, size - 1) for size in image.shape[1:]])
    torch.testing.assert_close(padded[inner], plain[inner])


@pytest.mark.parametrize("predict", [predict_slices, predict_volume])
def test_an_image_of_one_stride_leaves_a_norm_of_the_instance_voxels_to_compare(
    predict: Callable[..., Tensor],
) -> None:
    image = torch.rand(1, 3, 4, 2)

    def normalise(images: Tensor) -> Tensor:
        lowest = functional.avg_pool2d if images.dim() == 4 else functional.avg_pool3d
        return run_pointwise(images) + functional.instance_norm(lowest(images, 4)).mean()

    found = predict(normalise, image, LARGE)
    assert found.shape == (3, 3, 4, 2)
    assert torch.isfinite(found).all()


@pytest.mark.parametrize("max_voxels", [1, 100, 10**6])
def test_the_network_only_sees_multiples_of_its_stride(max_voxels: int) -> None:
    seen = []

    def watch(images: Tensor) -> Tensor:
        seen.append(tuple(images.shape[2:]))
        return run_pointwise(images)

    settings = WindowSettings(stride=4, patch=(8, 8, 8), max_voxels=max_voxels)
    assert predict_volume(watch, torch.rand(1, 13, 6, 9), settings).shape == (3, 13, 6, 9)
    assert predict_slices(watch, torch.rand(1, 13, 6, 9), settings).shape == (3, 13, 6, 9)
    assert all(length % 4 == 0 for size in seen for length in size)


@given(SIZES, st.tuples(*[st.sampled_from([4, 8])] * 3))
def test_blended_windows_of_a_pointwise_network_equal_one_pass(
    size: tuple[int, ...], patch: tuple[int, ...]
) -> None:
    image = torch.rand(1, *(3 * length for length in size))
    settings = WindowSettings(stride=4, patch=patch, max_voxels=1)
    torch.testing.assert_close(
        predict_volume(run_pointwise, image, settings),
        softmax_pointwise(image),
        rtol=1e-4,
        atol=1e-5,
    )


def test_windows_are_no_larger_than_a_patch_and_overlap_by_half() -> None:
    count = torch.zeros(1, 1, 40, 16, 8)
    places = torch.arange(count.numel(), dtype=torch.float64).view(count.shape)

    def watch(images: Tensor) -> Tensor:
        assert images.shape[2:] == (16, 16, 8)
        count.view(-1)[images.long().flatten()] += 1
        return torch.cat([images, images], dim=1)

    predict_volume(watch, places[0], WindowSettings(stride=4, patch=(16, 16, 16), max_voxels=1))
    assert count.min() == 1
    assert count.max() == 2
    assert count[0, 0, 8:32].min() == 2


def test_blended_windows_of_a_real_network_are_near_one_pass_and_sum_to_one() -> None:
    torch.manual_seed(0)
    header = make_header(conditioning="unconditioned")
    network = build_network(header.network, header.encoder.spans).eval()
    image = torch.rand(1, 32, 24, 16)

    def run(images: Tensor) -> Tensor:
        return network.segment(images, [])

    with torch.inference_mode():
        whole = predict_volume(run, image, LARGE)
        windows = predict_volume(
            run, image, WindowSettings(stride=2, patch=(16,) * 3, max_voxels=1)
        )
    torch.testing.assert_close(windows.sum(dim=0), torch.ones(32, 24, 16))
    assert float((windows - whole).abs().mean()) < 0.02


@pytest.mark.parametrize("slice_voxels", [1, 150, 10**6])
def test_slices_in_batches_equal_single_slices(slice_voxels: int) -> None:
    torch.manual_seed(0)
    header = make_header(dimensions=2, conditioning="unconditioned")
    network = build_network(header.network, header.encoder.spans).eval()
    image = torch.rand(1, 9, 7, 5)
    settings = WindowSettings(stride=2, patch=(8, 8), slice_voxels=slice_voxels)
    batches = []

    def run(images: Tensor) -> Tensor:
        batches.append(len(images))
        return network.segment(images, [])

    with torch.inference_mode():
        together = predict_slices(run, image, settings)
        assert batches == {1: [1] * 5, 150: [2, 2, 1], 10**6: [5]}[slice_voxels]
        for place in range(5):
            single = predict_slices(run, image[..., place : place + 1], settings)
            torch.testing.assert_close(
                together[..., place : place + 1], single, rtol=1e-4, atol=1e-5
            )
