"""The mean of several passes over one scan: over changed copies of it, or with dropout at work.

Where passes disagree, the network is unsure for another reason than noise in the image: their mean
is better calibrated than a single pass, and its entropy tells more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from bids_film.domain.errors import UsageError
from bids_film.model.config import EnsembleKind

_SEED = 1
_GAMMA = 0.25
_SHIFT = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Ensemble:
    """How a scan is segmented several times.

    Attributes
    ----------
    kind : str
        ``augment``: on copies with other contrast, moved by some voxels against the network's grid
        (test-time augmentation; Wang et al., Neurocomputing 2019); the first one is the scan as it
        is. ``dropout``: with channels dropped as in training (Monte Carlo dropout; Gal &
        Ghahramani, ICML 2016). ``none``: once.
    passes : int
    """

    kind: EnsembleKind = "none"
    passes: int = 1

    def __post_init__(self) -> None:
        if self.passes < 1:
            raise UsageError(f"expected at least one pass, got {self.passes}")

    @property
    def description(self) -> str:
        """In words, for the record of a segmentation; empty for a single pass."""
        return "" if self.kind == "none" else f"mean of {self.passes} passes ({self.kind})"


ONCE = Ensemble()

Predict = Callable[[Tensor], Tensor]
"""Image (channels, X, Y, Z) to probabilities (structures + 1, X, Y, Z)."""


def mirror(predict: Predict, opposites: Sequence[int]) -> Predict:
    """Make a prediction that is the mean over an image and its mirror image.

    Parameters
    ----------
    predict : Callable
        Of images in RAS order.
    opposites : Sequence[int]
        See `find_opposites`: what the mirror image calls left is right.
    """

    def predict_both(image: Tensor) -> Tensor:
        total, mirrored = predict(image), predict(image.flip(1))
        for own, opposite in enumerate(opposites):
            total[own] += mirrored[opposite].flip(0)
        return total.div_(2)

    return predict_both


def predict_mean(predict: Predict, image: Tensor, network: nn.Module, ensemble: Ensemble) -> Tensor:
    """Average the probabilities of all passes; the same scan always gives the same.

    Parameters
    ----------
    predict : Callable
    image : Tensor
        Shape (channels, X, Y, Z).
    network : Module
        The one that predicts.
    ensemble : Ensemble

    Returns
    -------
    Tensor
        Shape (structures + 1, X, Y, Z).
    """
    if ensemble.kind == "none":
        return predict(image)
    if ensemble.kind == "dropout":
        with _dropping(network):
            parts = (predict(image) for _ in range(ensemble.passes))
            return _average(parts, ensemble.passes)
    return _predict_changed(predict, image, ensemble.passes)


def _predict_changed(predict: Predict, image: Tensor, passes: int) -> Tensor:
    """Average over changed copies, each voxel over the passes in which it is in the image."""
    total = predict(image).clone()
    count = torch.ones_like(total[:1])
    rng = np.random.default_rng(_SEED)
    for _ in range(passes - 1):
        gamma = float(np.exp(rng.uniform(-_GAMMA, _GAMMA)))
        shift = rng.integers(-_SHIFT, _SHIFT + 1, image.dim() - 1).tolist()
        found = predict(_move(image**gamma, shift))
        # A voxel at x is found at x + step, unless that is pushed out at an end.
        pairs = list(zip(image.shape[1:], shift, strict=True))
        kept = (
            slice(None),
            *(slice(max(0, -step), max(0, size - max(0, step))) for size, step in pairs),
        )
        there = (
            slice(None),
            *(slice(max(0, step), max(0, size + min(0, step))) for size, step in pairs),
        )
        total[kept] += found[there]
        count[kept] += 1
    return total.div_(count)


def _move(image: Tensor, shift: list[int]) -> Tensor:
    """Move along the spatial axes; what is pushed out at one end is the edge at the other."""
    for axis, step in enumerate(shift, start=1):
        length = image.shape[axis]
        places = torch.arange(length, device=image.device).sub(step).clamp(0, length - 1)
        image = image.index_select(axis, places)
    return image


def _average(parts: Iterator[Tensor], count: int) -> Tensor:
    total = next(parts) / count
    for part in parts:
        total += part / count
    return total


def check_ensemble(ensemble: Ensemble, network: nn.Module) -> None:
    """Refuse passes that a network cannot make.

    Raises
    ------
    UsageError
        Where dropout is asked of a network that was trained without.
    """
    if ensemble.kind == "dropout" and not _find_dropout(network):
        raise UsageError(
            "--ensemble dropout: the model was trained without dropout",
            hint="--ensemble augment works with every model",
        )


def _find_dropout(network: nn.Module) -> list[nn.Module]:
    return [
        module
        for module in network.modules()
        if isinstance(module, nn.Dropout2d | nn.Dropout3d) and module.p > 0
    ]


@contextmanager
def _dropping(network: nn.Module) -> Iterator[None]:
    """Let dropout work as in training, with chance of its own."""
    layers = _find_dropout(network)
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(_SEED)
        for layer in layers:
            layer.train()
        try:
            yield
        finally:
            for layer in layers:
                layer.eval()
