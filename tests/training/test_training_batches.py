from __future__ import annotations

import itertools
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest
import torch

from bids_film.domain.errors import UsageError, WorkerDiedError
from bids_film.training.batches import Portion, naming_dead_workers, stream_batches
from bids_film.training.examples import Batch
from bids_film.training.sampling import Patch

WHOLE = Portion(batch_size=4)


class NoiseSampler:
    """Draws noise, by which each patch is known again."""

    def draw(self, rng: np.random.Generator) -> Patch:
        return Patch(
            image=torch.from_numpy(rng.normal(size=(1, 3, 2))).float(),
            labels=torch.from_numpy(rng.integers(0, 2, (3, 2))),
            annotated=torch.ones(1, dtype=torch.bool),
            vector=torch.from_numpy(rng.normal(size=2)).float(),
            known=torch.ones(1),
        )


def take(count: int, portion: Portion = WHOLE, *, seed: int = 3, **settings: int) -> list[Batch]:
    stream = stream_batches(NoiseSampler(), seed=seed, portion=portion, **settings)
    return list(itertools.islice(stream, count))


def same(one: Batch, other: Batch) -> bool:
    return all(
        torch.equal(getattr(one, name), getattr(other, name))
        for name in ("image", "labels", "annotated", "vector", "known")
    )


def test_a_batch_has_the_promised_shapes() -> None:
    (batch,) = take(1)
    assert batch.image.shape == (4, 1, 3, 2)
    assert batch.labels.shape == (4, 3, 2)
    assert batch.labels.dtype == torch.int64
    assert batch.annotated.shape == (4, 1)
    assert batch.vector.shape == (4, 2)
    assert batch.known.shape == (4, 1)


def test_the_batch_of_a_step_depends_on_neither_workers_nor_where_a_run_starts() -> None:
    alone = take(6)
    assert all(map(same, alone, take(6, workers=2)))
    assert all(map(same, alone[4:], take(2, start_step=4)))
    assert not same(alone[0], alone[1])
    assert not same(alone[0], take(1, seed=4)[0])


@pytest.mark.parametrize(("accumulate", "processes"), [(2, 1), (1, 2), (4, 1), (2, 2)])
def test_dividing_a_step_changes_none_of_its_patches(accumulate: int, processes: int) -> None:
    whole = take(3)
    parts = [
        take(
            3 * accumulate,
            Portion(batch_size=4, accumulate=accumulate, process=process, processes=processes),
        )
        for process in range(processes)
    ]
    for step, batch in enumerate(whole):
        images = [
            part[step * accumulate + number].image for number in range(accumulate) for part in parts
        ]
        assert torch.equal(torch.cat(images), batch.image)


def test_a_run_in_parts_goes_on_at_its_step() -> None:
    portion = Portion(batch_size=4, accumulate=2)
    assert all(map(same, take(8, portion)[4:], take(4, portion, start_step=2)))


def test_a_step_that_cannot_be_divided_evenly_is_refused() -> None:
    with pytest.raises(UsageError, match="batch_size = 6 cannot be divided evenly among 2"):
        Portion(batch_size=6, accumulate=2, processes=2)


class StruckSampler(NoiseSampler):
    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def draw(self, rng: np.random.Generator) -> Patch:
        os.kill(os.getpid(), self.number)
        return super().draw(rng)


@pytest.mark.timeout(60)
def test_a_worker_that_is_killed_ends_the_training_instead_of_hanging_it() -> None:
    stream = stream_batches(StruckSampler(signal.SIGKILL), seed=0, portion=WHOLE, workers=1)
    with pytest.raises(WorkerDiedError, match="without a word"), naming_dead_workers():
        next(stream)


@pytest.mark.timeout(60)
def test_a_worker_that_is_killed_while_nobody_waits_for_it_is_named_too() -> None:
    stream = stream_batches(NoiseSampler(), seed=0, portion=WHOLE, workers=1)
    next(stream)
    for worker in multiprocessing.active_children():
        worker.kill()
    with pytest.raises(WorkerDiedError, match="without a word"), naming_dead_workers():
        time.sleep(30)


@pytest.mark.timeout(60)
def test_sigterm_which_a_cluster_sends_to_all_of_a_job_is_left_to_the_main_process() -> None:
    stream = stream_batches(StruckSampler(signal.SIGTERM), seed=3, portion=WHOLE, workers=1)
    assert all(map(same, itertools.islice(stream, 6), take(6)))
