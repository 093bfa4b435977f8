from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from report_scenes import TABLE, make_cord, make_grid, make_volume, to_stored

from bids_film.domain.labels import LabelTable, Structure
from bids_film.domain.volume import Volume
from bids_film.report import stack as stack_module
from bids_film.report.stack import Stack, pack_stack
from bids_film.report.stage import set_stage

SHAPE = (40, 30, 20)


def unpack(uri: str, stack: Stack) -> NDArray[np.uint8]:
    """Take a picture apart as the page does."""
    content = base64.b64decode(uri.partition(",")[2])
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
    x, y, z = stack.shape
    voxels = np.zeros(stack.shape, np.uint8)
    for index in range(z):
        row, column = divmod(index, stack.columns)
        tile = pixels[row * y : (row + 1) * y, column * x : (column + 1) * x]
        voxels[:, :, index] = tile.T
    return voxels


@pytest.mark.parametrize("axes", ["RAS", "LPI", "PIR", "SRA"])
def test_labels_come_back_voxel_by_voxel_in_ras_order(axes: str) -> None:
    labels = make_cord(SHAPE)
    stored = to_stored(labels, axes)
    grid = make_grid(stored.shape, axes=axes)
    stack = pack_stack(set_stage(make_volume(stored, grid), stored, TABLE), None)
    assert stack is not None
    np.testing.assert_array_equal(unpack(stack.labels, stack), labels)
    assert stack.entropy == ""
    assert stack.parts == ((1, 2), (2,))


def test_gray_values_keep_their_order_and_nearly_their_place() -> None:
    ramp = np.broadcast_to(np.arange(40, dtype=np.float32)[:, None, None] * 10, SHAPE)
    labels = make_cord(SHAPE)
    volume = Volume(data=np.ascontiguousarray(ramp), grid=make_grid(SHAPE))
    stack = pack_stack(set_stage(volume, labels, TABLE), None)
    assert stack is not None
    columns = unpack(stack.image, stack).mean(axis=(1, 2))
    assert (np.diff(columns) > -2).all()
    assert columns[30] - columns[5] > 100


def test_entropy_is_packed_from_nothing_to_all() -> None:
    labels = make_cord(SHAPE)
    entropy = np.where(labels > 0, 1.0, 0.0).astype(np.float32)
    stage = set_stage(make_volume(labels, make_grid(SHAPE)), labels, TABLE)
    stack = pack_stack(stage, entropy)
    assert stack is not None
    heat = unpack(stack.entropy, stack)
    assert heat[labels > 0].mean() > 200
    assert heat[labels == 0].mean() < 20


def test_a_scan_that_is_too_large_shows_every_second_voxel_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stack_module, "MOST_VOXELS", 15_000)
    labels, grid = make_cord(SHAPE), make_grid(SHAPE, spacing_mm=(0.5, 1.0, 1.0))
    stack = pack_stack(set_stage(make_volume(labels, grid), labels, TABLE), None)
    assert stack is not None
    assert stack.steps == (2, 1, 1)
    assert stack.shape == (20, 30, 20)
    assert stack.spacing_mm == (1.0, 1.0, 1.0)
    np.testing.assert_array_equal(unpack(stack.labels, stack), labels[::2])
    assert stack.affine[0][0] == pytest.approx(1.0)


def test_noise_is_packed_within_the_budget() -> None:
    shape = (160, 160, 120)
    rng = np.random.default_rng(0)
    data = rng.normal(100, 40, shape).astype(np.float32)
    labels = np.zeros(shape, np.int32)
    labels[20:140, 20:140, 20:100] = 1
    stack = pack_stack(set_stage(Volume(data=data, grid=make_grid(shape)), labels, TABLE), None)
    assert stack is not None
    assert len(stack.image) <= 1_000_000


def test_more_structures_than_a_byte_holds_go_without() -> None:
    many = LabelTable(
        structures=tuple(
            Structure(index=i, name=str(i), abbreviation=f"S{i}", color="#000000")
            for i in range(1, 300)
        )
    )
    labels = make_cord(SHAPE)
    assert pack_stack(set_stage(make_volume(labels, make_grid(SHAPE)), labels, many), None) is None
