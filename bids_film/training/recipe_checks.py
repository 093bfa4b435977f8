"""What the sections of a recipe must agree on, each refused with what was expected."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from bids_film.domain.errors import UsageError
from bids_film.domain.labels import LabelTable, check_color
from bids_film.domain.patterns import check_pattern
from bids_film.domain.records import check_key
from bids_film.domain.sides import pair_structures
from bids_film.model.config import NetworkConfig, Postprocessing, Preprocessing
from bids_film.training.augment_settings import AugmentSettings
from bids_film.training.settings import DataSettings, NetworkSettings, TargetStructure

_MOST_STRUCTURES = 255
"""Labels of the examples are held as one byte a voxel."""


def check_structures(structures: tuple[TargetStructure, ...], *, synthesis: bool) -> None:
    """Refuse structures that cannot be told apart, or of which it is not said where they are."""
    if not structures:
        raise UsageError("expected at least one [[structures]] table, got none")
    if len(structures) > _MOST_STRUCTURES:
        raise UsageError(
            f"expected at most {_MOST_STRUCTURES} [[structures]], got {len(structures)}"
        )
    check_unique("structure index", [target.index for target in structures])
    check_unique("structure name", [target.name for target in structures])
    check_unique("structure abbreviation", [target.abbreviation for target in structures])
    for target in structures:
        where = f"structure {target.name!r}"
        if not 0 < target.index < 2**15:
            raise UsageError(f"{where}: expected an index from 1 to 32767, got {target.index}")
        if not (target.abbreviation.isascii() and target.abbreviation.isalnum()):
            raise UsageError(
                f"{where}: expected an abbreviation of letters and digits, "
                f"got {target.abbreviation!r}"
            )
        if target.color:
            check_color(target.color, where=where)
        if target.part_of:
            names = [other.name for other in structures if other is not target]
            check_key(target.part_of, names, where=f"{where}: part_of")
        if synthesis and not target.source_labels:
            raise UsageError(f"{where}: source_labels are needed where scans are synthesised")
        if not synthesis:
            _check_labels(target.labels, where=where)
    _check_nesting(structures)


def _check_nesting(structures: tuple[TargetStructure, ...]) -> None:
    container = {target.name: target.part_of for target in structures}
    for name in container:
        seen = {name}
        above = container.get(name)
        while above:
            if above in seen:
                raise UsageError(f"structure {name!r} is part of itself; check part_of")
            seen.add(above)
            above = container[above]


def _check_labels(pattern: str, *, where: str) -> None:
    if not pattern:
        raise UsageError(
            f"{where}: labels, the pattern of its label files, is missing",
            hint='such as labels = "derivatives/labels/{folder}/{stem}_seg-manual.nii.gz"',
        )
    check_pattern(pattern, where=f"{where}: labels")


def check_patch(preprocessing: Preprocessing, network: NetworkConfig) -> None:
    """Refuse a patch that the network cannot take."""
    if preprocessing.neighbours and network.dimensions != 2:  # noqa: PLR2004 (slices)
        raise UsageError(
            "[preprocessing] neighbours: only a network of 2 dimensions sees slices, got "
            f"neighbours = {preprocessing.neighbours} and dimensions = {network.dimensions}"
        )
    patch, stride = preprocessing.patch, network.stride
    if len(patch) != network.dimensions:
        raise UsageError(
            f"[preprocessing] patch: expected {network.dimensions} sizes for a "
            f"{network.dimensions}-D network, got {list(patch)}"
        )
    if any(size < stride or size % stride for size in patch):
        raise UsageError(
            f"[preprocessing] patch: expected multiples of {stride} for a network of "
            f"{len(network.channels)} levels, got {list(patch)}"
        )
    if max(patch) == stride:
        raise UsageError(
            f"[preprocessing] patch: {list(patch)} is one voxel at the lowest of "
            f"{len(network.channels)} levels, which no norm can take",
            hint=f"double at least one of the sizes, such as {[*patch[:-1], 2 * stride]}",
        )


def check_slices(data: DataSettings, network: NetworkSettings) -> None:
    """Refuse single slices where a network sees volumes."""
    if data.labelled_slices_only and network.dimensions != 2:  # noqa: PLR2004 (slices)
        raise UsageError(
            "[data] labelled_slices_only: only a network of 2 dimensions takes single slices"
        )


def check_mirror(
    postprocessing: Postprocessing, network: NetworkConfig, labels: LabelTable
) -> None:
    """Refuse mirror images of slices, and those in which a structure has no other side."""
    if not postprocessing.mirror:
        return
    if network.dimensions != 3:  # noqa: PLR2004 (volumes)
        raise UsageError("[postprocessing] mirror: only a network of 3 dimensions knows its sides")
    for name, (first, *others) in pair_structures(labels.structures).items():
        if first.side and not others:
            raise UsageError(
                f"[postprocessing] mirror: structure {name!r} has no other side among the "
                "[[structures]]",
                hint="name both sides alike, such as Left-Thalamus and Right-Thalamus",
            )


def check_axes(augmentation: AugmentSettings, dimensions: int) -> None:
    """Refuse an augmentation along axes that a patch does not have."""
    if any(axis >= dimensions for axis in augmentation.flip_axes):
        raise UsageError(
            f"[augmentation] flip_axes: expected axes from 0 to {dimensions - 1}, "
            f"got {list(augmentation.flip_axes)}"
        )
    if augmentation.voxel_size and len(augmentation.voxel_size) != dimensions:
        raise UsageError(
            f"[augmentation] voxel_size: expected {dimensions} sizes, "
            f"got {list(augmentation.voxel_size)}"
        )


def check_synthetic(preprocessing: Preprocessing, network: NetworkConfig) -> None:
    """Refuse what synthetic scans cannot be."""
    spacing_mm = preprocessing.spacing_mm
    if network.dimensions != 3 or min(spacing_mm) <= 0 or len(set(spacing_mm)) > 1:  # noqa: PLR2004 (volumes)
        raise UsageError(
            "[synthesis] draws volumes with voxels of equal sides: expected [network] "
            f"dimensions = 3 and three equal [preprocessing] spacing_mm, got "
            f"{network.dimensions} and {list(spacing_mm)}"
        )
    if preprocessing.companions:
        raise UsageError("[synthesis] draws one image of a head: leave companions out")
    fixed = Preprocessing(patch=preprocessing.patch)
    for key in ("percentiles", "foreground"):
        if getattr(preprocessing, key) != getattr(fixed, key):
            raise UsageError(
                f"[preprocessing] {key}: synthetic scans are scaled by the default, "
                f"{getattr(fixed, key)!r}",
                hint="leave it out: scans must be scaled as those that were learned from",
            )


def check_unique(what: str, values: Iterable[Any]) -> None:
    """Refuse values that come more than once."""
    values = list(values)
    repeated = sorted({value for value in values if values.count(value) > 1})
    if repeated:
        raise UsageError(f"each {what} must come once; repeated: {repeated}")
