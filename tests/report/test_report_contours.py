from __future__ import annotations

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from bids_film.report.contours import outline


def read_path(path: str) -> list[list[tuple[int, int]]]:
    """Absolute corners of each closed line of a path."""
    lines = []
    for part in re.findall(r"M([^Mz]*)z", path):
        start, _, moves = part.partition("l")
        x, y = (int(number) for number in start.split())
        line = [(x, y)]
        steps = [int(number) for number in moves.split()]
        for dx, dy in zip(steps[::2], steps[1::2], strict=True):
            x, y = x + dx, y + dy
            line.append((x, y))
        lines.append(line)
    return lines


def fill(path: str, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels whose centres lie within a path, by the even-odd rule."""
    inside = np.zeros(shape, bool)
    for line in read_path(path):
        canvas = Image.new("1", (8 * shape[1], 8 * shape[0]))
        ImageDraw.Draw(canvas).polygon([(4 * x, 4 * y) for x, y in line], fill=1)
        inside ^= np.asarray(canvas)[4::8, 4::8]
    return inside


def test_a_single_pixel_gives_a_diamond_around_its_centre() -> None:
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True
    (line,) = read_path(outline(mask))
    assert sorted(line) == [(4, 3), (5, 2), (5, 4), (6, 3)]


def test_straight_lines_keep_only_their_corners() -> None:
    (line,) = read_path(outline(np.ones((40, 60), bool)))
    assert len(line) == 8


def test_a_hole_gets_a_line_of_its_own() -> None:
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    assert len(read_path(outline(mask))) == 2


def test_an_empty_mask_gives_nothing() -> None:
    assert outline(np.zeros((3, 3), bool)) == ""


@given(mask=arrays(bool, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_the_outline_encloses_exactly_the_pixels_of_the_mask(mask: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(fill(outline(mask), mask.shape), mask)
