"""The state of a training run on disk: what a killed run goes on from.

One safetensors file (no pickle): the network, the optimiser's moments and the best network so far,
with step and curve in its header.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor
from torch.optim import Optimizer

from bids_film.domain.errors import InputError
from bids_film.model.checkpoint import write_tensors
from bids_film.model.unet import FilmUNet

_KEY = "bids_film_training"
_CUDA = "random_cuda"


@dataclass(frozen=True, kw_only=True, slots=True)
class Learner:
    """What a step changes: the network, the average that follows it, and the optimiser."""

    network: FilmUNet
    averaged: FilmUNet
    optimizer: Optimizer


@dataclass(kw_only=True, slots=True)
class RunState:
    """How far a run is.

    Attributes
    ----------
    recipe_hash : str
        Identifies recipe and data: a run never goes on from the state of another one.
    step : int
        Steps that are done.
    best_dice : float
        Highest mean validation Dice so far; negative before the first validation.
    best_step : int
    best : dict[str, Tensor]
        Weights that gave it.
    curve : list[dict[str, float]]
        One row per validation.
    seconds : float
        Time trained, over all starts.
    """

    recipe_hash: str
    step: int = 0
    best_dice: float = -1.0
    best_step: int = 0
    best: dict[str, Tensor] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)
    seconds: float = 0.0


def save_state(path: Path, state: RunState, learner: Learner) -> None:
    """Write the run's state; the file is replaced whole or not at all."""
    tensors: dict[str, Tensor] = {
        f"network.{k}": v for k, v in learner.network.state_dict().items()
    }
    tensors |= {f"averaged.{k}": v for k, v in learner.averaged.state_dict().items()}
    tensors |= {f"best.{k}": v for k, v in state.best.items()}
    for index, moments in learner.optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in moments.items()
        }
    tensors["random"] = torch.get_rng_state()
    device = _find_cuda(learner)
    if device is not None:
        tensors[_CUDA] = torch.cuda.get_rng_state(device)
    header = {
        "recipe_hash": state.recipe_hash,
        "step": state.step,
        "best_dice": state.best_dice,
        "best_step": state.best_step,
        "curve": state.curve,
        "seconds": state.seconds,
    }
    write_tensors(path, tensors, {_KEY: json.dumps(header)})


def load_state(path: Path, recipe_hash: str, learner: Learner) -> RunState:
    """Restore network and optimiser from a run's state, or start at step 0 where there is none.

    Raises
    ------
    InputError
        Where the file is damaged, or belongs to another recipe or other data.
    """
    if not path.exists():
        return RunState(recipe_hash=recipe_hash)
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()[_KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        state = RunState(**header, best=_part(tensors, "best."))
        if state.recipe_hash == recipe_hash:
            _restore(learner, tensors)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as problem:
        raise InputError(
            f"{path} is not the state of a training run: {problem}",
            hint="delete it to start this training anew",
        ) from problem
    if state.recipe_hash != recipe_hash:
        raise InputError(
            f"{path} is the state of a training with another recipe or other data",
            hint="give another output folder, or delete it to start anew",
        )
    return state


def _restore(learner: Learner, tensors: Mapping[str, Tensor]) -> None:
    learner.network.load_state_dict(_part(tensors, "network."))
    learner.averaged.load_state_dict(_part(tensors, "averaged."))
    _restore_optimizer(learner.optimizer, _part(tensors, "optimizer."))
    torch.set_rng_state(tensors["random"])
    device = _find_cuda(learner)
    if device is not None and _CUDA in tensors:
        torch.cuda.set_rng_state(tensors[_CUDA], device)


def _find_cuda(learner: Learner) -> torch.device | None:
    """Find the GPU whose own random numbers dropout takes."""
    device = next(learner.network.parameters()).device
    return device if device.type == "cuda" else None


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _restore_optimizer(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    moments: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        index, name = key.split(".", 1)
        moments.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
