"""A recipe and its data to one model file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch

from bids_film.inference.engine import find_device, has_bfloat16
from bids_film.inference.memory import keep_memory
from bids_film.metadata.encoder import Encoder
from bids_film.model.checkpoint import save_checkpoint
from bids_film.model.unet import FilmUNet, build_network, place_network
from bids_film.training.batches import Portion, naming_dead_workers, stream_batches
from bids_film.training.examples import Batch, Example, check_voxels
from bids_film.training.label_maps import (
    LabelMap,
    check_synthesis,
    draw_values,
    make_synthesis_sampler,
)
from bids_film.training.loop import Report, Run, train_network
from bids_film.training.losses import SegmentationLoss, find_parents
from bids_film.training.prompting import PromptedSampler
from bids_film.training.recipe import Recipe
from bids_film.training.record import (
    describe_copies,
    hash_recipe,
    list_examples,
    list_label_maps,
    make_header,
    measure_examples,
    measure_label_maps,
    write_curve,
)
from bids_film.training.sampling import Sampler, make_sampler
from bids_film.training.start import Start, copy_weights, describe_start, find_start, fit_encoder
from bids_film.training.team import Team, join_team, own_device
from bids_film.training.validation import (
    SCANS_PER_MAP,
    Case,
    check_cases,
    draw_validation,
    make_case,
    measure_agreement,
    validate_cases,
)

Measured = TypeVar("Measured")


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Where and how a training runs.

    Attributes
    ----------
    output : Path
        Folder of the model file, its card, its curve and the state of the run.
    device, precision : str
        ``auto`` or a name; ``auto`` precision is bfloat16 where the processor computes in it.
    threads : int
        Of the network.
    workers : int
        Processes that prepare data.
    report : Report
        Takes lines of progress.
    """

    output: Path
    device: str = "auto"
    precision: str = "auto"
    threads: int = 1
    workers: int = 1
    report: Report = print


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """What a network is fitted to, however it was made.

    Attributes
    ----------
    start : Start or None
        The model whose weights are the first ones.
    encoder : Encoder
    sampler : Sampler
    cases : Sequence[Case]
        For validation.
    volumes_ml : Mapping[str, tuple[float, float]]
        Structure to its lowest and highest volume in the scans to train on.
    record : Mapping[str, Any]
        Which scans were used for what.
    """

    start: Start | None = None
    encoder: Encoder
    sampler: Sampler
    cases: Sequence[Case]
    volumes_ml: Mapping[str, tuple[float, float]]
    record: Mapping[str, Any]


def fit_to_examples(
    recipe: Recipe, training: Sequence[Example], validation: Sequence[Example], machine: Machine
) -> Path:
    """Train on labelled scans and write the model.

    Returns
    -------
    Path
        The model file.

    Raises
    ------
    InputError
        Where a metadata field has no value in the training data, a structure no voxel, or an
        earlier run's state is of another training.
    """
    check_voxels(training, recipe)
    start = find_start(recipe.training.start_from, recipe.network_config)
    rows = [example.values for example in training]
    encoder = fit_encoder(recipe.metadata_fields, rows, start)
    material = Material(
        start=start,
        encoder=encoder,
        sampler=make_sampler(training, recipe, encoder),
        cases=[make_case(example) for example in validation or training],
        volumes_ml=measure_examples(training, recipe),
        record={
            "training": list_examples(training, recipe),
            "validation": list_examples(validation, recipe),
        },
    )
    return _fit(recipe, material, machine)


def fit_to_label_maps(
    recipe: Recipe,
    training: Sequence[LabelMap],
    validation: Sequence[LabelMap],
    machine: Machine,
    *,
    scans_per_map: int = SCANS_PER_MAP,
) -> Path:
    """Train on synthetic scans of label maps and write the model; otherwise `fit_to_examples`.

    Parameters
    ----------
    scans_per_map : int
        Synthetic scans of each validation map; they are the same at every validation.
    """
    torch.set_num_threads(machine.threads)
    start = find_start(recipe.training.start_from, recipe.network_config)
    encoder = fit_encoder(recipe.metadata_fields, draw_values(training, recipe), start)
    material = Material(
        start=start,
        encoder=encoder,
        sampler=make_synthesis_sampler(training, recipe, encoder),
        cases=draw_validation(validation or training, recipe, scans_per_map),
        volumes_ml=measure_label_maps(training, check_synthesis(recipe)[0].targets),
        record={
            "training": list_label_maps(training),
            "validation": list_label_maps(validation),
        },
    )
    return _fit(recipe, material, machine)


