"""Losses that also learn from scans on which only some structures were annotated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from bids_film.domain.labels import LabelTable
from bids_film.training.team import sum_over_processes

LossName = Literal["dice+ce", "dice", "ce", "focal-tversky"]

_SMOOTH = 1.0
_MISSED = 0.7
_FOCUS = 0.75


def find_parents(labels: LabelTable) -> tuple[int, ...]:
    """Channel into which each channel's voxels fall where the structure was not annotated.

    That of the structure it is part of, else background. Channel 0 is background itself.
    """
    channel = {structure.name: index for index, structure in enumerate(labels, start=1)}
    return (0, *(channel.get(structure.part_of, 0) for structure in labels))


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentationLoss:
    """Soft Dice, cross-entropy or focal Tversky, marginal over what was not annotated.

    A structure that was not annotated on a scan is merged into the one that contains it, or into
    background: their probabilities are added before they are compared with the labels (marginal
    loss; Shi et al., Medical Image Analysis 2021; Fidon et al., MICCAI 2021).

    Attributes
    ----------
    parents : tuple[int, ...]
        See `find_parents`.
    name : str
        ``dice+ce`` is the sum of both, Dice over the structures that are in the batch.
    """

    parents: tuple[int, ...]
    name: LossName = "dice+ce"

    def __call__(self, logits: Sequence[Tensor], labels: Tensor, annotated: Tensor) -> Tensor:
        """Compute the loss of a batch.

        Parameters
        ----------
        logits : Sequence[Tensor]
            Each of shape (batch, channels, *spatial): the network's output, and with deep
            supervision those of coarser levels, each at half the size of the one before, of which
            each counts half as much (Lee et al., AISTATS 2015, as in Isensee et al., 2021).
        labels : Tensor
            Channel of each voxel, shape (batch, *spatial), of an integer type; or the share of each
            channel in it, float, shape (batch, channels, *spatial).
        annotated : Tensor
            Which structures were annotated, bool, shape (batch, channels - 1).

        Returns
        -------
        Tensor
            Scalar.
        """
        weights = [0.5**level for level in range(len(logits))]
        losses = [
            weight * self._compare(output, _coarsen(labels, 2**level, output.shape[1]), annotated)
            for level, (output, weight) in enumerate(zip(logits, weights, strict=True))
        ]
        return torch.stack(losses).sum() / sum(weights)

    def _compare(self, logits: Tensor, labels: Tensor, annotated: Tensor) -> Tensor:
        log_probabilities = functional.log_softmax(logits.float(), dim=1)
        if not bool(annotated.all()):
            log_probabilities = _merge_unannotated(log_probabilities, annotated, self.parents)
        loss = log_probabilities.new_zeros(())
        with_cross_entropy = "ce" in self.name.split("+")
        if with_cross_entropy:
            loss = loss + _cross_entropy(log_probabilities, labels)
        if self.name != "ce":
            overlap = measure_overlap(log_probabilities.exp(), labels, annotated)
            if with_cross_entropy:
                # Near zero, the Dice of an absent structure is far steeper than that of a present
                # one: a small one would never be found. The cross-entropy tells of absence.
                overlap = overlap.without_absent()
            loss = loss + (overlap.focal_tversky if "tversky" in self.name else 1 - overlap.dice)
        return loss


@dataclass(frozen=True, kw_only=True, slots=True)
class Overlap:
    """Soft counts of voxels over the whole batch, one per structure.

    Sums run over the batch, of all processes that train together, so that a slice without a
    structure does not count as a miss.

    Attributes
    ----------
    both, predicted, reference : Tensor
        Shape (structures,).
    present : Tensor
        Which structures count: those annotated in the batch, bool, shape (structures,).
    """

    both: Tensor
    predicted: Tensor
    reference: Tensor
    present: Tensor

    def without_absent(self) -> Overlap:
        """Leave out the structures of which the reference has no voxel."""
        return replace(self, present=self.present & (self.reference > 0))

    @property
    def dice(self) -> Tensor:
        """Mean soft Dice (Milletari et al., 3DV 2016, with squared terms left out)."""
        scores = (2 * self.both + _SMOOTH) / (self.predicted + self.reference + _SMOOTH)
        return self._mean(scores, of_none=1.0)

    @property
    def focal_tversky(self) -> Tensor:
        """Mean focal Tversky loss: missed voxels cost more than added ones.

        Abraham and Khan, ISBI 2019: weights 0.7 and 0.3, exponent 3/4.
        """
        missed, added = self.reference - self.both, self.predicted - self.both
        index = (self.both + _SMOOTH) / (
            self.both + _MISSED * missed + (1 - _MISSED) * added + _SMOOTH
        )
        # The power's slope has no bound at 0.
        return self._mean((1 - index).clamp(min=1e-6) ** _FOCUS, of_none=0.0)

    def _mean(self, scores: Tensor, *, of_none: float) -> Tensor:
        if bool(self.present.any()):
            return scores[self.present].mean()
        return of_none + 0 * scores.sum()


def measure_overlap(probabilities: Tensor, labels: Tensor, annotated: Tensor) -> Overlap:
    """Count what prediction and reference have in common.

    Parameters
    ----------
    probabilities : Tensor
        Shape (batch, channels, *spatial).
    labels : Tensor
        Channels or shares, as for `SegmentationLoss`.
    annotated : Tensor
        bool, shape (batch, channels - 1).
    """
    found = probabilities.flatten(2)
    if labels.is_floating_point():
        shares = labels.flatten(2)
        both, reference = (found * shares).sum(dim=2), shares.sum(dim=2)
    else:
        both, reference = _count_voxels(found, labels.flatten(1).long())
    weight = annotated.to(found.dtype)
    counts = [each[:, 1:] * weight for each in (both, found.sum(dim=2), reference)]
    sums = torch.stack([each.sum(dim=0) for each in (*counts, weight)])
    common, predicted, there, counted = sum_over_processes(sums)
    return Overlap(both=common, predicted=predicted, reference=there, present=counted > 0)


def _count_voxels(found: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Sum the probability of the label in its voxels, and count these: (batch, channels) each.

    Many structures are no dearer than few: their masks are never laid out one by one.
    """
    hits = found.gather(1, labels.unsqueeze(1)).squeeze(1)
    none = found.new_zeros(found.shape[:2])
    both = none.scatter_add(1, labels, hits)
    return both, none.scatter_add(1, labels, torch.ones_like(hits))


def _cross_entropy(log_probabilities: Tensor, labels: Tensor) -> Tensor:
    if not labels.is_floating_point():
        return -log_probabilities.gather(1, labels.long().unsqueeze(1)).mean()
    # What was not annotated has no share in the truth, and a logarithm without a bound.
    terms = torch.where(labels > 0, labels * log_probabilities, 0.0)
    return -terms.sum(dim=1).mean()


def _coarsen(labels: Tensor, factor: int, channels: int) -> Tensor:
    """Take labels at a coarser level: the share of each channel in a voxel, which has no shift."""
    if factor == 1:
        return labels
    if not labels.is_floating_point():
        labels = functional.one_hot(labels.long(), channels).movedim(-1, 1).float()
    pool = functional.avg_pool2d if labels.dim() == 4 else functional.avg_pool3d  # noqa: PLR2004 (batch, channels, two axes)
    return pool(labels, factor)


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
