"""The [experiment] section of a recipe: what is trained and compared, and how often."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from bids_film.domain.errors import UsageError

Changes = Mapping[str, Any]

_WHICH_SCANS = ("images", "also", "exclude")


@dataclass(frozen=True, kw_only=True, slots=True)
class ArmSettings:
    """One side of an experiment: the recipe with some keys changed.

    Attributes
    ----------
    name : str
        Letters, digits and hyphens.
    data, metadata, preprocessing, postprocessing, network, augmentation, training : Mapping
        Keys of these sections that are other than in the recipe; an augmentation with a preset
        begins with that.
    structures : tuple[Mapping, ...]
        In the place of all those of the recipe, whose labels remain what results are compared with.
    """

    name: str
    data: Changes = field(default_factory=dict)
    structures: tuple[Changes, ...] = ()
    metadata: Changes = field(default_factory=dict)
    preprocessing: Changes = field(default_factory=dict)
    postprocessing: Changes = field(default_factory=dict)
    network: Changes = field(default_factory=dict)
    augmentation: Changes = field(default_factory=dict)
    training: Changes = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.name.isascii() and self.name.replace("-", "").isalnum()):
            raise UsageError(
                "[[experiment.arms]] name: expected letters, digits and hyphens, "
                f"got {self.name!r}",
                hint="it becomes the name of a folder",
            )

        for key in self.data:
            if key in _WHICH_SCANS:
                raise UsageError(
                    f"[[experiment.arms]] {self.name}: data.{key} cannot differ between arms",
                    hint="all arms share one split; give it in [data] of the recipe",
                )

    def change(self, recipe: Mapping[str, Any]) -> dict[str, Any]:
        """Apply the changes to a recipe in plain values."""
        changed = dict(recipe)
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name == "structures":
                changed["structures"] = list(value) or recipe["structures"]
            elif item.name == "augmentation" and "preset" in value:
                changed["augmentation"] = dict(value)
            elif item.name != "name" and value:
                changed[item.name] = {**recipe.get(item.name, {}), **value}
        return changed


CONTROLS = (
    ArmSettings(name="film"),
    ArmSettings(name="constant", network=MappingProxyType({"conditioning": "constant"})),
    ArmSettings(name="unconditioned", network=MappingProxyType({"conditioning": "unconditioned"})),
    ArmSettings(name="shuffled", network=MappingProxyType({"conditioning": "shuffled"})),
)
"""Does the metadata help, and is it the metadata that does?"""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentSettings:
    """What is compared.

    Attributes
    ----------
    seeds : tuple[int, ...]
        Each arm is trained once for each.
    arms : tuple[ArmSettings, ...]
        The first is compared with each of the others. By default the recipe as it is, and the
        three controls.
    by : str
        Metadata field, or column of ``participants.tsv``, whose values divide the results.
    """

    seeds: tuple[int, ...] = (1, 2, 3)
    arms: tuple[ArmSettings, ...] = CONTROLS
    by: str = ""

    def __post_init__(self) -> None:
        _check_different("[experiment] seeds", self.seeds)
        if min(self.seeds) < 0:
            raise UsageError(f"[experiment] seeds: expected 0 or more, got {list(self.seeds)}")
        _check_different("[[experiment.arms]] names", [arm.name for arm in self.arms])


def _check_different(what: str, values: Sequence[Any]) -> None:
    if not values or len(set(values)) < len(values):
        raise UsageError(f"{what}: expected at least one, all different, got {list(values)}")
