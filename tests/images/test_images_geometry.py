from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.orientations import aff2axcodes
from numpy.typing import NDArray

from bids_film.domain.errors import ScanError
from bids_film.domain.volume import Affine, Grid
from bids_film.images.geometry import (
    SlicePlane,
    have_opposite_sides,
    largest_shift_mm,
    plan_ras,
    reorient,
    resampled_affine,
    resampled_shape,
    restore,
    same_grid,
)

PLANES: tuple[SlicePlane, ...] = ("axial", "coronal", "sagittal", "thickest")


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


def rotate(angles: tuple[float, float, float]) -> NDArray[np.float64]:
    turn = np.eye(3)
    for axis, angle in enumerate(angles):
        one, two = (other for other in range(3) if other != axis)
        step = np.eye(3)
        step[one, one] = step[two, two] = np.cos(angle)
        step[one, two], step[two, one] = -np.sin(angle), np.sin(angle)
        turn = step @ turn
    return turn


sizes = st.tuples(*[st.integers(1, 6)] * 3)
spacings = st.tuples(*[st.floats(0.2, 8)] * 3)


@st.composite
def grids(draw: st.DrawFn, max_angle: float = np.pi) -> Grid:
    """Any orientation: permuted, flipped, oblique."""
    order = draw(st.permutations(range(3)))
    signs = draw(st.tuples(*[st.sampled_from([-1, 1])] * 3))
    angle = st.floats(-max_angle, max_angle)
    affine = np.eye(4)
    affine[:3, :3] = rotate(draw(st.tuples(angle, angle, angle))) @ np.eye(3)[:, order]
    affine[:3, :3] *= np.array(signs) * np.array(draw(spacings))
    affine[:3, 3] = draw(st.tuples(*[st.floats(-200, 200)] * 3))
    return make_grid(draw(sizes), affine)


def world_of(affine: Affine, shape: tuple[int, ...]) -> NDArray[np.float64]:
    index = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"))
    turned = np.einsum("ij,j...->i...", affine[:3, :3], index)
    return np.asarray(turned + affine[:3, 3, None, None, None])


def numbers(shape: tuple[int, ...]) -> NDArray[Any]:
    return np.arange(int(np.prod(shape))).reshape(shape)


@given(grids(), st.sampled_from(PLANES))
def test_every_voxel_stays_where_it_is_in_the_world(grid: Grid, plane: SlicePlane) -> None:
    plan = plan_ras(grid, plane=plane)
    world = world_of(grid.affine, grid.shape)
    moved = reorient(world, plan)
    assert moved.shape[1:] == plan.shape
    np.testing.assert_allclose(moved, world_of(plan.affine, plan.shape), atol=1e-9)


@given(grids(), st.sampled_from(PLANES), st.integers(0, 2))
def test_restoring_undoes_reorienting_without_a_copy(
    grid: Grid, plane: SlicePlane, leading: int
) -> None:
    data = numbers((*range(2, 2 + leading), *grid.shape))
    plan = plan_ras(grid, plane=plane)
    there = reorient(data, plan)
    back = restore(there, plan)
    np.testing.assert_array_equal(back, data)
    assert np.shares_memory(there, data)
    assert np.shares_memory(back, data)


@given(grids(max_angle=0.5))
def test_axial_order_runs_to_the_right_anterior_and_superior(grid: Grid) -> None:
    assert aff2axcodes(plan_ras(grid).affine) == ("R", "A", "S")


@given(grids(max_angle=0.3))
def test_the_slice_axis_is_last_and_the_others_keep_their_order(grid: Grid) -> None:
    assert aff2axcodes(plan_ras(grid, plane="coronal").affine) == ("R", "S", "A")
    assert aff2axcodes(plan_ras(grid, plane="sagittal").affine) == ("A", "S", "R")


@given(grids(max_angle=0.3), st.permutations(range(3)), st.tuples(*[st.booleans()] * 3))
def test_a_copy_stored_in_another_order_gives_the_same_ras_data(
    grid: Grid, order: list[int], flips: tuple[bool, bool, bool]
) -> None:
    data = numbers(grid.shape)
    to_old = np.zeros((4, 4))
    to_old[3, 3] = 1
    for new, (old, flip) in enumerate(zip(order, flips, strict=True)):
        to_old[old, new] = -1 if flip else 1
        to_old[old, 3] = grid.shape[old] - 1 if flip else 0
    flipped = tuple(axis for axis in range(3) if flips[axis])
    stored = np.flip(data.transpose(order), flipped)
    x, y, z = stored.shape
    copy = make_grid((x, y, z), grid.affine @ to_old)

    plan, plan_of_copy = plan_ras(grid), plan_ras(copy)

    np.testing.assert_array_equal(reorient(stored, plan_of_copy), reorient(data, plan))
    np.testing.assert_allclose(plan_of_copy.affine, plan.affine, atol=1e-9)
    np.testing.assert_allclose(plan_of_copy.spacing_mm, plan.spacing_mm)


