"""What the plots of an evaluation show, as data: the page's script draws them."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from markupsafe import Markup

from bids_film.evaluation.calibration import Reliability
from bids_film.evaluation.rows import Row, identify_scan, number
from bids_film.evaluation.summary import Summary
from bids_film.report.templating import read_asset, read_library, write_policy

_LIMITS_OF_AGREEMENT = 1.96
_JITTER = (0.0, 0.12, -0.12, 0.06, -0.06, 0.18, -0.18)
_MARK = 0.25
"""Half the width of the line at a mean, where levels are 1 apart."""

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Dot:
    """A scan in a plot, with what a pointer over it says."""

    x: float
    y: float
    title: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A line through points; `kind` says how it looks, see ``plots.js``."""

    points: tuple[Point, ...]
    kind: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Axis:
    """An axis.

    Attributes
    ----------
    title : str
    low, high : float or None
        Ends; None where they follow from the dots.
    levels : tuple[str, ...]
        Names of the values 0, 1, 2 …; empty for numbers.
    """

    title: str = ""
    low: float | None = None
    high: float | None = None
    levels: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Chart:
    """A plot.

    Attributes
    ----------
    title : str
    description : str
        What it shows, for those who do not see it.
    x, y : Axis
    dots, lines : tuple
    """

    title: str
    description: str
    x: Axis
    y: Axis
    dots: tuple[Dot, ...]
    lines: tuple[Line, ...]


_DICE = Axis(title="Dice", low=0, high=1)


def describe_charts(charts: Mapping[str, Sequence[Chart]]) -> dict[str, Any]:
    """Gather what a template needs to show plots by structure: text, data, scripts, policy."""
    scripts = [read_library("chart.min.js"), read_asset("charts.js"), read_asset("plots.js")]
    return {
        "charts": charts,
        "content": [asdict(chart) for own in charts.values() for chart in own],
        "scripts": [Markup(script) for script in scripts],  # noqa: S704 files of this package
        "policy": write_policy(*scripts),
    }


def chart_dice(
    rows: Sequence[Row], level_of: Sequence[str], summaries: Sequence[Summary], by: str
) -> Chart:
    """Plot the Dice of each scan of a structure, a column per level, with means and intervals."""
    lines = [line for line in summaries if line.measure == "dice" and line.interval.scans]
    scans = {(row.get("dataset"), row["scan"]) for row in rows}
    dots: list[Dot] = []
    for place, line in enumerate(lines):
        own = [row for row, level in zip(rows, level_of, strict=True) if level == line.level]
        own = [row for row in own if math.isfinite(number(row, "dice"))]
        for index, row in enumerate(sorted(own, key=lambda row: number(row, "dice"))):
            x = place + _JITTER[index % len(_JITTER)]
            dots.append(_dot(x, number(row, "dice"), row, f"{number(row, 'dice'):.3f}"))
    said = "; ".join(f"{line.level or 'all'}: {line.interval.mean:.3f}" for line in lines)
    return Chart(
        title="Dice of each scan",
        description=f"Dice of {len(scans)} scans. Means: {said}.",
        x=_level_axis(by, [line.level for line in lines]),
        y=_DICE,
        dots=tuple(dots),
        lines=tuple(mark for place, line in enumerate(lines) for mark in _mark_mean(place, line)),
    )


def chart_volumes(rows: Sequence[Row]) -> Chart | None:
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
    ends = (min(means), max(means))
    kinds = (("zero", 0.0), ("mean", bias), ("limit", limits[0]), ("limit", limits[1]))
    return Chart(
        title="Volume against the reference",
        description=f"Volumes are {bias:+.3g} mL off on average; 95 % of the scans lie between "
        f"{limits[0]:+.3g} and {limits[1]:+.3g} mL.",
        x=Axis(title="mean of both, mL"),
        y=Axis(title="difference, mL"),
        dots=tuple(
            _dot(mean, difference, row, f"{difference:+.3g} mL")
            for row, mean, difference in zip(rows, means, differences, strict=True)
        ),
        lines=tuple(Line(points=tuple((x, y) for x in ends), kind=kind) for kind, y in kinds),
    )


def chart_pairs(first: Sequence[Row], second: Sequence[Row], names: tuple[str, str]) -> Chart:
    """Plot the Dice of each scan by two models, joined by a line."""
    own = {identify_scan(row): number(row, "dice") for row in first}
    pairs = [
        (own[identify_scan(row)], number(row, "dice"), row)
        for row in second
        if identify_scan(row) in own
    ]
    pairs = [pair for pair in pairs if math.isfinite(pair[0] + pair[1])]
    better = sum(one < other for one, other, _ in pairs)
    return Chart(
        title="Dice by both models",
        description=f"Dice of {len(pairs)} scans by two models; higher by {names[1]} on {better}.",
        x=_level_axis("", names),
        y=_DICE,
        dots=tuple(
            _dot(place, value, row, f"{value:.3f}")
            for one, other, row in pairs
            for place, value in enumerate((one, other))
        ),
        lines=tuple(
            Line(points=((0, one), (1, other)), kind="up" if other >= one else "down")
            for one, other, _ in pairs
        ),
    )


def chart_reliability(reliability: Reliability) -> Chart:
    """Plot the share of voxels that is the structure over the probability that they were given."""
    counted = zip(
        reliability.voxels.tolist(),
        reliability.predicted.tolist(),
        reliability.found.tolist(),
        strict=True,
    )
    bins = [(given / voxels, true / voxels, voxels) for voxels, given, true in counted if voxels]
    return Chart(
        title="Do probabilities come true?",
        description=f"Expected calibration error {reliability.ece:.3f}. A point above the dashed "
        "line: the network is too cautious; below: too sure.",
        x=Axis(title="probability", low=0, high=1),
        y=Axis(title="share that is the structure", low=0, high=1),
        dots=tuple(
            Dot(x=x, y=y, title=f"{voxels:.0f} voxels given {x:.2f} on average: {y:.2f}")
            for x, y, voxels in bins
        ),
        lines=(
            Line(points=((0, 0), (1, 1)), kind="limit"),
            Line(points=tuple((x, y) for x, y, _ in bins), kind="mean"),
        ),
    )


def _level_axis(title: str, levels: Iterable[str]) -> Axis:
    names = tuple(levels)
    return Axis(title=title, low=-0.5, high=len(names) - 0.5, levels=names)


def _dot(x: float, y: float, row: Row, said: str) -> Dot:
    return Dot(x=x, y=y, title=f"{row['scan']}: {said}")


def _mark_mean(place: int, line: Summary) -> list[Line]:
    found = line.interval
    marks = [((place - _MARK, found.mean), (place + _MARK, found.mean))]
    if not math.isnan(found.low):
        marks.append(((place, found.low), (place, found.high)))
    return [Line(points=points, kind="mean") for points in marks]
