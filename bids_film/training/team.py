"""Processes that train one network together, as ``torchrun`` starts them: one for each GPU."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

Shared = TypeVar("Shared")


@dataclass(frozen=True, kw_only=True, slots=True)
class Team:
    """Which of the processes this one is.

    Attributes
    ----------
    process, processes : int
        Its number, from 0, and how many there are.
    """

    process: int = 0
    processes: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is the one that speaks and writes."""
        return self.process == 0

    def share(self, value: Shared) -> Shared:
        """Give every process the first one's value, so that all decide alike."""
        if self.processes == 1:
            return value
        box = [value]
        distributed.broadcast_object_list(box, src=0)
        return box[0]

    def connect(self, module: nn.Module, device: torch.device) -> nn.Module:
        """Have the processes' gradients averaged, and on GPUs their norms' statistics shared.

        On CPUs each process's batch normalisation sees its own part of the batch.
        """
        if self.processes == 1:
            return module
        if device.type != "cuda":
            return DistributedDataParallel(module)
        synchronised = nn.SyncBatchNorm.convert_sync_batchnorm(module)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(synchronised, device_ids=[device])


@contextmanager
def join_team(device: torch.device) -> Iterator[Team]:
    """Meet the other processes that ``torchrun`` started; alone without it."""
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if processes == 1:
        yield Team()
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Team(process=distributed.get_rank(), processes=processes)
    finally:
        distributed.destroy_process_group()


def own_device(device: torch.device) -> torch.device:
    """Each process's own GPU, where ``torchrun`` started one for each."""
    if device.type == "cuda" and device.index is None and "LOCAL_RANK" in os.environ:
        return torch.device("cuda", int(os.environ["LOCAL_RANK"]))
    return device


def sum_over_processes(values: Tensor) -> Tensor:
    """Add up the values of all processes; gradients flow back to each of them."""
    if not distributed.is_available() or not distributed.is_initialized():
        return values
    total: Tensor = all_reduce(values)  # type: ignore[no-untyped-call]
    return total
