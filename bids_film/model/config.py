"""What a network is made of, and how a scan is prepared for it. No torch: a dry run reads this."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from bids_film.domain.errors import UsageError
from bids_film.domain.patterns import check_pattern
from bids_film.domain.planes import SlicePlane

Conditioning = Literal["film", "constant", "unconditioned"]
FilmForm = Literal["affine", "sigmoid"]
FilmPlacement = Literal["all", "encoder", "bottleneck", "decoder"]
Norm = Literal["batch", "instance"]
EnsembleKind = Literal["none", "augment", "dropout"]

_MOST_LEVELS = 8
_MOST_CHANNELS = 4096
_MOST_NEIGHBOURS = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkConfig:
    """The architecture of a FiLMed U-Net.

    Attributes
    ----------
    dimensions : int
        2 (slices) or 3 (volumes).
    in_channels, out_channels : int
        Images in; structures plus background out.
    channels : tuple[int, ...]
        Channels of each level, the finest first; each further level halves the resolution.
    conditioning : str
        ``film``: metadata scale and shift the features. ``constant``: the same network, but every
        field is always unknown (the paper's baseline). ``unconditioned``: no FiLM layers at all.
    film_form : str
        ``affine``: ``(1 + γ) · x + β``, identity at the start. ``sigmoid``: γ and β each through a
        sigmoid, ``γ · x + β``, as in the code of Lemay et al. (2021).
    film_at : str
        Which convolution units are followed by FiLM.
    generator : tuple[int, ...]
        Widths of the hidden layers of the generator, shared by all FiLM layers.
    norm : str
        ``batch`` folds into the convolution at inference; ``instance`` normalises each scan.
    dropout : float
        Probability of dropping a channel of the bottleneck in training.
    deep_supervision : int
        Coarser levels of the decoder that training compares with the labels as well.
    prompts : int
        Structures that can be asked for, one at a time: which one is told like metadata, and the
        answer is one mask. 0: all structures are answered at once.
    """

    dimensions: int = 3
    in_channels: int = 1
    out_channels: int = 2
    channels: tuple[int, ...] = (16, 32, 64, 128)
    conditioning: Conditioning = "film"
    film_form: FilmForm = "affine"
    film_at: FilmPlacement = "all"
    generator: tuple[int, ...] = (64, 16)
    norm: Norm = "batch"
    dropout: float = 0.0
    deep_supervision: int = 0
    prompts: int = 0

    def __post_init__(self) -> None:
        if self.dimensions not in (2, 3):
            raise UsageError(f"expected network dimensions 2 or 3, got {self.dimensions}")
        if not 2 <= len(self.channels) <= _MOST_LEVELS or not _are_widths(self.channels):  # noqa: PLR2004 (a U-Net has a skip)
            raise UsageError(
                f"expected channel counts of 2 to {_MOST_LEVELS} levels, each from 1 to "
                f"{_MOST_CHANNELS}, got {self.channels}"
            )
        if len(self.generator) > _MOST_LEVELS or not _are_widths(self.generator):
            raise UsageError(
                f"expected widths of at most {_MOST_LEVELS} generator layers, each from 1 to "
                f"{_MOST_CHANNELS}, got {self.generator}"
            )
        if not 0 <= self.dropout < 1:
            raise UsageError(f"expected a dropout from 0 to below 1, got {self.dropout}")
        if not 0 <= self.deep_supervision <= len(self.channels) - 2:
            raise UsageError(
                f"expected deep_supervision from 0 to {len(self.channels) - 2} for "
                f"{len(self.channels)} levels, got {self.deep_supervision}"
            )
        self._check_channels()

    def _check_channels(self) -> None:
        if not 0 <= self.prompts <= _MOST_CHANNELS:
            raise UsageError(f"expected from 0 to {_MOST_CHANNELS} prompts, got {self.prompts}")
        if self.prompts and self.conditioning == "unconditioned":
            raise UsageError(
                "an unconditioned network cannot be asked for one structure at a time",
                hint='give target = "joint", or conditioning = "constant"',
            )
        if self.prompts and self.out_channels != 2:  # noqa: PLR2004 (one mask and its background)
            raise UsageError(
                f"expected 2 output channels of a prompted network, got {self.out_channels}"
            )
        if not 1 <= self.in_channels <= _MOST_CHANNELS:
            raise UsageError(
                f"expected from 1 to {_MOST_CHANNELS} input channels, got {self.in_channels}"
            )
        if not 2 <= self.out_channels <= _MOST_CHANNELS:  # noqa: PLR2004 (background counts)
            raise UsageError(
                f"expected from 2 to {_MOST_CHANNELS} output channels, got {self.out_channels}"
            )

    @property
    def structures(self) -> int:
        """Structures that the network knows."""
        return self.prompts or self.out_channels - 1

    @property
    def stride(self) -> int:
        """Voxels along an axis must be a multiple of this."""
        return int(2 ** (len(self.channels) - 1))


def _are_widths(sizes: tuple[int, ...]) -> bool:
    return all(1 <= size <= _MOST_CHANNELS for size in sizes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """How a scan is brought into the space in which the network works.

    Attributes
    ----------
    spacing_mm : tuple[float, float, float]
        Voxel size in closest-RAS order (2-D: the slice axis last); 0 keeps an axis as it is.
    plane : str
        Axis along which a 2-D network takes its slices; without meaning in 3-D.
    patch : tuple[int, ...]
        Size in voxels of a training patch, and of a window where a scan is too large for one pass.
    percentiles : tuple[float, float]
        Intensities that become 0 and 1.
    foreground : str
        Voxels from which the percentiles are taken: ``nonzero`` or ``all``.
    neighbours : int
        Slices on either side that a 2-D network sees as well (2.5-D); beyond the ends the last one
        counts.
    companions : tuple[str, ...]
        Patterns of co-registered images of other contrasts that the network sees as well, with the
        placeholders of label files; one that a scan lacks is all zero.
    """

    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    plane: SlicePlane = "axial"
    patch: tuple[int, ...] = (96, 96, 96)
    percentiles: tuple[float, float] = (0.5, 99.5)
    foreground: Literal["nonzero", "all"] = "nonzero"
    neighbours: int = 0
    companions: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Channels of the image that the network sees."""
        return (1 + len(self.companions)) * (1 + 2 * self.neighbours)

    @property
    def slice_plane(self) -> SlicePlane:
        """Plane of the slices of a 2-D network; a 3-D one has none, and keeps the plain order."""
        return self.plane if len(self.patch) == 2 else "axial"  # noqa: PLR2004 (slices)

    def __post_init__(self) -> None:
        if not 0 <= self.neighbours <= _MOST_NEIGHBOURS:
            raise UsageError(
                f"expected from 0 to {_MOST_NEIGHBOURS} neighbours, got {self.neighbours}"
            )
        for pattern in self.companions:
            check_pattern(pattern, where="companions")
        if not all(math.isfinite(size) and size >= 0 for size in self.spacing_mm):
            raise UsageError(
                f"expected spacing_mm of positive numbers, or 0 to keep an axis as it is, "
                f"got {self.spacing_mm}"
            )
        if len(self.patch) not in (2, 3) or min(self.patch) < 1:
            raise UsageError(f"expected a patch of two or three positive sizes, got {self.patch}")
        low, high = self.percentiles
        if not 0 <= low < high <= 100:  # noqa: PLR2004 (percent)
            raise UsageError(
                f"expected percentiles from 0 to 100, the lower one first, got {self.percentiles}"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Postprocessing:
    """What is known of the anatomy beforehand.

    Attributes
    ----------
    keep_largest_whole : bool
        All structures together are one piece: others are taken out.
    keep_largest : tuple[str, ...]
        Names of structures that, with their parts, are one piece each.
    fill_holes : bool
        What structures enclose belongs to the nearest of them.
    mirror : bool
        The body is about symmetric: probabilities are the mean over a scan and its mirror image, in
        which left and right change places. For networks of volumes.
    """

    keep_largest_whole: bool = False
    keep_largest: tuple[str, ...] = ()
    fill_holes: bool = False
    mirror: bool = False

    @property
    def description(self) -> str:
        """In words, for the methods of a paper; empty where the labels stay as they are."""
        parts = []
        if self.mirror:
            parts.append(
                "before, probabilities were averaged over the scan and its mirror image, in which "
                "left and right change places"
            )
        if self.keep_largest_whole:
            parts.append("only the largest piece of all structures together was kept")
        if self.keep_largest:
            some = "structure was" if len(self.keep_largest) == 1 else "structures were"
            parts.append(f"of {len(self.keep_largest)} {some} kept the largest piece only")
        if self.fill_holes:
            parts.append("holes within the structures were filled")
        return ", and ".join(parts)
