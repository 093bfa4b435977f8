"""FiLM: metadata become a scale and a shift of every channel.

Feature-wise linear modulation (Perez et al., AAAI 2018), conditioned on metadata as in Lemay et
al., "Benefits of Linear Conditioning with Metadata for Image Segmentation" (MIDL 2021).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bids_film.model.config import FilmForm

Modulation = tuple[Tensor, Tensor]
"""Scale and shift of one FiLM layer, each of shape (batch, channels)."""


class Generator(nn.Module):
    """Metadata to the scale and shift of every FiLM layer.

    Parameters
    ----------
    spans : Sequence[tuple[int, int]]
        Where each field lies in the metadata vector, as (start, stop).
    hidden : Sequence[int]
        Widths of the shared hidden layers.
    channels : Sequence[int]
        Channels of each FiLM layer.
    form : str
        See `NetworkConfig.film_form`.

    Notes
    -----
    The entries of a field that is not known are replaced by a learned embedding. Training drops
    fields at random, so that every subset of them has been seen.
    """

    span_of: Tensor

    def __init__(
        self,
        spans: Sequence[tuple[int, int]],
        hidden: Sequence[int],
        channels: Sequence[int],
        form: FilmForm,
    ) -> None:
        super().__init__()
        widths = [stop - start for start, stop in spans]
        total = sum(widths)
        self.form = form
        self.channels = tuple(channels)
        self.unknown = nn.Parameter(torch.zeros(total))
        owners = torch.repeat_interleave(
            torch.arange(len(widths)), torch.tensor(widths, dtype=torch.long)
        )
        self.register_buffer("span_of", owners, persistent=False)
        sizes = [total, *hidden]
        layers: list[nn.Module] = []
        for size_in, size_out in itertools.pairwise(sizes):
            layers += [nn.Linear(size_in, size_out), nn.ReLU()]
        self.shared = nn.Sequential(*layers)
        self.heads = nn.ModuleList(nn.Linear(sizes[-1], 2 * count) for count in channels)
        for head in self.heads:
            assert isinstance(head, nn.Linear)  # noqa: S101 (tells the type checker)
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    def forward(self, vector: Tensor, known: Tensor) -> list[Modulation]:
        """Generate the modulation of every layer.

        Parameters
        ----------
        vector : Tensor
            Encoded metadata, shape (batch, width).
        known : Tensor
            1 where a field's value is known and 0 where not, shape (batch, fields).

        Returns
        -------
        list of (scale, shift)
            Each of shape (batch, channels): features become ``scale · x + shift``.
        """
        given = known[:, self.span_of].to(vector.dtype)
        condition = given * vector + (1 - given) * self.unknown
        code = self.shared(condition)
        return [self._modulation(head(code)) for head in self.heads]

    @torch.no_grad()
    def hold(self, modulations: Sequence[Modulation]) -> None:
        """Begin with these modulations of one scan, whatever the metadata, until trained.

        Raises
        ------
        ValueError
            Where they are not of as many layers.
        """
        for head, (scale, shift) in zip(self.heads, modulations, strict=True):
            assert isinstance(head, nn.Linear)  # noqa: S101 (tells the type checker)
            affine = self.form == "affine"
            raw = (scale - 1, shift) if affine else (torch.logit(scale), torch.logit(shift))
            nn.init.zeros_(head.weight)
            head.bias.copy_(torch.cat(raw, dim=1)[0])

    def _modulation(self, raw: Tensor) -> Modulation:
        gamma, beta = raw.chunk(2, dim=1)
        if self.form == "sigmoid":
            return torch.sigmoid(gamma), torch.sigmoid(beta)
        return 1 + gamma, beta


def modulate(features: Tensor, modulation: Modulation) -> Tensor:
    """Scale and shift the channels of each scan of a batch.

    Parameters
    ----------
    features : Tensor
        Shape (batch, channels, *spatial).
    modulation : tuple[Tensor, Tensor]
        Scale and shift, each of shape (batch, channels).

    Raises
    ------
    ValueError
        Where batch or channels differ: broadcasting would apply one scan's metadata to another.
    """
    scale, shift = modulation
    if scale.shape != features.shape[:2] or shift.shape != features.shape[:2]:
        raise ValueError(
            f"expected a scale and a shift of shape {tuple(features.shape[:2])} for features of "
            f"shape {tuple(features.shape)}, got {tuple(scale.shape)} and {tuple(shift.shape)}; "
            "give one metadata vector for each scan of the batch"
        )
    spread = (*scale.shape, *[1] * (features.dim() - 2))
    return features * scale.view(spread).to(features.dtype) + shift.view(spread).to(features.dtype)
