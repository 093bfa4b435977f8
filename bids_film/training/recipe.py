"""The training recipe: a `train.toml` that reads like a methods section, checked strictly."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from bids_film.domain.errors import MetadataError, UsageError
from bids_film.domain.labels import LabelTable, Structure
from bids_film.domain.records import check_key, from_mapping, is_table
from bids_film.metadata.catalogue import known_field
from bids_film.metadata.fields import Field, field_from_dict
from bids_film.model.config import NetworkConfig, Postprocessing, Preprocessing
from bids_film.training.augment import PRESETS, AugmentSettings
from bids_film.training.experiment_settings import ExperimentSettings
from bids_film.training.recipe_checks import (
    check_axes,
    check_mirror,
    check_patch,
    check_slices,
    check_structures,
    check_synthetic,
    check_unique,
)
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

__all__ = [
    "DataSettings",
    "MetadataSettings",
    "ModelSettings",
    "NetworkSettings",
    "Recipe",
    "SplitSettings",
    "TargetStructure",
    "TrainingSettings",
    "describe_training",
    "holds_recipe",
    "read_recipe",
    "recipe_from_dict",
    "recipe_to_dict",
]

_PALETTE = (
    "#e6550d", "#3182bd", "#31a354", "#756bb1", "#e7ba52", "#d6616b", "#17becf", "#8c6d31",
    "#9c9ede", "#637939", "#ce6dbd", "#636363",
)  # fmt: skip
"""Colours of structures for which the recipe gives none, told apart by colour-blind readers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """All that a training needs beside the dataset.

    Attributes
    ----------
    synthesis : SynthesisSettings, optional
        Where given, the images of the dataset are label maps, and scans are drawn from them.
    """

    model: ModelSettings
    data: DataSettings = field(default_factory=DataSettings)
    structures: tuple[TargetStructure, ...]
    metadata: MetadataSettings = field(default_factory=MetadataSettings)
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    postprocessing: Postprocessing = field(default_factory=Postprocessing)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    augmentation: AugmentSettings = PRESETS["standard"]
    synthesis: SynthesisSettings | None = None
    training: TrainingSettings = field(default_factory=TrainingSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    experiment: ExperimentSettings = field(default_factory=ExperimentSettings)

    def __post_init__(self) -> None:
        check_structures(self.structures, synthesis=self.synthesis is not None)
        check_patch(self.preprocessing, self.network_config)
        check_axes(self.augmentation, self.network.dimensions)
        check_slices(self.data, self.network)
        check_mirror(self.postprocessing, self.network_config, self.label_table)
        for name in self.postprocessing.keep_largest:
            names = [target.name for target in self.structures]
            check_key(name, names, where="[postprocessing] keep_largest")
        if self.synthesis is not None:
            check_synthetic(self.preprocessing, self.network_config)
        check_unique("metadata field", [item.name for item in self.metadata_fields])

    @property
    def label_table(self) -> LabelTable:
        """The structures in the order of the output channels."""
        return LabelTable(
            structures=tuple(
                Structure(
                    index=target.index,
                    name=target.name,
                    abbreviation=target.abbreviation,
                    color=target.color or _PALETTE[position % len(_PALETTE)],
                    part_of=target.part_of,
                )
                for position, target in enumerate(self.structures)
            )
        )

    @property
    def metadata_fields(self) -> tuple[Field, ...]:
        """The metadata fields, those of the catalogue looked up."""
        return tuple(
            known_field(entry)
            if isinstance(entry, str)
            else field_from_dict(entry, where="[metadata] fields")
            for entry in self.metadata.fields
        )

    @property
    def network_config(self) -> NetworkConfig:
        """The network with the channels that the structures ask for."""
        chosen = self.network
        prompted = chosen.target == "prompted"
        return NetworkConfig(
            dimensions=chosen.dimensions,
            in_channels=self.preprocessing.channels,
            out_channels=2 if prompted else len(self.structures) + 1,
            channels=chosen.channels,
            conditioning="film" if chosen.conditioning == "shuffled" else chosen.conditioning,
            film_form=chosen.film_form,
            film_at=chosen.film_at,
            generator=chosen.generator,
            norm=chosen.norm,
            dropout=chosen.dropout,
            deep_supervision=chosen.deep_supervision,
            prompts=len(self.structures) if prompted else 0,
        )


def read_recipe(path: Path) -> Recipe:
    """Read a recipe from a TOML file.

    Keys outside of the tables are options of the command line, which are checked there.

    Raises
    ------
    UsageError
        Where the file cannot be read, a key is unknown (naming the nearest right one) or a value
        is of the wrong type or out of bounds.
    """
    return recipe_from_dict(_read_sections(path), where=str(path))


def _read_sections(path: Path) -> dict[str, Any]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as problem:
        raise UsageError(f"cannot read the recipe {path}: {problem.strerror}") from problem
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as problem:
        raise UsageError(f"{path} is not a TOML file: {problem}") from problem
    return {key: value for key, value in content.items() if is_table(value)}


def holds_recipe(path: Path) -> bool:
    """Whether a TOML file has any table; keys outside of tables are options only.

    Raises
    ------
    UsageError
        Where it cannot be read.
    """
    return bool(_read_sections(path))


def recipe_from_dict(content: Mapping[str, Any], *, where: str = "recipe") -> Recipe:
    """Build a recipe from plain values, as TOML or a model file give them.

    Raises
    ------
    UsageError
        As for `read_recipe`; the message starts with ``where``.
    """
    try:
        return from_mapping(Recipe, _apply_to_synthesis(_apply_preset(content)), where=where)
    except (UsageError, MetadataError) as problem:
        if problem.message.startswith(where):
            raise
        raise UsageError(f"{where}: {problem.message}", hint=problem.hint) from problem


def recipe_to_dict(recipe: Recipe) -> dict[str, Any]:
    """Write a recipe as plain values for TOML or JSON; what is None is left out."""
    content: dict[str, Any] = _to_plain(recipe)
    return content


def describe_training(recipe: Recipe) -> dict[str, Any]:
    """Write down what a training follows: the recipe without the experiment it is an arm of."""
    content = recipe_to_dict(recipe)
    del content["experiment"]
    return content


def _apply_preset(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Start the augmentation from its preset; further keys of its section change it."""
    section = content.get("augmentation")
    if not isinstance(section, Mapping):
        return content
    preset = section.get("preset", "standard")
    check_key(str(preset), PRESETS, where="[augmentation]", what="preset")
    own = {key: value for key, value in section.items() if key != "preset"}
    return {**content, "augmentation": {**_to_plain(PRESETS[str(preset)]), **own}}


def _apply_to_synthesis(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """Tell the synthesis which values of the label maps make up each structure, and how softly."""
    section, structures = content.get("synthesis"), content.get("structures")
    if not isinstance(section, Mapping) or not isinstance(structures, list | tuple):
        return content
    targets = {
        str(entry.get("name", "")): entry.get("source_labels", [])
        for entry in structures
        if isinstance(entry, Mapping)
    }
    if section.get("targets", targets) != targets:
        raise UsageError(
            "[synthesis] targets: other values than the structures' source_labels",
            hint="leave targets out, and give source_labels in each [[structures]]",
        )
    data = content.get("data")
    soft = data.get("soft_labels", False) if isinstance(data, Mapping) else False
    if section.get("soft_labels", soft) != soft:
        raise UsageError("[synthesis] soft_labels: give it in [data]")
    return {**content, "synthesis": {**section, "targets": targets, "soft_labels": soft}}


def _to_plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        entries = {item.name: getattr(value, item.name) for item in fields(value)}
        return {key: _to_plain(entry) for key, entry in entries.items() if entry is not None}
    if isinstance(value, Mapping):
        return {str(key): _to_plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple | set | frozenset):
        return [_to_plain(entry) for entry in value]
    return value
