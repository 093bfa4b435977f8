"""The engine: a loaded model that segments one volume after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bids_film.domain.errors import UsageError
from bids_film.domain.sides import find_opposites
from bids_film.domain.volume import Volume
from bids_film.images.frame import paste
from bids_film.images.geometry import restore
from bids_film.images.resample import resize, resize_argmax
from bids_film.inference.ensembling import (
    ONCE,
    Ensemble,
    Predict,
    check_ensemble,
    mirror,
    predict_mean,
)
from bids_film.inference.memory import keep_memory
from bids_film.inference.postprocess import postprocess
from bids_film.inference.prepare import Prepared, prepare_volume
from bids_film.inference.uncertainty import Confidence, measure_confidence, measure_entropy
from bids_film.inference.windows import choose_prediction
from bids_film.metadata.encoder import Encoded
from bids_film.model.checkpoint import load_checkpoint
from bids_film.model.header import ModelHeader
from bids_film.model.prompts import fix_metadata
from bids_film.model.unet import FilmUNet, place_network


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """A segmentation in memory, on the grid of its volume.

    Attributes
    ----------
    labels : ndarray
        Structure indices, uint16, shape ``grid.shape``.
    probabilities : tuple[ndarray, ...] or None
        One float32 array of shape ``grid.shape`` per structure, in the order of the label table;
        None where they were not asked for.
    device, precision : str
        What it was computed with.
    ensemble : str
        Of which passes it is the mean; empty for a single one.
    notes : tuple[str, ...]
        What a reader should know of it.
    entropy : ndarray or None
        float32, shape ``grid.shape``, see `inference.uncertainty`; None where it was not asked for.
    confidence : Mapping[str, Confidence]
        By name of the structure; empty where it was not asked for.
    """

    labels: NDArray[np.uint16]
    probabilities: tuple[NDArray[np.float32], ...] | None = None
    device: str = "cpu"
    precision: str = "fp32"
    ensemble: str = ""
    notes: tuple[str, ...] = ()
    entropy: NDArray[np.float32] | None = None
    confidence: Mapping[str, Confidence] = field(default_factory=dict)


AGREEMENT = 0.999
"""Mean Dice between the labels in bfloat16 and in float32 from which both count as the same."""

Box = tuple[slice, slice, slice]
"""A part of a volume, in voxels."""


class Engine:
    """A model, ready to segment.

    Parameters
    ----------
    header : ModelHeader
    network : FilmUNet
    device : torch.device
    precision : str
        ``fp32`` or ``bf16``.
    ensemble : Ensemble
        Whether the mean of several passes is taken.
    """

    def __init__(
        self,
        header: ModelHeader,
        network: FilmUNet,
        *,
        device: torch.device,
        precision: str,
        ensemble: Ensemble = ONCE,
    ) -> None:
        self.header = header
        self.device = device
        self.precision = precision
        self.ensemble = ensemble
        self._predict = choose_prediction(header.network, header.preprocessing)
        self._opposites = find_opposites(header.labels)
        self._network = place_network(network, device).eval()

    @classmethod
    def load(
        cls,
        path: Path,
        *,
        device: str = "auto",
        precision: str = "auto",
        threads: int = 0,
        ensemble: Ensemble = ONCE,
    ) -> Engine:
        """Load a model; on a CPU the process keeps the memory that its layers free.

        Parameters
        ----------
        path : Path
        device : str
            ``auto`` takes a CUDA device where there is one; ``cpu``, ``cuda`` or ``cuda:N``.
        precision : str
            ``auto`` is ``bf16`` where the device computes in it and the model's labels are known to
            stay the same (see `AGREEMENT`), and ``fp32`` elsewhere.
        threads : int
            Threads of a CPU; 0 leaves it to torch.
        ensemble : Ensemble

        Raises
        ------
        ModelFileError
            Where the file is not a model.
        UsageError
            Where the device is not there, or the network was trained without the dropout that the
            ensemble asks for.
        """
        if threads:
            torch.set_num_threads(threads)
        chosen = find_device(device)
        if chosen.type == "cpu":
            keep_memory()
        header, network = load_checkpoint(path)
        check_ensemble(ensemble, network)
        found = find_precision(precision, chosen, header)
        return cls(header, network, device=chosen, precision=found, ensemble=ensemble)

    def prepare(self, volume: Volume) -> Prepared:
        """Bring a volume into the network's space: once, where it is to be segmented several times.

        Raises
        ------
        ScanError
            Where the image has no contrast.
        """
        return prepare_volume(volume, self.header.preprocessing)

    def predict(
        self,
        volume: Volume | Prepared,
        encoded: Encoded,
        *,
        probabilities: bool = False,
        uncertainty: bool = False,
        within: Box | None = None,
    ) -> Prediction:
        """Segment a volume, told its metadata.

        Parameters
        ----------
        volume : Volume or Prepared
        encoded : Encoded
        probabilities, uncertainty : bool
            Whether they are wanted as well.
        within : Box or None
            Part of the volume that is computed, in the order of `plan_ras`; beyond it there is
            background. None for all of it.

        Raises
        ------
        ScanError
            Where the image has no contrast.
        """
        prepared = volume if isinstance(volume, Prepared) else self.prepare(volume)
        predicted = self.compute(prepared, encoded, within)
        channels = resize_argmax(predicted, prepared.frame.shape, threads=torch.get_num_threads())
        table = self.header.labels
        values = np.array([0, *(structure.index for structure in table)], dtype=np.uint16)
        settings, slices = self.header.postprocessing, self.header.network.dimensions == 2  # noqa: PLR2004
        found = postprocess(values[channels], table, settings, slices=slices)
        labels = paste(found, prepared.frame, prepared.plan.shape)
        entropy = measure_entropy(predicted) if uncertainty else None
        return Prediction(
            labels=np.ascontiguousarray(restore(labels, prepared.plan)),
            probabilities=_resample_back(predicted, prepared) if probabilities else None,
            device=str(self.device),
            precision=self.precision,
            ensemble=self.ensemble.description,
            notes=self._find_notes(found),
            entropy=None if entropy is None else _bring_back(entropy, prepared),
            confidence={} if entropy is None else measure_confidence(predicted, entropy, table),
        )

    @torch.inference_mode()
    def compute(
        self, prepared: Prepared, encoded: Encoded, within: Box | None = None
    ) -> NDArray[np.float32]:
        """Compute probabilities in the network's space, float32, shape (structures + 1, X, Y, Z).

        Parameters
        ----------
        prepared : Prepared
        encoded : Encoded
        within : Box or None
            As for `predict`.
        """
        network = fix_metadata(
            self._network, encoded, self.header.labels, bfloat16=self.precision == "bf16"
        )
        box = (slice(None), *(_scale_box(within, prepared) if within else ()))
        image = torch.from_numpy(np.ascontiguousarray(prepared.image[box])).to(self.device)
        predict: Predict = partial(self._predict, network)
        # The mirror image of a single sagittal slice is itself: its side could not be told.
        if self.header.postprocessing.mirror and image.shape[1] > 1:
            predict = mirror(predict, self._opposites)
        predicted = predict_mean(predict, image, self._network, self.ensemble)
        result: NDArray[np.float32] = predicted.cpu().numpy()
        if within is None:
            return result
        whole = np.zeros((len(result), *prepared.image.shape[1:]), dtype=np.float32)
        whole[0] = 1
        whole[box] = result
        return whole

    def _find_notes(self, labels: NDArray[np.uint16]) -> tuple[str, ...]:
        # Most structures show in a few of the voxels; only the others are looked for in all.
        seen = set(np.unique(labels[::4, ::4, ::4]).tolist())
        missing = [
            entry.name
            for entry in self.header.labels
            if entry.index not in seen and not (labels == entry.index).any()
        ]
        if len(missing) == len(self.header.labels):
            return ("the segmentation is empty: no structure was found",)
        return (f"not found: {', '.join(missing)}",) if missing else ()


def find_device(name: str) -> torch.device:
    """Choose the device.

    Raises
    ------
    UsageError
        Where it is not a device that this machine has.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    expected = f"--device: expected auto, cpu, cuda or cuda:N, got {name!r}"
    try:
        device = torch.device(name)
    except RuntimeError as problem:
        raise UsageError(expected) from problem
    if device.type not in ("cpu", "cuda"):
        raise UsageError(expected)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UsageError(
            f"--device {name}: this machine has {torch.cuda.device_count()} CUDA devices",
            hint="give --device cpu, or start the container with its GPU option",
        )
    return device


