"""A network told what is known of one scan, and asked for its structures: all, or one at a time.

A prompted network gives one mask: that of the structure that it is asked for, told to it like
metadata (Lemay et al., MIDL 2021, "missing labels"). It is asked once for each structure, and the
answers are merged into what a network with one channel for each would have given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from bids_film.domain.labels import LabelTable
from bids_film.metadata.encoder import Encoded
from bids_film.model.film import Modulation
from bids_film.model.folding import FoldedUNet, can_fold
from bids_film.model.unet import FilmUNet, arrange


def add_prompt(
    vector: Tensor, known: Tensor, asked: Tensor, structures: int
) -> tuple[Tensor, Tensor]:
    """Put the structure that is asked for behind the metadata of each scan.

    Parameters
    ----------
    vector : Tensor
        Encoded metadata, float32, shape (batch, width).
    known : Tensor
        Shape (batch, fields).
    asked : Tensor
        Position of each scan's structure in the label table, int64, shape (batch,).
    structures : int
        How many there are.

    Returns
    -------
    vector : Tensor
        Shape (batch, width + structures).
    known : Tensor
        Shape (batch, fields + 1).
    """
    prompt = functional.one_hot(asked, structures).to(vector.dtype)
    return torch.cat([vector, prompt], dim=1), torch.cat([known, known.new_ones(len(known), 1)], 1)


def merge_answers(answers: Sequence[Tensor], labels: LabelTable) -> Tensor:
    """Merge the answers for each structure into one logit per structure and one for background.

    Structures exclude each other, so a voxel belongs to the one whose odds are highest, or to none
    where all odds are below one; softmax of the result gives probabilities. A structure's own mask
    includes its parts, so where a part is likelier than not, its container is not.

    Parameters
    ----------
    answers : Sequence[Tensor]
        For each structure the logits of background and mask, shape (batch, 2, *spatial).
    labels : LabelTable

    Returns
    -------
    Tensor
        Shape (batch, structures + 1, *spatial).
    """
    odds = {
        structure.name: answer[:, 1] - answer[:, 0]
        for structure, answer in zip(labels, answers, strict=True)
    }
    own = dict(odds)
    for structure in labels:
        if structure.part_of:
            container = structure.part_of
            own[container] = torch.minimum(own[container], -odds[structure.name])
    first = next(iter(odds.values()))
    return torch.stack([torch.zeros_like(first), *own.values()], dim=1)


def fix_metadata(
    network: FilmUNet, encoded: Encoded, labels: LabelTable, *, bfloat16: bool = False
) -> Callable[[Tensor], Tensor]:
    """Tell a network one scan's metadata, once for all of its slices or windows.

    Parameters
    ----------
    network : FilmUNet
    encoded : Encoded
    labels : LabelTable
        The network's structures.
    bfloat16 : bool
        Compute in it, where that costs little accuracy (see `FoldedUNet`).

    Returns
    -------
    Callable
        Images (batch, in_channels, *spatial) to logits (batch, structures + 1, *spatial).
    """
    device = next(network.parameters()).device
    vector = torch.from_numpy(encoded.vector)[None].to(device)
    known = torch.from_numpy(encoded.known)[None].to(device)
    count = network.config.prompts
    if not count:
        return _fix(network, network.modulations(vector, known), bfloat16=bfloat16)
    prompts = torch.arange(count, device=device)[:, None]
    asked = [
        _fix(
            network,
            network.modulations(*add_prompt(vector, known, one, count)),
            bfloat16=bfloat16,
        )
        for one in prompts
    ]

    def ask_for_each(images: Tensor) -> Tensor:
        return merge_answers([ask(images) for ask in asked], labels)

    return ask_for_each


def _fix(
    network: FilmUNet, modulations: Sequence[Modulation], *, bfloat16: bool
) -> Callable[[Tensor], Tensor]:
    """Fold one scan's modulations into the network where that can be done."""
    if can_fold(network):
        return FoldedUNet(network, modulations, bfloat16=bfloat16)

    def run(images: Tensor) -> Tensor:
        images = arrange(images)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=bfloat16):
            return network.segment(images, _spread(modulations, len(images)))

    return run


def _spread(modulations: Sequence[Modulation], count: int) -> list[Modulation]:
    return [(scale.expand(count, -1), shift.expand(count, -1)) for scale, shift in modulations]
