"""Plots of an evaluation in the coordinates of their pictures, which templates draw as SVG."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bids_film.evaluation.calibration import Reliability
from bids_film.evaluation.summary import Row, Summary, number

MARGIN, PLOT_WIDTH, PLOT_HEIGHT = 60.0, 310.0, 200.0
FRAME = {"width": PLOT_WIDTH + MARGIN + 10, "height": PLOT_HEIGHT + MARGIN + 10, "margin": MARGIN}
"""Size of a picture, and the part of it that the axes take."""

_LETTER_WIDTH = 6.5
_LIMITS_OF_AGREEMENT = 1.96
_JITTER = (0.0, 0.35, -0.35, 0.18, -0.18, 0.52, -0.52)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """A scan in a plot, with what a pointer over it says."""

    x: float
    y: float
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line in a plot; `kind` is its CSS class."""

    x1: float
    y1: float
    x2: float
    y2: float
    kind: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick:
    """A place on an axis with its label."""

    place: float
    label: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """A plot in the coordinates of its picture.

    Attributes
    ----------
    title, x_title, y_title : str
    description : str
        What it shows, for those who do not see it.
    dots, lines, x_ticks, y_ticks : tuple
    """

    title: str
    x_title: str
    y_title: str
    description: str
    dots: tuple[Dot, ...]
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]

    @property
    def slanted(self) -> bool:
        """Whether labels of the lower axis would run into each other if they were level."""
        return any(
            _LETTER_WIDTH * (len(one.label) + len(other.label)) / 2 > other.place - one.place
            for one, other in itertools.pairwise(self.x_ticks)
        )


def draw_dice(
    rows: Sequence[Row], level_of: Sequence[str], summaries: Sequence[Summary], by: str
) -> Plot:
    """Plot the Dice of each scan of a structure, a column per level, with means and intervals."""
    lines = [line for line in summaries if line.measure == "dice" and line.interval.scans]
    levels = [line.level for line in lines]
    step = PLOT_WIDTH / max(1, len(levels))
    dots, marks = [], []
    for position, line in enumerate(lines):
        middle = MARGIN + (position + 0.5) * step
        own = [row for row, level in zip(rows, level_of, strict=True) if level == line.level]
        for index, row in enumerate(sorted(own, key=lambda row: number(row, "dice"))):
            shift = _JITTER[index % len(_JITTER)] * min(step, 120) / 3
            value = number(row, "dice")
            dots.append(
                Dot(x=middle + shift, y=_dice_y(value), title=f"{row['scan']}: {value:.3f}")
            )
        marks += _draw_interval(middle, line)
    said = "; ".join(f"{line.level or 'all'}: {line.interval.mean:.3f}" for line in lines)
    return Plot(
        title="Dice of each scan",
        x_title=by,
        y_title="Dice",
        description=f"Dice of {len(rows)} scans. Means: {said}.",
        dots=tuple(dots),
        lines=tuple(marks),
        x_ticks=tuple(
            Tick(place=MARGIN + (i + 0.5) * step, label=level) for i, level in enumerate(levels)
        ),
        y_ticks=tuple(Tick(place=_dice_y(v), label=f"{v:g}") for v in (0, 0.25, 0.5, 0.75, 1)),
    )


def draw_volumes(rows: Sequence[Row]) -> Plot | None:
    """Plot differences of volumes over their means (Bland & Altman, The Lancet 1986).

    None where there are fewer than two scans.
    """
    pairs = [(number(row, "volume_ml"), number(row, "reference_volume_ml")) for row in rows]
    means = [(one + other) / 2 for one, other in pairs]
    differences = [one - other for one, other in pairs]
    if len(rows) < 2 or any(math.isnan(value) for value in (*means, *differences)):  # noqa: PLR2004 (no spread)
        return None
    bias, spread = statistics.fmean(differences), statistics.stdev(differences)
    limits = [bias - _LIMITS_OF_AGREEMENT * spread, bias + _LIMITS_OF_AGREEMENT * spread]
    to_x = _Axis(low=min(means), high=max(means), start=MARGIN, length=PLOT_WIDTH)
    to_y = _Axis(
        low=min(*differences, *limits, 0),
        high=max(*differences, *limits, 0),
        start=PLOT_HEIGHT,
        length=-PLOT_HEIGHT,
    )
    kinds = (("zero", 0.0), ("mean", bias), ("limit", limits[0]), ("limit", limits[1]))
    across = [
        Line(x1=MARGIN, x2=MARGIN + PLOT_WIDTH, y1=to_y.place(v), y2=to_y.place(v), kind=kind)
        for kind, v in kinds
    ]
    return Plot(
        title="Volume against the reference",
        x_title="mean of both, mL",
        y_title="difference, mL",
        description=f"Volumes are {bias:+.3g} mL off on average; 95 % of the scans lie between "
        f"{limits[0]:+.3g} and {limits[1]:+.3g} mL.",
        dots=tuple(
            Dot(x=to_x.place(m), y=to_y.place(d), title=f"{row['scan']}: {d:+.3g} mL")
            for row, m, d in zip(rows, means, differences, strict=True)
        ),
        lines=tuple(across),
        x_ticks=to_x.ticks(),
        y_ticks=to_y.ticks(),
    )


