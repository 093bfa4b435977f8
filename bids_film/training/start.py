"""Weights of another model to begin with: one's own site, further structures, other metadata."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from bids_film.domain.errors import UsageError
from bids_film.domain.labels import LabelTable
from bids_film.metadata.encoder import Encoder, MetadataValues
from bids_film.metadata.fields import Field
from bids_film.model.checkpoint import load_checkpoint
from bids_film.model.config import NetworkConfig
from bids_film.model.film import Generator
from bids_film.model.header import ModelHeader, hash_file
from bids_film.model.unet import FilmUNet
from bids_film.models import find_model
from bids_film.training.widen import widen

_TRUNK = ("encoder.", "decoder.")
_MUST_AGREE = ("dimensions", "in_channels", "film_at", "film_form", "norm", "prompts")


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """A model that is there already.

    Attributes
    ----------
    header : ModelHeader
    network : FilmUNet
    sha256 : str
        Of its file.
    """

    header: ModelHeader
    network: FilmUNet
    sha256: str

    def has_fields(self, fields: Sequence[Field]) -> bool:
        """Whether it reads the same metadata in the same order."""
        own = [field.name for field in self.header.encoder.fields]
        return own == [field.name for field in fields]


def find_start(name: str, config: NetworkConfig) -> Start | None:
    """Read the model to begin with, as `load_start`; None where the name is empty."""
    return load_start(name, config) if name else None


def describe_start(start: Start | None) -> dict[str, Any]:
    """Write down what a training began with; empty where with nothing."""
    if start is None:
        return {}
    header = start.header
    model = {"name": header.name, "version": header.version, "sha256": start.sha256}
    return {"start": {**model, "steps": header.training.get("steps")}}


def load_start(name: str, config: NetworkConfig) -> Start:
    """Read the model to begin with, widened to the channels of the network to train.

    Parameters
    ----------
    name : str
        Of an installed model, or the path of a model file.
    config : NetworkConfig
        Of the network to train.

    Raises
    ------
    ModelFileError
        Where there is no such model.
    UsageError
        Where its layers are not those of the network to train, or more of them.
    """
    path = find_model(name)
    header, network = load_checkpoint(path)
    for key in _MUST_AGREE:
        own, wanted = getattr(header.network, key), getattr(config, key)
        if own != wanted:
            raise UsageError(
                f"[training] start_from = {name!r}: expected its {key} in [network], {own!r}, "
                f"got {wanted!r}",
                hint="its weights fit no other network: give [network] the same, "
                "or leave start_from out",
            )
    if network.generator is not None and config.conditioning == "unconditioned":
        raise UsageError(
            f"[training] start_from = {name!r}: it reads metadata, and an unconditioned network "
            "cannot take over what they do",
            hint='give [network] conditioning = "constant"',
        )
    if header.network.channels != config.channels:
        _check_wider(name, header.network.channels, config.channels)
        network = widen(network, config.channels, header.encoder.spans)
    return Start(header=header, network=network, sha256=hash_file(path))


def _check_wider(name: str, own: Sequence[int], wanted: Sequence[int]) -> None:
    fewer = any(count > new for count, new in zip(own, wanted, strict=False))
    if fewer or len(own) != len(wanted):
        raise UsageError(
            f"[training] start_from = {name!r}: expected in [network] its channels, "
            f"{list(own)}, or more at some levels, got {list(wanted)}",
            hint="what it has learned does not fit into fewer channels or other levels",
        )


def fit_encoder(
    fields: Sequence[Field], rows: Sequence[MetadataValues], start: Start | None
) -> Encoder:
    """Fit an encoder to the training data, or keep that of the start where the fields are its own.

    Its weights mean its own levels and ranges: a level that it lacks stays unknown.
    """
    if start is not None and start.has_fields(fields):
        return start.header.encoder
    return Encoder.fit(fields, rows)


@torch.no_grad()
def copy_weights(start: Start, network: FilmUNet, labels: LabelTable, encoder: Encoder) -> None:
    """Take over what the start has learned.

    Convolutions and norms are copied, and the output channels of structures by their names. The
    generator is copied where it reads the same metadata, and is asked for the same structures.
    Where it does not, a fresh one begins with what the start does without any metadata, so that
    nothing is lost before it has learned; a prompted one, for which there is no such thing, begins
    with the identity.

    Parameters
    ----------
    start : Start
    network : FilmUNet
        Changed in place.
    labels : LabelTable
        Of the network.
    encoder : Encoder
        Of the network.
    """
    state = start.network.state_dict()
    trunk = {name: value for name, value in state.items() if name.startswith(_TRUNK)}
    network.load_state_dict(trunk, strict=False)
    _copy_channels(start, network, labels)
    theirs, ours = start.network.generator, network.generator
    if theirs is None or ours is None:
        return
    prompts = [entry.name for entry in labels] if network.config.prompts else []
    known = [entry.name for entry in start.header.labels] if network.config.prompts else []
    # What a constant start does where a field is known, it has never learned.
    now, before = network.config.conditioning, start.network.config.conditioning
    learned = before != "constant" or now == "constant"
    same = encoder == start.header.encoder and prompts == known and learned
    if same and _have_same_shapes(theirs, ours):
        ours.load_state_dict(theirs.state_dict())
        return
    if network.config.prompts:
        return  # which structure is asked for cannot be withheld
    withheld = torch.zeros(1, start.header.encoder.width)
    nothing_known = torch.zeros(1, len(start.header.encoder.fields))
    ours.hold(start.network.modulations(withheld, nothing_known))


def _copy_channels(start: Start, network: FilmUNet, labels: LabelTable) -> None:
    """Copy background, and each structure that bears the name of one of the start's."""
    if network.config.prompts:
        network.head.load_state_dict(start.network.head.state_dict())
        return
    channel = {entry.name: number for number, entry in enumerate(start.header.labels, start=1)}
    pairs = {number: channel.get(entry.name) for number, entry in enumerate(labels, start=1)}
    theirs, ours = start.network.head.state_dict(), network.head.state_dict()
    for number, source in {0: 0, **pairs}.items():
        if source is not None:
            for name, value in ours.items():
                value[number] = theirs[name][source]
    network.head.load_state_dict(ours)


def _have_same_shapes(one: Generator, other: Generator) -> bool:
    first, second = one.state_dict(), other.state_dict()
    return {name: value.shape for name, value in first.items()} == {
        name: value.shape for name, value in second.items()
    }
