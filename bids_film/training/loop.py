"""The training loop: batches in, the best network out; a run that is stopped can go on."""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from bids_film.domain.errors import BidsFilmError, InputError
from bids_film.model.unet import FilmUNet, arrange, place_network
from bids_film.training.examples import Batch
from bids_film.training.recipe import TrainingSettings
from bids_film.training.state import Learner, RunState, load_state, save_state
from bids_film.training.team import Team

Validate = Callable[[FilmUNet], Mapping[str, float]]
"""Network in evaluation mode to Dice per structure."""

Report = Callable[[str], None]
"""Takes one line of progress."""

Forward = Callable[[Tensor, Tensor, Tensor], Sequence[Tensor]]
"""Image, vector and known to the logits of each supervised level, the finest first."""

Loss = Callable[[Sequence[Tensor], Tensor, Tensor], Tensor]
"""Logits of each supervised level, labels and annotated to a scalar, as a `SegmentationLoss`."""

_KEEP_EVERY_S = 300.0
"""How much of a run may be lost where it is killed between two validations."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """What one training needs besides its data.

    Attributes
    ----------
    settings : TrainingSettings
    loss : Loss
    device : torch.device
    state_file : Path
        Where the run's state is kept.
    recipe_hash : str
    bfloat16 : bool
        Compute the network in bfloat16; the loss and the weights stay in float32.
    report : Report
    team : Team
        The processes that train together.
    """

    settings: TrainingSettings
    loss: Loss
    device: torch.device
    state_file: Path
    recipe_hash: str
    bfloat16: bool
    report: Report
    team: Team = field(default_factory=Team)


def train_network(
    network: FilmUNet, batches: Callable[[int], Iterator[Batch]], validate: Validate, run: Run
) -> RunState:
    """Train until the last step or until validation no longer improves; go on from a kept state.

    Parameters
    ----------
    network : FilmUNet
        Trained in place; holds the best weights at the end, in evaluation mode.
    batches : Callable[[int], Iterator[Batch]]
        Gives the batches from a step on, ``accumulate`` of them a step; those of a step are always
        the same.
    validate : Validate
    run : Run

    Returns
    -------
    RunState
        With the curve; one row per validation.

    Raises
    ------
    BidsFilmError
        Where loss or gradient are no longer finite numbers.
    InputError
        Where the kept state is damaged, of another training, or beyond the last step.
    """
    settings = run.settings
    place_network(network, run.device)
    learner = Learner(
        network=network,
        averaged=copy.deepcopy(network).eval(),
        optimizer=_make_optimizer(network, settings),
    )
    supervised: nn.Module = run.team.connect(_Supervised(network), run.device)
    forward: Forward = supervised
    if settings.compile:
        # It warns of each part that it leaves to Python, as the choices inside the loss.
        logging.getLogger("torch._dynamo").setLevel(logging.ERROR)
        forward, run = torch.compile(supervised), replace(run, loss=torch.compile(run.loss))
    state = load_state(run.state_file, run.recipe_hash, learner)
    if state.step > settings.steps:
        raise InputError(
            f"{run.state_file} is at step {state.step}, after the last one of the recipe, "
            f"{settings.steps}",
            hint="steps may be raised only: give another output folder, or delete it to start anew",
        )
    if state.step:
        run.report(f"going on at step {state.step} of {settings.steps}")
    window = _Window()
    stream = batches(state.step)
    kept = time.monotonic()
    while state.step < settings.steps and not _has_stalled(state, settings):
        window.losses.append(_take_step(learner, forward, window.watch(stream), state.step, run))
        state.step += 1
        if state.step % settings.validate_every == 0 or state.step == settings.steps:
            _validate(learner.averaged, validate, state, window, run)
            window = _Window()
        elif time.monotonic() - kept < _KEEP_EVERY_S:
            continue
        if run.team.is_first:
            reached = replace(state, seconds=state.seconds + window.elapsed)
            save_state(run.state_file, reached, learner)
        kept = time.monotonic()
    network.load_state_dict(state.best)
    network.eval()
    return state


class _Supervised(nn.Module):
    """A network in training: the logits of every level that is compared with the labels."""

    def __init__(self, network: FilmUNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, vector: Tensor, known: Tensor) -> list[Tensor]:
        return self.network.supervise(image, self.network.modulations(vector, known))


class _Window:
    """Losses and times since the last validation, or since the run went on."""

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.started = time.monotonic()
        self.waited = 0.0

    @property
    def elapsed(self) -> float:
        """Seconds."""
        return time.monotonic() - self.started

    def watch(self, stream: Iterator[Batch]) -> Iterator[Batch]:
        """Take batches from a stream and count the time that it takes to get them."""
        while True:
            asked = time.monotonic()
            batch = next(stream)
            self.waited += time.monotonic() - asked
            yield batch


def _make_optimizer(network: FilmUNet, settings: TrainingSettings) -> torch.optim.Optimizer:
    """Weights of one dimension (norms, biases, the unknown embedding) do not decay."""
    matrices = [p for p in network.parameters() if p.dim() > 1]
    vectors = [p for p in network.parameters() if p.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": settings.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    # Adam adds the decay to the gradient, AdamW takes it off the weights.
    kind = torch.optim.AdamW if settings.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=settings.learning_rate)


def _set_learning_rate(
    optimizer: torch.optim.Optimizer, settings: TrainingSettings, step: int
) -> None:
    """Linear warm-up, then a cosine to zero."""
    if step < settings.warm_up:
        factor = (step + 1) / settings.warm_up
    else:
        done = (step - settings.warm_up) / max(1, settings.steps - settings.warm_up)
        factor = 0.5 * (1 + math.cos(math.pi * done))
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * factor


def _set_mode(network: FilmUNet, settings: TrainingSettings, step: int) -> None:
    """Freeze the norms' statistics for the last part: the network must learn to work with them."""
    network.train()
    if step >= settings.freeze_norm_from * settings.steps:
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):  # noqa: SLF001 the only common base
                module.eval()


