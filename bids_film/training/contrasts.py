"""What tissues look like: realistic orderings of brightness, and random ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bids_film.training.sequences import draw_sequence
from bids_film.training.signal import compute_signals
from bids_film.training.spatial import Range

if TYPE_CHECKING:
    from bids_film.training.synthesis_settings import SynthesisSettings

TISSUES: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "white": (2, 41),
        "cerebellar white": (7, 46),
        "brainstem": (16, 28, 60, 85, 512),
        "gray": (3, 42, 17, 53, 18, 54),
        "cerebellar gray": (8, 47),
        "striatum": (11, 50, 12, 51, 26, 58),
        "thalamus": (10, 49),
        "pallidum": (13, 52),
        "fluid": (4, 43, 5, 44, 14, 15, 24, 72, 524, 506),
        "choroid plexus": (136, 163, 137, 164),
        "lesion": (25, 57, 77, 78, 79),
        "vessel": (30, 62, 502),
        "sinus": (514,),
        "fat": (511,),
        "soft": (507, 508, 509, 530),
        "bone": (515,),
        "marrow": (516,),
        "air": (0,),
    }
)
"""Values of FreeSurfer's colour table, and of the tissues outside the brain (500 and above: 502
arteries, 506 eyes, 507 soft tissue, 508 and 530 around the eyes, 509 mucosa, 511 skin and fat, 512
spinal cord, 514 sinuses and dura, 515 bone, 516 marrow, 524 spinal fluid)."""

CONTRASTS: Mapping[str, Mapping[str, Range]] = MappingProxyType(
    {
        "T1w": {
            "white": (0.75, 0.95),
            "cerebellar white": (0.72, 0.95),
            "brainstem": (0.66, 0.92),
            "gray": (0.42, 0.68),
            "cerebellar gray": (0.40, 0.66),
            "striatum": (0.48, 0.72),
            "thalamus": (0.55, 0.80),
            "pallidum": (0.62, 0.88),
            "fluid": (0.04, 0.30),
            "choroid plexus": (0.20, 0.55),
            "lesion": (0.40, 0.78),
            "vessel": (0.05, 1.20),
            "sinus": (0.10, 0.70),
            "fat": (0.50, 1.40),
            "soft": (0.25, 0.65),
            "bone": (0.02, 0.25),
            "marrow": (0.25, 1.10),
        },
        "T2w": {
            "white": (0.16, 0.40),
            "cerebellar white": (0.16, 0.42),
            "brainstem": (0.18, 0.45),
            "gray": (0.34, 0.62),
            "cerebellar gray": (0.32, 0.62),
            "striatum": (0.35, 0.58),
            "thalamus": (0.33, 0.55),
            "pallidum": (0.15, 0.38),
            "fluid": (0.70, 1.20),
            "choroid plexus": (0.50, 1.00),
            "lesion": (0.50, 0.95),
            "vessel": (0.02, 0.40),
            "sinus": (0.02, 0.60),
            "fat": (0.15, 1.00),
            "soft": (0.10, 0.45),
            "bone": (0.02, 0.20),
            "marrow": (0.10, 0.70),
        },
        "FLAIR": {
            "white": (0.38, 0.60),
            "cerebellar white": (0.38, 0.62),
            "brainstem": (0.40, 0.65),
            "gray": (0.52, 0.80),
            "cerebellar gray": (0.48, 0.78),
            "striatum": (0.48, 0.75),
            "thalamus": (0.45, 0.70),
            "pallidum": (0.35, 0.60),
            "fluid": (0.03, 0.28),
            "choroid plexus": (0.30, 0.90),
            "lesion": (0.65, 1.15),
            "vessel": (0.02, 0.50),
            "sinus": (0.05, 0.60),
            "fat": (0.15, 1.20),
            "soft": (0.20, 0.60),
            "bone": (0.02, 0.20),
            "marrow": (0.15, 0.90),
        },
        "PDw": {
            "white": (0.50, 0.72),
            "cerebellar white": (0.50, 0.74),
            "brainstem": (0.52, 0.76),
            "gray": (0.72, 0.95),
            "cerebellar gray": (0.70, 0.95),
            "striatum": (0.65, 0.90),
            "thalamus": (0.62, 0.85),
            "pallidum": (0.50, 0.75),
            "fluid": (0.55, 1.10),
            "choroid plexus": (0.60, 1.00),
            "lesion": (0.70, 1.05),
            "vessel": (0.05, 0.80),
            "sinus": (0.10, 0.80),
            "fat": (0.40, 1.20),
            "soft": (0.40, 0.80),
            "bone": (0.02, 0.20),
            "marrow": (0.30, 0.90),
        },
        "T2starw": {
            "white": (0.38, 0.58),
            "cerebellar white": (0.38, 0.60),
            "brainstem": (0.38, 0.60),
            "gray": (0.50, 0.72),
            "cerebellar gray": (0.50, 0.72),
            "striatum": (0.38, 0.62),
            "thalamus": (0.40, 0.62),
            "pallidum": (0.10, 0.40),
            "fluid": (0.60, 1.10),
            "choroid plexus": (0.40, 0.90),
            "lesion": (0.50, 0.85),
            "vessel": (0.02, 1.00),
            "sinus": (0.02, 0.60),
            "fat": (0.20, 1.00),
            "soft": (0.25, 0.65),
            "bone": (0.01, 0.12),
            "marrow": (0.10, 0.50),
        },
    }
)
"""Mean intensity per BIDS suffix and tissue, relative to the brightest of the brain. Set by eye,
wide enough for the spread between scanners; tissues that a table does not name are random."""

_FAMILIES = (
    ("white", "cerebellar white", "brainstem"),
    ("gray", "cerebellar gray", "striatum", "thalamus", "pallidum"),
)
"""Tissues of like composition, which differ little in most sequences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Contrast:
    """Intensities by value of the label map.

    Attributes
    ----------
    means, spreads : Tensor
        Mean and standard deviation, float32, shape (largest value + 1,).
    grain : int
        Size of the texture within tissues, in voxels.
    metadata : Mapping[str, str | float]
        What a sidecar would say of it, the suffix included; empty for a random one.
    """

    means: Tensor
    spreads: Tensor
    grain: int = 1
    metadata: Mapping[str, str | float] = field(default_factory=dict)


