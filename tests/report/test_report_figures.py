from __future__ import annotations

import numpy as np
import pytest
from report_scenes import TABLE, make_cord, make_grid, make_volume, read_pixels, to_stored

from bids_film.domain.volume import Volume
from bids_film.report.figures import Tile, draw_figure
from bids_film.report.stage import set_stage

AXES = ["RAS", "LPS", "LAS", "PIR", "SRA", "ASL", "IPL"]


def find_bright(tile: Tile) -> tuple[float, float]:
    """Middle of the bright pixels as parts of height and width."""
    pixels = read_pixels(tile)
    rows, columns = np.nonzero(pixels > 200)
    return float(rows.mean() / pixels.shape[0]), float(columns.mean() / pixels.shape[1])


@pytest.mark.parametrize("axes", AXES)
def test_the_patients_right_front_and_top_are_where_radiologists_look_for_them(axes: str) -> None:
    ras = np.full((32, 40, 36), 50, np.float32)
    ras[24:30, 28:36, 26:34] = 255  # high x, y and z: right, anterior, superior
    labels = (ras > 200).astype(np.int32)
    image = to_stored(ras, axes)
    grid = make_grid((image.shape[0], image.shape[1], image.shape[2]), axes=axes)
    figure = draw_figure(set_stage(Volume(data=image, grid=grid), to_stored(labels, axes), TABLE))
    axial, coronal, sagittal = (row[0] for row in figure.rows)
    for tile in (axial, coronal):
        assert tile.zoom is not None
        row, column = find_bright(tile)
        assert row < 0.5, "anterior and superior are up"
        assert column < 0.5, "the patient's right is on the left"
        assert (tile.plane.left, tile.plane.right) == ("R", "L")
    row, column = find_bright(sagittal)
    assert row < 0.5, "superior is up"
    assert column < 0.5, "anterior is on the left"


@pytest.mark.parametrize("axes", AXES)
def test_slices_are_numbered_as_the_file_numbers_them(axes: str) -> None:
    labels = np.zeros((12, 14, 16), np.int32)
    labels[3, 5, 11] = 1
    stored = to_stored(labels, axes)
    grid = make_grid((stored.shape[0], stored.shape[1], stored.shape[2]), axes=axes)
    figure = draw_figure(set_stage(make_volume(stored, grid), stored, TABLE))
    place = dict(zip(axes, np.argwhere(stored)[0].tolist(), strict=True))
    for row, ends in zip(figure.rows, ("SI", "AP", "RL"), strict=True):
        expected = next(place[end] for end in ends if end in place)
        assert {tile.stored_index for tile in row} == {expected}


def test_thick_slices_are_shown_in_their_own_plane_only() -> None:
    labels = make_cord((60, 60, 14))
    grid = make_grid((60, 60, 14), spacing_mm=(0.5, 0.5, 3.0))
    figure = draw_figure(set_stage(make_volume(labels, grid), labels, TABLE))
    (row,) = figure.rows
    assert {tile.plane.name for tile in row} == {"axial"}
    assert len({tile.stored_index for tile in row}) == 10


def test_a_single_slice_is_shown_in_its_plane_whatever_its_thickness() -> None:
    labels = np.zeros((1, 30, 30), np.int32)
    labels[0, 10:14, 10:14] = 1
    figure = draw_figure(set_stage(make_volume(labels, make_grid((1, 30, 30))), labels, TABLE))
    (row,) = figure.rows
    assert {tile.plane.name for tile in row} == {"sagittal"}


def test_pictures_have_the_proportions_of_the_patient() -> None:
    labels = make_cord((40, 40, 10))
    grid = make_grid((40, 40, 10), spacing_mm=(0.5, 1.0, 2.0))
    for row in draw_figure(set_stage(make_volume(labels, grid), labels, TABLE)).rows:
        for tile in row:
            assert tile.width_mm == tile.columns * grid.spacing_mm[tile.plane.across]
            assert tile.height_mm == tile.rows * grid.spacing_mm[tile.plane.down]


def test_a_large_segmentation_needs_no_overview_and_a_small_one_does() -> None:
    large = np.zeros((40, 40, 40), np.int32)
    large[4:36, 4:36, 4:36] = 1
    small = np.zeros((80, 80, 80), np.int32)
    small[38:42, 38:42, 38:42] = 1
    for labels, overviews in ((large, 0), (small, 3)):
        shape = (labels.shape[0], labels.shape[1], labels.shape[2])
        figure = draw_figure(set_stage(make_volume(labels, make_grid(shape)), labels, TABLE))
        zooms = [tile for row in figure.rows for tile in row if tile.zoom]
        assert len(zooms) == overviews


def test_the_zoom_box_is_what_the_other_tiles_show() -> None:
    labels = np.zeros((80, 80, 80), np.int32)
    labels[50:54, 20:26, 38:42] = 1
    figure = draw_figure(set_stage(make_volume(labels, make_grid((80, 80, 80))), labels, TABLE))
    overview, zoomed = figure.rows[0][:2]
    assert overview.zoom is not None
    assert (overview.zoom.width, overview.zoom.height) == (zoomed.columns, zoomed.rows)
    # x from 50 to 53 is shown from the right end: columns 26 to 29, with 10 mm on each side.
    assert (overview.zoom.left, overview.zoom.width) == (80 - 54 - 10, 24)
    assert (overview.zoom.top, overview.zoom.height) == (80 - 26 - 10, 26)


def test_a_container_is_outlined_with_its_parts() -> None:
    labels = make_cord()
    figure = draw_figure(set_stage(make_volume(labels, make_grid((40, 30, 20))), labels, TABLE))
    tiles = [tile for tile in figure.rows[0] if len(tile.contours) == 2]
    assert tiles
    for tile in tiles:
        cord, gray = tile.contours
        assert (cord.structure.name, gray.structure.name) == ("spinal cord", "gray matter")
        assert cord.path.count("M") == 1, "no hole where the gray matter is"


def test_an_empty_segmentation_and_a_constant_image_can_be_shown() -> None:
    labels = np.zeros((12, 12, 12), np.int32)
    image = Volume(data=np.full((12, 12, 12), 7, np.float32), grid=make_grid((12, 12, 12)))
    figure = draw_figure(set_stage(image, labels, TABLE))
    assert [len(row) for row in figure.rows] == [8, 4, 4]
    assert not any(tile.contours for row in figure.rows for tile in row)


def test_a_fine_image_does_not_make_a_heavy_page() -> None:
    rng = np.random.default_rng(0)
    labels = np.ones((700, 700, 3), np.int32)
    image = rng.normal(100, 20, size=labels.shape).astype(np.float32)
    grid = make_grid((700, 700, 3), spacing_mm=(0.2, 0.2, 4.0))
    figure = draw_figure(set_stage(Volume(data=image, grid=grid), labels, TABLE))
    assert max(read_pixels(figure.rows[0][0]).shape) == 360


def test_without_orientation_nobody_claims_to_know_left_from_right() -> None:
    labels = make_cord()
    for codes, oriented in (((0, 0), False), ((1, 0), True), ((0, 2), True)):
        grid = make_grid((40, 30, 20), codes=codes)
        assert draw_figure(set_stage(make_volume(labels, grid), labels, TABLE)).oriented is oriented
