"""Losses that also learn from scans on which only some structures were annotated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from bids_film.domain.labels import LabelTable

_SMOOTH = 1.0


def find_parents(labels: LabelTable) -> tuple[int, ...]:
    """Channel into which each channel's voxels fall where the structure was not annotated.

    That of the structure it is part of, else background. Channel 0 is background itself.
    """
    channel = {structure.name: index for index, structure in enumerate(labels, start=1)}
    return (0, *(channel.get(structure.part_of, 0) for structure in labels))


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentationLoss:
    """Soft Dice plus cross-entropy, marginal over what was not annotated.

    A structure that was not annotated on a scan is merged into the one that contains it, or into
    background: their probabilities are added before they are compared with the labels (marginal
    loss; Shi et al., Medical Image Analysis 2021; Fidon et al., MICCAI 2021).

    Attributes
    ----------
    parents : tuple[int, ...]
        See `find_parents`.
    dice_weight, cross_entropy_weight : float
    """

    parents: tuple[int, ...]
    dice_weight: float = 1.0
    cross_entropy_weight: float = 1.0

    def __call__(self, logits: Tensor, labels: Tensor, annotated: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        logits : Tensor
            Shape (batch, channels, *spatial).
        labels : Tensor
            Channel of each voxel, shape (batch, *spatial), of an integer type.
        annotated : Tensor
            Which structures were annotated, bool, shape (batch, channels - 1).

        Returns
        -------
        Tensor
            Scalar.
        """
        log_probabilities = functional.log_softmax(logits.float(), dim=1)
        if not bool(annotated.all()):
            log_probabilities = _merge_unannotated(log_probabilities, annotated, self.parents)
        labels = labels.long()
        cross_entropy = functional.nll_loss(log_probabilities, labels)
        dice = soft_dice(log_probabilities.exp(), labels, annotated)
        return self.cross_entropy_weight * cross_entropy + self.dice_weight * (1 - dice)


def soft_dice(probabilities: Tensor, labels: Tensor, annotated: Tensor) -> Tensor:
    """Soft Dice over the batch, mean over the structures that are annotated in it.

    Sums run over the whole batch, so that a slice without a structure does not count as a miss
    (Milletari et al., 3DV 2016, with squared terms left out).

    Parameters
    ----------
    probabilities : Tensor
        Shape (batch, channels, *spatial).
    labels : Tensor
        int64, shape (batch, *spatial).
    annotated : Tensor
        bool, shape (batch, channels - 1).
    """
    flat = probabilities.flatten(2)
    target = labels.flatten(1)
    count = probabilities.shape[1]
    truth = functional.one_hot(target, count).transpose(1, 2)[:, 1:].to(flat.dtype)
    weight = annotated.to(flat.dtype).unsqueeze(2)
    predicted = flat[:, 1:] * weight
    overlap = (predicted * truth).sum(dim=(0, 2))
    total = predicted.sum(dim=(0, 2)) + (truth * weight).sum(dim=(0, 2))
    present = annotated.any(dim=0)
    return (
        ((2 * overlap + _SMOOTH) / (total + _SMOOTH))[present].mean()
        if bool(present.any())
        else total.sum()
    )


def _merge_unannotated(
    log_probabilities: Tensor, annotated: Tensor, parents: Sequence[int]
) -> Tensor:
    """Add each unannotated structure's probability to that of its nearest annotated container."""
    merged = []
    for scan, given in zip(log_probabilities, annotated.tolist(), strict=True):
        kept = [True, *given]
        owner = [_find_owner(channel, kept, parents) for channel in range(len(kept))]
        channels = [
            torch.logsumexp(scan[[c for c, o in enumerate(owner) if o == channel]], dim=0)
            if kept[channel]
            else torch.full_like(scan[channel], -torch.inf)
            for channel in range(len(kept))
        ]
        merged.append(torch.stack(channels))
    return torch.stack(merged)


def _find_owner(channel: int, kept: Sequence[bool], parents: Sequence[int]) -> int:
    while not kept[channel]:
        channel = parents[channel]
    return channel
