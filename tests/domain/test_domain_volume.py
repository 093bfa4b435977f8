from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.domain.volume import Affine, Grid


def make_grid(affine: Affine) -> Grid:
    shape = (4, 5, 6)
    return Grid(
        shape=shape, stored_shape=shape, affine=affine, qform=affine, sform=affine,
        qform_code=1, sform_code=1,
    )  # fmt: skip


def turn(degrees: float, sizes: tuple[float, float, float]) -> Affine:
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    affine = np.eye(4)
    affine[:3, :3] = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]]) * sizes
    return affine


@given(st.floats(-180, 180), st.integers(0, 2**32 - 1))
def test_voxel_sizes_do_not_depend_on_how_an_affine_was_rounded(degrees: float, seed: int) -> None:
    """A qform and an sform of the same grid differ by 1e-8."""
    sizes = (1.0, 0.5, 3.0)
    affine = turn(degrees, sizes)
    affine += np.random.default_rng(seed).normal(0, 3e-8, (4, 4))
    assert make_grid(affine).spacing_mm == sizes


def test_voxel_sizes_are_lengths_of_columns() -> None:
    assert make_grid(turn(30, (0.4688, 1.2, 2.5))).spacing_mm == pytest.approx((0.4688, 1.2, 2.5))