def draw_contrast(settings: SynthesisSettings, rng: np.random.Generator, size: int) -> Contrast:
    """Draw a mean and a standard deviation for every value below `size`."""
    metadata, by_tissue = _draw_kind(settings, rng)
    means = rng.random(size)
    spreads = rng.uniform(*settings.texture, size)
    for name, values in settings.tissues.items():
        inside = [value for value in values if value < size]
        if name in by_tissue:
            means[inside] = by_tissue[name] * (1 + 0.03 * rng.standard_normal(len(inside)))
        if metadata:
            spreads[inside] = rng.uniform(*settings.spread)
    _finish(settings, rng, means, spreads)
    return Contrast(
        means=torch.from_numpy(means).float(),
        spreads=torch.from_numpy(spreads).float(),
        grain=int(rng.integers(1, 4)),
        metadata=metadata,
    )


def _draw_kind(
    settings: SynthesisSettings, rng: np.random.Generator
) -> tuple[Mapping[str, str | float], Mapping[str, float]]:
    """Draw what a sidecar says, and the means of tissues that are not left to chance."""
    kind = rng.random() - settings.realistic_probability
    if kind < 0:
        suffix = _draw_suffix(settings, rng)
        ranges = settings.contrasts[suffix]
        return {"suffix": suffix}, {
            name: rng.uniform(*ranges.get(name, (0.0, 1.0))) for name in settings.tissues
        }
    kind -= settings.simulated_probability
    if kind < 0:
        sequence = draw_sequence(_draw_suffix(settings, rng), rng)
        signals = compute_signals(sequence, rng, spread=settings.relaxation_spread)
        return sequence.metadata, signals
    kind -= settings.tissue_probability
    return {}, _draw_tissues(settings, rng) if kind < 0 else {}


def _draw_suffix(settings: SynthesisSettings, rng: np.random.Generator) -> str:
    names, weights = zip(*settings.contrast_weights.items(), strict=True)
    return str(rng.choice(names, p=np.asarray(weights) / sum(weights)))


def _draw_tissues(settings: SynthesisSettings, rng: np.random.Generator) -> dict[str, float]:
    by_tissue = {name: float(rng.random()) for name in settings.tissues}
    for family in _FAMILIES:
        members = [name for name in family if name in by_tissue]
        if members and rng.random() < settings.family_probability:
            first = by_tissue[members[0]]
            by_tissue |= {name: first + float(rng.normal(0, 0.05)) for name in members}
    return by_tissue


def _finish(
    settings: SynthesisSettings,
    rng: np.random.Generator,
    means: NDArray[np.float64],
    spreads: NDArray[np.float64],
) -> None:
    lesion = [value for value in settings.tissues.get("lesion", ()) if value < len(means)]
    white = [value for value in settings.tissues.get("white", ()) if value < len(means)]
    if white and rng.random() < settings.healthy_probability:
        means[lesion], spreads[lesion] = means[white[0]], spreads[white[0]]
    for left, right in settings.sides:
        if max(left, right) < len(means):
            means[right], spreads[right] = means[left], spreads[left]
    bright = rng.random() < settings.bright_air_probability
    means[0] = rng.uniform(0, 0.8 if bright else 0.04)
    spreads[0] = rng.uniform(0, 0.03)
    np.maximum(means, 0, out=means)
