from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from bids_film.domain.errors import ScanError
from bids_film.images.intensity import CEILING, normalise


def make_scan(*, seed: int = 0, size: int = 24) -> NDArray[np.float32]:
    """Tissue between 100 and 300 in a box, zero around it."""
    scan = np.zeros((size, size, size), np.float32)
    inside = (slice(size // 4, -size // 4),) * 3
    scan[inside] = np.random.default_rng(seed).uniform(100, 300, scan[inside].shape)
    return scan


@given(st.floats(1e-4, 1e4))
def test_any_scale_gives_the_same_image(factor: float) -> None:
    scan = make_scan()
    np.testing.assert_allclose(normalise(scan * factor), normalise(scan), atol=1e-4)


@given(st.floats(0.1, 10), st.floats(-1000, 1000))
def test_any_scale_and_offset_give_the_same_image_over_all_voxels(
    factor: float, offset: float
) -> None:
    scan = make_scan()
    np.testing.assert_allclose(
        normalise(scan * factor + offset, foreground="all"),
        normalise(scan, foreground="all"),
        atol=2e-3,
    )


def test_tissue_goes_from_zero_to_one_and_background_is_zero() -> None:
    scan = make_scan()
    result = normalise(scan)
    assert result.dtype == np.float32
    assert (result[scan == 0] == 0).all()
    low, high = np.percentile(result[scan > 0], [0.5, 99.5])
    assert low == pytest.approx(0, abs=1e-3)
    assert high == pytest.approx(1, abs=1e-3)


def test_a_few_huge_outliers_change_next_to_nothing() -> None:
    scan = make_scan()
    spoilt = scan.copy()
    spoilt[12, 12, 10:13] = 1e9
    result = normalise(spoilt)
    assert result.max() == pytest.approx(CEILING)
    rest = spoilt == scan
    np.testing.assert_allclose(result[rest], normalise(scan)[rest], atol=0.01)


def test_noise_around_the_head_is_dark() -> None:
    scan = make_scan()
    noise = np.abs(np.random.default_rng(1).normal(0, 4, scan.shape)).astype(np.float32)
    result = normalise(scan + noise)
    assert result[scan == 0].max() < 0.1
    assert result[scan > 0].mean() > 0.4


def test_a_ct_keeps_its_contrasts_between_air_and_bone() -> None:
    scan = np.full((20, 20, 20), -1000, np.int16)
    scan[5:15, 5:15, 5:15] = 40
    scan[8:12, 8:12, 5:15] = 900
    result = normalise(scan, foreground="all")
    air, tissue, bone = result[0, 0, 0], result[6, 6, 6], result[10, 10, 10]
    assert air == 0
    assert 0.4 < tissue < 0.7
    assert bone == pytest.approx(1, abs=0.01)


def test_the_mask_around_a_standardised_scan_is_dark_too() -> None:
    scan = make_scan()
    brain = scan > 0
    scan[brain] = (scan[brain] - scan[brain].mean()) / scan[brain].std()
    result = normalise(scan)
    assert (result[~brain] == 0).all()
    assert result[brain].mean() == pytest.approx(0.5, abs=0.05)


def test_a_background_other_than_zero_does_not_hide_a_small_object() -> None:
    scan = np.full((50, 50, 50), -1024, np.float32)
    scan[:4, :5, :5] = np.arange(100).reshape(4, 5, 5)
    result = normalise(scan, foreground="all")
    assert result[:4, :5, :5].std() > 0.2
    assert result[20, 20, 20] == 0


def test_a_large_scan_is_sampled_the_same_way_in_any_memory_order() -> None:
    scan = make_scan(size=128)
    stored = np.ascontiguousarray(scan[::-1].transpose(2, 0, 1))
    view = stored.transpose(1, 2, 0)[::-1]
    np.testing.assert_array_equal(normalise(view), normalise(scan))
    low, high = np.percentile(normalise(scan)[scan > 0], [0.5, 99.5])
    assert low == pytest.approx(0, abs=0.005)
    assert high == pytest.approx(1, abs=0.005)


def test_a_small_foreground_of_a_large_scan_is_looked_at_whole() -> None:
    scan = np.zeros((160, 160, 160), np.float32)
    scan[80:84, 80:84, 80:84] = np.arange(1, 65).reshape(4, 4, 4)
    result = normalise(scan)
    assert np.unique(result[80:84, 80:84, 80:84]).size > 60


def test_the_input_is_left_alone() -> None:
    scan = make_scan()
    before = scan.copy()
    normalise(scan)
    np.testing.assert_array_equal(scan, before)


@pytest.mark.parametrize(
    ("scan", "reason"),
    [
        (np.zeros((5, 5, 5)), "every voxel is zero"),
        (np.full((5, 5, 5), 3.0), "voxels are equal"),
        (np.pad(np.ones((3, 3, 3)), 2), "voxels are equal"),
    ],
)
def test_a_scan_without_contrast_is_refused(scan: NDArray[np.float64], reason: str) -> None:
    with pytest.raises(ScanError, match=reason):
        normalise(scan)
