"""Batches of a run, the same for a step however many processes and workers draw them."""

from __future__ import annotations

import itertools
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from bids_film.domain.errors import UsageError, WorkerDiedError
from bids_film.training.examples import Batch
from bids_film.training.sampling import Patch, Sampler


@dataclass(frozen=True, kw_only=True, slots=True)
class Portion:
    """How a step's patches are divided into batches that are computed one by one.

    Chance depends on seed, step and a patch's place in the step only: any worker of any process may
    draw it, and dividing a step changes none of its patches.

    Attributes
    ----------
    batch_size : int
        Patches of a whole step.
    accumulate : int
        Batches that a process computes in a step.
    process, processes : int
        Which of the processes that train together this is, from 0, and how many there are.
    """

    batch_size: int
    accumulate: int = 1
    process: int = 0
    processes: int = 1

    def __post_init__(self) -> None:
        if self.batch_size % (self.accumulate * self.processes):
            raise UsageError(
                f"[training] batch_size = {self.batch_size} cannot be divided evenly among "
                f"{self.processes} processes with accumulate = {self.accumulate}",
                hint="batch_size is that of a whole step: make it a multiple of both",
            )

    def places(self, number: int) -> tuple[int, range]:
        """Step of a batch, by its number since the start, and its patches' places in the step."""
        step, part = divmod(number, self.accumulate)
        size = self.batch_size // (self.accumulate * self.processes)
        start = (part * self.processes + self.process) * size
        return step, range(start, start + size)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepBatches(Dataset[Batch]):
    """The batches of a run, numbered from its first step."""

    sampler: Sampler
    seed: int
    portion: Portion

    def __getitem__(self, number: int) -> Batch:
        step, places = self.portion.places(number)
        rngs = (np.random.default_rng((self.seed, step, place)) for place in places)
        return _stack([self.sampler.draw(rng) for rng in rngs])


def stream_batches(
    sampler: Sampler, *, seed: int, portion: Portion, start_step: int = 0, workers: int = 0
) -> Iterator[Batch]:
    """Draw the batches from a step on, in the background, without end.

    A run that goes on at a step sees the batches that it would have seen, whatever the number of
    workers.

    Parameters
    ----------
    sampler : Sampler
    seed : int
    portion : Portion
    start_step : int
    workers : int
        Processes that draw; 0 draws in this one. Where one is killed, the main thread gets torch's
        error wherever it is, mostly not here: see `naming_dead_workers`.
    """
    yield from DataLoader(
        StepBatches(sampler=sampler, seed=seed, portion=portion),
        batch_size=None,
        sampler=itertools.count(start_step * portion.accumulate),
        num_workers=workers,
        collate_fn=_leave,
        worker_init_fn=_outlast,
        # Its own, so that starting the workers leaves the network's chance as it is.
        generator=torch.Generator().manual_seed(seed),
        multiprocessing_context="fork" if workers else None,
    )


@contextmanager
def naming_dead_workers() -> Iterator[None]:
    """Say what it means that a process which draws batches was killed.

    Raises
    ------
    WorkerDiedError
        Where one was, mostly for want of memory.
    """
    try:
        yield
    except RuntimeError as problem:
        if "DataLoader worker" not in str(problem):
            raise
        raise WorkerDiedError(
            f"a process that prepares training data ended without a word: {problem}",
            hint="mostly for want of memory: fewer --nprocs, a smaller patch or batch_size",
        ) from problem


def _stack(patches: Sequence[Patch]) -> Batch:
    labels = torch.stack([patch.labels for patch in patches])
    return Batch(
        image=torch.stack([patch.image for patch in patches]),
        labels=labels if labels.is_floating_point() else labels.long(),
        annotated=torch.stack([patch.annotated for patch in patches]),
        vector=torch.stack([patch.vector for patch in patches]),
        known=torch.stack([patch.known for patch in patches]),
    )


def _outlast(_: int) -> None:
    """Leave it to the main process what SIGTERM means, which a cluster sends to all of a job."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _leave(batch: Any) -> Any:
    return batch
