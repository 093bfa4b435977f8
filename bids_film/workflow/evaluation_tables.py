"""The tables of an evaluation: what their columns mean, their rows, and what is printed of them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from bids_film.domain.errors import InputError, MetadataError, UsageError
from bids_film.evaluation.calibration import BINS, Reliability
from bids_film.evaluation.statistics import Interval
from bids_film.evaluation.summary import Comparison, Summary
from bids_film.images.measures import TOLERANCE_MM
from bids_film.inputs.tables import read_table
from bids_film.workflow.tables import Column, Row

_PRINTED = ("dice", "hd95_mm")
COLUMNS = {
    "participant_id": Column(description="Participant label with its prefix"),
    "person": Column(
        description="Who that is, where the recipe's group_pattern tells it: one in all intervals"
    ),
    "scan": Column(description="Path of the scan relative to the input dataset"),
    "dataset": Column(
        description="Folder of its dataset relative to the input dataset, if another"
    ),
    "used_for": Column(
        description="What the model used the scan for: training, validation, or other (nothing)"
    ),
    "structure": Column(description="Name of the structure; its parts are included"),
    "dice": Column(description="Overlap: 2 |A and B| / (|A| + |B|)"),
    "jaccard": Column(description="Overlap: |A and B| / |A or B|"),
    "surface_dice": Column(
        description=f"Share of both surfaces that lies within {TOLERANCE_MM:g} mm of the other"
    ),
    "hd95_mm": Column(description="95th percentile of the surface distances", unit="mm"),
    "assd_mm": Column(description="Average symmetric surface distance", unit="mm"),
    "lesion_f1": Column(description="F1 of connected pieces: found where one voxel is in common"),
    "volume_ml": Column(description="Volume in the prediction", unit="mL"),
    "reference_volume_ml": Column(description="Volume in the reference", unit="mL"),
    "volume_difference_ml": Column(description="Prediction minus reference", unit="mL"),
    "volume_difference_percent": Column(
        description="Prediction minus reference, relative to the reference", unit="percent"
    ),
    "ece": Column(
        description="Expected calibration error of the probabilities, over voxels that are given "
        "at least 1 % or belong to the structure"
    ),
}
SUMMARY_COLUMNS = {
    "structure": Column(description="Name of the structure"),
    "level": Column(description="Scans with this value of the column given by --by; all without"),
    "measure": Column(description="Column of the evaluation table"),
    "participants": Column(description="Participants with a value"),
    "scans": Column(description="Scans with a value"),
    "undefined": Column(description="Scans without one, such as a distance to an empty mask"),
    "mean": Column(description="Mean over scans"),
    "ci_low": Column(description="Lower end of the 95 % interval, bootstrap over participants"),
    "ci_high": Column(description="Upper end of it"),
    "median": Column(description="Median over scans"),
}
CALIBRATION_COLUMNS = {
    "structure": Column(description="Name of the structure; its parts are included"),
    "from": Column(description="Least probability of the bin"),
    "to": Column(description="Probability up to which it reaches"),
    "voxels": Column(description="Voxels of all scans that were given a probability in the bin"),
    "predicted": Column(description="Mean of these probabilities"),
    "found": Column(description="Share of these voxels that is the structure"),
}
COMPARISON_COLUMNS = {
    "structure": Column(description="Name of the structure"),
    "measure": Column(description="Column of the evaluation tables"),
    "participants": Column(description="Participants with a value in both"),
    "other": Column(description="Mean of the table given by --compare-with"),
    "this": Column(description="Mean of this evaluation"),
    "difference": Column(description="This minus the other, mean over scans"),
    "ci_low": Column(description="Lower end of its 95 % interval, bootstrap over participants"),
    "ci_high": Column(description="Upper end of it"),
    "p": Column(description="Wilcoxon signed-rank test over participants, two-sided"),
    "p_holm": Column(description="Adjusted for all rows of this table (Holm)"),
    "effect": Column(description="Matched-pairs rank-biserial correlation, -1 to 1"),
}


def find_columns(
    rows: Sequence[Row], *, known: Mapping[str, Column] = MappingProxyType({})
) -> dict[str, Column]:
    """Columns of a table: those of every evaluation, and the metadata of these scans.

    Parameters
    ----------
    known : Mapping[str, Column]
        Columns that the table has besides.
    """
    told = dict.fromkeys(key for row in rows for key in row if key not in {**COLUMNS, **known})
    return COLUMNS | {key: Column(description=f"{key} of the scan") for key in told}


def check_names(fields: Iterable[str], *, known: Iterable[str] = ()) -> None:
    """Refuse metadata fields, or columns to divide by, that would replace a table's own columns.

    Parameters
    ----------
    fields : Iterable[str]
    known : Iterable[str]
        As in `find_columns`.

    Raises
    ------
    UsageError
        Where there is one.
    """
    if taken := {*COLUMNS, *known} & {*fields}:
        raise UsageError(
            f"{min(taken)!r} is named like a column of the tables that are written",
            hint="give a metadata field another name in the recipe, with the key of the dataset in "
            "keys; give a column of participants.tsv another name",
        )


def describe_summaries(summaries: Sequence[Summary]) -> Iterator[str]:
    """Describe the Dice and HD95 of each structure in a line: mean, interval and how many."""
    keys = dict.fromkeys((line.structure, line.level) for line in summaries)
    for structure, level in keys:
        own = {s.measure: s for s in summaries if (s.structure, s.level) == (structure, level)}
        name = f"{structure} [{level}]" if level else structure
        parts = [f"{measure} {_describe_interval(own[measure].interval)}" for measure in _PRINTED]
        found = own["dice"].interval
        yield f"{name} ({found.scans} scans of {found.participants}): {', '.join(parts)}"


def describe_comparisons(comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Describe in a line what two models differ by in Dice and HD95."""
    for line in comparisons:
        if line.measure in _PRINTED:
            yield (
                f"{line.structure}: {line.measure} {_describe(line.first)} before, "
                f"{_describe(line.second)} now, "
                f"difference {_describe_interval(line.test.difference)}, "
                f"p = {_describe(line.test.p, '.2g')} "
                f"(Holm {_describe(line.p_holm, '.2g')}), {line.test.pairs} participants"
            )


