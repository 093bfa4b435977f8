"""The network on one volume: as this program runs it, and as others would.

    python -m benchmarks.performance.engine [--threads N] [--peers FOLDER] [--write]

Peers that this project does not install are looked for in FOLDER, where
``pip install --no-deps --target FOLDER openvino dynamic_network_architectures`` puts them; one that
is not there is named as missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from time import perf_counter

import numpy as np
import torch
from monai.inferers import sliding_window_inference
from monai.networks.nets import BasicUNet, UNet
from torch import Tensor

from benchmarks.performance.limits import measure_limits
from benchmarks.performance.networks import (
    build_nnunet,
    list_precisions,
    load_network,
    run_network,
)
from benchmarks.performance.timing import (
    Row,
    make_parser,
    parse_arguments,
    publish,
    take_best,
    try_peer,
)
from bids_film.inference.memory import keep_memory
from bids_film.metadata.encoder import Encoded
from bids_film.model.header import ModelHeader, read_header
from bids_film.model.unet import FilmUNet
from bids_film.models import find_model

ROI = (96, 96, 96)
SIZES = {"brain": (128, 128, 96), "spinalcord": (256, 256, 192)}
"""Model to a volume in its network's space; slice by slice where it is a 2-D one."""
SLICES_AT_ONCE = 64
LEVELS = 5
"""Of MONAI's BasicUNet."""


def main() -> None:
    """Time every way and print the tables: the others first, for what ours does to the process."""
    arguments = parse_arguments(make_parser(__doc__, peers=True))
    torch.manual_seed(1)
    images = {model: torch.rand(1, 1, *shape) for model, shape in SIZES.items()}
    headers = {model: read_header(find_model(model)) for model in SIZES}
    with torch.inference_mode():
        peers = {
            model: list(measure_peers(headers[model], image, arguments.threads))
            for model, image in images.items()
        }
        ours = {model: list(measure(model, image)) for model, image in images.items()}
    tables = {
        describe(header, SIZES[model]): [*ours[model], *peers[model]]
        for model, header in headers.items()
    }
    section = "engine" if "bf16" in list_precisions() else "engine-f32"
    publish("engine", tables, arguments, *SIZES, section=section)


def describe(header: ModelHeader, shape: Sequence[int]) -> str:
    """Write the title of a model's table."""
    size = " × ".join(map(str, shape))
    structures = f"{header.network.dimensions}-D, {len(header.labels)} structures"
    return f"{header.name}: {size} voxels, {structures}, float32 unless said"


def measure(model: str, image: Tensor) -> Iterator[Row]:
    """Time the model's network in this program."""
    keep_memory()
    header, network = load_network(model)
    for precision in list_precisions():
        run = partial(run_network, header, network, image[0], precision=precision)
        yield Row(
            way=f"bids_film: metadata folded, channels last, {precision}", seconds=take_best(run)
        )


def measure_peers(header: ModelHeader, image: Tensor, threads: int) -> Iterator[Row]:
    """Time the model's network everywhere else, and networks like it."""
    config = header.network
    planar = config.dimensions == 2  # noqa: PLR2004 (slices)
    network = FilmUNet(config, header.encoder.spans).eval()
    encoded = header.encoder.encode({})
    told = tell(network, encoded)
    slices = image[0].permute(3, 0, 1, 2).contiguous()
    batches = slices.split(SLICES_AT_ONCE) if planar else (image,)

    def run(network: Callable[[Tensor], object]) -> float:
        return take_best(lambda: [network(batch) for batch in batches])

    yield from measure_limits(partial(told, batches[0][:1]), times=len(slices) if planar else 1)
    yield Row(way="the same network, plain PyTorch", seconds=run(told), note="logits only")
    if not planar:
        yield from measure_windows(told, image)
    channels, outputs = config.channels, config.out_channels
    strides = [2] * (len(channels) - 1)
    residual = UNet(config.dimensions, 1, outputs, channels, strides, num_res_units=2).eval()
    yield Row(
        way="MONAI UNet of the same channels",
        seconds=run(residual),
        note="unconditioned, logits only; no layer at full resolution but the last",
    )
    # It has five levels, and the last width is that of the features before the output.
    features = (*[channels[0]] * (LEVELS - len(channels)), *channels, channels[0])
    basic = BasicUNet(config.dimensions, 1, outputs, features=features).eval()
    yield Row(
        way=f"MONAI BasicUNet, channels {list(features)}",
        seconds=run(basic),
        note="unconditioned, logits only",
    )
    told_apart = (torch.from_numpy(part)[None] for part in (encoded.vector, encoded.known))
    inputs = (batches[0][:1], *told_apart)
    for precision in list_precisions():
        yield from try_peer(
            "OpenVINO, the same network",
            lambda precision=precision: time_openvino(network, inputs, run, threads, precision),
        )
    if not planar:
        yield from try_peer("nnU-Net's default 3-D network", lambda: time_nnunet(image))


def measure_windows(told: Callable[[Tensor], Tensor], image: Tensor) -> Iterator[Row]:
    """Time MONAI's inferer, window by window."""
    for overlap in (0.25, 0.5):
        yield Row(
            way="the same network, MONAI sliding_window_inference",
            seconds=take_best(
                lambda overlap=overlap: sliding_window_inference(
                    image, ROI, 1, told, overlap=overlap, mode="gaussian"
                ),
            ),
            note=f"windows of {ROI[0]}³, overlap {overlap:g}, logits only",
        )


def tell(network: FilmUNet, encoded: Encoded) -> Callable[[Tensor], Tensor]:
    """Give a network its metadata, layer by layer as it was trained."""
    vector, known = (torch.from_numpy(part)[None] for part in (encoded.vector, encoded.known))
    return lambda images: network(
        images, vector.expand(len(images), -1), known.expand(len(images), -1)
    )


def time_openvino(
    network: FilmUNet,
    inputs: tuple[Tensor, ...],
    run: Callable[[Callable[[Tensor], object]], float],
    threads: int,
    precision: str,
) -> Row:
    """Convert the network, metadata as an input, and time what OpenVINO makes of it."""
    import openvino  # noqa: PLC0415 (a peer that may be missing)

    started = perf_counter()
    model = openvino.convert_model(network, example_input=inputs)
    model.reshape(
        {port: [-1, *part.shape[1:]] for port, part in zip(model.inputs, inputs, strict=True)}
    )
    options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": precision}
    request = openvino.Core().compile_model(model, "CPU", options).create_infer_request()
    seconds = perf_counter() - started
    told = [np.asarray(part) for part in inputs[1:]]
    return Row(
        way=f"OpenVINO, the same network, {precision}",
        seconds=run(lambda images: request.infer([np.asarray(images), *told])),
        note=f"metadata as an input, logits only; converted in {seconds:.1f} s before",
    )


def time_nnunet(image: Tensor) -> Row:
    """Time the network that nnU-Net plans for such images, on as many voxels."""
    network = build_nnunet((32, 64, 128, 256, 320, 320), 33).eval()
    return Row(
        way="nnU-Net's default 3-D network, one window",
        seconds=take_best(lambda: network(image)),
        note="unconditioned; 6 levels, 32 to 320 channels",
    )


if __name__ == "__main__":
    main()
