from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.tiny_training import draw_batch, make_network, make_run, measure_dice
from torch import multiprocessing

from bids_film.training.examples import Batch
from bids_film.training.loop import train_network
from bids_film.training.team import Team, join_team

PROCESSES = 2
SETTINGS = {"norm": "instance", "dimensions": 2}
# Instance normalisation: on CPUs no statistics of a batch are shared.


def draw_part(team: Team, start: int) -> Iterator[Batch]:
    """Give each process its part of the batches that one process would see whole."""
    while True:
        whole = draw_batch(start)
        size = len(whole.image) // team.processes
        part = slice(team.process * size, (team.process + 1) * size)
        yield Batch(
            image=whole.image[part],
            labels=whole.labels[part],
            annotated=whole.annotated[part],
            vector=whole.vector[part],
            known=whole.known[part],
        )
        start += 1


def train_in_team(folder: Path, loss: str) -> dict[str, torch.Tensor]:
    torch.set_num_threads(1)
    network = make_network(**SETTINGS)
    run = make_run(folder / "run.state.safetensors", steps=4)
    with join_team(torch.device("cpu")) as team:
        run = replace(run, team=team, loss=replace(run.loss, name=loss))
        train_network(network, lambda start: draw_part(team, start), measure_dice, run)
    return network.state_dict()


def train_process(process: int, port: int, folder: Path, loss: str) -> None:
    """Train as one of the processes that torchrun starts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MASTER_ADDR", "127.0.0.1")
        patch.setenv("MASTER_PORT", str(port))
        patch.setenv("RANK", str(process))
        patch.setenv("WORLD_SIZE", str(PROCESSES))
        torch.save(train_in_team(folder, loss), folder / f"{process}.pt")


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.mark.timeout(120)
@pytest.mark.parametrize("loss", ["dice+ce", "focal-tversky"])
def test_two_processes_train_to_the_weights_of_one_with_the_doubled_batch(
    tmp_path: Path, loss: str
) -> None:
    """The loss counts voxels over the whole batch, so it must be summed over the processes."""
    multiprocessing.spawn(
        train_process, args=(find_free_port(), tmp_path, loss), nprocs=PROCESSES, join=True
    )
    first, second = (torch.load(tmp_path / f"{number}.pt") for number in range(PROCESSES))
    alone = tmp_path / "alone"
    alone.mkdir()
    expected = train_in_team(alone, loss)
    start = make_network(**SETTINGS).state_dict()
    for name, value in expected.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, atol=2e-5, rtol=1e-4, msg=name)
    assert any(
        not torch.allclose(value, start[name], atol=1e-3) for name, value in expected.items()
    )


def test_only_the_first_process_writes_the_state(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run.state.safetensors", steps=2)
    # Second of two for whom it is told, without a partner: nothing may be asked of one.
    team = Team(process=1, processes=1)
    train_network(
        make_network(),
        lambda start: draw_part(Team(), start),
        measure_dice,
        replace(run, team=team),
    )
    assert not run.state_file.exists()
