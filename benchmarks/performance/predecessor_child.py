"""Times ivadomed; run by an interpreter that has it, prints four numbers.

PYTHON predecessor_child.py THREADS REPEATS BATCH HEIGHT WIDTH SCAN.nii.gz
"""

from __future__ import annotations

import importlib.machinery
import json
import os
import sys
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path

import torch

# Of torchvision, ivadomed needs the transforms alone here; the rest fails where torchvision was
# built for CUDA and torch was not, and builds for every torch are not to be had.
sys.modules["torchvision"] = torchvision = types.ModuleType("torchvision")
spec = importlib.machinery.PathFinder.find_spec("torchvision")
torchvision.__path__ = [] if spec is None else list(spec.submodule_search_locations or ())
sys.modules["torchvision.models"] = torchvision.models = types.ModuleType("torchvision.models")

# Its models are whole pickled networks, which torch does not load any more without being told to.
os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"

from ivadomed.inference import segment_volume  # noqa: E402
from ivadomed.models import FiLMedUnet, Unet  # noqa: E402
from ivadomed.utils import save_onnx_model  # noqa: E402


def main() -> None:
    """Time the forward pass, a step with Dice loss and Adam, and the segmentation of a scan."""
    threads, repeats, batch, height, width = map(int, sys.argv[1:6])
    scan = Path(sys.argv[6])
    torch.set_num_threads(threads)
    network = FiLMedUnet(2, 1, depth=4, n_metadata=3, film_layers=[1] * 10)
    images, target = (
        torch.rand(batch, 2, height, width),
        torch.randint(0, 2, (batch, 1, height, width)),
    )
    told = torch.eye(3)[torch.arange(batch) % 3].tolist()
    optimizer = torch.optim.Adam(network.parameters())

    def step() -> None:
        optimizer.zero_grad()
        predicted = network(images, told)
        common = (predicted * target).sum()
        (1 - 2 * common / (predicted.sum() + target.sum())).backward()
        optimizer.step()

    seconds = [take(step, repeats)]
    network.eval()
    with torch.no_grad():
        seconds.insert(0, take(lambda: network(images, told), repeats))
    for onnx in (False, True):
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place) / "unet"
            write_model(folder, torch.rand(batch, 1, height, width), onnx=onnx)
            seconds.append(take(lambda: segment_volume(str(folder), [str(scan)]), repeats))  # noqa: B023
    print(*seconds)


def write_model(folder: Path, images: torch.Tensor, *, onnx: bool) -> None:
    """Write a U-Net of the same size as its `segment_volume` reads them; with FiLM that fails."""
    folder.mkdir()
    network, path = Unet(1, 1, depth=4), folder / folder.name
    if onnx:
        save_onnx_model(network, images, str(path.with_suffix(".onnx")))
    else:
        torch.save(network, path.with_suffix(".pt"))
    config = {
        "default_model": {"name": "Unet", "depth": 4, "is_2d": True},
        "training_parameters": {"batch_size": len(images)},
        "transformation": {"NormalizeInstance": {"applied_to": ["im"]}, "NumpyToTensor": {}},
    }
    path.with_suffix(".json").write_text(json.dumps(config), encoding="utf-8")


def take(call: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of some calls, after one that does not count."""
    call()
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


if __name__ == "__main__":
    main()
