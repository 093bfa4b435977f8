"""Label maps from which synthetic scans are drawn, and the batches made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bids_film.domain.errors import InputError, ScanError
from bids_film.domain.scan import Scan
from bids_film.images.geometry import plan_ras, reorient
from bids_film.inference.companions import ReadVolume
from bids_film.metadata.encoder import Encoder, MetadataValues
from bids_film.training.recipe import Recipe
from bids_film.training.sampling import MetadataMask, Patch
from bids_film.training.synthesis import SyntheticScan, prepare_label_map, synthesise
from bids_film.training.synthesis_settings import SynthesisSettings

_ISOTROPY = 1.05
_HIGHEST_LABEL = 2**15 - 1
_PROBE = (24, 24, 24)


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelMap:
    """A label map, ready to draw scans from.

    Attributes
    ----------
    scan : Scan
        Its file.
    values : Tensor
        int16, shape (X, Y, Z), RAS order.
    spacing_mm : float
        The same along each axis.
    """

    scan: Scan
    values: Tensor
    spacing_mm: float


def load_label_maps(scans: Sequence[Scan], *, brain_below: int, read: ReadVolume) -> list[LabelMap]:
    """Read and prepare label maps; see `load_label_map`."""
    return [load_label_map(scan, brain_below=brain_below, read=read) for scan in scans]


def load_label_map(scan: Scan, *, brain_below: int, read: ReadVolume) -> LabelMap:
    """Read and prepare one label map.

    Parameters
    ----------
    scan : Scan
    brain_below : int
        Values from here on lie outside the brain.
    read : ReadVolume

    Raises
    ------
    ScanError
        Where its voxels are not of equal sides, its labels are out of range, or none is of a brain.
    """
    volume = read(scan.path, labels=True)
    spacing = volume.grid.spacing_mm
    if max(spacing) > _ISOTROPY * min(spacing):
        raise ScanError(
            f"{scan.relative_path}: expected voxels of equal sides, got {np.round(spacing, 3)} mm",
            hint="resample the label map (nearest neighbour) before training on it",
        )
    low, high = int(volume.data.min()), int(volume.data.max())
    if low < 0 or high > _HIGHEST_LABEL:
        raise ScanError(
            f"{scan.relative_path}: expected labels from 0 to {_HIGHEST_LABEL}, got {low} to {high}"
        )
    data = reorient(volume.data, plan_ras(volume.grid))
    try:
        values = prepare_label_map(data, brain_below=brain_below)
    except ValueError as problem:
        raise ScanError(
            f"{scan.relative_path}: {problem}, got {np.unique(data)[:8].tolist()}",
            hint="[synthesis] brain_below says which values lie outside the brain",
        ) from problem
    return LabelMap(scan=scan, values=values, spacing_mm=float(np.mean(spacing)))


@dataclass(frozen=True, kw_only=True, slots=True)
class SynthesisSampler:
    """Draws synthetic scans.

    Attributes
    ----------
    label_maps : Sequence[LabelMap]
    settings : SynthesisSettings
    mask : MetadataMask
    patch : tuple[int, int, int]
    spacing_mm : float
    shuffled : bool
        Give each scan the metadata of another synthetic scan.
    """

    label_maps: Sequence[LabelMap]
    settings: SynthesisSettings
    mask: MetadataMask
    patch: tuple[int, int, int]
    spacing_mm: float
    shuffled: bool = False

    def draw(self, rng: np.random.Generator) -> Patch:
        """Draw one patch; all chance comes from `rng`."""
        source = self.label_maps[int(rng.integers(len(self.label_maps)))]
        drawn = draw_synthetic(
            source, self.settings, rng, patch=self.patch, spacing_mm=self.spacing_mm
        )
        told: MetadataValues = drawn.metadata
        if self.shuffled:
            told = draw_synthetic(
                source, self.settings, rng, patch=_PROBE, spacing_mm=self.spacing_mm
            ).metadata
        vector, known = self.mask.encode(told, rng)
        return Patch(
            image=drawn.image,
            labels=drawn.labels if drawn.shares is None else drawn.shares,
            annotated=torch.ones(len(self.settings.targets), dtype=torch.bool),
            vector=vector,
            known=known,
        )


def draw_synthetic(
    source: LabelMap,
    settings: SynthesisSettings,
    rng: np.random.Generator,
    *,
    patch: tuple[int, int, int],
    spacing_mm: float,
) -> SyntheticScan:
    """Draw one synthetic scan from a label map."""
    return synthesise(
        source.values,
        source_spacing_mm=source.spacing_mm,
        settings=settings,
        patch=patch,
        spacing_mm=spacing_mm,
        rng=rng,
    )


def draw_values(
    label_maps: Sequence[LabelMap], recipe: Recipe, *, count: int = 200
) -> list[MetadataValues]:
    """Draw the metadata of synthetic scans, to fit the encoder to; small patches make it quick."""
    rng = np.random.default_rng(recipe.training.seed)
    settings, spacing_mm = check_synthesis(recipe)
    return [
        draw_synthetic(
            label_maps[number % len(label_maps)], settings, rng, patch=_PROBE, spacing_mm=spacing_mm
        ).metadata
        for number in range(count)
    ]


def make_synthesis_sampler(
    label_maps: Sequence[LabelMap], recipe: Recipe, encoder: Encoder
) -> SynthesisSampler:
    """Set a sampler up as a recipe with a [synthesis] section asks for."""
    settings, spacing_mm = check_synthesis(recipe)
    x, y, z = recipe.preprocessing.patch
    return SynthesisSampler(
        label_maps=label_maps,
        settings=settings,
        mask=MetadataMask(encoder=encoder, settings=recipe.metadata),
        patch=(x, y, z),
        spacing_mm=spacing_mm,
        shuffled=recipe.network.conditioning == "shuffled",
    )


def check_synthesis(recipe: Recipe) -> tuple[SynthesisSettings, float]:
    """Give the settings and the voxel size of a recipe that synthesises its scans.

    Raises
    ------
    InputError
        Where the recipe has no [synthesis] section.
    """
    if recipe.synthesis is None:
        raise InputError("the recipe has no [synthesis] section")
    return recipe.synthesis, recipe.preprocessing.spacing_mm[0]
