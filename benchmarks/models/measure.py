"""What a model file says of itself beside its weights, measured anew and written into it.

    python -m benchmarks.models.measure DATASET RECIPE MODEL OUTPUT

For a model that an earlier version of the program trained, or whose words or postprocessing changed
since: the scans of its training with the hashes of their files, their volumes, and the agreement of
its labels in bfloat16 and float32 on the validation scans. DATASET and RECIPE are those of its
training. The weights stay as they are; OUTPUT gets the model and, beside it, its card.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from bids_film.domain.scan import Scan
from bids_film.inputs.nifti import read_volume
from bids_film.model.checkpoint import load_checkpoint, save_checkpoint
from bids_film.training.card import write_card
from bids_film.training.examples import load_examples
from bids_film.training.label_maps import load_label_maps
from bids_film.training.recipe import Recipe, describe_training, read_recipe
from bids_film.training.record import (
    list_examples,
    list_label_maps,
    measure_examples,
    measure_label_maps,
)
from bids_film.training.validation import Case, draw_validation, make_case, measure_agreement
from bids_film.workflow.options import AnalysisLevel, Options
from bids_film.workflow.train import split_labelled


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    recipe = read_recipe(arguments.recipe)
    header, network = load_checkpoint(arguments.model)
    options = Options(
        bids_dir=arguments.dataset.resolve(),
        output_dir=arguments.output.resolve().parent,
        analysis_level=AnalysisLevel.TRAIN,
    )
    split = split_labelled(options, recipe)
    volumes, cases, listed = read_material(recipe, split.training, split.validation)
    check_same(listed, header.training["data"])
    agreement = measure_agreement(
        network, cases, header.encoder, header.labels, header.preprocessing
    )
    header = replace(
        header,
        description=recipe.model.description,
        version=recipe.model.version,
        postprocessing=recipe.postprocessing,
        training={**header.training, "recipe": describe_training(recipe), "data": listed},
        volumes_ml=volumes,
        bfloat16_dice=round(agreement, 5),
    )
    header = write_card(header)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    save_checkpoint(arguments.output, header, network, half_precision=True)
    arguments.output.with_name("card.md").write_text(header.card, encoding="utf-8")
    print(header.card)


def read_material(
    recipe: Recipe, training: Sequence[Scan], validation: Sequence[Scan]
) -> tuple[Mapping[str, tuple[float, float]], list[Case], dict[str, list[dict[str, Any]]]]:
    """Read the volumes of the training data, the scans to validate on, and a list of both."""
    if recipe.synthesis is not None:
        load = partial(load_label_maps, brain_below=recipe.synthesis.brain_below, read=read_volume)
        sources, others = load(training), load(validation)
        volumes = measure_label_maps(sources, recipe.synthesis.targets)
        listed = {"training": list_label_maps(sources), "validation": list_label_maps(others)}
        return volumes, draw_validation(others or sources, recipe), listed
    examples = load_examples(training, recipe, read=read_volume)
    others = load_examples(validation, recipe, read=read_volume)
    volumes = measure_examples(examples, recipe)
    parts = {"training": examples, "validation": others}
    listed = {name: list_examples(own, recipe) for name, own in parts.items()}
    return volumes, [make_case(example) for example in others or examples], listed


def check_same(
    listed: Mapping[str, Sequence[Mapping[str, Any]]], recorded: Mapping[str, Sequence[Any]]
) -> None:
    """Make sure that the scans are those of the training."""
    for part, entries in listed.items():
        before = [e if isinstance(e, str) else e["scan"] for e in recorded[part]]
        if sorted(entry["scan"] for entry in entries) != sorted(before):
            raise ValueError(f"the {part} scans are not those that the model names")


if __name__ == "__main__":
    main()
