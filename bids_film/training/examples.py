"""Labelled scans, prepared as inference prepares them and held ready for the sampler."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bids_film.domain.errors import InputError, ScanError
from bids_film.domain.labels import LabelTable
from bids_film.domain.scan import Scan
from bids_film.images.frame import cut
from bids_film.images.geometry import reorient
from bids_film.images.resample import resize, resize_labels
from bids_film.inference.companions import ReadVolume, read_with_companions
from bids_film.inference.prepare import Prepared, prepare_volume
from bids_film.metadata.encoder import MetadataValues
from bids_film.metadata.fields import Field
from bids_film.metadata.resolve import resolve
from bids_film.training.labels import Reference, hash_voxels, read_reference
from bids_film.training.recipe import Recipe

_LISTED_PROBLEMS = 10
_POINTS_PER_CHANNEL = 2000


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A labelled scan in the space in which the network works.

    Attributes
    ----------
    scan : Scan
    image : ndarray
        float16, shape (1 + companions, X, Y, Z); the slice axis of a 2-D network last.
    labels : ndarray
        uint8: output channel of each voxel, shape (X, Y, Z).
    annotated : ndarray
        Which structures were annotated, bool, shape (structures,).
    values : Mapping[str, str | float | None]
        Metadata.
    spacing_mm : tuple[float, float, float]
    voxel_ml : float
        Volume of a voxel.
    points : Mapping[int, ndarray]
        Channel to some of its voxels, int32, shape (n, 3); without channels that are empty.
    notes : tuple[str, ...]
        What was met while image and labels were read.
    shares : ndarray or None
        Share of each channel, background first, float16, shape (structures + 1, X, Y, Z); None
        where labels are taken as they are drawn.
    slices : ndarray or None
        Slices that were annotated, shape (n,); None where all were.
    """

    scan: Scan
    image: NDArray[np.float16]
    labels: NDArray[np.uint8]
    annotated: NDArray[np.bool_]
    values: MetadataValues
    spacing_mm: tuple[float, float, float]
    voxel_ml: float
    points: Mapping[int, NDArray[np.int32]]
    notes: tuple[str, ...] = ()
    shares: NDArray[np.float16] | None = None
    slices: NDArray[np.intp] | None = None
    voxels_sha256: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Batch:
    """What the network sees in one step.

    Attributes
    ----------
    image : Tensor
        float32, shape (batch, channels, *patch).
    labels : Tensor
        Output channel of each voxel, int64, shape (batch, *patch); or the share of each channel,
        float32, shape (batch, structures + 1, *patch).
    annotated : Tensor
        Which structures were annotated, bool, shape (batch, structures).
    vector : Tensor
        Encoded metadata, float32, shape (batch, width).
    known : Tensor
        Which fields are known, float32, shape (batch, fields).
    """

    image: torch.Tensor
    labels: torch.Tensor
    annotated: torch.Tensor
    vector: torch.Tensor
    known: torch.Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class ArrayStore:
    """Keeps arrays in memory, or in files where all of them would be too many.

    Attributes
    ----------
    folder : Path or None
        Work folder for the files; None keeps everything in memory.
    limit_mb : float
        Memory that the arrays of one training may take.
    """

    folder: Path | None = None
    limit_mb: float = 4000.0

    def keep(self, array: NDArray[Any], name: str, held_mb: float) -> NDArray[Any]:
        """Give the array back as it is, or mapped from a file once `held_mb` is over the limit."""
        if self.folder is None or held_mb <= self.limit_mb:
            return array
        self.folder.mkdir(parents=True, exist_ok=True)
        # The name alone may be that of a scan of another dataset.
        with NamedTemporaryFile(
            dir=self.folder, prefix=f"{name}_", suffix=".npy", delete=False
        ) as file:
            np.save(file, array)
        mapped: NDArray[Any] = np.load(file.name, mmap_mode="r")
        return mapped


def load_examples(
    scans: Sequence[Scan],
    recipe: Recipe,
    *,
    read: ReadVolume,
    store: ArrayStore | None = None,
) -> list[Example]:
    """Read and prepare labelled scans.

    Parameters
    ----------
    scans : Sequence[Scan]
        Those of `find_labelled`, with all their metadata sources.
    recipe : Recipe
    read : ReadVolume
        Reads a NIfTI file.
    store : ArrayStore, optional
        Where the arrays are kept; in memory by default.

    Raises
    ------
    InputError
        Naming every scan that cannot be used: a training must not lose data without a word.
    """
    store = store or ArrayStore()
    examples: list[Example] = []
    problems: list[str] = []
    held_mb = 0.0
    for scan in scans:
        try:
            example = load_example(scan, recipe, read=read)
        except ScanError as problem:
            problems.append(f"{scan.relative_path}: {problem.message}")
            continue
        held_mb += (example.image.nbytes + example.labels.nbytes) / 2**20
        held_mb += 0 if example.shares is None else example.shares.nbytes / 2**20
        examples.append(_store_example(example, store, scan.stem, held_mb))
    if problems:
        listed = "\n  ".join(problems[:_LISTED_PROBLEMS])
        more = len(problems) - _LISTED_PROBLEMS
        listed += f"\n  and {more} more" if more > 0 else ""
        raise InputError(
            f"{len(problems)} of {len(scans)} scans cannot be trained on:\n  {listed}",
            hint="repair them, or leave them out: [data] exclude = [...] in the recipe",
        )
    return examples