def find_precision(name: str, device: torch.device, header: ModelHeader) -> str:
    """Choose the precision in which the network is computed."""
    if name != "auto":
        return name
    return "bf16" if header.bfloat16_dice >= AGREEMENT and has_bfloat16(device) else "fp32"


def has_bfloat16(device: torch.device) -> bool:
    """Whether a device computes in bfloat16, and does not only put up with it."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capable = torch.cpu.get_capabilities()
    return bool(capable.get("avx512_bf16") or capable.get("amx_bf16"))


def _resample_back(
    predicted: NDArray[np.float32], prepared: Prepared
) -> tuple[NDArray[np.float32], ...]:
    return tuple(_bring_back(channel, prepared) for channel in predicted[1:])


def _scale_box(box: Box, prepared: Prepared) -> tuple[slice, ...]:
    """Bring a part of the volume into the network's space, rounded outwards."""
    inside = prepared.frame.localise(box)
    sizes = zip(inside, prepared.frame.shape, prepared.image.shape[1:], strict=True)
    return tuple(
        slice(part.start * size // old, -(-part.stop * size // old)) for part, old, size in sizes
    )


def _bring_back(channel: NDArray[np.float32], prepared: Prepared) -> NDArray[np.float32]:
    plan, frame = prepared.plan, prepared.frame
    whole = paste(resize(channel, frame.shape), frame, plan.shape)
    return np.ascontiguousarray(restore(whole, plan))
