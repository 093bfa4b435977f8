from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.tiny_training import (
    draw_batches,
    make_network,
    make_run,
    measure_dice,
    same_weights,
    stop_at,
)

from bids_film.domain.errors import BidsFilmError, InputError
from bids_film.model.unet import FilmUNet
from bids_film.training import loop
from bids_film.training.examples import Batch
from bids_film.training.loop import _make_optimizer, _set_learning_rate, train_network
from bids_film.training.losses import SegmentationLoss
from bids_film.training.settings import TrainingSettings


@pytest.fixture
def state_file(tmp_path: Path) -> Path:
    return tmp_path / "tiny.state.safetensors"


def copy_weights(network: FilmUNet) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_small_problem_is_learned(state_file: Path, norm: str, *, bfloat16: bool) -> None:
    network = make_network(norm=norm)
    run = make_run(state_file, steps=60, validate_every=20, warm_up=5, learning_rate=0.02, ema=0.8)
    state = train_network(network, draw_batches, measure_dice, replace(run, bfloat16=bfloat16))
    losses = [row["loss"] for row in state.curve]
    assert losses[-1] < 0.4 * losses[0]
    assert state.best_dice > 0.9
    assert [row["step"] for row in state.curve] == [20, 40, 60]
    assert {value.dtype for value in network.parameters()} == {torch.float32}


def test_the_network_holds_the_best_weights_in_the_end(state_file: Path) -> None:
    scores = iter([0.2, 0.9, 0.4, 0.3])
    seen = []

    def validate(network: FilmUNet) -> dict[str, float]:
        assert not network.training
        seen.append(copy_weights(network))
        return {"cord": next(scores)}

    network = make_network()
    state = train_network(network, draw_batches, validate, make_run(state_file))
    assert (state.best_step, state.best_dice) == (4, 0.9)
    assert [row["dice cord"] for row in state.curve] == [0.2, 0.9, 0.4, 0.3]
    assert all(torch.equal(network.state_dict()[name], value) for name, value in seen[1].items())
    assert any(not torch.equal(seen[3][name], value) for name, value in seen[1].items())


@pytest.mark.parametrize("keep_every_s", [0, math.inf], ids=["each-step", "validations"])
@pytest.mark.parametrize("stopped_at", [1, 4, 5, 7])
@pytest.mark.parametrize("settings", [{"dropout": 0.5}, {"norm": "instance"}], ids=str)
def test_a_run_that_goes_on_gives_the_weights_of_one_that_was_never_stopped(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stopped_at: int,
    settings: dict[str, Any],
    keep_every_s: float,
) -> None:
    monkeypatch.setattr(loop, "_KEEP_EVERY_S", keep_every_s)
    whole, resumed = make_network(**settings), make_network(**settings)
    torch.manual_seed(1)
    expected = train_network(whole, draw_batches, measure_dice, make_run(tmp_path / "a"))
    torch.manual_seed(1)
    run = make_run(tmp_path / "b")
    with pytest.raises(KeyboardInterrupt):
        train_network(resumed, stop_at(stopped_at), measure_dice, run)
    if keep_every_s and stopped_at < run.settings.validate_every:
        # Nothing was kept yet: the run starts anew, from the same seed.
        resumed = make_network(**settings)
        torch.manual_seed(1)
    else:
        resumed = make_network(seed=99, **settings)
    state = train_network(resumed, draw_batches, measure_dice, run)
    assert same_weights(whole, resumed)
    # The mean loss is that of the steps since the run went on.
    kept = ("step", "dice", "dice cord", *(["loss"] if keep_every_s else []))
    assert [[row[key] for key in kept] for row in state.curve] == [
        [row[key] for key in kept] for row in expected.curve
    ]


