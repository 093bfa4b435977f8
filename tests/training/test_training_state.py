from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.disk import largest_file
from support.tiny_training import draw_batch, make_network, same_weights

from bids_film.domain.errors import InputError
from bids_film.training.state import Learner, RunState, load_state, save_state

HASH = "this recipe"


def make_learner(*, seed: int = 0, **settings: Any) -> Learner:
    network = make_network(seed=seed, **settings)
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.01)
    return Learner(network=network, averaged=make_network(seed=seed + 1), optimizer=optimizer)


def step(learner: Learner, number: int) -> None:
    batch = draw_batch(number)
    learner.optimizer.zero_grad()
    learner.network(batch.image, batch.vector, batch.known).square().mean().backward()
    learner.optimizer.step()


@pytest.fixture
def learner() -> Learner:
    learner = make_learner()
    for number in range(3):
        step(learner, number)
    return learner


@pytest.fixture
def kept(tmp_path: Path, learner: Learner) -> Path:
    path = tmp_path / "state.safetensors"
    state = RunState(
        recipe_hash=HASH,
        step=3,
        best_dice=0.1 + 0.2,
        best_step=2,
        best={name: value.clone() for name, value in learner.averaged.state_dict().items()},
        curve=[{"step": 2.0, "loss": 1 / 3, "dice cord": 0.3}],
        seconds=1.5,
    )
    save_state(path, state, learner)
    return path


def test_without_a_file_a_run_starts_at_the_beginning(tmp_path: Path) -> None:
    learner, fresh = make_learner(), make_learner()
    state = load_state(tmp_path / "absent", HASH, learner)
    assert state == RunState(recipe_hash=HASH)
    assert same_weights(learner.network, fresh.network)


def test_a_state_read_back_is_the_same_to_the_bit(kept: Path, learner: Learner) -> None:
    expected = torch.rand(3)
    found = make_learner(seed=5)
    torch.manual_seed(1234)
    state = load_state(kept, HASH, found)
    assert (state.step, state.best_dice, state.best_step, state.seconds) == (3, 0.1 + 0.2, 2, 1.5)
    assert state.curve == [{"step": 2.0, "loss": 1 / 3, "dice cord": 0.3}]
    assert torch.equal(torch.rand(3), expected)
    assert same_weights(found.network, learner.network)
    assert same_weights(found.averaged, learner.averaged)
    assert state.best.keys() == learner.averaged.state_dict().keys()
    for number in range(3, 5):
        step(found, number)
        step(learner, number)
    assert same_weights(found.network, learner.network)


def test_the_weights_of_another_recipe_are_not_touched(kept: Path) -> None:
    found, fresh = make_learner(seed=5), make_learner(seed=5)
    with pytest.raises(InputError, match="another recipe or other data") as caught:
        load_state(kept, "another", found)
    assert str(kept) in caught.value.message
    assert "--force" not in caught.value.hint
    assert same_weights(found.network, fresh.network)


def test_a_damaged_file_says_what_to_do(kept: Path) -> None:
    content = kept.read_bytes()
    for damaged in (b"", b"no state at all", content[:100], content[:-1]):
        kept.write_bytes(damaged)
        with pytest.raises(InputError, match="is not the state of a training run") as caught:
            load_state(kept, HASH, make_learner())
        assert "delete it" in caught.value.hint


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"bids_film_training": "{"},
        {"bids_film_training": "[]"},
        {"bids_film_training": "{}"},
        {"bids_film_training": json.dumps({"recipe_hash": HASH, "epoch": 3})},
        {"bids_film_training": json.dumps({"recipe_hash": HASH})},
    ],
    ids=str,
)
def test_a_safetensors_file_of_something_else_is_refused(
    kept: Path, metadata: dict[str, str] | None
) -> None:
    save_file({"a": torch.zeros(3)}, kept, metadata=metadata)
    with pytest.raises(InputError, match="is not the state of a training run"):
        load_state(kept, HASH, make_learner())


def test_the_state_of_another_network_is_refused(kept: Path) -> None:
    with pytest.raises(InputError, match="is not the state of a training run"):
        load_state(kept, HASH, make_learner(channels=(4, 6)))


def test_the_file_is_replaced_whole_or_not_at_all(kept: Path, learner: Learner) -> None:
    before = kept.read_bytes()
    with largest_file(len(before) // 2), pytest.raises(OSError, match="File too large"):
        save_state(kept, RunState(recipe_hash=HASH), learner)
    assert kept.read_bytes() == before
    assert [path.name for path in kept.parent.iterdir()] == [kept.name]


def test_nothing_in_the_file_is_pickled(kept: Path) -> None:
    assert {name.split(".")[0] for name in load_file(kept)} == {
        "network", "averaged", "best", "optimizer", "random",
    }  # fmt: skip
