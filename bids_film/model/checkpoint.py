"""Write and read the one file that holds a model."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from bids_film.domain.errors import ModelFileError
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
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file(state, partial, metadata={HEADER_KEY: header_to_text(header)})
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _stored(tensor: Tensor, *, half_precision: bool) -> Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if half_precision and tensor.dtype == torch.float32 else tensor


def load_checkpoint(path: Path) -> tuple[ModelHeader, FilmUNet]:
    """Read a model and build its network, in evaluation mode.

    Raises
    ------
    ModelFileError
        Where the file is not a model, or its weights are not those of its configuration.
    """
    header = read_header(path)
    network = build_network(header.network, header.encoder.spans)
    try:
        state = load_file(path)
        expected = network.state_dict()
        restored = {
            name: tensor.to(expected[name].dtype) if name in expected else tensor
            for name, tensor in state.items()
        }
        network.load_state_dict(restored)
    except (SafetensorError, RuntimeError, OSError) as problem:
        raise ModelFileError(
            f"{path}: the weights do not fit the configuration beside them: {problem}",
            hint="the file is damaged: copy it again, or train the model again",
        ) from problem
    return header, network.eval()
