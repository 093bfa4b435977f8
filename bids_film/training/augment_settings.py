"""How strongly training examples are changed: the settings of `bids_film.training.augment`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from bids_film.domain.errors import UsageError
from bids_film.training.settings import check_share
from bids_film.training.spatial import DeformationSettings, Range


@dataclass(frozen=True, kw_only=True, slots=True)
class AugmentSettings(DeformationSettings):
    """Probabilities and ranges of the changes; spatial ones of `DeformationSettings` included.

    Attributes
    ----------
    flip_axes : tuple[int, ...]
        Spatial axes that may be mirrored (each with probability 0.5): only where left and right
        bear the same label.
    voxel_size : tuple[float, ...]
        Relative sizes along the axes, so that rotations turn space; empty where they are equal.
    gamma_probability, gamma : float, tuple[float, float]
    gamma_inverted : float
        Part of the gamma changes that act on the negative.
    levels_probability, contrast, brightness : float, tuple[float, float], float
        Contrast is a factor about the mean; brightness the largest shift.
    remap_probability : float
        A random curve instead of the identity.
    remap_knots : tuple[int, int]
        Fewest and most knots of the curve.
    remap_monotone : float
        Part of the curves that keep the order of intensities.
    bias_probability, bias_strength : float, float
        Largest standard deviation of the field's logarithm.
    noise_probability, noise_std, noise_rician : float, tuple[float, float], float
        The last is the part with Rician noise.
    blur_probability, blur_sigma, blur_uneven : float, tuple[float, float], float
        Standard deviation in voxels; the last is the part with another blur along each axis.
    sharpen_probability, sharpen_amount : float, tuple[float, float]
    resolution_probability, resolution_factor : float, tuple[float, float]
        Coarser along every axis.
    slice_probability, slice_factor : float, tuple[float, float]
        Much coarser along one axis: thick slices.
    ghost_probability, ghost_amount : float, tuple[float, float]
    """

    flip_axes: tuple[int, ...] = ()
    voxel_size: tuple[float, ...] = ()
    gamma_probability: float = 0.3
    gamma: Range = (0.6, 1.7)
    gamma_inverted: float = 0.3
    levels_probability: float = 0.3
    contrast: Range = (0.7, 1.4)
    brightness: float = 0.1
    remap_probability: float = 0.0
    remap_knots: tuple[int, int] = (3, 6)
    remap_monotone: float = 0.5
    bias_probability: float = 0.3
    bias_strength: float = 0.3
    noise_probability: float = 0.3
    noise_std: Range = (0.005, 0.08)
    noise_rician: float = 0.3
    blur_probability: float = 0.2
    blur_sigma: Range = (0.3, 1.2)
    blur_uneven: float = 0.3
    sharpen_probability: float = 0.1
    sharpen_amount: Range = (0.3, 1.5)
    resolution_probability: float = 0.2
    resolution_factor: Range = (1.0, 2.0)
    slice_probability: float = 0.0
    slice_factor: Range = (2.0, 5.0)
    ghost_probability: float = 0.0
    ghost_amount: Range = (0.05, 0.3)

    def __post_init__(self) -> None:
        # A dataclass with slots is another class than the one that super() would look for.
        DeformationSettings.__post_init__(self)
        if not set(self.flip_axes) <= {0, 1, 2}:
            raise UsageError(f"flip_axes: expected axes from 0 to 2, got {list(self.flip_axes)}")
        for name in ("gamma_inverted", "remap_monotone", "noise_rician", "blur_uneven"):
            check_share(name, getattr(self, name))


PRESETS: Mapping[str, AugmentSettings] = MappingProxyType(
    {
        "none": AugmentSettings(
            affine_probability=0,
            elastic_probability=0,
            gamma_probability=0,
            levels_probability=0,
            bias_probability=0,
            noise_probability=0,
            blur_probability=0,
            sharpen_probability=0,
            resolution_probability=0,
        ),
        "light": AugmentSettings(
            affine_probability=0.5,
            rotation_deg=10,
            scale=(0.9, 1.1),
            anisotropy=1.05,
            shear=0.05,
            elastic_probability=0.2,
            elastic_strength=(0, 0.08),
            gamma_probability=0.2,
            levels_probability=0.2,
            bias_probability=0.1,
            noise_probability=0.2,
            noise_std=(0.005, 0.04),
            blur_probability=0.1,
            blur_sigma=(0.3, 0.7),
            sharpen_probability=0,
            resolution_probability=0.1,
        ),
        "standard": AugmentSettings(affine_probability=0.8, elastic_probability=0.4),
        "strong": AugmentSettings(
            affine_probability=0.9,
            rotation_deg=25,
            scale=(0.7, 1.4),
            anisotropy=1.2,
            shear=0.15,
            translation=0.08,
            elastic_probability=0.6,
            elastic_strength=(0, 0.2),
            gamma_probability=0.4,
            gamma=(0.4, 2.5),
            levels_probability=0.4,
            remap_probability=0.4,
            bias_probability=0.5,
            bias_strength=0.5,
            noise_probability=0.4,
            noise_std=(0.005, 0.15),
            blur_probability=0.3,
            blur_sigma=(0.3, 1.6),
            sharpen_probability=0.2,
            resolution_probability=0.3,
            resolution_factor=(1.0, 3.0),
            slice_probability=0.15,
            ghost_probability=0.1,
        ),
    }
)
"""Settings by name, from no change at all to contrasts and shapes that no scanner gives."""
