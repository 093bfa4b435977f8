"""Dice of a network on prepared scans, computed as inference computes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bids_film.domain.errors import InputError
from bids_film.domain.labels import LabelTable
from bids_film.inference.windows import choose_prediction
from bids_film.metadata.encoder import Encoder, MetadataValues
from bids_film.model.config import Preprocessing
from bids_film.model.prompts import fix_metadata
from bids_film.model.rounding import EmulatedConvolutions
from bids_film.model.unet import FilmUNet
from bids_film.training.examples import Example
from bids_film.training.label_maps import LabelMap, check_synthesis, draw_synthetic
from bids_film.training.recipe import Recipe
from bids_film.training.synthesis_settings import SynthesisSettings

SCANS_PER_MAP = 6
_VALIDATION_SEED = 2**31
"""Keeps the synthetic scans of validation apart from those of any training step."""
_AGREEMENT_SCANS = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """A prepared scan with its labels.

    Attributes
    ----------
    image : ndarray
        Shape (1 + companions, X, Y, Z).
    labels : ndarray
        Output channel of each voxel, shape (X, Y, Z).
    annotated : Sequence[bool]
        Which structures were annotated.
    values : Mapping[str, str | float | None]
        Metadata.
    slices : ndarray or None
        Slices that were annotated, shape (n,); None where all were.
    """

    image: NDArray[Any]
    labels: NDArray[np.uint8]
    annotated: Sequence[bool]
    values: MetadataValues
    slices: NDArray[np.intp] | None = None


def make_case(example: Example) -> Case:
    """Take from a training example what validation needs."""
    return Case(
        image=example.image,
        labels=example.labels,
        annotated=tuple(example.annotated.tolist()),
        values=example.values,
        slices=example.slices,
    )


def draw_validation(
    sources: Sequence[LabelMap], recipe: Recipe, scans_per_map: int = SCANS_PER_MAP
) -> list[Case]:
    """Draw the synthetic scans to validate on, always the same ones."""
    settings, _ = check_synthesis(recipe)
    rng = np.random.default_rng((recipe.training.seed, _VALIDATION_SEED))
    repeated = [source for source in sources for _ in range(scans_per_map)]
    return list(draw_cases(repeated, settings, recipe.preprocessing, rng))


def draw_cases(
    sources: Iterable[LabelMap],
    settings: SynthesisSettings,
    preprocessing: Preprocessing,
    rng: np.random.Generator,
) -> Iterator[Case]:
    """Draw one synthetic scan of each of some label maps."""
    x, y, z = preprocessing.patch
    for source in sources:
        drawn = draw_synthetic(
            source, settings, rng, patch=(x, y, z), spacing_mm=preprocessing.spacing_mm[0]
        )
        yield Case(
            image=drawn.image.numpy(),
            labels=drawn.labels.numpy().astype(np.uint8),
            annotated=(True,) * len(settings.targets),
            values=drawn.metadata,
        )


def check_cases(cases: Sequence[Case], labels: LabelTable) -> None:
    """Refuse scans on which no network can be told from another.

    Raises
    ------
    InputError
        Where none of the scans has a voxel of a structure that was annotated.
    """
    if not any(_score(np.zeros_like(case.labels), case, labels) for case in cases):
        raise InputError(
            f"none of {len(cases)} validation scans has a voxel of an annotated structure",
            hint="check their label files, or choose other scans by [split]",
        )


def validate_cases(
    network: FilmUNet,
    cases: Sequence[Case],
    encoder: Encoder,
    labels: LabelTable,
    preprocessing: Preprocessing,
) -> dict[str, float]:
    """Mean Dice over the scans on which a structure was annotated, per structure.

    A structure includes its parts. A scan without the structure, in reference and prediction, does
    not count.

    Returns
    -------
    dict
        Structure name to Dice; without structures that no scan has.
    """
    scores: dict[str, list[float]] = {structure.name: [] for structure in labels}
    for case in cases:
        predicted = _segment(network, case, encoder, labels, preprocessing)
        for name, value in _score(predicted, case, labels).items():
            scores[name].append(value)
    return {name: float(np.mean(values)) for name, values in scores.items() if values}


def measure_agreement(
    network: FilmUNet,
    cases: Sequence[Case],
    encoder: Encoder,
    labels: LabelTable,
    preprocessing: Preprocessing,
) -> float:
    """Mean Dice between the labels in bfloat16 and in float32, over structures and scans.

    At most `_AGREEMENT_SCANS` scans are taken; 0 where nothing is found in any of them.
    """
    scores: list[float] = []
    for case in cases[:: -(-len(cases) // _AGREEMENT_SCANS)]:
        plain = _segment(network, case, encoder, labels, preprocessing)
        with EmulatedConvolutions():
            rounded = _segment(network, case, encoder, labels, preprocessing, bfloat16=True)
        scores += _score(rounded, replace(case, labels=plain), labels).values()
    return float(np.mean(scores)) if scores else 0.0


def _score(predicted: NDArray[np.uint8], case: Case, labels: LabelTable) -> dict[str, float]:
    result = {}
    truth_labels = case.labels
    if case.slices is not None:
        truth_labels = truth_labels[..., case.slices]
        predicted = predicted[..., case.slices]
    for structure, annotated in zip(labels, case.annotated, strict=True):
        channels = labels.channels_of(structure.name)
        found, truth = np.isin(predicted, channels), np.isin(truth_labels, channels)
        total = int(found.sum()) + int(truth.sum())
        if annotated and total:
            result[structure.name] = 2 * int((found & truth).sum()) / total
    return result


@torch.inference_mode()
def _segment(
    network: FilmUNet,
    case: Case,
    encoder: Encoder,
    labels: LabelTable,
    preprocessing: Preprocessing,
    *,
    bfloat16: bool = False,
) -> NDArray[np.uint8]:
    segment = fix_metadata(network, encoder.encode(case.values), labels, bfloat16=bfloat16)
    predict = choose_prediction(network.config, preprocessing)
    device = next(network.parameters()).device
    image = torch.from_numpy(np.asarray(case.image, dtype=np.float32)).to(device)
    result: NDArray[np.uint8] = predict(segment, image).argmax(dim=0).byte().cpu().numpy()
    return result
