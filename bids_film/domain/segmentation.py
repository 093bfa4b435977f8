"""What is known of a finished segmentation: written beside it, and read again for every report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from bids_film.domain.labels import Structure
from bids_film.domain.planes import SlicePlane

_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordedValue:
    """One metadata field of the model, as a segmentation used it.

    Attributes
    ----------
    field : str
        BIDS key, such as ``MagneticFieldStrength``.
    value : str, float or None
        What the network was given; None where it was given "unknown".
    unit : str
        Unit of a number; empty for levels.
    status : str
        Such as ``used``, ``converted``, ``missing``, ``unknown level``, ``implausible``.
    origin : str
        Kind of source, such as ``JSON sidecar``; empty where nothing was found.
    file, key : str
        File (relative to the dataset) and key or column in it.
    raw : str
        The value as found, as text.
    note : str
        What a reader should know of it.
    trained_on : str
        Range or levels in the training data, in words.
    outside_range : bool
        Whether a number lies outside that range.
    """

    field: str
    value: str | float | None = None
    unit: str = ""
    status: str
    origin: str = ""
    file: str = ""
    key: str = ""
    raw: str = ""
    note: str = ""
    trained_on: str = ""
    outside_range: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelIdentity:
    """Which model made a segmentation.

    Attributes
    ----------
    name, version, sha256 : str
        The hash is of the model file.
    description : str
        One sentence of the model's card.
    dimensions : int
        2 or 3.
    plane : SlicePlane
        Of the slices that a 2-D model looks at.
    conditioning : str
        ``film``, ``constant`` or ``unconditioned``.
    postprocessing : str
        What is done to its labels, in words; empty for nothing.
    """

    name: str
    version: str
    sha256: str
    description: str = ""
    dimensions: int = 3
    plane: SlicePlane = "thickest"
    conditioning: str = "film"
    postprocessing: str = ""

    @property
    def slice_plane(self) -> SlicePlane | None:
        """The plane of the slices that it looks at; None for a model of volumes."""
        return self.plane if self.dimensions == 2 else None  # noqa: PLR2004 (slices)


@dataclass(frozen=True, kw_only=True, slots=True)
class StructureVolume:
    """Size of one structure, its parts included.

    Attributes
    ----------
    structure : Structure
    voxels : int
    volume_ml : float
    expected_dice, entropy : float or None
        How sure the network was, see `inference.uncertainty`; None where it was not asked.
    trained_ml : tuple[float, float] or None
        Lowest and highest volume in the model's training data; None where the model does not say.
    reached_dice : float or None
        Real Dice on the scans that the model was validated on; None where it does not say.
    """

    structure: Structure
    voxels: int
    volume_ml: float
    expected_dice: float | None = None
    entropy: float | None = None
    trained_ml: tuple[float, float] | None = None
    reached_dice: float | None = None

    @property
    def is_unsure(self) -> bool:
        """Whether the network expects less of itself than it reached on the average scan."""
        if self.expected_dice is None or self.reached_dice is None:
            return False
        return self.expected_dice < self.reached_dice

    @property
    def outside_range(self) -> bool:
        """Whether no scan of the training data had such a volume."""
        if self.trained_ml is None:
            return False
        lowest, highest = self.trained_ml
        return not lowest <= self.volume_ml <= highest


@dataclass(frozen=True, kw_only=True, slots=True)
class StructureChange:
    """What other metadata did to one structure, its parts included.

    Attributes
    ----------
    name : str
        Of the structure.
    dice : float
        Overlap with what the scan's own metadata give.
    volume_ml : float
    compared_ml : float or None
        Volume in what it was compared with; None in sidecars of older versions.
    """

    name: str
    dice: float
    volume_ml: float
    compared_ml: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Alternative:
    """The same scan, segmented with other metadata.

    Attributes
    ----------
    field : str
        The one field that was told otherwise; empty where all were withheld.
    value : str
        Its level; empty where nothing was told.
    labels_file : str
        Path of the label map relative to the output folder, POSIX form.
    changes : tuple[StructureChange, ...]
        In the order of the model's label table.
    """

    field: str = ""
    value: str = ""
    labels_file: str = ""
    changes: tuple[StructureChange, ...] = ()

    @property
    def lowest_dice(self) -> float:
        """Overlap of the structure that changed most."""
        return min((change.dice for change in self.changes), default=1.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Segmentation:
    """A finished segmentation, without its voxels.

    Attributes
    ----------
    scan : str
        Path of the image relative to the input dataset, POSIX form.
    labels_file : str
        Path of the label map relative to the output folder, POSIX form.
    model : ModelIdentity
    values : tuple[RecordedValue, ...]
        One per metadata field of the model.
    volumes : tuple[StructureVolume, ...]
        In the order of the model's label table.
    notes : tuple[str, ...]
        What a reader should know of how the image was read and segmented.
    software : Mapping[str, str]
        Package to version.
    settings : Mapping[str, str]
        Such as ``device`` and ``precision``.
    companions : tuple[str, ...]
        Paths of other images that the network saw as well, relative to the input dataset.
    entropy_file : str
        Path of the map of entropies relative to the output folder; empty where there is none.
    alternatives : tuple[Alternative, ...]
        What other metadata would have given.
    compared_file : str
        Path of the label map with which alternatives are compared, relative to the output folder;
        empty where it is the delivered one.
    untried : int
        Further levels that were not tried, as there are too many.
    """

    scan: str
    labels_file: str
    model: ModelIdentity
    values: tuple[RecordedValue, ...] = ()
    volumes: tuple[StructureVolume, ...] = ()
    notes: tuple[str, ...] = ()
    software: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    settings: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    entropy_file: str = ""
    companions: tuple[str, ...] = ()
    alternatives: tuple[Alternative, ...] = ()
    compared_file: str = ""
    untried: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class FailedScan:
    """A scan that could not be segmented.

    Attributes
    ----------
    scan : str
        Path relative to the input dataset, POSIX form.
    message, hint : str
        Why, and what to do about it.
    crash_file : str
        Path relative to the output folder; empty where there is none.
    """

    scan: str
    message: str
    hint: str = ""
    crash_file: str = ""
