"""The sections of a training recipe, each key with its default."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bids_film.domain.errors import UsageError
from bids_film.model.config import FilmForm, FilmPlacement, Norm


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSettings:
    """What the model is called.

    Attributes
    ----------
    name : str
        Letters and digits only: it becomes the ``seg-`` entity of the outputs' names.
    version : str
    description : str
        One sentence: what it segments, in what.
    inputs : Mapping[str, str | tuple[str, ...]]
        BIDS filter of the scans it is meant for; that of the training images if empty.
    license : str
        Under which the weights may be used; licences of the training data may oblige.
    attribution : str
        Whose data it learned from.
    limits : str
        What it is not for, and where it is known to fail.
    """

    name: str
    version: str = "1"
    description: str = ""
    inputs: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    license: str = ""
    attribution: str = ""
    limits: str = ""

    def __post_init__(self) -> None:
        if not (self.name.isascii() and self.name.isalnum()):
            raise UsageError(
                f"[model] name: expected letters and digits only, got {self.name!r}",
                hint="it becomes the seg- entity of the outputs' file names",
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class DataSettings:
    """Which scans are learned from.

    Attributes
    ----------
    images : Mapping[str, str | tuple[str, ...]]
        BIDS filter of the images: entities, ``suffix`` or ``datatype`` to the values wanted. Empty
        takes every image that has labels.
    also : tuple[str, ...]
        Further BIDS datasets: absolute paths, or relative to the root of the first one.
    exclude : tuple[str, ...]
        Scans to leave out, as patterns of paths relative to a dataset's root
        (``sub-01/*``, ``*_run-2_*``).
    labelled_slices_only : bool
        For 2-D networks: slices without any label were not annotated, and are neither learned from
        nor evaluated.
    soft_labels : bool
        Learn shares from 0 to 1: label files without ``values`` may hold them, and what lies
        between voxels after resampling and augmentation is kept (SoftSeg); of synthetic scans, what
        a voxel covers of several of the label map's.
    drop_companion : float
        With [preprocessing] companions: how often each is withheld, so that the network learns to
        do without.
    """

    images: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    labelled_slices_only: bool = False
    soft_labels: bool = False
    drop_companion: float = 0.2

    def __post_init__(self) -> None:
        check_share("[data] drop_companion", self.drop_companion)


@dataclass(frozen=True, kw_only=True, slots=True)
class TargetStructure:
    """A structure to learn, and where its labels are found.

    Attributes
    ----------
    index, name, abbreviation, color, part_of
        As in `Structure`; a colour is chosen where none is given.
    labels : str
        Path of a scan's label file relative to its dataset's root, with placeholders in braces:
        ``{folder}`` (sub-01/ses-1/anat), ``{stem}`` (sub-01_run-1_T2w), ``{entities}``
        (sub-01_run-1), ``{suffix}`` (T2w), or a BIDS entity such as ``{sub}`` (01). A structure
        whose file a scan doesn't have counts as not annotated there.
    values : tuple[int, ...]
        Values of that file that mean the structure; empty for a binary mask.
    source_labels : tuple[int, ...]
        For synthesis: values of the label maps that make up the structure.
    """

    index: int
    name: str
    abbreviation: str
    color: str = ""
    part_of: str = ""
    labels: str = ""
    values: tuple[int, ...] = ()
    source_labels: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class MetadataSettings:
    """What the network is told about a scan.

    Attributes
    ----------
    fields : tuple[str | Mapping[str, Any], ...]
        Names from the catalogue, or tables that define a field of your own.
    drop_probability : float
        Each field is withheld this often in training: the network learns to do without it.
    drop_all_probability : float
        All fields are withheld at once this often.
    """

    fields: tuple[str | Mapping[str, Any], ...] = ()
    drop_probability: float = 0.15
    drop_all_probability: float = 0.05

    def __post_init__(self) -> None:
        check_share("[metadata] drop_probability", self.drop_probability)
        check_share("[metadata] drop_all_probability", self.drop_all_probability)


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkSettings:
    """The network, but for what follows from the data; see `NetworkConfig` for each key.

    Attributes
    ----------
    target : str
        ``joint``: one label map at once. ``prompted``: one structure at a time, which is asked for
        like metadata.
    conditioning : str
        As in `NetworkConfig`, or the control ``shuffled``: a FiLM network that is trained with the
        metadata of a random other scan.
    """

    dimensions: Literal[2, 3] = 3
    channels: tuple[int, ...] = (16, 32, 64, 128)
    target: Literal["joint", "prompted"] = "joint"
    conditioning: Literal["film", "constant", "unconditioned", "shuffled"] = "film"
    film_form: FilmForm = "affine"
    film_at: FilmPlacement = "all"
    generator: tuple[int, ...] = (64, 16)
    norm: Norm = "batch"
    dropout: float = 0.0
    deep_supervision: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSettings:
    """How the weights are found.

    Attributes
    ----------
    seed : int
        The same seed on the same machine gives the same weights.
    loss : str
        Soft Dice, cross-entropy, their sum, or focal Tversky; see `SegmentationLoss`.
    optimizer : str
        ``adamw`` or ``adam``.
    learning_rate : float
        The highest; it rises linearly during the warm-up and falls by a cosine to zero.
    weight_decay : float
    clip_gradient : float
        Largest norm of the gradient.
    batch_size : int
        Patches a step, over all processes that train together.
    accumulate : int
        Batches into which a process divides its part of a step, for want of memory.
    steps : int
        At most.
    warm_up : int
        Steps.
    foreground : float
        Share of patches that are centred on a voxel of a structure; each structure of the scan
        equally often.
    balance : str
        Metadata field or column of ``participants.tsv`` whose values are drawn equally often; every
        scan is, where it is empty.
    validate_every : int
        Steps between two validations.
    patience : int
        Validations without a better result after which training stops; 0 never stops early.
    freeze_norm_from : float
        Share of the steps after which the statistics of batch normalisation are held as they are
        at inference, so that the network learns to work with them.
    ema : float
        Decay of the moving average of the weights, which is what is kept; 0 keeps the last ones.
    precision : str
        ``auto`` is bfloat16 where the processor computes in it.
    start_from : str
        Name or file of a model whose weights are the first ones; random ones if empty.
    compile : bool
        Compile the network before it is trained (torch.compile), which takes a minute and a C++
        compiler. Whether it gains depends on the processor.
    """

    seed: int = 1
    loss: Literal["dice+ce", "dice", "ce", "focal-tversky"] = "dice+ce"
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    clip_gradient: float = 1.0
    batch_size: int = 8
    accumulate: int = 1
    steps: int = 10_000
    warm_up: int = 250
    foreground: float = 0.7
    balance: str = ""
    validate_every: int = 500
    patience: int = 8
    freeze_norm_from: float = 0.8
    ema: float = 0.99
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    start_from: str = ""
    compile: bool = False

    def __post_init__(self) -> None:
        for name in ("batch_size", "accumulate", "steps", "validate_every"):
            if getattr(self, name) < 1:
                raise UsageError(
                    f"[training] {name}: expected at least 1, got {getattr(self, name)}"
                )
        if self.batch_size % self.accumulate:
            raise UsageError(
                f"[training] accumulate: expected a divisor of batch_size = {self.batch_size}, "
                f"got {self.accumulate}"
            )
        for name in ("seed", "weight_decay", "warm_up", "patience"):
            # Not a number is less than nothing and more than nothing: neither.
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(
                    f"[training] {name}: expected 0 or more, got {getattr(self, name)}"
                )
        for name in ("learning_rate", "clip_gradient"):
            if not 0 < getattr(self, name) < math.inf:
                raise UsageError(
                    f"[training] {name}: expected more than 0, got {getattr(self, name)}"
                )
        for name in ("foreground", "freeze_norm_from", "ema"):
            check_share(f"[training] {name}", getattr(self, name))


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitSettings:
    r"""Who is trained on, who is validated on, and who is kept for the test.

    Attributes
    ----------
    validation : float
        Share of the people (or groups) that choose the best step; without meaning with folds.
    folds : int
        Cross-validation with that many folds; 0 for none.
    fold : int
        The fold that is validated on, from 1.
    group_by : str
        Column of ``participants.tsv`` (or another metadata key): scans that share its value stay
        on one side.
    group_pattern : str
        Regular expression on the participant label whose first group names the person, such as
        ``(.+)Ses\d`` for ``sub-01Ses1`` and ``sub-01Ses2``.
    test : Mapping[str, tuple[str, ...]]
        Column to the values that are kept for the test, such as ``{ Site = ["UCL"] }``.
    """

    validation: float = 0.2
    folds: int = 0
    fold: int = 1
    group_by: str = ""
    group_pattern: str = ""
    test: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_share("[split] validation", self.validation)
        if self.folds and (self.folds < 2 or not 1 <= self.fold <= self.folds):  # noqa: PLR2004 (one fold leaves none to train on)
            raise UsageError(
                f"[split] expected folds of at least 2 and a fold from 1 to folds, "
                f"got folds = {self.folds} and fold = {self.fold}"
            )


def check_share(name: str, value: float) -> None:
    """Refuse what is no share of a whole."""
    if not 0 <= value <= 1:
        raise UsageError(f"{name}: expected a number from 0 to 1, got {value}")