def _take_step(
    learner: Learner, forward: Forward, batches: Iterator[Batch], step: int, run: Run
) -> float:
    network, settings = learner.network, run.settings
    _set_learning_rate(learner.optimizer, settings, step)
    _set_mode(network, settings, step)
    learner.optimizer.zero_grad(set_to_none=True)
    value = 0.0
    for _ in range(settings.accumulate):
        loss = _compute_loss(forward, next(batches), run) / settings.accumulate
        loss.backward()  # type: ignore[no-untyped-call]
        value += float(loss.detach())
    norm = nn.utils.clip_grad_norm_(network.parameters(), settings.clip_gradient)
    if not math.isfinite(value + float(norm)):
        raise BidsFilmError(
            f"step {step}: the loss is {value} and its gradient {float(norm)}: training diverged",
            hint='try a smaller learning_rate, or precision = "fp32", in [training]',
        )
    learner.optimizer.step()
    _average(learner, min(settings.ema, (1 + step) / (10 + step)))
    return value


def _compute_loss(forward: Forward, batch: Batch, run: Run) -> Tensor:
    image = arrange(batch.image.to(run.device))
    vector, known = batch.vector.to(run.device), batch.known.to(run.device)
    with torch.autocast(run.device.type, torch.bfloat16, enabled=run.bfloat16):
        logits = forward(image, vector, known)
    return run.loss(logits, batch.labels.to(run.device), batch.annotated.to(run.device))


@torch.no_grad()
def _average(learner: Learner, decay: float) -> None:
    """Follow the weights with an exponential moving average that starts fast."""
    latest = learner.network.state_dict()
    for name, value in learner.averaged.state_dict().items():
        if value.is_floating_point() and "running_" not in name:
            value.lerp_(latest[name], 1 - decay)
        else:
            value.copy_(latest[name])


def _validate(
    network: FilmUNet, validate: Validate, state: RunState, window: _Window, run: Run
) -> None:
    elapsed = window.elapsed
    network.eval()
    with torch.inference_mode():
        dice = run.team.share(dict(validate(network)))
    mean = sum(dice.values()) / len(dice)
    loss = sum(window.losses) / len(window.losses)
    waited = window.waited / elapsed
    state.seconds += window.elapsed
    row = {"step": float(state.step), "loss": loss, "dice": mean, "seconds": state.seconds}
    state.curve.append(
        row | {"waited": waited} | {f"dice {name}": value for name, value in dice.items()}
    )
    if mean > state.best_dice:
        state.best_dice, state.best_step = mean, state.step
        state.best = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
    parts = "  ".join(f"{name} {value:.3f}" for name, value in dice.items())
    run.report(
        f"step {state.step}/{run.settings.steps}  loss {loss:.4f}  Dice {mean:.3f} "
        f"(best {state.best_dice:.3f} at {state.best_step})  {parts}  "
        f"{elapsed / len(window.losses):.2f} s/step, {waited:.0%} waiting for data"
    )


def _has_stalled(state: RunState, settings: TrainingSettings) -> bool:
    """Early stopping; never before the norms' statistics have been frozen for a while."""
    if settings.patience == 0 or not state.curve:
        return False
    validations = (state.step - state.best_step) // settings.validate_every
    frozen_for = state.step - settings.freeze_norm_from * settings.steps
    settled = frozen_for >= settings.patience * settings.validate_every
    return validations >= settings.patience and settled
