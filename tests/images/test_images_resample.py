from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bids_film.domain.volume import Affine, Grid
from bids_film.images.geometry import resampled_affine
from bids_film.images.resample import (
    resample_to_grid,
    resize,
    resize_argmax,
    resize_labels,
    resize_matrix,
)

lengths = st.integers(1, 40)
shapes = st.tuples(*[st.integers(1, 9)] * 3)


def make_grid(shape: tuple[int, int, int], affine: Affine) -> Grid:
    return Grid(
        shape=shape,
        stored_shape=shape,
        affine=affine,
        qform=affine,
        sform=affine,
        qform_code=1,
        sform_code=1,
    )


def make_blobs(shape: tuple[int, ...], *, seed: int = 0) -> NDArray[np.float32]:
    """Smooth waves along each axis."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape)
    for axis, size in enumerate(shape):
        places = (np.arange(size) + 0.5) / size
        wave = np.sin(2 * np.pi * (places + rng.random()))
        image += wave.reshape([-1 if other == axis else 1 for other in range(len(shape))])
    return image.astype(np.float32)


@given(lengths, lengths)
def test_every_row_is_positive_and_sums_to_one(size_in: int, size_out: int) -> None:
    matrix = resize_matrix(size_in, size_out)
    assert matrix.shape == (size_out, size_in)
    assert matrix.min() >= 0
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-5)


@given(lengths, lengths)
def test_a_mirrored_axis_is_resampled_like_the_axis(size_in: int, size_out: int) -> None:
    matrix = resize_matrix(size_in, size_out)
    np.testing.assert_allclose(matrix, matrix[::-1, ::-1], atol=1e-6)


@given(lengths)
def test_the_same_size_is_the_identity(size: int) -> None:
    np.testing.assert_array_equal(resize_matrix(size, size), np.eye(size))


@given(st.integers(8, 40), st.integers(2, 90))
def test_a_ramp_stays_a_ramp_in_the_interior(size_in: int, size_out: int) -> None:
    matrix = resize_matrix(size_in, size_out)
    scale = size_in / size_out
    centers = (np.arange(size_out) + 0.5) * scale - 0.5
    width = max(scale, 1)
    interior = (centers >= width) & (centers <= size_in - 1 - width)
    ramp = matrix @ np.arange(size_in, dtype=np.float32)
    np.testing.assert_allclose(ramp[interior], centers[interior], atol=1e-4)


def test_halving_averages_and_a_checkerboard_vanishes() -> None:
    np.testing.assert_allclose(
        resize_matrix(8, 4)[1], np.array([0, 1, 3, 3, 1, 0, 0, 0]) / 8, atol=1e-6
    )
    stripes = (np.arange(64) % 2).astype(np.float32)
    np.testing.assert_allclose((resize_matrix(64, 32) @ stripes)[1:-1], 0.5, atol=1e-5)


@given(shapes, shapes)
def test_resizing_is_separable_and_keeps_leading_axes(
    old: tuple[int, int, int], new: tuple[int, int, int]
) -> None:
    data = np.random.default_rng(0).random((2, *old), dtype=np.float32)
    matrices = [resize_matrix(a, b) for a, b in zip(old, new, strict=True)]
    expected = np.einsum("cxyz,ix,jy,kz->cijk", data, *matrices)
    result = resize(data, new)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, atol=1e-5)


@given(shapes, shapes)
def test_a_constant_stays_constant(old: tuple[int, int, int], new: tuple[int, int, int]) -> None:
    np.testing.assert_allclose(resize(np.full(old, 7.5), new), 7.5, rtol=1e-5)


def test_an_image_of_the_right_shape_is_not_copied() -> None:
    image = make_blobs((6, 7, 8))
    labels = np.zeros((6, 7, 8), np.uint8)
    assert resize(image, (6, 7, 8)) is image
    assert resize_labels(labels, (6, 7, 8)) is labels


def test_views_of_a_reordered_scan_are_resized_like_copies_of_them() -> None:
    view = make_blobs((9, 8, 7))[::-1, :, ::-1].transpose(2, 0, 1)
    np.testing.assert_array_equal(
        resize(view, (14, 5, 8)), resize(np.ascontiguousarray(view), (14, 5, 8))
    )


@pytest.mark.parametrize("shape", [(80, 80, 96), (57, 70, 71)])
def test_up_and_down_again_restores_a_smooth_image(shape: tuple[int, int, int]) -> None:
    image = make_blobs((40, 44, 48))
    inside = (slice(2, -2),) * 3
    back = resize(resize(image, shape), image.shape)
    np.testing.assert_allclose(back[inside], image[inside], atol=0.03)


def test_a_resized_image_lies_where_the_resized_affine_says() -> None:
    affine = np.diag([1.0, 2.0, 0.5, 1.0])
    old, new = (30, 20, 40), (17, 31, 25)
    index = np.stack(np.meshgrid(*map(np.arange, old), indexing="ij"))
    world = np.einsum("ij,jxyz->ixyz", affine[:3, :3], index).astype(np.float32)
    moved = resampled_affine(affine, old, new)
    index = np.stack(np.meshgrid(*map(np.arange, new), indexing="ij"))
    expected = np.einsum("ij,jxyz->ixyz", moved[:3, :3], index) + moved[:3, 3, None, None, None]
    inside = (slice(None), *(slice(3, -3),) * 3)
    np.testing.assert_allclose(resize(world, new)[inside], expected[inside], atol=1e-3)


@given(shapes, shapes)
def test_labels_take_what_has_the_largest_share(
    old: tuple[int, int, int], new: tuple[int, int, int]
) -> None:
    labels = np.random.default_rng(0).choice([0, 7, 300], old).astype(np.int16)
    result = resize_labels(labels, new)
    assert result.shape == new
    assert result.dtype == labels.dtype
    shares = np.stack([resize(labels == value, new) for value in (0, 7, 300)])
    own = np.take_along_axis(shares, np.searchsorted([0, 7, 300], result)[None], axis=0)[0]
    np.testing.assert_allclose(own, shares.max(axis=0), atol=1e-5)


@pytest.mark.parametrize("size", [50, 25, 75, 67, 200, 150])
def test_labels_do_not_move(size: int) -> None:
    grid = np.stack(np.meshgrid(*[np.arange(100)] * 3, indexing="ij"))
    center = np.array([43.3, 52.1, 47.7]).reshape(3, 1, 1, 1)
    ball = (((grid - center) ** 2).sum(axis=0) < 30**2).astype(np.uint8)
    found = np.argwhere(resize_labels(ball, (size,) * 3)).mean(axis=0)
    expected = (np.argwhere(ball).mean(axis=0) + 0.5) * size / 100 - 0.5
    np.testing.assert_allclose(found, expected, atol=0.05)


@given(st.integers(1, 12), st.integers(1, 6))
def test_labels_that_grow_by_a_whole_factor_come_back(size: int, factor: int) -> None:
    labels = np.arange(size, dtype=np.uint8).reshape(size, 1, 1)
    grown = resize_labels(labels, (size * factor, 1, 1))
    np.testing.assert_array_equal(grown, np.repeat(labels, factor, axis=0))
    np.testing.assert_array_equal(resize_labels(grown, labels.shape), labels)


@settings(max_examples=50)
@given(st.integers(1, 6), shapes, st.tuples(*[st.integers(1, 40)] * 3), st.sampled_from([1, 20]))
def test_the_running_argmax_is_the_argmax_of_the_resized_channels(
    channels: int, old: tuple[int, int, int], new: tuple[int, int, int], sharpness: int
) -> None:
    values = np.random.default_rng(channels).normal(size=(channels, *old)).astype(np.float32)
    values = np.exp(values * sharpness)
    values /= values.sum(axis=0)
    full = resize(values, new)
    labels = resize_argmax(values, new)
    assert labels.dtype == np.uint8
    chosen = np.take_along_axis(full, labels[np.newaxis].astype(int), axis=0)[0]
    np.testing.assert_allclose(chosen, full.max(axis=0), atol=1e-5)


@pytest.mark.parametrize("new", [(60, 50, 110), (20, 130, 1)])
def test_blocks_meet_without_a_seam_in_one_thread_or_several(new: tuple[int, int, int]) -> None:
    values = np.random.default_rng(0).random((3, 31, 24, 40), dtype=np.float32)
    labels = resize_argmax(values, new)
    full = resize(values, new)
    chosen = np.take_along_axis(full, labels[np.newaxis].astype(int), axis=0)[0]
    np.testing.assert_allclose(chosen, full.max(axis=0), atol=1e-5)
    np.testing.assert_array_equal(resize_argmax(values, new, threads=3), labels)


def test_the_running_argmax_takes_logits_half_precision_and_the_first_of_equals() -> None:
    logits = np.random.default_rng(0).normal(-50, 10, size=(4, 5, 6, 7)).astype(np.float16)
    expected = logits.astype(np.float32).argmax(axis=0)
    np.testing.assert_array_equal(resize_argmax(logits, (5, 6, 7)), expected)
    assert not resize_argmax(np.ones((3, 4, 4, 4), np.float32), (9, 9, 9)).any()


def test_the_running_argmax_counts_beyond_256_channels() -> None:
    values = np.zeros((300, 2, 2, 2), np.float32)
    values[299] = 1
    labels = resize_argmax(values, (4, 4, 4))
    assert labels.dtype == np.int16
    assert (labels == 299).all()


def test_the_running_argmax_never_holds_the_resized_channels() -> None:
    values = np.random.default_rng(0).random((12, 32, 32, 24), dtype=np.float32)
    shape = (128, 64, 48)
    tracemalloc.start()
    resize_argmax(values, shape)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 12 * np.prod(shape) * 4 / 5


def test_a_label_file_on_another_grid_lands_at_the_same_place_in_the_world() -> None:
    labels = np.zeros((20, 22, 24), np.int16)
    labels[4:10, 6:12, 8:20] = 3
    source = make_grid((20, 22, 24), np.diag([2.0, 2.0, 2.0, 1.0]))
    to_new = np.array([[0, -0.5, 0, 21], [1, 0, 0, 1], [0, 0, 1, -2], [0, 0, 0, 1.0]])
    target = make_grid((21, 40, 30), source.affine @ to_new)
    moved = resample_to_grid(labels, source, target, order=0)
    assert moved.dtype == labels.dtype
    index = np.argwhere(moved == 3)
    world = np.column_stack([index, np.ones(len(index))]) @ target.affine.T
    volume = len(index) * abs(np.linalg.det(target.affine[:3, :3]))
    assert volume == (labels == 3).sum() * 8
    np.testing.assert_allclose(world[:, :3].mean(axis=0), [13, 17, 27], atol=0.51)


def test_the_same_grid_gives_the_same_array_and_beyond_it_is_zero() -> None:
    data = np.ones((4, 4, 4), np.float32)
    grid = make_grid((4, 4, 4), np.eye(4))
    assert resample_to_grid(data, grid, grid) is data
    away = np.eye(4)
    away[0, 3] = 100
    assert not resample_to_grid(data, grid, make_grid((4, 4, 4), away)).any()
