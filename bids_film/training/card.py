"""A model's card: what a reader should know before using it, from the record of its training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from bids_film.domain.words import count_of
from bids_film.model.header import ModelHeader


def write_card(header: ModelHeader) -> ModelHeader:
    """Give a header its card, in Markdown."""
    return replace(header, card="\n".join(_lines(header)) + "\n")


def _lines(header: ModelHeader) -> Iterator[str]:
    yield from _introduce(header)
    yield from _describe_interface(header)
    yield from _describe_training(header)


def _introduce(header: ModelHeader) -> Iterator[str]:
    yield f"# {header.name} {header.version}"
    yield ""
    yield header.description
    yield ""
    about = header.training["recipe"]["model"]
    yield f"Not a medical device: for research only. {about['limits']}".rstrip()
    yield ""
    licence = about["license"] or "not stated"
    yield f"Licence of the weights: {licence}. {about['attribution']}".rstrip()
    yield ""


def _describe_interface(header: ModelHeader) -> Iterator[str]:
    yield "| structure | index | abbreviation | part of |"
    yield "| --- | --- | --- | --- |"
    for structure in header.labels:
        yield (
            f"| {structure.name} | {structure.index} | {structure.abbreviation} "
            f"| {structure.part_of} |"
        )
    yield ""
    yield "| metadata read | in the training data |"
    yield "| --- | --- |"
    for field in header.encoder.fields:
        yield f"| {field.name} | {header.encoder.trained_on(field.name)} |"
    yield ""
    config = header.network
    yield (
        f"{config.dimensions}-D FiLMed U-Net, channels {list(config.channels)}, conditioning "
        f"{config.conditioning} ({config.film_form}, {config.film_at}), {config.norm} norm; "
        f"spacing {list(header.preprocessing.spacing_mm)} mm (0: as in the scan)."
    )
    yield ""


def _describe_training(header: ModelHeader) -> Iterator[str]:
    training = header.training
    synthetic = bool(training["recipe"].get("synthesis"))
    counts = {name: len(scans) for name, scans in training["data"].items()}
    parts = ", ".join(f"{count} for {name}" for name, count in counts.items())
    if start := training.get("start"):
        yield (
            f"Started from {start['name']} {start['version']}, which had learned for "
            f"{start['steps']} steps (SHA-256 {start['sha256'][:12]})."
        )
        yield ""
    machine = training["machine"]
    threads = count_of(machine["threads"], "thread")
    what = "Heads from whose label maps synthetic scans were drawn" if synthetic else "Scans"
    yield (
        f"{what}: {parts}. {training['steps']} steps in {training['minutes']} minutes on "
        f"{machine['processor']}, {threads}, {training['precision']}; "
        f"kept: step {training['best_step']}."
    )
    yield ""
    # Without validation scans the best step was chosen on those that were trained on.
    seen = "validation" if counts.get("validation") else "training"
    if header.bfloat16_dice:
        yield (
            "In bfloat16, mean Dice with the labels in float32 on the same scans: "
            f"{header.bfloat16_dice:.4f}."
        )
        yield ""
    scores = (f"{name} {dice:.3f}" for name, dice in header.reached_dice.items())
    drawn = "synthetic scans of the validation heads" if synthetic else f"the {seen} scans"
    yield f"Dice on {drawn}: {', '.join(scores)}"
