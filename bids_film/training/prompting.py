"""Patches of which one structure is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from bids_film.domain.labels import LabelTable
from bids_film.model.prompts import add_prompt
from bids_film.training.sampling import Patch, Sampler


@dataclass(frozen=True, kw_only=True, slots=True)
class PromptedSampler:
    """Asks for one structure of each patch that another sampler draws.

    It asks for what was annotated on the scan, each structure equally often: a scan with one label
    teaches that one, and nothing of the others.

    Attributes
    ----------
    sampler : Sampler
    labels : LabelTable
    """

    sampler: Sampler
    labels: LabelTable

    def draw(self, rng: np.random.Generator) -> Patch:
        """Draw one patch; all chance comes from `rng`."""
        patch = self.sampler.draw(rng)
        annotated = torch.nonzero(patch.annotated)[:, 0]
        asked = annotated[int(rng.integers(len(annotated)))]
        name = self.labels.structures[int(asked)].name
        vector, known = add_prompt(
            patch.vector[None], patch.known[None], asked[None], len(self.labels)
        )
        return replace(
            patch,
            labels=_choose(patch.labels, self.labels.channels_of(name)),
            annotated=torch.ones(1, dtype=torch.bool),
            vector=vector[0],
            known=known[0],
        )


def _choose(labels: torch.Tensor, channels: Sequence[int]) -> torch.Tensor:
    """Take the mask of these channels out of a label map, or out of the shares of each channel."""
    if labels.is_floating_point():
        mask = labels[list(channels)].sum(dim=0)
        return torch.stack([1 - mask, mask])
    return torch.isin(labels, torch.tensor(channels, dtype=labels.dtype)).to(labels.dtype)
