"""Write the page of an evaluation: a table, and plots of every scan."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bids_film.evaluation.calibration import Reliability
from bids_film.evaluation.rows import Row, identify_scan
from bids_film.evaluation.summary import Comparison, Summary, find_levels
from bids_film.report.charts import (
    Chart,
    chart_dice,
    chart_pairs,
    chart_reliability,
    chart_volumes,
    describe_charts,
)
from bids_film.report.templating import plain_environment

_SHOWN = ("dice", "surface_dice", "hd95_mm", "assd_mm", "volume_difference_percent")


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluationPage:
    """What the page of an evaluation shows.

    Attributes
    ----------
    model, dataset, version : str
        Name and version of the model, name of the dataset, version of this program.
    rows : Sequence[Row]
        One per scan and structure.
    by : str
        Column that divides the scans; empty for none.
    summaries : Sequence[Summary]
    comparisons : Sequence[Comparison]
    other : Sequence[Row]
        Rows of what it is compared with.
    other_name : str
    reliability : Mapping[str, Reliability]
        By structure, where probabilities are there.
    """

    model: str
    dataset: str
    version: str
    rows: Sequence[Row]
    by: str = ""
    summaries: Sequence[Summary]
    comparisons: Sequence[Comparison] = ()
    other: Sequence[Row] = ()
    other_name: str = ""
    reliability: Mapping[str, Reliability] = field(default_factory=dict)


def render_evaluation(page: EvaluationPage) -> str:
    """Write the page as one HTML document that needs nothing else."""
    structures = list(dict.fromkeys(str(row["structure"]) for row in page.rows))
    return (
        plain_environment()
        .get_template("evaluation.html")
        .render(
            page=page,
            shown=_SHOWN,
            groups=_group(page.summaries),
            seen=_count_seen(page.rows),
            **describe_charts({name: _chart(page, name) for name in structures}),
        )
    )


def _count_seen(rows: Sequence[Row]) -> dict[str, int]:
    """Count the scans that the model was trained or validated on."""
    used = {identify_scan(row): str(row.get("used_for", "other")) for row in rows}
    counts = Counter(used.values())
    return {name: counts[name] for name in ("training", "validation") if counts[name]}


def _chart(page: EvaluationPage, structure: str) -> list[Chart]:
    levels = find_levels(page.rows, page.by)
    pairs = zip(page.rows, levels, strict=True)
    own = [(row, level) for row, level in pairs if row["structure"] == structure]
    rows, level_of = [row for row, _ in own], [level for _, level in own]
    summaries = [line for line in page.summaries if line.structure == structure]
    other = [row for row in page.other if row["structure"] == structure]
    charts = [chart_dice(rows, level_of, summaries, page.by), chart_volumes(rows)]
    if other:
        charts.append(chart_pairs(other, rows, ("other", "this")))
    if structure in page.reliability:
        charts.append(chart_reliability(page.reliability[structure]))
    return [chart for chart in charts if chart is not None]


def _group(summaries: Sequence[Summary]) -> dict[tuple[str, str], dict[str, Summary]]:
    found: dict[tuple[str, str], dict[str, Summary]] = {}
    for line in summaries:
        found.setdefault((line.structure, line.level), {})[line.measure] = line
    return {key: own for key, own in found.items() if own["dice"].interval.scans}