def _describe(number: float, form: str = ".3f") -> str:
    return "n/a" if math.isnan(number) else format(number, form)


def _describe_interval(interval: Interval) -> str:
    if math.isnan(interval.mean):
        return "n/a"
    if math.isnan(interval.low):
        return f"{interval.mean:.3f} (one participant: no interval)"
    return f"{interval.mean:.3f} (95 % {interval.low:.3f} to {interval.high:.3f})"


def summary_row(line: Summary) -> Row:
    """Write a summary as a row of its table."""
    return {
        "structure": line.structure,
        "level": line.level or "all",
        "measure": line.measure,
        "participants": line.interval.participants,
        "scans": line.interval.scans,
        "undefined": line.undefined,
        "mean": line.interval.mean,
        "ci_low": line.interval.low,
        "ci_high": line.interval.high,
        "median": line.median,
    }


def comparison_row(line: Comparison) -> Row:
    """Write a comparison as a row of its table."""
    return {
        "structure": line.structure,
        "measure": line.measure,
        "participants": line.test.pairs,
        "other": line.first,
        "this": line.second,
        "difference": line.test.difference.mean,
        "ci_low": line.test.difference.low,
        "ci_high": line.test.difference.high,
        "p": line.test.p,
        "p_holm": line.p_holm,
        "effect": line.test.effect,
    }


def calibration_rows(structure: str, reliability: Reliability) -> Iterator[Row]:
    """Write the bins of a structure as rows of their table."""
    for place, voxels in enumerate(reliability.voxels.tolist()):
        yield {
            "structure": structure,
            "from": place / BINS,
            "to": (place + 1) / BINS,
            "voxels": voxels,
            "predicted": float(reliability.predicted[place]) / voxels if voxels else None,
            "found": float(reliability.found[place]) / voxels if voxels else None,
        }


def read_evaluation(path: Path) -> list[Row]:
    """Read the table of another evaluation.

    Raises
    ------
    InputError
        Where it is not such a table.
    """
    try:
        table = read_table(path, required="structure")
    except MetadataError as error:
        raise InputError(f"--compare-with: {error.message}", hint=error.hint) from error
    missing = {"participant_id", "scan", "dice"} - set(table.columns)
    if missing:
        raise InputError(
            f"--compare-with: {path} has no column {min(missing)!r}",
            hint="give the evaluation_seg-<model>.tsv of another run of evaluate",
        )
    return [dict(row.values) for row in table.rows]
