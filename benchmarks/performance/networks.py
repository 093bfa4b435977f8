"""A model's network run as the engine runs it, and nothing around it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bids_film.inference.engine import has_bfloat16
from bids_film.inference.windows import choose_prediction
from bids_film.model.checkpoint import load_checkpoint
from bids_film.model.header import ModelHeader
from bids_film.model.prompts import fix_metadata
from bids_film.model.unet import FilmUNet, place_network
from bids_film.models import find_model


def list_precisions() -> tuple[str, ...]:
    """Name the precisions in which this machine's processor computes, as OpenVINO names them."""
    return ("f32", "bf16") if has_bfloat16(torch.device("cpu")) else ("f32",)


def compute_in(precision: str) -> torch.autocast:
    """Have networks compute in one of the precisions of `list_precisions`, as training does."""
    return torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16")


def load_network(model: str) -> tuple[ModelHeader, FilmUNet]:
    """Load a bundled model's network, placed as the engine places it."""
    header, network = load_checkpoint(find_model(model))
    return header, place_network(network, torch.device("cpu")).eval()


def build_nnunet(
    channels: Sequence[int], out_channels: int, *, deep_supervision: bool = False
) -> nn.Module:
    """Build the 3-D network of nnU-Net's plans, a peer that may be missing."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet  # noqa: PLC0415

    levels = len(channels)
    network: nn.Module = PlainConvUNet(
        1, levels, list(channels), nn.Conv3d, 3, [1] + [2] * (levels - 1), 2, out_channels, 2,
        conv_bias=True, norm_op=nn.InstanceNorm3d, norm_op_kwargs={"affine": True},
        nonlin=nn.LeakyReLU, deep_supervision=deep_supervision,
    )  # fmt: skip
    return network


@torch.inference_mode()
def run_network(
    header: ModelHeader, network: FilmUNet, image: Tensor, *, precision: str = "f32"
) -> Tensor:
    """Predict probabilities of an image (channels, X, Y, Z), all metadata unknown.

    `precision` is one of `list_precisions`, or the engine's own name of it.
    """
    told = fix_metadata(
        network, header.encoder.encode({}), header.labels, bfloat16=precision == "bf16"
    )
    return choose_prediction(header.network, header.preprocessing)(told, image)