def test_a_run_that_is_done_is_not_trained_again(state_file: Path) -> None:
    done, again = make_network(), make_network(seed=7)
    train_network(done, draw_batches, measure_dice, make_run(state_file))
    lines: list[str] = []
    run = replace(make_run(state_file), report=lines.append)
    state = train_network(again, stop_at(0), measure_dice, run)
    assert same_weights(done, again)
    assert state.step == 8
    assert lines == ["going on at step 8 of 8"]


def test_a_run_that_went_further_than_its_recipe_is_refused(state_file: Path) -> None:
    train_network(make_network(), draw_batches, measure_dice, make_run(state_file, steps=8))
    before = state_file.read_bytes()
    with pytest.raises(InputError, match="at step 8, after the last one of the recipe, 4"):
        train_network(make_network(), draw_batches, measure_dice, make_run(state_file, steps=4))
    assert state_file.read_bytes() == before


def test_the_state_of_another_recipe_is_refused(state_file: Path) -> None:
    run = make_run(state_file)
    train_network(make_network(), draw_batches, measure_dice, run)
    with pytest.raises(InputError, match="another recipe or other data"):
        train_network(
            make_network(), draw_batches, measure_dice, replace(run, recipe_hash="another")
        )


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(tmp_path: Path) -> None:
    networks = [make_network(seed=seed) for seed in (1, 1, 2)]
    for place, network in enumerate(networks):
        train_network(network, draw_batches, measure_dice, make_run(tmp_path / str(place)))
    assert same_weights(networks[0], networks[1])
    assert not same_weights(networks[0], networks[2])


def score(values: list[float]) -> Callable[[FilmUNet], dict[str, float]]:
    remaining = iter(values)
    return lambda network: {"cord": next(remaining)}


@pytest.mark.parametrize(
    ("freeze_norm_from", "patience", "stopped_at"), [(0.0, 2, 6), (0.5, 2, 14), (0.0, 0, 20)]
)
def test_it_stops_early_where_nothing_improves_once_the_norms_were_frozen(
    state_file: Path, freeze_norm_from: float, patience: int, stopped_at: int
) -> None:
    run = make_run(
        state_file,
        steps=20,
        patience=patience,
        freeze_norm_from=freeze_norm_from,
        learning_rate=1e-3,
    )
    scores = [0.5, 0.4, 0.5, *[0.3] * 10]
    state = train_network(make_network(), draw_batches, score(scores), run)
    assert state.step == stopped_at
    assert (state.best_step, state.best_dice) == (2, 0.5)


def test_a_better_validation_gives_new_patience(state_file: Path) -> None:
    run = make_run(state_file, steps=20, patience=2, freeze_norm_from=0.0)
    state = train_network(make_network(), draw_batches, score([0.5, 0.4, 0.6, 0.5, 0.4, 0.3]), run)
    assert (state.best_step, state.step) == (6, 10)


def list_statistics(network: FilmUNet) -> list[torch.Tensor]:
    return [value.clone() for name, value in network.named_buffers() if "running" in name]


def test_norm_statistics_move_until_they_are_frozen_and_then_stay(state_file: Path) -> None:
    seen = []

    def validate(network: FilmUNet) -> dict[str, float]:
        seen.append((list_statistics(network), copy_weights(network)))
        return {"cord": 0.5}

    run = make_run(state_file, steps=8, validate_every=1, freeze_norm_from=0.5)
    train_network(make_network(), draw_batches, validate, run)
    statistics, weights = zip(*seen, strict=True)
    for before, after in itertools.pairwise(statistics[:4]):
        assert not any(map(torch.equal, before, after))
    for later in statistics[4:]:
        assert all(map(torch.equal, statistics[3], later))
    name = "encoder.0.first.conv.weight"
    assert not torch.equal(weights[4][name], weights[7][name])


