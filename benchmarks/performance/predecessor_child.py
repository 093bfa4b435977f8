"""Times ivadomed's FiLMedUnet; run by an interpreter that has ivadomed, prints two numbers.

PYTHON predecessor_child.py THREADS REPEATS BATCH HEIGHT WIDTH
"""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Callable

import torch

# ivadomed.models imports torchvision for networks that are not timed here; builds of it for
# processors without CUDA are not to be had for every torch.
sys.modules["torchvision"] = torchvision = types.ModuleType("torchvision")
sys.modules["torchvision.models"] = torchvision.models = types.ModuleType("torchvision.models")

from ivadomed.models import FiLMedUnet  # noqa: E402


def main() -> None:
    """Time the forward pass, and a step with Dice loss and Adam."""
    threads, repeats, batch, height, width = map(int, sys.argv[1:])
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
    print(*seconds)


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
