"""The documentation's tables of metadata fields and recipe keys are those of the code.

A failure prints the table as it must be.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from bids_film.metadata.catalogue import CATALOGUE
from bids_film.metadata.fields import CategoricalField, Field
from bids_film.metadata.units import format_range
from bids_film.model.config import Postprocessing, Preprocessing
from bids_film.training.augment_settings import PRESETS, AugmentSettings
from bids_film.training.experiment_settings import ExperimentSettings
from bids_film.training.recipe import Recipe
from bids_film.training.settings import (
    DataSettings,
    MetadataSettings,
    ModelSettings,
    NetworkSettings,
    SplitSettings,
    TargetStructure,
    TrainingSettings,
)
from bids_film.training.synthesis_settings import SynthesisSettings

DOCS = Path(__file__).parents[2] / "docs"
SECTIONS = {
    "[model]": ModelSettings,
    "[data]": DataSettings,
    "[[structures]]": TargetStructure,
    "[metadata]": MetadataSettings,
    "[preprocessing]": Preprocessing,
    "[postprocessing]": Postprocessing,
    "[network]": NetworkSettings,
    "[synthesis]": SynthesisSettings,
    "[training]": TrainingSettings,
    "[split]": SplitSettings,
    "[experiment]": ExperimentSettings,
}
LONGEST_DEFAULT = 80


def read_table(page: str, heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, without header and rule."""
    text = (DOCS / page).read_text(encoding="utf-8")
    _, found, rest = text.partition(f"# {heading}\n")
    assert found, f"{page} has no heading {heading!r}"
    lines = re.split(r"\n#+ ", rest)[0].splitlines()
    rows = [line.strip("|").split(" | ") for line in lines if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in rows[2:]]


def describe_field(name: str, field: Field) -> list[str]:
    """Cells of a field in docs/metadata.md."""
    if isinstance(field, CategoricalField):
        values = ", ".join(field.levels) or "any text"
    else:
        values = format_range(*field.plausible, field.unit) + f" ({field.scale})"
    keys = ", ".join(f"`{key}`" for key in field.keys) or "–"
    return [f"`{name}`", values, keys, field.description]


def format_default(item: dataclasses.Field[Any]) -> str:
    """Cell of a key's default, as TOML writes it."""
    if item.default_factory is not dataclasses.MISSING:
        value = item.default_factory()
    elif item.default is not dataclasses.MISSING:
        value = item.default
    else:
        return "required"
    if isinstance(value, tuple) and any(dataclasses.is_dataclass(entry) for entry in value):
        return "built in"
    text = format_toml(value)
    return f"`{text}`" if len(text) <= LONGEST_DEFAULT else "built in"


def format_toml(value: Any) -> str:
    """Write a plain value as TOML does."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key} = {format_toml(entry)}" for key, entry in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, tuple):
        return f"[{', '.join(map(format_toml, value))}]"
    return json.dumps(value)


def test_the_catalogue_in_the_documentation_is_the_catalogue_of_the_code() -> None:
    expected = [describe_field(name, field) for name, field in CATALOGUE.items()]
    shown = "\n".join(f"| {' | '.join(row)} |" for row in expected)
    assert read_table("metadata.md", "The catalogue") == expected, f"it must be:\n{shown}"


@pytest.mark.parametrize(("section", "settings"), SECTIONS.items())
def test_every_key_of_a_recipe_is_documented_with_its_default(section: str, settings: type) -> None:
    expected = [[f"`{item.name}`", format_default(item)] for item in dataclasses.fields(settings)]
    rows = [row[:2] for row in read_table("training.md", f"`{section}`")]
    shown = "\n".join(f"| {' | '.join(row)} |  |" for row in expected)
    assert rows == expected, f"its keys and defaults must be:\n{shown}"


def test_the_presets_of_the_augmentation_are_documented() -> None:
    expected = [
        [f"`{item.name}`", *(format_toml(getattr(p, item.name)) for p in PRESETS.values())]
        for item in dataclasses.fields(AugmentSettings)
    ]
    rows = [row[: len(PRESETS) + 1] for row in read_table("training.md", "`[augmentation]`")]
    shown = "\n".join(f"| {' | '.join(row)} |  |" for row in expected)
    assert rows == expected, f"its keys and presets must be:\n{shown}"


def test_every_section_of_a_recipe_is_documented() -> None:
    names = {section.strip("[]") for section in SECTIONS} | {"augmentation"}
    assert names == {item.name for item in dataclasses.fields(Recipe)}
