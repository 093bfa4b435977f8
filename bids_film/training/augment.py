"""Random changes of a training example, so that a network generalises beyond the scans it saw.

The parameters are drawn first, from an explicit generator; applying them is pure.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bids_film.images.intensity import CEILING
from bids_film.training import intensity
from bids_film.training.augment_settings import PRESETS, AugmentSettings
from bids_film.training.intensity import IntensityStep
from bids_film.training.spatial import (
    Deformation,
    crop_or_pad,
    draw_deformation,
    draw_log,
    locate_sources,
    sample_linear,
    sample_nearest,
)

__all__ = [
    "PRESETS",
    "AugmentSettings",
    "Augmentation",
    "apply_augmentation",
    "apply_intensity",
    "apply_spatial",
    "augment_example",
    "draw_augmentation",
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """All that was drawn for one example.

    Attributes
    ----------
    deformation : Deformation
    steps : tuple[IntensityStep, ...]
        In the order in which they are applied.
    """

    deformation: Deformation
    steps: tuple[IntensityStep, ...]


def draw_augmentation(
    settings: AugmentSettings, rng: np.random.Generator, patch: Sequence[int]
) -> Augmentation:
    """Draw the changes of one example.

    Parameters
    ----------
    settings : AugmentSettings
    rng : numpy.random.Generator
    patch : sequence of int
        Spatial shape of the patch, two or three axes.
    """
    flips = [axis in settings.flip_axes and rng.integers(2) == 1 for axis in range(len(patch))]
    voxel_size = settings.voxel_size or (1.0,) * len(patch)
    deformation = draw_deformation(settings, rng, patch, flips=flips, voxel_size=voxel_size)
    steps = tuple(
        draw(settings, rng, len(patch))
        for probability, draw in _STEPS
        if rng.random() < getattr(settings, probability)
    )
    return Augmentation(deformation=deformation, steps=steps)


def apply_spatial(
    augmentation: Augmentation,
    image: Tensor,
    labels: Tensor,
    *,
    patch: Sequence[int],
    center: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """Cut a deformed patch out of an example, resampling it once.

    Parameters
    ----------
    augmentation : Augmentation
    image : Tensor
        Shape (channels, *spatial); interpolated linearly, 0 outside.
    labels : Tensor
        Shape (*spatial), of an integer type; nearest neighbour, 0 outside. Or shares of each
        channel, background first, float, shape (channels, *spatial); interpolated linearly.
    patch : sequence of int
    center : sequence of float
        Voxel on which the patch is centred.

    Returns
    -------
    image : Tensor
        Shape (channels, *patch).
    labels : Tensor
        Shape (*patch).
    """
    mirrored = augmentation.deformation.mirrored
    if mirrored is not None:
        image, labels = (
            crop_or_pad(data, patch, center=center).flip([axis - len(patch) for axis in mirrored])
            for data in (image, labels)
        )
        return image, _fill_background(labels)
    located = locate_sources(augmentation.deformation, patch, center=center)
    soft = labels.is_floating_point()
    sampled = sample_linear(labels, located) if soft else sample_nearest(labels, located)
    return sample_linear(image, located), _fill_background(sampled)


def _fill_background(labels: Tensor) -> Tensor:
    """Beyond an example all is background: its share, the first channel, is what is left."""
    if labels.is_floating_point():
        labels[0] = 1 - labels[1:].sum(dim=0)
    return labels


def apply_intensity(augmentation: Augmentation, image: Tensor) -> Tensor:
    """Change the appearance of an image of shape (channels, *spatial).

    What leaves the range that normalised scans have is clipped, as it would be on a scan.
    """
    for step in augmentation.steps:
        image = step(image)
    return image.clamp(0, CEILING) if augmentation.steps else image


def apply_augmentation(
    augmentation: Augmentation,
    image: Tensor,
    labels: Tensor,
    *,
    patch: Sequence[int],
    center: Sequence[float],
) -> tuple[Tensor, Tensor]:
    """Do all that was drawn, see `apply_spatial` and `apply_intensity`."""
    image, labels = apply_spatial(augmentation, image, labels, patch=patch, center=center)
    return apply_intensity(augmentation, image), labels


def augment_example(
    image: Tensor,
    labels: Tensor,
    *,
    patch: tuple[int, ...],
    settings: AugmentSettings,
    rng: np.random.Generator,
    center: tuple[float, ...] | None = None,
) -> tuple[Tensor, Tensor]:
    """Cut a patch out of an example and change it at random.

    Parameters
    ----------
    image : Tensor
        float32, about 0 to 1, shape (channels, *spatial).
    labels : Tensor
        Of an integer type, shape (*spatial); or shares of each channel, float, shape
        (channels, *spatial).
    patch : tuple[int, ...]
        Shape of the patch; beyond the example it is filled with 0.
    settings : AugmentSettings
    rng : numpy.random.Generator
    center : tuple[float, ...] or None
        Voxel on which the patch is centred; the middle of the example where None.

    Returns
    -------
    image : Tensor
        Shape (channels, *patch).
    labels : Tensor
        Shape (*patch).

    Raises
    ------
    ValueError
        Where the shapes do not fit together.
    """
    spatial = tuple(labels.shape[1:] if labels.is_floating_point() else labels.shape)
    if tuple(image.shape[1:]) != spatial or len(patch) != len(spatial):
        raise ValueError(
            f"expected image (channels, *spatial), labels (*spatial) and a patch of as many axes, "
            f"got {tuple(image.shape)}, {spatial} and {patch}"
        )
    middle = center or tuple((size - 1) / 2 for size in spatial)
    augmentation = draw_augmentation(settings, rng, patch)
    return apply_augmentation(augmentation, image, labels, patch=patch, center=middle)


def _draw_gamma(settings: AugmentSettings, rng: np.random.Generator, _: int) -> IntensityStep:
    inverted = bool(rng.random() < settings.gamma_inverted)
    return intensity.Gamma(exponent=draw_log(rng, settings.gamma), inverted=inverted)


def _draw_levels(settings: AugmentSettings, rng: np.random.Generator, _: int) -> IntensityStep:
    brightness = float(rng.uniform(-settings.brightness, settings.brightness))
    return intensity.Levels(contrast=draw_log(rng, settings.contrast), brightness=brightness)


def _draw_remap(settings: AugmentSettings, rng: np.random.Generator, _: int) -> IntensityStep:
    count = int(rng.integers(settings.remap_knots[0], settings.remap_knots[1] + 1))
    values = rng.random(count)
    if rng.random() < settings.remap_monotone:
        values = np.sort(values)
    # The full range is kept: a scan is always normalised to it.
    values = (values - values.min()) / max(float(np.ptp(values)), 1e-3)
    return intensity.Remap(values=tuple(values.tolist()))


def _draw_bias(settings: AugmentSettings, rng: np.random.Generator, axes: int) -> IntensityStep:
    counts = rng.integers(4, 7, axes)
    strength = rng.uniform(0, settings.bias_strength) * 1.4**axes
    controls = rng.standard_normal(counts, dtype=np.float32) * np.float32(strength)
    return intensity.Bias(controls=torch.from_numpy(controls))


def _draw_noise(settings: AugmentSettings, rng: np.random.Generator, _: int) -> IntensityStep:
    return intensity.Noise(
        std=draw_log(rng, settings.noise_std),
        seed=int(rng.integers(2**62)),
        rician=bool(rng.random() < settings.noise_rician),
    )


def _draw_blur(settings: AugmentSettings, rng: np.random.Generator, axes: int) -> IntensityStep:
    if rng.random() < settings.blur_uneven:
        return intensity.Blur(sigma=tuple(rng.uniform(*settings.blur_sigma, axes).tolist()))
    return intensity.Blur(sigma=(float(rng.uniform(*settings.blur_sigma)),) * axes)


def _draw_sharpen(settings: AugmentSettings, rng: np.random.Generator, axes: int) -> IntensityStep:
    sigma = (float(rng.uniform(0.5, 1.0)),) * axes
    return intensity.Sharpen(sigma=sigma, amount=float(rng.uniform(*settings.sharpen_amount)))


def _draw_resolution(
    settings: AugmentSettings, rng: np.random.Generator, axes: int
) -> IntensityStep:
    return intensity.LowResolution(factors=(draw_log(rng, settings.resolution_factor),) * axes)


def _draw_slices(settings: AugmentSettings, rng: np.random.Generator, axes: int) -> IntensityStep:
    factors = [1.0] * axes
    factors[int(rng.integers(axes))] = draw_log(rng, settings.slice_factor)
    return intensity.LowResolution(factors=tuple(factors))


def _draw_ghost(settings: AugmentSettings, rng: np.random.Generator, axes: int) -> IntensityStep:
    return intensity.Ghosting(
        axis=int(rng.integers(axes)),
        copies=int(rng.integers(2, 7)),
        amount=float(rng.uniform(*settings.ghost_amount)),
    )


_Draw = Callable[[AugmentSettings, np.random.Generator, int], IntensityStep]

# In the order in which a scan comes about: tissues, coil, resolution, noise, display.
_STEPS: tuple[tuple[str, _Draw], ...] = (
    ("remap_probability", _draw_remap),
    ("bias_probability", _draw_bias),
    ("ghost_probability", _draw_ghost),
    ("blur_probability", _draw_blur),
    ("resolution_probability", _draw_resolution),
    ("slice_probability", _draw_slices),
    ("noise_probability", _draw_noise),
    ("sharpen_probability", _draw_sharpen),
    ("gamma_probability", _draw_gamma),
    ("levels_probability", _draw_levels),
)
