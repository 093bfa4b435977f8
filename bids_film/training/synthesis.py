"""Synthetic scans of any contrast, drawn from label maps of whole heads.

After SynthSeg (Billot et al., Medical Image Analysis 2023): a label map is deformed, every tissue
gets a random intensity, and what a scanner does to an image is simulated, so that a network learns
anatomy instead of one sequence's contrast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from bids_film.images.intensity import CEILING
from bids_film.training.acquisition import Acquisition, acquire, draw_acquisition
from bids_film.training.contrasts import Contrast, draw_contrast
from bids_film.training.field_of_view import (
    OUTER_FLUID,
    Head,
    Stripping,
    draw_center,
    draw_limits,
    draw_stripping,
    face_plane,
    find_box,
    find_head,
    strip_weights,
)
from bids_film.training.intensity import Gamma
from bids_film.training.painting import paint
from bids_film.training.separable import smooth_field
from bids_film.training.spatial import Deformation, draw_deformation, draw_log, locate_sources
from bids_film.training.synthesis_settings import SynthesisSettings

_SPINAL_FLUID = 524
_SAMPLE_STEP = 13


@dataclass(frozen=True, kw_only=True, slots=True)
class SyntheticScan:
    """A synthetic scan with its truth.

    Attributes
    ----------
    image : Tensor
        float32, about 0 to 1, shape (1, *patch).
    labels : Tensor
        int64 channel of the structure (0: none), shape (*patch).
    shares : Tensor or None
        float32 share of each channel, background first, shape (structures + 1, *patch); None where
        the settings do not ask for it.
    metadata : Mapping[str, str | float]
        SkullStripped "true" or "false", InPlaneVoxelSize and SliceSpacing in mm; suffix where the
        contrast is like that of a sequence, and its times, angle and field strength where it was
        simulated.
    """

    image: Tensor
    labels: Tensor
    metadata: Mapping[str, str | float]
    shares: Tensor | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanPlan:
    """All that is drawn before a scan is rendered.

    Attributes
    ----------
    center : tuple[float, ...]
        Voxel of the label map in the middle of the scan.
    deformation : Deformation
    mirrored : bool
        Left and right are exchanged.
    contrast : Contrast
    bias : Tensor
        Control points of the bias field's logarithm.
    acquisition : Acquisition
    stripping : Stripping or None
        None where the skull stays.
    face : tuple[float, float, float] or None
        The plane beyond which a face was removed, see `face_plane`.
    dark_below : float
        Background darker than this is set to 0.
    gamma : Gamma or None
    cropped : bool
        The field of view ends early.
    seed : int
        Of all that is drawn per voxel.
    """

    center: tuple[float, ...]
    deformation: Deformation
    mirrored: bool
    contrast: Contrast
    bias: Tensor
    acquisition: Acquisition
    stripping: Stripping | None
    face: tuple[float, float, float] | None
    dark_below: float
    gamma: Gamma | None
    cropped: bool
    seed: int


def prepare_label_map(values: NDArray[np.integer], *, brain_below: int) -> Tensor:
    """Clean a label map once, before scans are drawn from it.

    It is cropped to the head with a border of background. Specks of brain labels off the brain
    become background, and fluid below the brain spinal fluid (524), which no target contains.

    Parameters
    ----------
    values : ndarray
        FreeSurfer values; RAS order, shape (X, Y, Z).
    brain_below : int
        Values from here on lie outside the brain.

    Returns
    -------
    Tensor
        int16.

    Raises
    ------
    ValueError
        Where no value lies in the brain.
    """
    if not ((values > 0) & (values < brain_below) & (values != OUTER_FLUID)).any():
        raise ValueError(f"expected values of a brain, from 1 to {brain_below - 1}")
    inside = np.nonzero(values)
    crop = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in inside)
    result = np.pad(values[crop].astype(np.int16, order="C"), 2)
    brain = (result > 0) & (result < brain_below)
    pieces, _ = ndimage.label(brain)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    result[brain & (pieces != sizes.argmax())] = 0
    tissue = (result > 0) & (result < brain_below) & (result != OUTER_FLUID)
    lowest = int(np.nonzero(tissue.any(axis=(0, 1)))[0][0]) if tissue.any() else 0
    below = result[:, :, :lowest]
    below[below == OUTER_FLUID] = _SPINAL_FLUID
    return torch.from_numpy(result)


def draw_scan(
    settings: SynthesisSettings,
    rng: np.random.Generator,
    *,
    patch: Sequence[int],
    spacing_mm: float,
    head: Head,
) -> ScanPlan:
    """Draw everything about a scan.

    Parameters
    ----------
    settings : SynthesisSettings
    rng : numpy.random.Generator
    patch : sequence of int
    spacing_mm : float
        Of the patch.
    head : Head
    """
    mirrored = bool(rng.random() < settings.flip_probability)
    deformation = draw_deformation(
        settings, rng, patch, flips=(mirrored, False, False), voxel_size=(1.0, 1.0, 1.0)
    )
    stripped = rng.random() < settings.strip_probability
    defaced = not stripped and rng.random() < settings.deface_probability
    bent = rng.random() < settings.gamma_probability
    zeroed = rng.random() < settings.background_zero_probability
    strength = rng.uniform(0, settings.bias_strength) * 1.4**3
    bias = rng.standard_normal(rng.integers(4, 7, 3), dtype=np.float32) * np.float32(strength)
    return ScanPlan(
        center=draw_center(settings, rng, head, [size * spacing_mm for size in patch]),
        deformation=deformation,
        mirrored=mirrored,
        contrast=draw_contrast(settings, rng, head.values),
        bias=torch.from_numpy(bias),
        acquisition=draw_acquisition(settings, rng),
        stripping=draw_stripping(rng, spacing_mm=spacing_mm) if stripped else None,
        face=face_plane(head.brain, rng) if defaced else None,
        dark_below=float(rng.uniform(0.05, 0.3)) if zeroed else 0.0,
        gamma=Gamma(exponent=draw_log(rng, settings.gamma)) if bent else None,
        cropped=bool(rng.random() < settings.crop_probability),
        seed=int(rng.integers(2**62)),
    )


def synthesise(
    label_map: Tensor,
    *,
    source_spacing_mm: float,
    settings: SynthesisSettings,
    patch: tuple[int, int, int],
    spacing_mm: float,
    rng: np.random.Generator,
) -> SyntheticScan:
    """Draw a synthetic scan from a label map.

    Parameters
    ----------
    label_map : Tensor
        int16, shape (X, Y, Z), RAS order, from `prepare_label_map`.
    source_spacing_mm : float
        Its voxel size.
    settings : SynthesisSettings
    patch : tuple[int, int, int]
        Shape of the scan, about the brain's centre.
    spacing_mm : float
        Voxel size of the scan.
    rng : numpy.random.Generator
    """
    label_map = label_map.contiguous()
    head = find_head(label_map, source_spacing_mm, brain_below=settings.brain_below)
    plan = draw_scan(settings, rng, patch=patch, spacing_mm=spacing_mm, head=head)
    scale = spacing_mm / source_spacing_mm
    located = locate_sources(plan.deformation, patch, center=plan.center, scale=scale)
    channels = _target_table(settings, head.values, mirrored=plan.mirrored)
    painted = paint(
        label_map,
        located,
        plan.contrast,
        scale=scale,
        seed=plan.seed,
        channels=channels if settings.soft_labels else None,
    )
    image, tissue, shares = painted.image, painted.tissue, painted.shares
    image *= smooth_field(plan.bias, patch).exp_()
    image = acquire(image, plan.acquisition, spacing_mm=spacing_mm, seed=plan.seed + 1).abs_()
    targets = channels[tissue]
    weights = _visible(tissue, located, plan, settings)
    if weights is not None:
        image *= weights
        targets, shares = _keep(weights > 0.5, targets, shares)  # noqa: PLR2004 - the mask's border
    if plan.dark_below > 0:
        image *= (image > plan.dark_below) | (tissue != 0)
    if plan.cropped:
        limits = draw_limits(find_box(targets > 0), patch, rng, spacing_mm=spacing_mm)
        inside = torch.zeros(image.shape, dtype=torch.bool)
        inside[limits] = True
        image *= inside
        targets, shares = _keep(inside, targets, shares)
    image = _normalise(image)
    if plan.gamma is not None:
        image = plan.gamma(image).clamp_(0, CEILING)
    return SyntheticScan(image=image[None], labels=targets, shares=shares, metadata=_describe(plan))


def _visible(
    tissue: Tensor, located: Tensor, plan: ScanPlan, settings: SynthesisSettings
) -> Tensor | None:
    """Find what is left of each voxel after stripping and the like; None for all of it."""
    if plan.stripping is not None:
        return strip_weights(tissue, plan.stripping, brain_below=settings.brain_below)
    if plan.face is None:
        return None
    outside = (tissue == 0) | (tissue >= settings.brain_below)
    a, b, c = plan.face
    return (~((a * located[1] + b * located[2] > c) & outside)).float()


def _target_table(settings: SynthesisSettings, values: int, *, mirrored: bool) -> Tensor:
    """Channel of each value; also of those that this map does not have, so that none is missing."""
    members = [max(own, default=0) for own in settings.targets.values()]
    channel = torch.zeros(max(values, 1 + max(members, default=0)), dtype=torch.int64)
    for index, own in enumerate(settings.targets.values(), start=1):
        channel[list(own)] = index
    if mirrored:
        original = channel.clone()
        for left, right in settings.sides:
            if max(left, right) < len(channel):
                channel[left], channel[right] = original[right], original[left]
    return channel


def _keep(kept: Tensor, targets: Tensor, shares: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Give what is not kept to background, the first channel."""
    targets *= kept
    if shares is not None:
        shares *= kept
        shares[0] += ~kept
    return targets, shares


def _normalise(image: Tensor) -> Tensor:
    """Do what `bids_film.images.intensity.normalise` does, from fewer voxels: six times faster."""
    sample = image.reshape(-1)[::_SAMPLE_STEP].numpy()
    sample = sample[sample > 0]
    if sample.size == 0:
        return image
    low, high = (float(value) for value in np.percentile(sample, [0.5, 99.5]))
    return (image - low).div_(max(high - low, 1e-6)).clamp_(0, CEILING)


def _describe(plan: ScanPlan) -> Mapping[str, str | float]:
    spacing = plan.acquisition.spacing_mm
    metadata = {
        "SkullStripped": "false" if plan.stripping is None else "true",
        "InPlaneVoxelSize": min(spacing),
        "SliceSpacing": max(spacing),
    }
    return {**metadata, **plan.contrast.metadata}
