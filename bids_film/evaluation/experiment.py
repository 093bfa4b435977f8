"""Several arms, each trained several times: what they differ by, over participants."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bids_film.evaluation.rows import Row, identify_scan, mean_defined
from bids_film.evaluation.rows import number as read_number
from bids_film.evaluation.statistics import adjust_holm
from bids_film.evaluation.summary import (
    MEASURES,
    Comparison,
    Summary,
    compare,
    summarise,
)

AS_FOUND = "as found"
"""The condition under which each scan's own metadata are told."""

_KEY = ("arm", "condition", "structure")


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmSummary:
    """One measure of one structure by one arm under one condition.

    Attributes
    ----------
    arm, condition : str
    summary : Summary
        Of each scan's mean over the seeds.
    seed_sd : float
        Standard deviation of the means of the single seeds; NaN where there is one.
    """

    arm: str
    condition: str
    summary: Summary
    seed_sd: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmComparison:
    """The first arm against another; ``comparison.second`` is the first arm's mean."""

    arm: str
    comparison: Comparison


def average_seeds(rows: Sequence[Row]) -> list[dict[str, str | float | None]]:
    """Average each scan's measures over the seeds: seeds are no further participants.

    Parameters
    ----------
    rows : Sequence[Row]
        With ``arm``, ``condition`` and ``seed``.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        key = (*(row[name] for name in _KEY), identify_scan(row))
        groups.setdefault(key, []).append(row)
    return [
        {
            **group[0],
            **{name: mean_defined([read_number(row, name) for row in group]) for name in MEASURES},
        }
        for group in groups.values()
    ]


def summarise_arms(rows: Sequence[Row], *, by: str = "") -> list[ArmSummary]:
    """Average every measure of every structure for each arm and condition.

    Parameters
    ----------
    rows : Sequence[Row]
        One per arm, seed, condition, scan and structure.
    by : str
        Column whose values divide the scans.
    """
    averaged = average_seeds(rows)
    groups = dict.fromkeys((str(row["arm"]), str(row["condition"])) for row in averaged)
    result = []
    for arm, condition in groups:
        own = [row for row in averaged if (row["arm"], row["condition"]) == (arm, condition)]
        single = [row for row in rows if (row["arm"], row["condition"]) == (arm, condition)]
        seeds = dict.fromkeys(row["seed"] for row in single)
        of_seeds = [
            _index(summarise([row for row in single if row["seed"] == seed], by=by))
            for seed in seeds
        ]
        for line in summarise(own, by=by):
            key = (line.structure, line.level, line.measure)
            means = [found[key].interval.mean for found in of_seeds if key in found]
            result.append(
                ArmSummary(arm=arm, condition=condition, summary=line, seed_sd=_spread(means))
            )
    return result


def compare_arms(rows: Sequence[Row]) -> list[ArmComparison]:
    """Compare the first arm with each of the others on the scans that both have.

    p values are adjusted for all that is compared (Holm).
    """
    averaged = [row for row in average_seeds(rows) if row["condition"] == AS_FOUND]
    arms = list(dict.fromkeys(str(row["arm"]) for row in averaged))
    of_arm = {arm: [row for row in averaged if row["arm"] == arm] for arm in arms}
    found = [
        ArmComparison(arm=arm, comparison=line)
        for arm in arms[1:]
        for line in compare(of_arm[arm], of_arm[arms[0]])
    ]
    adjusted = adjust_holm([line.comparison.test.p for line in found])
    return [
        replace(line, comparison=replace(line.comparison, p_holm=p))
        for line, p in zip(found, adjusted, strict=True)
    ]


def _index(lines: Sequence[Summary]) -> dict[tuple[str, str, str], Summary]:
    return {(line.structure, line.level, line.measure): line for line in lines}


def _spread(values: Sequence[float]) -> float:
    defined = [value for value in values if not math.isnan(value)]
    return statistics.stdev(defined) if len(defined) > 1 else math.nan
