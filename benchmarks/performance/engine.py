"""The network on one volume: as this program runs it, and as others would.

    python -m benchmarks.performance.engine [--threads N] [--peers FOLDER] [--write]

Peers that this project does not install are looked for in FOLDER, where
``pip install --no-deps --target FOLDER openvino dynamic_network_architectures`` puts them; one that
is not there is named as missing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.networks.nets import BasicUNet, UNet
from torch import Tensor, nn

from benchmarks.performance.networks import run_network
from benchmarks.performance.timing import Row, make_parser, parse_arguments, publish, take_best
from bids_film.inference.engine import Engine
from bids_film.metadata.encoder import Encoded
from bids_film.model.unet import FilmUNet
from bids_film.models import find_model

MODEL = "brain"
SHAPE = (128, 128, 96)
ROI = (96, 96, 96)


def main() -> None:
    """Time every way and print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("--peers", help="folder of peers that are not installed, for imports")
    arguments = parse_arguments(parser)
    if arguments.peers:
        sys.path.append(arguments.peers)
    engine = Engine.load(find_model(MODEL), device="cpu", precision="fp32")
    torch.manual_seed(1)
    image = torch.rand(1, 1, *SHAPE)
    with torch.inference_mode():
        rows = list(measure(engine, image))
        rows += try_peer(
            "OpenVINO, the same network, float32",
            lambda: time_openvino(engine, image, arguments.threads),
        )
        rows += try_peer("nnU-Net's default 3-D network", lambda: time_nnunet(image))
    size, count = " × ".join(map(str, SHAPE)), len(engine.header.labels)
    title = f"Network part of {size} voxels, 3-D, {count} structures, float32"
    publish("engine", {title: rows}, arguments, MODEL)


def measure(engine: Engine, image: Tensor) -> Iterator[Row]:
    """Time the model's network in this program, in plain torch, and in MONAI's inferer."""
    network = FilmUNet(engine.header.network, engine.header.encoder.spans).eval()
    encoded = engine.header.encoder.encode({})
    told = tell(network, encoded)

    yield Row(
        way="bids_film: metadata folded, channels last",
        seconds=take_best(lambda: run_network(engine.header, network, image[0])),
    )
    yield Row(way="the same network, plain PyTorch", seconds=take_best(lambda: told(image)))
    for overlap in (0.25, 0.5):
        yield Row(
            way="the same network, MONAI sliding_window_inference",
            seconds=take_best(
                lambda overlap=overlap: sliding_window_inference(
                    image, ROI, 1, told, overlap=overlap, mode="gaussian"
                ),
            ),
            note=f"windows of {ROI[0]}³, overlap {overlap:g}",
        )
    channels, outputs = engine.header.network.channels, engine.header.network.out_channels
    strides = [2] * (len(channels) - 1)
    residual = UNet(3, 1, outputs, channels, strides, num_res_units=2).eval()
    yield Row(
        way="MONAI UNet of the same channels, whole volume",
        seconds=take_best(lambda: residual(image)),
        note="unconditioned",
    )
    # Its first width comes twice, and the last one is that of the features before the output.
    features = (channels[0], *channels, channels[0])
    basic = BasicUNet(3, 1, outputs, features=features).eval()
    yield Row(
        way=f"MONAI BasicUNet, channels {list(features)}",
        seconds=take_best(lambda: basic(image)),
        note="unconditioned",
    )


def tell(network: FilmUNet, encoded: Encoded) -> Callable[[Tensor], Tensor]:
    """Give a network its metadata, layer by layer as it was trained."""
    vector, known = (torch.from_numpy(part)[None] for part in (encoded.vector, encoded.known))
    return lambda images: network(
        images, vector.expand(len(images), -1), known.expand(len(images), -1)
    )


def try_peer(way: str, measure_peer: Callable[[], Row]) -> Iterator[Row]:
    """Time a peer; where it is not installed, say so and leave the row out."""
    try:
        yield measure_peer()
    except ImportError as problem:
        print(f"{way}: not measured, {problem}")


def time_openvino(engine: Engine, image: Tensor, threads: int) -> Row:
    """Convert the network, metadata as an input, and time what OpenVINO makes of it."""
    import openvino  # noqa: PLC0415 (a peer that may be missing)

    network = FilmUNet(engine.header.network, engine.header.encoder.spans).eval()
    encoded = engine.header.encoder.encode({})
    inputs = (image, *(torch.from_numpy(part)[None] for part in (encoded.vector, encoded.known)))
    model = openvino.convert_model(network, example_input=inputs)
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    arrays = [np.asarray(part) for part in inputs]
    return Row(
        way="OpenVINO, the same network, float32",
        seconds=take_best(lambda: request.infer(arrays)),
        note="metadata as an input, logits only",
    )


def time_nnunet(image: Tensor) -> Row:
    """Time the network that nnU-Net plans for such images, on as many voxels."""
    from dynamic_network_architectures.architectures.unet import PlainConvUNet  # noqa: PLC0415

    network = PlainConvUNet(
        1, 6, [32, 64, 128, 256, 320, 320], nn.Conv3d, 3, [1, 2, 2, 2, 2, 2], 2, 33, 2,
        conv_bias=True, norm_op=nn.InstanceNorm3d, norm_op_kwargs={"affine": True},
        nonlin=nn.LeakyReLU,
    ).eval()  # fmt: skip
    return Row(
        way="nnU-Net's default 3-D network, one window",
        seconds=take_best(lambda: network(image)),
        note="unconditioned; 6 levels, 32 to 320 channels",
    )


if __name__ == "__main__":
    main()
