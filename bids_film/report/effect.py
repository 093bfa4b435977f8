"""What other metadata would have given: the order in which the page tells it, and its pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from bids_film.domain.segmentation import (
    Alternative,
    Segmentation,
    StructureChange,
    StructureVolume,
)
from bids_film.report.figures import Tile, draw_differences
from bids_film.report.stage import Stage

MOST_PICTURED = 4
"""Alternatives of which slices are shown; those that differ most."""
FEW_VOXELS = 50
"""Of a structure this small a few voxels make all of the Dice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """An alternative, and the slices that it changed most.

    Attributes
    ----------
    alternative : Alternative
    pairs : tuple[tuple[Tile, Tile], ...]
        With the scan's own metadata, and with those of the alternative.
    """

    alternative: Alternative
    pairs: tuple[tuple[Tile, Tile], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StructureEffect:
    """What each alternative made of one structure.

    Attributes
    ----------
    delivered : StructureVolume
    changes : tuple[StructureChange, ...]
        One per alternative.
    small : bool
        Whether it is of a few voxels only, in whatever segmentation.
    """

    delivered: StructureVolume
    changes: tuple[StructureChange, ...]
    small: bool

    @property
    def lowest_dice(self) -> float:
        """Dice with the alternative that changed the structure most."""
        return min(change.dice for change in self.changes)


def rank_structures(segmentation: Segmentation) -> list[StructureEffect]:
    """List the structures as they changed: most first, but those of a few voxels last."""
    voxels = sum(item.voxels for item in segmentation.volumes)
    voxel_ml = sum(item.volume_ml for item in segmentation.volumes) / voxels if voxels else 0.0
    effects = []
    for place, item in enumerate(segmentation.volumes):
        changes = tuple(other.changes[place] for other in segmentation.alternatives)
        largest_ml = max([item.volume_ml, *(change.volume_ml for change in changes)])
        small = largest_ml < FEW_VOXELS * voxel_ml
        effects.append(StructureEffect(delivered=item, changes=changes, small=small))
    return sorted(effects, key=lambda effect: (effect.small, effect.lowest_dice))


def picture_differences(
    segmentation: Segmentation, stage: Stage, read_map: Callable[[str], NDArray[Any] | None]
) -> Iterator[Difference]:
    """Draw the alternatives that differ most.

    Parameters
    ----------
    read_map : Callable
        Reads a label map by its path, in the order of the stage; None where it is not there.
    """
    compared = read_map(segmentation.compared_file) if segmentation.compared_file else None
    own = stage if compared is None else replace(stage, labels=compared)
    for place in _rank_alternatives(segmentation)[:MOST_PICTURED]:
        alternative = segmentation.alternatives[place]
        other = read_map(alternative.labels_file)
        if other is None:
            continue
        pairs = draw_differences(own, replace(stage, labels=other))
        if pairs:
            yield Difference(alternative=alternative, pairs=pairs)


def _rank_alternatives(segmentation: Segmentation) -> list[int]:
    """List the places of the alternatives that changed anything, most first."""
    if not segmentation.alternatives:
        return []
    effects = rank_structures(segmentation)
    counted = [effect for effect in effects if not effect.small] or effects
    places = range(len(segmentation.alternatives))
    lowest = {at: min(effect.changes[at].dice for effect in counted) for at in places}
    changed = [at for at in places if segmentation.alternatives[at].lowest_dice < 1]
    return sorted(changed, key=lambda at: lowest[at])
