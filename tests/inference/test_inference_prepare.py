from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from support.bids_factory import make_affine
from support.volumes import list_orders, make_grid, make_volume, store_otherwise

from bids_film.domain.errors import ScanError
from bids_film.domain.volume import Volume
from bids_film.images.geometry import restore
from bids_film.inference.prepare import prepare_volume
from bids_film.model.config import Preprocessing

KEPT = Preprocessing(spacing_mm=(0.0, 0.0, 0.0), foreground="all")


def test_the_image_is_float32_with_one_channel_and_about_zero_to_one() -> None:
    prepared = prepare_volume(make_volume((7, 6, 5)), KEPT)
    assert prepared.image.shape == (1, 7, 6, 5)
    assert prepared.image.dtype == np.float32
    assert prepared.image.flags.c_contiguous
    assert prepared.image.min() >= 0
    assert 0.9 < prepared.image.max() < 1.5


@pytest.mark.parametrize("spacing_mm", [(0.0, 0.0, 0.0), (1.5, 0.7, 0.0)])
@pytest.mark.parametrize("plane", ["axial", "sagittal", "thickest"])
def test_a_copy_stored_in_any_order_is_prepared_to_the_same_image(
    spacing_mm: tuple[float, float, float], plane: Any
) -> None:
    settings = Preprocessing(spacing_mm=spacing_mm, plane=plane, foreground="nonzero")
    volume = make_volume((7, 6, 5), make_affine((1.0, 1.1, 2.0), oblique_deg=17))
    expected = prepare_volume(volume, settings)
    for order in list_orders():
        found = prepare_volume(store_otherwise(volume, order), settings)
        assert np.array_equal(found.image, expected.image)
        assert found.spacing_mm == pytest.approx(expected.spacing_mm)
        assert np.allclose(found.plan.affine, expected.plan.affine)


def test_the_field_of_view_stays_and_the_voxel_size_is_as_near_as_whole_voxels_allow() -> None:
    affine = make_affine((1.0, 2.0, 3.0))
    settings = Preprocessing(spacing_mm=(2.0, 1.5, 0.0), foreground="all")
    prepared = prepare_volume(make_volume((7, 10, 5), affine), settings)
    assert prepared.image.shape[1:] == (4, 13, 5)
    extent = np.array(prepared.image.shape[1:]) * prepared.spacing_mm
    assert extent.tolist() == pytest.approx([7.0, 20.0, 15.0])
    assert prepared.spacing_mm == pytest.approx((7 / 4, 20 / 13, 3.0))


@pytest.mark.parametrize(
    ("plane", "shape"),
    [
        ("axial", (4, 5, 6)),
        ("coronal", (4, 6, 5)),
        ("sagittal", (5, 6, 4)),
        ("thickest", (4, 6, 5)),
    ],
)
def test_the_slice_axis_comes_last(plane: Any, shape: tuple[int, ...]) -> None:
    volume = make_volume((4, 5, 6), make_affine((1.0, 3.0, 1.0)))
    settings = Preprocessing(spacing_mm=(0, 0, 0), plane=plane, patch=(8, 8), foreground="all")
    assert prepare_volume(volume, settings).image.shape[1:] == shape


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_single_slice_is_prepared_whatever_its_axis(axis: int) -> None:
    shape = [9, 9, 9]
    shape[axis] = 1
    settings = Preprocessing(
        spacing_mm=(2.0, 2.0, 0.0), plane="thickest", patch=(8, 8), foreground="all"
    )
    prepared = prepare_volume(make_volume(shape), settings)
    assert prepared.image.shape == (1, 4, 4, 1)
    assert restore(np.zeros(prepared.plan.shape), prepared.plan).shape == tuple(shape)


@pytest.mark.parametrize("angle", [5.0, 30.0, 44.0, 46.0, 89.0])
def test_an_oblique_image_keeps_its_own_axes(angle: float) -> None:
    volume = make_volume((4, 5, 6), make_affine(oblique_deg=angle), smooth=False)
    prepared = prepare_volume(volume, KEPT)
    back = restore(prepared.image[0], prepared.plan)
    assert back.shape == (4, 5, 6)
    assert np.array_equal(
        np.argsort(back, axis=None)[50:-2], np.argsort(volume.data, axis=None)[50:-2]
    )


def test_an_image_without_contrast_is_refused() -> None:
    blank = Volume(data=np.zeros((4, 4, 4), np.float32), grid=make_grid((4, 4, 4), np.eye(4)))
    with pytest.raises(ScanError, match="expected an image with contrast"):
        prepare_volume(blank, KEPT)


def test_a_scan_in_other_units_gives_the_same_image() -> None:
    volume = make_volume((7, 6, 5))
    scaled = Volume(data=volume.data * 4096, grid=volume.grid)
    one, other = (prepare_volume(entry, KEPT).image for entry in (volume, scaled))
    assert np.allclose(one, other, atol=1e-6)