@given(grids())
def test_spacing_and_shape_go_along_with_the_axes(grid: Grid) -> None:
    plan = plan_ras(grid)
    lengths = np.linalg.norm(plan.affine[:3, :3], axis=0)
    np.testing.assert_allclose(plan.spacing_mm, lengths, rtol=5e-6)  # six digits


@pytest.mark.parametrize(
    ("shape", "spacing", "slice_axis"),
    [
        ((20, 20, 20), (1.0, 1.0, 1.0), 2),
        ((20, 20, 20), (1.0, 1.005, 1.0), 2),
        ((20, 20, 20), (1.0, 4.0, 1.0), 1),
        ((20, 20, 20), (3.0, 1.0, 1.0), 0),
        ((20, 1, 20), (1.0, 1.0, 3.0), 1),
        ((1, 20, 1), (5.0, 1.0, 3.0), 0),
    ],
)
def test_the_thickest_axis_is_the_single_slice_or_the_widest_spacing(
    shape: tuple[int, int, int], spacing: tuple[float, float, float], slice_axis: int
) -> None:
    plan = plan_ras(make_grid(shape, np.diag([*spacing, 1.0])), plane="thickest")
    assert plan.axes[2] == slice_axis


@pytest.mark.parametrize("column", [[0, 0, 0], [1, 0, 0]])
def test_an_affine_without_three_independent_axes_is_refused(column: list[int]) -> None:
    affine = np.eye(4)
    affine[:3, 1] = column
    with pytest.raises(ScanError, match="three independent axes"):
        plan_ras(make_grid((2, 2, 2), affine))


@given(grids(), sizes)
def test_a_resampled_grid_has_its_outer_corners_at_the_same_places(
    grid: Grid, shape: tuple[int, int, int]
) -> None:
    affine = resampled_affine(grid.affine, grid.shape, shape)
    for corner in itertools.product((0, 1), repeat=3):
        old = np.array([*(np.array(corner) * grid.shape - 0.5), 1])
        new = np.array([*(np.array(corner) * shape - 0.5), 1])
        np.testing.assert_allclose(affine @ new, grid.affine @ old, atol=1e-9)


@given(grids(), sizes)
def test_resampling_forth_and_back_gives_the_same_affine(
    grid: Grid, shape: tuple[int, int, int]
) -> None:
    there = resampled_affine(grid.affine, grid.shape, shape)
    np.testing.assert_allclose(resampled_affine(there, shape, grid.shape), grid.affine, atol=1e-9)


def test_the_new_shape_covers_the_field_of_view_and_keeps_what_it_should() -> None:
    assert resampled_shape((256, 256, 192), (1, 1, 1), (2, 2, 2)) == (128, 128, 96)
    assert resampled_shape((320, 320, 12), (0.5, 0.5, 5), (0.5, 0.25, 0)) == (320, 640, 12)
    assert resampled_shape((10, 10, 1), (1, 1, 1), (1, 1, 5)) == (10, 10, 1)


def test_grids_are_the_same_within_a_tolerance_in_millimetres() -> None:
    grid = make_grid((100, 100, 100), np.eye(4))
    moved = np.eye(4)
    moved[0, 3] = 0.05
    turned = np.eye(4)
    turned[:3, :3] = rotate((0, 0, 0.001))
    assert same_grid(grid, make_grid((100, 100, 100), np.eye(4) + 1e-7))
    assert not same_grid(grid, make_grid((100, 100, 100), moved))
    assert same_grid(grid, make_grid((100, 100, 100), moved), tolerance_mm=0.1)
    assert not same_grid(grid, make_grid((100, 100, 99), np.eye(4)))
    assert largest_shift_mm(np.eye(4), turned, (100, 100, 100)) == pytest.approx(0.14, abs=0.01)


def test_a_mirror_image_has_opposite_sides_and_what_is_turned_or_moved_has_not() -> None:
    turned = np.eye(4)[[1, 2, 0, 3]]
    turned[:3, 3] = 50
    mirrored = np.diag([-1.0, 1, 1, 1])
    assert not have_opposite_sides(np.eye(4), turned)
    assert have_opposite_sides(turned, mirrored)
    assert not have_opposite_sides(np.full((4, 4), np.nan), mirrored)


@pytest.mark.parametrize("signs", [(-1, -1, 1), (-1, 1, -1)])
def test_left_and_right_that_are_swapped_by_half_a_turn_are_opposite_sides(
    signs: tuple[int, int, int],
) -> None:
    for angles in ((0.0, 0.0, 0.0), (0.3, -0.2, 0.25)):
        affine = np.eye(4)
        affine[:3, :3] = rotate(angles) * (0.5, 1, 3)
        assert have_opposite_sides(affine, np.diag([*signs, 1]) @ affine)


@given(grids(), st.integers(0, 2), st.floats(-np.radians(20), np.radians(20)))
def test_a_small_turn_puts_nothing_on_the_opposite_side(
    grid: Grid, axis: int, angle: float
) -> None:
    turned = np.eye(4)
    turned[:3, :3] = rotate((*[0.0] * axis, angle, *[0.0] * (2 - axis)))
    assert not have_opposite_sides(grid.affine, turned @ grid.affine)