def draw_pairs(first: Sequence[Row], second: Sequence[Row], names: tuple[str, str]) -> Plot:
    """Plot the Dice of each scan by two models, joined by a line."""
    own = {row["scan"]: number(row, "dice") for row in first}
    pairs = [(own[row["scan"]], number(row, "dice"), row) for row in second if row["scan"] in own]
    left, right = MARGIN + 0.2 * PLOT_WIDTH, MARGIN + 0.8 * PLOT_WIDTH
    better = sum(one < other for one, other, _ in pairs)
    return Plot(
        title="Dice by both models",
        x_title="",
        y_title="Dice",
        description=f"Dice of {len(pairs)} scans by two models; higher by {names[1]} on {better}.",
        dots=tuple(
            Dot(x=x, y=_dice_y(value), title=f"{row['scan']}: {value:.3f}")
            for one, other, row in pairs
            for x, value in ((left, one), (right, other))
        ),
        lines=tuple(
            Line(
                x1=left,
                y1=_dice_y(one),
                x2=right,
                y2=_dice_y(other),
                kind="up" if other >= one else "down",
            )
            for one, other, _ in pairs
        ),
        x_ticks=(Tick(place=left, label=names[0]), Tick(place=right, label=names[1])),
        y_ticks=tuple(Tick(place=_dice_y(v), label=f"{v:g}") for v in (0, 0.25, 0.5, 0.75, 1)),
    )


def draw_reliability(reliability: Reliability) -> Plot:
    """Plot the share of voxels that is the structure over the probability that they were given."""
    side = PLOT_HEIGHT - 8
    left = MARGIN + (PLOT_WIDTH - side) / 2
    bins = [
        (given / voxels, true / voxels, voxels)
        for voxels, given, true in zip(
            reliability.voxels.tolist(),
            reliability.predicted.tolist(),
            reliability.found.tolist(),
            strict=True,
        )
        if voxels
    ]
    places = [(left + given * side, _dice_y(true)) for given, true, _ in bins]
    curve = [
        Line(x1=x1, y1=y1, x2=x2, y2=y2, kind="mean")
        for (x1, y1), (x2, y2) in itertools.pairwise(places)
    ]
    ideal = Line(x1=left, y1=_dice_y(0), x2=left + side, y2=_dice_y(1), kind="limit")
    return Plot(
        title="Do probabilities come true?",
        x_title="probability",
        y_title="share that is the structure",
        description=f"Expected calibration error {reliability.ece:.3f}. A point above the dashed "
        "line: the network is too cautious; below: too sure.",
        dots=tuple(
            Dot(x=x, y=y, title=f"{voxels:.0f} voxels given {given:.2f} on average: {true:.2f}")
            for (x, y), (given, true, voxels) in zip(places, bins, strict=True)
        ),
        lines=(ideal, *curve),
        x_ticks=tuple(Tick(place=left + v * side, label=f"{v:g}") for v in (0, 0.5, 1)),
        y_ticks=tuple(Tick(place=_dice_y(v), label=f"{v:g}") for v in (0, 0.25, 0.5, 0.75, 1)),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Axis:
    """Values to places along a picture's side, with a little room at both ends."""

    low: float
    high: float
    start: float
    length: float

    def place(self, value: float) -> float:
        room = 0.06 * ((self.high - self.low) or abs(self.high) or 1.0)
        share = (value - self.low + room) / (self.high - self.low + 2 * room)
        return self.start + share * self.length

    def ticks(self) -> tuple[Tick, ...]:
        values = dict.fromkeys((self.low, (self.low + self.high) / 2, self.high))
        return tuple(Tick(place=self.place(value), label=f"{value:.3g}") for value in values)


def _draw_interval(middle: float, line: Summary) -> list[Line]:
    found = line.interval
    mean = _dice_y(found.mean)
    marks = [Line(x1=middle - 22, x2=middle + 22, y1=mean, y2=mean, kind="mean")]
    if not math.isnan(found.low):
        low, high = _dice_y(found.low), _dice_y(found.high)
        marks.append(Line(x1=middle, x2=middle, y1=low, y2=high, kind="mean"))
    return marks


def _dice_y(value: float) -> float:
    return 8 + (1 - value) * (PLOT_HEIGHT - 8)