@pytest.mark.parametrize(("ema", "follows"), [(0.0, True), (0.9, False)])
def test_what_is_validated_is_the_moving_average(
    state_file: Path, ema: float, *, follows: bool
) -> None:
    network, seen = make_network(), []

    def validate(averaged: FilmUNet) -> dict[str, float]:
        seen.append(same_weights(averaged, network))
        return {"cord": 0.5}

    train_network(network, draw_batches, validate, make_run(state_file, ema=ema))
    assert seen == [follows] * 4


def test_the_learning_rate_rises_linearly_and_falls_to_zero() -> None:
    settings = TrainingSettings(steps=100, warm_up=10, learning_rate=0.1)
    optimizer = _make_optimizer(make_network(), settings)
    rates = []
    for step in range(100):
        _set_learning_rate(optimizer, settings, step)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[:10] == pytest.approx([0.01 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(0.1)
    assert all(later < earlier for earlier, later in itertools.pairwise(rates[10:]))
    assert rates[55] == pytest.approx(0.05)
    assert 0 < rates[-1] < 1e-4


def test_only_matrices_decay() -> None:
    network = make_network()
    decaying, free = _make_optimizer(network, TrainingSettings(weight_decay=0.3)).param_groups
    assert (decaying["weight_decay"], free["weight_decay"]) == (0.3, 0.0)
    assert network.generator is not None
    assert any(value is network.generator.unknown for value in free["params"])
    assert {value.dim() for value in free["params"]} == {1}
    assert len(decaying["params"]) + len(free["params"]) == len(list(network.parameters()))


@pytest.mark.parametrize("part", ["image", "loss"])
def test_a_training_that_diverges_ends_with_a_message_and_keeps_its_last_state(
    state_file: Path, part: str
) -> None:
    def spoil(start: int) -> Iterator[Batch]:
        for step, batch in enumerate(draw_batches(start), start=start):
            yield batch if step < 5 else replace(batch, image=batch.image * math.nan)

    class Exploding(SegmentationLoss):
        def __call__(self, logits: Sequence[torch.Tensor], *others: torch.Tensor) -> torch.Tensor:
            return (logits[0] * 0).sqrt().sum()

    run = make_run(state_file)
    if part == "loss":
        run = replace(run, loss=Exploding(parents=(0, 0)))
    with pytest.raises(BidsFilmError, match="training diverged") as caught:
        train_network(make_network(), spoil, measure_dice, run)
    assert "learning_rate" in caught.value.hint
    assert state_file.exists() is (part == "image")


def test_a_line_of_progress_says_what_was_reached(state_file: Path) -> None:
    lines: list[str] = []
    run = replace(make_run(state_file), report=lines.append)
    train_network(make_network(), draw_batches, score([0.25, 0.5, 0.5, 0.125]), run)
    assert len(lines) == 4
    assert lines[3].startswith("step 8/8  loss ")
    assert "Dice 0.125 (best 0.500 at 4)  cord 0.125" in lines[3]
    assert "waiting for data" in lines[3]


def test_partly_annotated_batches_are_learned_from(state_file: Path) -> None:
    def draw(start: int) -> Iterator[Batch]:
        for step, batch in enumerate(draw_batches(start), start=start):
            annotated = torch.tensor([[step % 2 == 0], [True], [False], [False]])
            labels = batch.labels * annotated[:, :, None]
            yield replace(batch, annotated=annotated, labels=labels)

    run = make_run(state_file, steps=80, validate_every=40, learning_rate=0.02, ema=0.8)
    assert train_network(make_network(), draw, measure_dice, run).best_dice > 0.9


def test_a_compiled_network_learns_the_same(tmp_path: Path) -> None:
    trained = []
    for compiled in (False, True):
        network = make_network()
        settings = {"steps": 4, "freeze_norm_from": 0.5, "compile": compiled}
        run = make_run(tmp_path / f"{compiled}.safetensors", **settings)
        train_network(network, draw_batches, measure_dice, run)
        trained.append(network.state_dict())
    for name, value in trained[0].items():
        torch.testing.assert_close(value, trained[1][name], rtol=1e-3, atol=1e-4)
