"""Write the results of an experiment: the same tables as Markdown and as a page with plots."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bids_film.evaluation.experiment import AS_FOUND, ArmComparison, ArmSummary, average_seeds
from bids_film.evaluation.rows import Row
from bids_film.evaluation.statistics import Interval
from bids_film.report.charts import Chart, chart_dice, describe_charts
from bids_film.report.templating import plain_environment

_SHOWN = ("dice", "surface_dice", "hd95_mm")
_COMPARED = ("dice", "hd95_mm")


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentPage:
    """What an experiment found.

    Attributes
    ----------
    name, dataset, version : str
        Name of the model, name of the dataset, version of this program.
    part : str
        Which scans it was evaluated on: ``test`` or ``validation``.
    seeds : Sequence[int]
    by : str
        Column that divides the scans; empty for none.
    summaries : Sequence[ArmSummary]
        Of all scans.
    divided : Sequence[ArmSummary]
        By the column.
    comparisons : Sequence[ArmComparison]
    rows : Sequence[Row]
        One per arm, seed, condition, scan and structure.
    """

    name: str
    dataset: str
    version: str
    part: str
    seeds: Sequence[int]
    by: str = ""
    summaries: Sequence[ArmSummary]
    divided: Sequence[ArmSummary] = ()
    comparisons: Sequence[ArmComparison] = ()
    rows: Sequence[Row] = ()

    @property
    def note(self) -> str:
        """What the figures are."""
        chosen = "" if self.part == "test" else ", which chose the step that was kept"
        return (
            f"Means over the {self.part} scans{chosen}, of each scan's mean over "
            f"{len(self.seeds)} seeds; in brackets the 95 % interval from resampling participants."
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A table of text."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""


def write_markdown(page: ExperimentPage) -> str:
    """Write the tables as Markdown."""
    lines = [f"# Experiment {page.name}" + (f", {page.dataset}" if page.dataset else ""), ""]
    lines += [page.note, ""]
    for table in make_tables(page):
        lines += [f"## {table.title}", ""]
        lines += [table.note, ""] if table.note else []
        lines += [_join(table.header), _join(["---"] * len(table.header))]
        lines += [_join(row) for row in table.rows]
        lines += [""]
    return "\n".join(lines)


def render_experiment(page: ExperimentPage) -> str:
    """Write the page as one HTML document that needs nothing else."""
    structures = dict.fromkeys(line.summary.structure for line in page.summaries)
    return (
        plain_environment()
        .get_template("experiment.html")
        .render(
            page=page,
            tables=list(make_tables(page)),
            **describe_charts({name: [chart_arms(page, name)] for name in structures}),
        )
    )


def make_tables(page: ExperimentPage) -> Iterator[Table]:
    """Make the tables: arms, comparisons, levels, and what happens when other metadata are told."""
    yield _tabulate_arms(page)
    if page.comparisons:
        yield _tabulate_comparisons(page)
    if page.divided:
        yield _tabulate_levels(page)
    if any(line.condition != AS_FOUND for line in page.summaries):
        yield _tabulate_conditions(page)


def chart_arms(page: ExperimentPage, structure: str) -> Chart:
    """Plot the Dice of each scan of a structure, a column per arm."""
    rows = [
        row
        for row in average_seeds(page.rows)
        if row["structure"] == structure and row["condition"] == AS_FOUND
    ]
    lines = [
        replace(line.summary, level=line.arm)
        for line in page.summaries
        if line.summary.structure == structure and line.condition == AS_FOUND
    ]
    return chart_dice(rows, [str(row["arm"]) for row in rows], lines, "")


def _tabulate_arms(page: ExperimentPage) -> Table:
    rows = []
    for (structure, arm), own in _group(page.summaries).items():
        dice = own["dice"]
        spread = "n/a" if math.isnan(dice.seed_sd) else f"{dice.seed_sd:.3f}"
        measures = [describe_interval(own[name].summary.interval) for name in _SHOWN]
        rows.append([structure, arm, str(dice.summary.interval.scans), *measures, spread])
    return Table(
        title="Arms",
        header=["structure", "arm", "scans", *_SHOWN, "SD of Dice over seeds"],
        rows=rows,
    )


def _tabulate_comparisons(page: ExperimentPage) -> Table:
    first = page.summaries[0].arm
    rows = [
        [
            line.comparison.structure,
            line.arm,
            line.comparison.measure,
            describe_interval(line.comparison.test.difference, sign="+"),
            f"{line.comparison.test.p:.2g}",
            f"{line.comparison.p_holm:.2g}",
            f"{line.comparison.test.effect:+.2f}",
        ]
        for line in page.comparisons
        if line.comparison.measure in _COMPARED and line.comparison.test.pairs
    ]
    return Table(
        title=f"{first} against the others",
        header=[
            "structure",
            "other arm",
            "measure",
            f"{first} minus other",
            "p",
            "p, Holm",
            "effect",
        ],
        rows=rows,
        note="Wilcoxon signed-rank test over participants, adjusted for all that was compared "
        "(Holm); effect: matched-pairs rank-biserial correlation.",
    )


def _tabulate_levels(page: ExperimentPage) -> Table:
    levels = list(dict.fromkeys(line.summary.level for line in page.divided))
    found = {
        (line.summary.structure, line.arm, line.summary.level): line.summary.interval
        for line in page.divided
        if line.condition == AS_FOUND and line.summary.measure == "dice"
    }
    keys = dict.fromkeys((structure, arm) for structure, arm, _ in found)
    rows = [
        [
            *key,
            *(
                describe_interval(found[(*key, level)]) if (*key, level) in found else "n/a"
                for level in levels
            ),
        ]
        for key in keys
    ]
    return Table(title=f"Dice by {page.by}", header=["structure", "arm", *levels], rows=rows)


def _tabulate_conditions(page: ExperimentPage) -> Table:
    """Dice of the scans of each level (rows) when another value is told of them (columns)."""
    lines = [line for line in (*page.summaries, *page.divided) if line.summary.measure == "dice"]
    conditions = list(dict.fromkeys(line.condition for line in lines))
    found = {
        (line.summary.structure, line.arm, line.summary.level or "all", line.condition): line
        for line in lines
    }
    told = dict.fromkeys(key[:3] for key, line in found.items() if line.condition != AS_FOUND)
    rows = [
        [
            *key,
            *(
                f"{found[(*key, condition)].summary.interval.mean:.3f}"
                if (*key, condition) in found
                else "n/a"
                for condition in conditions
            ),
        ]
        for key in told
    ]
    return Table(
        title="Dice when other metadata are told",
        header=["structure", "arm", page.by or "scans", *conditions],
        rows=rows,
        note="By the same networks: `as found` tells each scan's own metadata, `withheld` none, "
        "the others one value for every scan.",
    )


def describe_interval(interval: Interval, *, sign: str = "") -> str:
    """Write a mean with its interval."""
    if math.isnan(interval.mean):
        return "n/a"
    mean = f"{interval.mean:{sign}.3f}"
    if math.isnan(interval.low):
        return mean
    return f"{mean} [{interval.low:{sign}.3f}, {interval.high:{sign}.3f}]"


def _group(lines: Sequence[ArmSummary]) -> dict[tuple[str, str], dict[str, ArmSummary]]:
    found: dict[tuple[str, str], dict[str, ArmSummary]] = {}
    for line in lines:
        if line.condition == AS_FOUND:
            key = (line.summary.structure, line.arm)
            found.setdefault(key, {})[line.summary.measure] = line
    return {key: own for key, own in found.items() if own["dice"].summary.interval.scans}


def _join(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
