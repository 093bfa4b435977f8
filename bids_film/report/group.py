"""Write the page of all scans of a model: table, plots, coverage of metadata, review."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from markupsafe import Markup

from bids_film.domain.labels import Structure
from bids_film.domain.segmentation import RecordedValue, Segmentation
from bids_film.domain.words import name_some
from bids_film.report.cohort import FAR
from bids_film.report.participant import name_anchor, safe_color
from bids_film.report.templating import plain_environment, read_asset, read_library, write_policy

Cell = str | float | None
_MOST_LEVELS = 12
_USED = ("used", "converted")
_LIBRARIES = ("tabulator.min.js", "chart.min.js")
_SCRIPTS = ("charts.js", "group_table.js", "review.js", "group_plots.js", "group.js")
_MAIN = (
    *("scan", "verdict", "concerns", "farthest_robust_z", "farthest_structure"),
    *("lowest_expected_dice", "status", "reason"),
)
_PARTICIPANTS = "participants.tsv"
_MOST_VOLUMES = 6
"""Of so many structures the table shows the volumes without being asked."""


class Described(Protocol):
    """A column with its description and unit."""

    @property
    def description(self) -> str: ...  # noqa: D102
    @property
    def unit(self) -> str: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupPage:
    """All scans of a model.

    Attributes
    ----------
    model, dataset, version : str
        Names of model and dataset; version of this program.
    columns : Mapping[str, Described]
        Of the table.
    rows : Sequence[Mapping[str, Cell]]
    structures : tuple[Structure, ...]
    segmentations : Sequence[Segmentation]
        Of the scans that were segmented.
    outputs : Mapping[str, str]
        Scan to its label map.
    people : Mapping[str, Mapping[str, str]]
        Rows of ``participants.tsv`` by ``participant_id``.
    compared : Sequence[Mapping[str, Cell]]
        Volumes beside those of another run.
    compared_with : str
        Name of its table.
    """

    model: str
    dataset: str = ""
    version: str
    columns: Mapping[str, Described]
    rows: Sequence[Mapping[str, Cell]]
    structures: tuple[Structure, ...]
    segmentations: Sequence[Segmentation]
    outputs: Mapping[str, str] = field(default_factory=dict)
    people: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    compared: Sequence[Mapping[str, Cell]] = ()
    compared_with: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """How many scans have a metadata field.

    Attributes
    ----------
    field : str
    scans : int
    used : int
        With a value that the model was told.
    outside : int
        Of those: outside of what the model was trained on.
    others : tuple[tuple[str, int], ...]
        Other status to number of scans, the commonest first.
    values : str
        What the values are, in words.
    """

    field: str
    scans: int
    used: int
    outside: int
    others: tuple[tuple[str, int], ...]
    values: str


def render_group(page: GroupPage) -> str:
    """Write the page as one HTML document that needs nothing else but the pages it links to."""
    scripts = [*map(read_library, _LIBRARIES), *map(read_asset, _SCRIPTS)]
    return (
        plain_environment()
        .get_template("group.html")
        .render(
            page=page,
            counts=Counter(str(row["status"]) for row in page.rows),
            verdicts=Counter(str(row.get("verdict")) for row in page.rows),
            content=describe_content(page),
            coverage=find_coverage(page.segmentations),
            left_out=[row for row in page.rows if row["status"] != "done"],
            scripts=[Markup(script) for script in scripts],  # noqa: S704 files of this package
            table_style=Markup(read_library("tabulator.min.css")),  # noqa: S704
            policy=write_policy(*scripts, frames="'self' file:"),
        )
    )


def _name_store(page: GroupPage) -> str:
    """Name under which a browser keeps the review: of one dataset, by one model file.

    Empty for a dataset without a name, whose review is kept for the page where it lies.
    """
    hashes = sorted({item.model.sha256 for item in page.segmentations})
    return f"{page.dataset} {' '.join(hashes)}" if page.dataset else ""


def describe_content(page: GroupPage) -> dict[str, Any]:
    """Gather what the table and the plots show, as plain JSON; rows are lists to keep it small."""
    columns = _list_columns(page)
    keys = [column["key"] for column in columns]
    rows = [_write_row(row, keys, page.people) for row in page.rows]
    for place, column in enumerate(columns):
        column["numeric"] = _is_numeric(row[place] for row in rows)
    return {
        "store": _name_store(page),
        "columns": columns,
        "rows": rows,
        "links": [_link(row, page.outputs) for row in page.rows],
        "structures": [
            {"name": item.name, "key": item.abbreviation, "color": safe_color(item.color)}
            for item in page.structures
        ],
        "far": FAR,
        "compared": [
            [line["scan"], line["structure"], line["other_ml"], line["this_ml"]]
            for line in page.compared
        ],
        "comparedWith": page.compared_with,
    }


def find_coverage(segmentations: Sequence[Segmentation]) -> list[Coverage]:
    """Count which metadata the scans have."""
    values: dict[str, list[RecordedValue]] = {}
    for segmentation in segmentations:
        for value in segmentation.values:
            values.setdefault(value.field, []).append(value)
    return [_cover(name, own) for name, own in values.items()]


def _cover(name: str, values: Sequence[RecordedValue]) -> Coverage:
    known = [value for value in values if value.status in _USED]
    others = Counter(value.status for value in values if value.status not in _USED)
    return Coverage(
        field=name,
        scans=len(values),
        used=len(known),
        outside=sum(value.outside_range for value in known),
        others=tuple(others.most_common()),
        values=_sum_up(known),
    )


def _sum_up(values: Sequence[RecordedValue]) -> str:
    numbers = [item.value for item in values if isinstance(item.value, int | float)]
    if numbers:
        unit = values[0].unit
        low, middle, high = min(numbers), statistics.median(numbers), max(numbers)
        span = f"{low:.4g} to {high:.4g}, median {middle:.4g}" if low < high else f"{low:.4g}"
        return f"{span} {unit}".strip()
    levels = Counter(str(item.value) for item in values).most_common()
    return name_some([f"{level} ({count})" for level, count in levels], most=_MOST_LEVELS)


def _list_columns(page: GroupPage) -> list[dict[str, Any]]:
    listed = [
        {
            "key": key,
            "title": key.removesuffix("_volume_ml") + " mL"
            if key.endswith("_volume_ml")
            else key.replace("_", " "),
            "description": column.description,
            "kind": _find_kind(key, len(page.structures)),
        }
        for key, column in _order(page.columns).items()
    ]
    people = dict.fromkeys(key for row in page.people.values() for key in row)
    listed += [
        {
            "key": f"{_PARTICIPANTS} {key}",
            "title": key,
            "description": f"{key}, {_PARTICIPANTS}",
            "kind": "told",
        }
        for key in people
        if key != "participant_id"
    ]
    return listed


def _order(columns: Mapping[str, Described]) -> dict[str, Described]:
    """Put what a reader looks at first before the rest."""
    return {key: columns[key] for key in dict.fromkeys((*_MAIN, *columns)) if key in columns}


def _find_kind(key: str, structures: int) -> str:
    """Find with which others a column is shown."""
    if key.endswith("_volume_ml"):
        return "volume" if structures > _MOST_VOLUMES else "main volume"
    if key.endswith("_robust_z") and key not in _MAIN:
        return "z"
    return "main" if key in _MAIN else "told"


def _is_numeric(cells: Iterable[Cell]) -> bool:
    known = [cell for cell in cells if cell is not None]
    return bool(known) and all(isinstance(cell, int | float) for cell in known)


def _write_row(
    row: Mapping[str, Cell], keys: Sequence[str], people: Mapping[str, Mapping[str, str]]
) -> list[Cell]:
    person = people.get(str(row["participant_id"]), {})
    told = {f"{_PARTICIPANTS} {key}": _read_cell(value) for key, value in person.items()}
    cells = {**told, **row}
    return [_shorten(key, cells.get(key)) for key in keys]


def _read_cell(text: str) -> Cell:
    stripped = text.strip()
    if stripped in ("", "n/a"):
        return None
    try:
        number = float(stripped)
    except ValueError:
        return stripped
    # "0050" is a label, and NaN no number that a plot could show.
    plain = "_" not in stripped and not (stripped[0] == "0" and stripped[1:2].isdigit())
    return number if plain and abs(number) < float("inf") else stripped


def _shorten(key: str, value: Cell) -> Cell:
    if not isinstance(value, float) or key.startswith(f"{_PARTICIPANTS} "):
        return value
    if value != value:  # noqa: PLR0124 NaN
        return None
    return round(value, 3) if key.endswith("_robust_z") else float(f"{value:.5g}")


def _link(row: Mapping[str, Cell], outputs: Mapping[str, str]) -> str:
    """Where a scan is shown; what failed stands at the top of its participant's page."""
    if row["status"] == "skipped":
        return ""
    labels = outputs.get(str(row.get("scan"))) if row["status"] != "failed" else None
    return f"{row['participant_id']}.html" + (f"#{name_anchor(labels)}" if labels else "")
