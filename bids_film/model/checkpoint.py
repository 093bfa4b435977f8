"""Write and read the one file that holds a model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from bids_film.domain.errors import ModelFileError
from bids_film.domain.paths import write_whole
from bids_film.model.config import NetworkConfig
from bids_film.model.header import HEADER_KEY, ModelHeader, header_to_text, read_header
from bids_film.model.unet import FilmUNet, build_network


def save_checkpoint(
    path: Path, header: ModelHeader, network: FilmUNet, *, half_precision: bool = False
) -> None:
    """Write a model; the file appears whole or not at all.

    Parameters
    ----------
    path : Path
    header : ModelHeader
    network : FilmUNet
    half_precision : bool
        Store weights as float16, which halves the file; they are read back as float32.
    """
    state = {
        name: _stored(tensor, half_precision=half_precision)
        for name, tensor in network.state_dict().items()
    }
    write_tensors(path, state, {HEADER_KEY: header_to_text(header)})


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file; it appears whole, or the one that was there stays."""
    held = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    # Not by save_file, whose files nobody but their owner may read.
    write_whole(path, save(held, metadata=dict(metadata)))


def _stored(tensor: Tensor, *, half_precision: bool) -> Tensor:
    if not half_precision or tensor.dtype != torch.float32:
        return tensor
    half = tensor.half()
    # A running variance may be larger than float16 can be.
    return half if bool(half.isfinite().all()) else tensor


def load_checkpoint(path: Path) -> tuple[ModelHeader, FilmUNet]:
    """Read a model and build its network, in evaluation mode.

    Raises
    ------
    ModelFileError
        Where the file is not a model, or its weights are not those of its configuration.
    """
    header = read_header(path)
    try:
        state = load_file(path)
        _check_state(state, header.network)
        network = build_network(header.network, header.encoder.spans)
        expected = network.state_dict()
        restored = {
            name: tensor.to(expected[name].dtype) if name in expected else tensor
            for name, tensor in state.items()
        }
        network.load_state_dict(restored)
    except (SafetensorError, RuntimeError, ValueError, OSError) as problem:
        raise ModelFileError(
            f"{path}: the weights do not fit the configuration beside them: {problem}",
            hint="the file is damaged: copy it again, or train the model again",
        ) from problem
    return header, network.eval()


def _check_state(state: Mapping[str, Tensor], config: NetworkConfig) -> None:
    """Refuse weights before memory is taken for a network that they cannot fill."""
    least = sum(count**2 for count in config.channels) * 3**config.dimensions
    given = sum(tensor.numel() for tensor in state.values())
    if given < least:
        raise ValueError(f"expected at least {least} numbers, got {given}")
    damaged = [name for name, tensor in state.items() if not bool(tensor.isfinite().all())]
    if damaged:
        raise ValueError(f"there are infinite numbers or NaN in {damaged[0]}")
