"""What synthetic scans may look like: the settings of `bids_film.training.synthesis`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bids_film.domain.errors import UsageError
from bids_film.training.contrasts import CONTRASTS, TISSUES
from bids_film.training.sequences import SEQUENCES
from bids_film.training.spatial import DeformationSettings, Range

SIDES = (
    (2, 41), (3, 42), (4, 43), (5, 44), (7, 46), (8, 47), (10, 49), (11, 50), (12, 51), (13, 52),
    (17, 53), (18, 54), (25, 57), (26, 58), (28, 60), (30, 62), (136, 163), (137, 164),
)  # fmt: skip
"""Left and right values of FreeSurfer's colour table, and of SynthSeg's label maps, as pairs."""

BRAIN_TARGETS: Mapping[str, tuple[int, ...]] = MappingProxyType(
    {
        "cerebrospinal fluid": (4, 5, 14, 15, 24, 43, 44, 72, 136, 137, 163, 164),
        "cortical gray matter": (3, 42),
        "deep gray matter": (
            10, 11, 12, 13, 17, 18, 26, 28, 30, 49, 50, 51, 52, 53, 54, 58, 60, 62,
        ),
        "white matter": (2, 41, 25, 57, 77, 78, 79),
        "cerebellum": (7, 8, 46, 47),
        "brainstem": (16,),
    }
)  # fmt: skip
"""Six structures of a whole brain. Choroid plexus counts as fluid, in which it hangs; lesions of
the white matter (25, 57) as white matter; the vessels of the basal ganglia (30, 62: 0.1 mL) as deep
gray. The optic chiasm (85: 0.2 mL) belongs to none, nor does what lies outside the brain."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SynthesisSettings(DeformationSettings):
    """Probabilities and ranges; lengths in mm, intensities relative to the brightest tissue.

    Attributes
    ----------
    targets : Mapping[str, tuple[int, ...]]
        Structure to the values of the label map that make it up; channel 1 is the first.
    soft_labels : bool
        Learn each structure's share of a voxel instead of what lies in its middle.
    sides : tuple[tuple[int, int], ...]
        Left and right values: they share an intensity, and a mirrored head exchanges them.
    tissues : Mapping[str, tuple[int, ...]]
        Tissue to values of the label map, for `contrasts`.
    contrasts : Mapping[str, Mapping[str, tuple[float, float]]]
        Suffix to tissue to the range of its mean intensity.
    contrast_weights : Mapping[str, float]
        How often each of the contrasts comes, relative to the others.
    realistic_probability : float
        Intensities are drawn from `contrasts`.
    simulated_probability : float
        Intensities are computed from relaxation times and a sequence, see
        `bids_film.training.signal`; the scan then has times, angle and field strength as metadata.
    relaxation_spread : float
        Standard deviation of the relaxation times' logarithms about those of the table.
    tissue_probability : float
        Intensities are drawn per tissue, at random; else for every value of its own.
    family_probability : float
        In those, white matter, cerebellar white matter and brainstem are alike; and so for gray.
    healthy_probability : float
        Lesions look like white matter.
    bright_air_probability : float
        The background is not dark.
    brain_below : int
        Values from here on lie outside the brain; the stripping of skulls removes them.
    flip_probability : float
        Mirror left and right.
    center_shift_mm : float
        Largest shift of the brain from the middle of the patch, along each axis.
    roaming_probability : float
        The patch lies anywhere in the head, along the axes on which it is shorter.
    spread, texture : tuple[float, float]
        Standard deviation of a tissue's voxels in realistic and in random contrasts is drawn from
        these.
    bias_strength : float
        Largest standard deviation of the bias field's logarithm.
    noise_std : tuple[float, float]
        In acquired voxels; less in those larger than the scan's.
    gamma_probability, gamma : float, tuple[float, float]
    isotropic_probability, isotropic_mm : float, tuple[float, float]
        Acquired voxels of equal sides.
    in_plane_mm, slice_mm : tuple[float, float]
        Acquired voxels of the others, with slices across a random axis.
    thickness : tuple[float, float]
        Slice thickness as a part of the slices' distance.
    blur_mm : tuple[float, float]
        Standard deviation of a further blur.
    strip_probability : float
        The scan comes without skull.
    deface_probability : float
        Of the other scans: the face is cut away.
    crop_probability : float
        The field of view ends inside the head.
    background_zero_probability : float
        Dark background is set to exactly 0.
    """

    rotation_deg: float = 20.0
    scale: Range = (0.8, 1.2)
    anisotropy: float = 1.12
    shear: float = 0.08
    translation: float = 0.0
    elastic_probability: float = 0.95
    elastic_strength: Range = (0.02, 0.14)
    elastic_points: tuple[int, int] = (4, 9)
    targets: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: BRAIN_TARGETS)
    soft_labels: bool = False
    sides: tuple[tuple[int, int], ...] = SIDES
    tissues: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: TISSUES)
    contrasts: Mapping[str, Mapping[str, Range]] = field(default_factory=lambda: CONTRASTS)
    contrast_weights: Mapping[str, float] = field(
        default_factory=lambda: MappingProxyType(
            {"T1w": 4.0, "T2w": 2.0, "FLAIR": 2.0, "PDw": 1.0, "T2starw": 1.0}
        )
    )
    realistic_probability: float = 0.5
    simulated_probability: float = 0.0
    relaxation_spread: float = 0.08
    tissue_probability: float = 0.3
    family_probability: float = 0.6
    healthy_probability: float = 0.4
    bright_air_probability: float = 0.1
    brain_below: int = 500
    flip_probability: float = 0.5
    center_shift_mm: float = 15.0
    roaming_probability: float = 0.25
    spread: Range = (0.01, 0.06)
    texture: Range = (0.0, 0.12)
    bias_strength: float = 0.4
    noise_std: Range = (0.003, 0.1)
    gamma_probability: float = 0.3
    gamma: Range = (0.6, 1.6)
    isotropic_probability: float = 0.5
    isotropic_mm: Range = (0.7, 3.0)
    in_plane_mm: Range = (0.4, 2.5)
    slice_mm: Range = (2.0, 7.0)
    thickness: Range = (0.6, 1.0)
    blur_mm: Range = (0.3, 1.4)
    strip_probability: float = 0.4
    deface_probability: float = 0.15
    crop_probability: float = 0.3
    background_zero_probability: float = 0.4

    def __post_init__(self) -> None:
        # A dataclass with slots is another class than the one that super() would look for.
        DeformationSettings.__post_init__(self)
        if self.realistic_probability + self.simulated_probability > 1:
            raise UsageError(
                "realistic_probability and simulated_probability: expected a sum of at most 1, got "
                f"{self.realistic_probability} and {self.simulated_probability}"
            )
        if unknown := set(self.contrast_weights) - set(self.contrasts):
            raise UsageError(
                f"contrast_weights: {sorted(unknown)} are none of the contrasts, "
                f"{sorted(self.contrasts)}"
            )
        weights = self.contrast_weights.values()
        if min(weights, default=0) < 0 or not sum(weights):
            raise UsageError(
                "contrast_weights: expected numbers from 0 on, one of them above it, got "
                f"{dict(self.contrast_weights)}"
            )
        own = {name for name, weight in self.contrast_weights.items() if weight} - set(SEQUENCES)
        if self.simulated_probability and own:
            raise UsageError(
                f"contrast_weights: no sequence is known for {sorted(own)}, which "
                f"simulated_probability = {self.simulated_probability} asks for",
                hint=f"set it to 0, or take contrasts of {', '.join(SEQUENCES)} alone",
            )
