"""Write a participant's page."""

from __future__ import annotations

from dataclasses import asdict
from functools import cache
from pathlib import PurePosixPath
from typing import Any

import jinja2
from markupsafe import Markup

from bids_film.domain.entities import parse_name
from bids_film.domain.labels import COLOR
from bids_film.domain.segmentation import (
    Alternative,
    RecordedValue,
    StructureChange,
    StructureVolume,
)
from bids_film.domain.sides import pair_structures, sort_alike
from bids_film.report.checks import Verdict, find_light, list_concerns
from bids_film.report.effect import FEW_VOXELS, rank_structures
from bids_film.report.figures import Tile
from bids_film.report.methods import choose_references, write_methods
from bids_film.report.page import ParticipantPage, ScanPage
from bids_film.report.templating import (
    make_environment,
    pack_viewer,
    read_asset,
    write_policy,
)

_STATUS_WORDS = {
    "used": "used",
    "converted": "used, after conversion",
    "missing": "not given",
    "unknown level": "not known to the model",
    "implausible": "implausible, not used",
    "invalid": "unreadable, not used",
}
_DARK = 80
_MANY = 8
"""Structures beyond which tables and toggles are laid out for many."""
_SHOWN_EFFECTS = 8
"""Structures of which the page tells at once what other metadata would have given."""
_GRAY = "#808080"
_NO_BREAK = "\N{NO-BREAK SPACE}"


def render_participant(page: ParticipantPage) -> str:
    """Write the page as one HTML document that needs nothing else.

    Its text depends on its argument alone: the same outputs give the same bytes.
    """
    segmentations = [scan.segmentation for scan in page.scans]
    template = _environment().get_template("participant.html")
    script = read_asset("participant.js")
    return template.render(
        page=page,
        methods=write_methods(segmentations, page.version),
        references=choose_references(segmentations),
        library=pack_viewer(),
        script=Markup(script),  # noqa: S704 our own file, and nothing of a dataset in it
        policy=write_policy(script),
    )


@cache
def _environment() -> jinja2.Environment:
    environment = make_environment(
        {
            "alt": describe_tile,
            "anchor": name_anchor,
            "growth": format_growth,
            "light": find_light,
            "pairs": lambda scan: pair_structures([i.structure for i in scan.segmentation.volumes]),
            "places": number_structures,
            "stack": describe_stack,
            "told": describe_alternative,
            "color": safe_color,
            "is_dark": is_dark,
            "concerns": list_concerns,
            "coordinate": format_coordinate,
            "effects": rank_structures,
            "file_name": lambda path: PurePosixPath(path).name,
            "number": format_number,
            "title": title_scan,
            "value": format_value,
            "volume": format_volume,
        }
    )
    environment.globals |= {
        "FEW_VOXELS": FEW_VOXELS,
        "MANY": _MANY,
        "SHOWN_EFFECTS": _SHOWN_EFFECTS,
        "STATUS_WORDS": _STATUS_WORDS,
        "Verdict": Verdict,
    }
    return environment


def safe_color(color: str) -> str:
    """Let nothing but a colour into a style; models come from anywhere."""
    return color if COLOR.fullmatch(color) else _GRAY


def is_dark(color: str) -> bool:
    """Whether an outline of that colour is not seen on dark tissue."""
    red, green, blue = (int(safe_color(color)[place : place + 2], 16) for place in (1, 3, 5))
    return 0.3 * red + 0.6 * green + 0.1 * blue < _DARK


def number_structures(scan: ScanPage) -> dict[str, int]:
    """Give each structure its number in the page's toggles."""
    return {item.structure.name: place for place, item in enumerate(scan.segmentation.volumes)}


def describe_stack(scan: ScanPage) -> dict[str, Any]:
    """Gather what the slider and the viewer need, as plain JSON."""
    assert scan.stack is not None  # noqa: S101 (the template asks first)
    structures = [item.structure for item in scan.segmentation.volumes]
    return asdict(scan.stack) | {
        "names": [structure.name for structure in structures],
        "colors": [safe_color(structure.color) for structure in structures],
        "halos": ["#ffffff80" if is_dark(item.color) else "#00000080" for item in structures],
        "order": sort_alike(structures),
        "oriented": scan.figure.oriented if scan.figure else False,
    }


def describe_alternative(alternative: Alternative) -> str:
    """Say which metadata an alternative was told."""
    if not alternative.field:
        return "no metadata"
    return f"{alternative.field}: {alternative.value}"


def format_growth(change: StructureChange, delivered: StructureVolume) -> str:
    """Write how a volume changed, in percent of the one that it is compared with."""
    before_ml = delivered.volume_ml if change.compared_ml is None else change.compared_ml
    if not before_ml:
        return f"{format_volume(change.volume_ml)} mL"
    return f"{100 * (change.volume_ml / before_ml - 1):+.1f} %"


def title_scan(path: str) -> str:
    """Name a scan briefly: its suffix, and what tells it from the participant's others."""
    name = parse_name(PurePosixPath(path).name)
    if name is None:
        return PurePosixPath(path).name
    entities = [f"{key}-{value}" for key, value in name.entities.items() if key != "sub"]
    return " · ".join([name.suffix, *entities])


def name_anchor(path: str) -> str:
    """Make an id for a link within the page from a file's path."""
    stem = PurePosixPath(path).name.partition(".")[0]
    return "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in stem)


def describe_tile(tile: Tile) -> str:
    """Describe a slice for those who do not see it."""
    names = ", ".join(contour.structure.name for contour in tile.contours) or "no structure"
    kind = "overview, " if tile.zoom else ""
    return f"{tile.plane.name} slice {tile.stored_index}, {kind}outlines of {names}"


def format_value(value: RecordedValue) -> str:
    """Write the value that the network was given, or the one that was found where none was used."""
    if value.value is None:
        return value.raw or "—"
    if isinstance(value.value, str):
        return value.value
    return _NO_BREAK.join(filter(None, [format_number(value.value), value.unit]))


def format_number(number: float) -> str:
    """Write a number with the digits that matter."""
    return f"{number:.4g}"


def format_volume(volume_ml: float) -> str:
    """Write a volume with at least two digits that matter."""
    hundred, one = 100, 1
    if volume_ml == 0:
        return "0"
    if volume_ml >= hundred:
        return f"{volume_ml:,.0f}"
    return f"{volume_ml:.1f}" if volume_ml >= one else f"{volume_ml:.2g}"


def format_coordinate(length_mm: float) -> str:
    """Write a length for SVG."""
    return f"{length_mm:.3f}"
