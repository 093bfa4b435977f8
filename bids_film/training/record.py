"""What is written down of a training: its data, its curve, its software, its machine."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bids_film.domain.scan import Scan
from bids_film.domain.software import describe_software
from bids_film.metadata.encoder import Encoder, MetadataValues
from bids_film.model.header import ModelHeader
from bids_film.training.card import write_card
from bids_film.training.examples import Example
from bids_film.training.label_maps import LabelMap
from bids_film.training.labels import hash_image, hash_scan
from bids_film.training.loop import Run
from bids_film.training.recipe import Recipe, describe_training
from bids_film.training.state import RunState


def make_header(
    recipe: Recipe,
    encoder: Encoder,
    record: Mapping[str, Any],
    state: RunState,
    run: Run,
    **measured: Any,
) -> ModelHeader:
    """Write down a finished run: all that a model file says about itself, and its card.

    Parameters
    ----------
    record : Mapping[str, Any]
        The scans that were used, and the model that was begun with.
    **measured
        ``volumes_ml`` and ``bfloat16_dice`` of the header.
    """
    training = {
        "recipe": describe_training(recipe),
        **record,
        "curve": state.curve,
        "best_step": state.best_step,
        "steps": state.step,
        "minutes": round(state.seconds / 60, 1),
        "precision": "bf16" if run.bfloat16 else "fp32",
        "software": describe_software(),
        "machine": {
            "processor": str(torch.cpu.get_capabilities().get("cpu_name", platform.machine())),
            "threads": torch.get_num_threads(),
            "device": str(run.device),
            "processes": run.team.processes,
        },
    }
    inputs = {} if recipe.synthesis is not None else recipe.data.images
    header = ModelHeader(
        name=recipe.model.name,
        version=recipe.model.version,
        description=recipe.model.description,
        inputs=recipe.model.inputs or inputs,
        network=recipe.network_config,
        preprocessing=recipe.preprocessing,
        postprocessing=recipe.postprocessing,
        encoder=encoder,
        labels=recipe.label_table,
        training=training,
        **measured,
    )
    return write_card(header)


def measure_examples(examples: Sequence[Example], recipe: Recipe) -> dict[str, tuple[float, float]]:
    """Lowest and highest volume of each structure, in mL, of the scans that have it.

    Empty for a network of slices: their number says how much was imaged, not how large it is.
    """
    if recipe.network.dimensions == 2:  # noqa: PLR2004 (slices)
        return {}
    labels = recipe.label_table
    volumes: dict[str, list[float]] = {}
    for example in examples:
        counts = np.bincount(example.labels.ravel(), minlength=len(labels) + 1)
        for structure, annotated in zip(labels, example.annotated, strict=True):
            size = counts[list(labels.channels_of(structure.name))].sum()
            if annotated and size:
                volumes.setdefault(structure.name, []).append(float(size) * example.voxel_ml)
    return _find_limits(volumes)


def measure_label_maps(
    sources: Sequence[LabelMap], targets: Mapping[str, Sequence[int]]
) -> dict[str, tuple[float, float]]:
    """Do what `measure_examples` does, before anything is deformed."""
    volumes: dict[str, list[float]] = {}
    for source in sources:
        counts = np.bincount(source.values.numpy().ravel())
        for name, values in targets.items():
            size = sum(int(counts[value]) for value in values if value < len(counts))
            if size:
                volumes.setdefault(name, []).append(size * source.spacing_mm**3 / 1000)
    return _find_limits(volumes)


def _find_limits(volumes: Mapping[str, Sequence[float]]) -> dict[str, tuple[float, float]]:
    return {name: (round(min(own), 4), round(max(own), 4)) for name, own in volumes.items()}


def list_examples(examples: Sequence[Example], recipe: Recipe) -> list[dict[str, Any]]:
    """List labelled scans with what was known of them and the hashes of their files."""
    return [
        {
            **describe_scan(example.scan, example.values, recipe),
            "structures": int(example.annotated.sum()),
            "voxels_sha256": example.voxels_sha256,
        }
        for example in examples
    ]


def describe_copies(record: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """Say where the very same image is in both parts: it looks like a scan that is new."""
    learned = {
        entry["voxels_sha256"]: entry["scan"]
        for entry in record["training"]
        if entry.get("voxels_sha256")  # synthetic scans have none
    }
    kept = record["validation"]
    copies = [
        f"{entry['scan']} is {learned[entry['voxels_sha256']]}"
        for entry in kept
        if entry.get("voxels_sha256") in learned
    ]
    if copies:
        yield (
            f"note: {len(copies)} of {len(kept)} validation scans are images that are trained on, "
            f"so that their figures say nothing of new scans: {', '.join(copies[:3])}"
        )


def describe_scan(scan: Scan, values: MetadataValues, recipe: Recipe) -> dict[str, Any]:
    """Identify a labelled scan: its name, what is known of it, and the hashes of its files."""
    image = hash_image(scan)
    companions = recipe.preprocessing.companions
    return {
        "scan": scan.relative_path,
        "dataset": scan.dataset_root.name,
        "values": dict(values),
        "sha256": hash_scan(scan, recipe.structures, companions=companions, image=image),
        "image_sha256": image,
    }


def list_label_maps(sources: Sequence[LabelMap]) -> list[dict[str, Any]]:
    """List the label maps that scans were drawn from."""
    return [
        {"scan": source.scan.relative_path, "sha256": hash_scan(source.scan)} for source in sources
    ]


def hash_recipe(recipe: Recipe, record: Mapping[str, Any]) -> str:
    """Identify data, and what of a recipe the weights depend on.

    The number of steps is left out, so that a run can be extended, and so is what is said of the
    model and what is done to its labels afterwards.
    """
    content = describe_training(recipe)
    del content["training"]["steps"], content["model"], content["postprocessing"]
    text = json.dumps([content, record], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def write_curve(path: Path, state: RunState) -> None:
    """Write the curve of a training, one row for each validation."""
    # A structure that no validation scan has is scored only when the network finds one.
    columns = list(dict.fromkeys(column for row in state.curve for column in row))
    rows = [
        "\t".join(f"{row[column]:.6g}" if column in row else "n/a" for column in columns)
        for row in state.curve
    ]
    path.write_text("\n".join(["\t".join(columns), *rows]) + "\n", encoding="utf-8")