def check_voxels(examples: Sequence[Example], recipe: Recipe) -> None:
    """Refuse to teach a structure of which no example has a voxel, its parts included.

    Raises
    ------
    InputError
    """
    labels = recipe.label_table
    for target in recipe.structures:
        channels = labels.channels_of(target.name)
        if not any(channel in example.points for example in examples for channel in channels):
            raise InputError(
                f"structure {target.name!r}: none of {len(examples)} training scans has a voxel of "
                f"it in its label file",
                hint="check its labels and values in the recipe, or leave the structure out",
            )


def load_example(scan: Scan, recipe: Recipe, *, read: ReadVolume) -> Example:
    """Read and prepare one labelled scan.

    Raises
    ------
    ScanError
        Where the image or a label file cannot be used.
    """
    volume = read_with_companions(scan, recipe.preprocessing.companions, read=read)
    prepared = prepare_volume(volume, recipe.preprocessing)
    reference = read_reference(
        scan, recipe.structures, volume.grid, read=read, soft=recipe.data.soft_labels
    )
    labels = prepare_labels(to_channels(reference, recipe.label_table), prepared)
    names = [target.name for target in recipe.structures]
    slices = np.flatnonzero(labels.any(axis=(0, 1))) if recipe.data.labelled_slices_only else None
    if slices is not None and not len(slices):
        raise ScanError("no slice has a label, and [data] labelled_slices_only takes no other")
    return Example(
        scan=scan,
        image=prepared.image.astype(np.float16),
        labels=labels,
        annotated=np.array([name in reference.annotated for name in names]),
        values=resolve_values(scan, recipe.metadata_fields),
        spacing_mm=prepared.spacing_mm,
        voxel_ml=volume.grid.voxel_volume_ml * math.prod(prepared.frame.shape) / labels.size,
        points=_pick_points(labels),
        notes=(*volume.notes, *reference.notes),
        shares=None if reference.shares is None else prepare_shares(reference.shares, prepared),
        slices=slices,
        voxels_sha256=hash_voxels(volume),
    )


def resolve_values(scan: Scan, fields: Sequence[Field]) -> MetadataValues:
    """Look up what is known of a scan: field to value or None."""
    return {found.field: found.value for found in resolve(fields, scan.sources)}


def to_channels(reference: Reference, labels: LabelTable) -> NDArray[np.uint8]:
    """Replace structure indices by the numbers of the network's output channels."""
    table = np.zeros(max(structure.index for structure in labels) + 1, dtype=np.uint8)
    for channel, structure in enumerate(labels, start=1):
        table[structure.index] = channel
    return table[reference.labels]


def prepare_labels(labels: NDArray[np.uint8], prepared: Prepared) -> NDArray[np.uint8]:
    """Bring a label map into the space into which its image was brought."""
    turned = cut(reorient(labels, prepared.plan), prepared.frame)
    return np.ascontiguousarray(resize_labels(turned, prepared.image.shape[1:]), dtype=np.uint8)


def prepare_shares(shares: NDArray[np.float32], prepared: Prepared) -> NDArray[np.float16]:
    """Bring shares into the space into which their image was brought, and add background's.

    What a voxel of the network covers of several of the scan's is averaged (SoftSeg; Gros et al.,
    Medical Image Analysis 2021).
    """
    shape = prepared.image.shape[1:]
    own = np.stack(
        [resize(cut(reorient(share, prepared.plan), prepared.frame), shape) for share in shares]
    )
    return np.concatenate([1 - own.sum(axis=0, keepdims=True), own]).astype(np.float16)


def _pick_points(labels: NDArray[np.uint8]) -> dict[int, NDArray[np.int32]]:
    """Voxels of each channel, evenly spread over all that it has."""
    points = {}
    for channel in np.unique(labels[labels > 0]).tolist():
        places = np.flatnonzero(labels == channel)
        step = max(1, len(places) // _POINTS_PER_CHANNEL)
        points[channel] = np.stack(np.unravel_index(places[::step], labels.shape), axis=1).astype(
            np.int32
        )
    return points


def _store_example(example: Example, store: ArrayStore, name: str, held_mb: float) -> Example:
    return replace(
        example,
        image=store.keep(example.image, f"{name}_image", held_mb),
        labels=store.keep(example.labels, f"{name}_labels", held_mb),
        shares=None
        if example.shares is None
        else store.keep(example.shares, f"{name}_shares", held_mb),
    )