def _fit(recipe: Recipe, material: Material, machine: Machine) -> Path:
    device = own_device(find_device(machine.device))
    with join_team(device) as team:
        return _fit_in_team(recipe, material, machine, team=team, device=device)


def _fit_in_team(
    recipe: Recipe, material: Material, machine: Machine, *, team: Team, device: torch.device
) -> Path:
    check_cases(material.cases, recipe.label_table)
    torch.set_num_threads(machine.threads)
    keep_memory()
    torch.manual_seed(recipe.training.seed)
    machine.output.mkdir(parents=True, exist_ok=True)
    network = build_network(recipe.network_config, material.encoder.spans)
    if material.start is not None:
        copy_weights(material.start, network, recipe.label_table, material.encoder)
    run = Run(
        settings=recipe.training,
        loss=_make_loss(recipe),
        device=device,
        state_file=machine.output / f"{recipe.model.name}.state.safetensors",
        recipe_hash=hash_recipe(recipe, {**material.record, **describe_start(material.start)}),
        bfloat16=_use_bfloat16(_first_set(machine.precision, recipe.training.precision), device),
        report=machine.report if team.is_first else _say_nothing,
        team=team,
    )
    for line in describe_copies(material.record):
        run.report(line)
    with naming_dead_workers():
        state = train_network(
            network,
            _make_batches(recipe, material, machine, team),
            _validate_by(validate_cases, recipe, material),
            run,
        )
    path = machine.output / f"{recipe.model.name}.safetensors"
    if team.is_first:
        # Several processes gave the trained one norms that only work among them.
        best = build_network(recipe.network_config, material.encoder.spans)
        best.load_state_dict(state.best)
        place_network(best, device).eval()
        record = {"data": dict(material.record), **describe_start(material.start)}
        header = make_header(
            recipe,
            material.encoder,
            record,
            state,
            run,
            volumes_ml=material.volumes_ml,
            bfloat16_dice=round(_validate_by(measure_agreement, recipe, material)(best), 5),
        )
        save_checkpoint(path, header, best.cpu(), half_precision=True)
        path.with_name(f"{recipe.model.name}.card.md").write_text(header.card, encoding="utf-8")
        write_curve(machine.output / f"{recipe.model.name}.curve.tsv", state)
    return path


def _make_batches(
    recipe: Recipe, material: Material, machine: Machine, team: Team
) -> Callable[[int], Iterator[Batch]]:
    sampler = material.sampler
    if recipe.network_config.prompts:
        sampler = PromptedSampler(sampler=sampler, labels=recipe.label_table)
    portion = Portion(
        batch_size=recipe.training.batch_size,
        accumulate=recipe.training.accumulate,
        process=team.process,
        processes=team.processes,
    )

    def batches(start_step: int) -> Iterator[Batch]:
        return stream_batches(
            sampler,
            seed=recipe.training.seed,
            portion=portion,
            start_step=start_step,
            workers=machine.workers,
        )

    return batches


def _make_loss(recipe: Recipe) -> SegmentationLoss:
    # A prompted network's mask is one structure, which is part of no other.
    prompted = recipe.network_config.prompts > 0
    return SegmentationLoss(
        parents=(0, 0) if prompted else find_parents(recipe.label_table), name=recipe.training.loss
    )


def _validate_by(
    measure: Callable[..., Measured], recipe: Recipe, material: Material
) -> Callable[[FilmUNet], Measured]:
    """Fix all of `validate_cases` or `measure_agreement` but the network."""
    return partial(
        measure,
        cases=material.cases,
        encoder=material.encoder,
        labels=recipe.label_table,
        preprocessing=recipe.preprocessing,
    )


def _first_set(*choices: str) -> str:
    return next((choice for choice in choices if choice != "auto"), "auto")


def _use_bfloat16(precision: str, device: torch.device) -> bool:
    if precision != "auto":
        return precision == "bf16"
    return has_bfloat16(device)


def _say_nothing(line: str) -> None:
    pass
