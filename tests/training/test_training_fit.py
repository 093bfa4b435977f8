from __future__ import annotations

import csv
import itertools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from support.tiny_training import make_example
from support.volumes import make_grid

from bids_film.domain.errors import InputError
from bids_film.domain.volume import Volume
from bids_film.inference.engine import Engine
from bids_film.model.header import hash_file, read_header
from bids_film.training import fit
from bids_film.training.examples import Example
from bids_film.training.fit import Machine, fit_to_examples
from bids_film.training.recipe import Recipe, recipe_from_dict
from bids_film.training.record import measure_examples

SHAPE = (24, 20, 2)
TESLA = (1.5, 3.0)


def make_recipe(
    *, structures: int = 1, fields: Sequence[str] = ("MagneticFieldStrength",), **sections: Any
) -> Recipe:
    names = [("cord", "SC", ""), ("gray", "GM", "cord")][:structures]
    training = {
        "steps": 60, "validate_every": 20, "warm_up": 5, "batch_size": 8, "learning_rate": 0.02,
        "ema": 0.8, "precision": "fp32",
    }  # fmt: skip
    return recipe_from_dict(
        {
            "model": {"name": "tiny", "description": "Halves of a box."},
            "structures": [
                {"index": 10 * number, "name": name, "abbreviation": short, "part_of": whole,
                 "labels": "{folder}/{stem}_" + short + ".nii.gz"}
                for number, (name, short, whole) in enumerate(names, start=1)
            ],
            "metadata": {"fields": list(fields), "drop_probability": 0, "drop_all_probability": 0},
            "preprocessing": {"spacing_mm": [0, 0, 0], "patch": [16, 16], "foreground": "all"},
            "network": {"dimensions": 2, "channels": [4, 8], **sections.pop("network", {})},
            "augmentation": {"preset": "none"},
            "training": {**training, **sections.pop("training", {})},
            **sections,
        }
    )  # fmt: skip


def draw_halves() -> np.ndarray:
    """A box with a dark and a bright half."""
    image = np.random.default_rng(0).normal(0.2, 0.03, SHAPE)
    image[12:] += 0.6
    return image.clip(0, 1)


def make_halves() -> list[Example]:
    """One image twice: at 1.5 T its dark half is the structure, and at 3 T its bright half."""
    dark = np.zeros(SHAPE, np.uint8)
    dark[:12] = 1
    return [
        make_example(
            f"{tesla:.0f}T", draw_halves(), labels, values={"MagneticFieldStrength": tesla}
        )
        for tesla, labels in zip(TESLA, (dark, 1 - dark), strict=True)
    ]


def make_nested(*, annotated: tuple[bool, bool] = (True, True)) -> Example:
    """A gray box in a cord box; what is not annotated is not in the labels."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:20, 4:16] = 1
    labels[8:16, 7:13] = 2
    noise = np.random.default_rng(1).normal(0, 0.03, SHAPE)
    image = (labels / 2 + noise).clip(0, 1)
    labels[labels == 2] = 2 if annotated[1] else 1
    values = {"MagneticFieldStrength": 3.0}
    return make_example(f"{sum(annotated)}", image, labels, annotated=annotated, values=values)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(output=tmp_path, device="cpu", workers=0, report=lambda line: None)


def validation_dice(path: Path) -> list[float]:
    return [row["dice"] for row in read_header(path).training["curve"]]


def test_film_learns_what_only_the_metadata_can_tell(machine: Machine) -> None:
    """The same image twice: only the field strength says which half is the structure."""
    path = fit_to_examples(make_recipe(), make_halves(), [], machine)
    assert max(validation_dice(path)) > 0.95
    engine = Engine.load(path, device="cpu")
    volume = Volume(data=1000 * draw_halves().astype(np.float32), grid=make_grid(SHAPE, np.eye(4)))
    for example in make_halves():
        found = engine.predict(volume, engine.header.encoder.encode(example.values))
        assert set(np.unique(found.labels)) == {0, 10}
        assert np.mean((found.labels > 0) == (example.labels > 0)) > 0.95


@pytest.mark.parametrize("conditioning", ["unconditioned", "constant", "shuffled"])
def test_without_the_metadata_it_cannot_be_learned(machine: Machine, conditioning: str) -> None:
    """Two thirds is what one gets by calling everything the structure."""
    recipe = make_recipe(network={"conditioning": conditioning})
    path = fit_to_examples(recipe, make_halves(), [], machine)
    assert max(validation_dice(path)) < 0.75


@pytest.mark.parametrize("freeze", [0.5, 1.0])
def test_the_model_is_the_network_that_was_validated_also_when_asked_for_again(
    machine: Machine, freeze: float
) -> None:
    recipe = make_recipe(training={"steps": 40, "freeze_norm_from": freeze})
    path = fit_to_examples(recipe, make_halves(), [], machine)
    best = {
        name.removeprefix("best."): value.half()
        for name, value in load_file(path.with_name("tiny.state.safetensors")).items()
        if name.startswith("best.") and value.is_floating_point()
    }
    for _ in range(2):
        saved = load_file(path)
        assert all(torch.equal(saved[name].half(), value) for name, value in best.items())
        assert fit_to_examples(recipe, make_halves(), [], machine) == path


def test_a_withheld_field_still_gives_an_answer(machine: Machine) -> None:
    recipe = make_recipe(metadata={"fields": ["MagneticFieldStrength"], "drop_probability": 0.3})
    path = fit_to_examples(recipe, make_halves(), [], machine)
    assert max(validation_dice(path)) > 0.95
    weights = load_file(path)
    assert bool(weights["generator.unknown"].abs().max() > 0)


def test_a_structure_is_learned_from_the_scans_on_which_it_was_annotated(machine: Machine) -> None:
    recipe = make_recipe(structures=2, training={"steps": 150, "validate_every": 50, "loss": "ce"})
    training = [make_nested(), *[make_nested(annotated=(True, False))] * 4]
    path = fit_to_examples(recipe, training, [make_nested()], machine)
    best = max(read_header(path).training["curve"], key=lambda row: row["dice"])
    assert best["dice cord"] > 0.95
    assert best["dice gray"] > 0.9


def test_a_prompted_network_learns_each_structure_from_scans_that_have_only_it(
    machine: Machine,
) -> None:
    """One scan with the cord's labels, one with the gray matter's: the answers are merged."""
    training = {"steps": 200, "validate_every": 50, "loss": "dice+ce", "learning_rate": 0.03}
    recipe = make_recipe(
        structures=2,
        network={"target": "prompted"},
        training=training,
        metadata={"drop_probability": 0},
    )
    only_cord = make_nested(annotated=(True, False))
    whole = make_nested()
    only_gray = replace(
        whole, labels=2 * (whole.labels == 2).astype(np.uint8), annotated=np.array([False, True])
    )
    path = fit_to_examples(recipe, [only_cord, only_gray], [whole], machine)
    best = max(read_header(path).training["curve"], key=lambda row: row["dice"])
    assert best["dice cord"] > 0.95
    assert best["dice gray"] > 0.9
    engine = Engine.load(path, device="cpu")
    image = 1000 * whole.image[0].astype(np.float32)
    volume = Volume(data=image, grid=make_grid(SHAPE, np.eye(4)))
    found = engine.predict(volume, engine.header.encoder.encode({}))
    assert np.mean(found.labels == 10 * whole.labels) > 0.95


def test_what_only_a_companion_shows_is_learned_and_done_without_where_it_is_missing(
    machine: Machine,
) -> None:
    """The structure is bright in the companion, and of the scan's own brightness nowhere told."""
    example = make_nested()
    noise = np.random.default_rng(3).normal(0.5, 0.1, SHAPE).clip(0, 1)
    pair = replace(example, image=np.stack([noise, example.image[0]]).astype(np.float16))
    recipe = make_recipe(
        preprocessing={
            "spacing_mm": [0, 0, 0], "patch": [16, 16], "foreground": "all",
            "companions": ["{folder}/{entities}_T2w.nii.gz"],
        },
        training={"steps": 150, "validate_every": 50},
        structures=2,
    )  # fmt: skip
    path = fit_to_examples(recipe, [pair], [], machine)
    assert max(validation_dice(path)) > 0.9
    engine = Engine.load(path, device="cpu")
    grid = make_grid(SHAPE, np.eye(4))
    seen, other = (Volume(data=image.astype(np.float32), grid=grid) for image in pair.image)
    encoded = engine.header.encoder.encode(example.values)
    both = engine.predict(replace(seen, companions=(other,)), encoded).labels
    alone = engine.predict(replace(seen, companions=(None,)), encoded).labels
    assert np.mean(both == 10 * example.labels) > 0.9
    assert np.mean(both == 10 * example.labels) > np.mean(alone == 10 * example.labels)


def test_soft_labels_teach_the_share_itself(machine: Machine) -> None:
    """Half of the raters drew the dark half: its voxels are given one half, not all or nothing."""
    example = make_halves()[0]
    own = np.zeros((2, *SHAPE), np.float16)
    own[1, :12] = 0.5
    own[0] = 1 - own[1]
    soft = replace(example, shares=own)
    recipe = make_recipe(training={"loss": "ce", "steps": 150, "validate_every": 50})
    path = fit_to_examples(recipe, [soft], [], machine)
    engine = Engine.load(path, device="cpu")
    volume = Volume(data=1000 * draw_halves().astype(np.float32), grid=make_grid(SHAPE, np.eye(4)))
    encoded = engine.header.encoder.encode(example.values)
    found = engine.predict(volume, encoded, probabilities=True).probabilities
    assert found is not None
    assert found[0][2:10].mean() == pytest.approx(0.5, abs=0.06)
    assert found[0][14:22].mean() < 0.06


def test_a_network_of_slices_sees_their_neighbours(machine: Machine) -> None:
    """The structure is where the next slice is bright."""
    rng = np.random.default_rng(0)
    bright = rng.uniform(size=(24, 20, 7)) < 0.5
    bright = bright.repeat(1, axis=2)
    blocks = bright[::4, ::4].repeat(4, axis=0).repeat(4, axis=1)
    labels = np.concatenate([blocks[..., 1:], blocks[..., -1:]], axis=2).astype(np.uint8)
    example = make_example(
        "01", blocks.astype(float), labels, values={"MagneticFieldStrength": 3.0}
    )
    training = {"steps": 150, "validate_every": 50}
    scores = []
    for neighbours in (0, 1):
        recipe = make_recipe(
            preprocessing={
                "spacing_mm": [0, 0, 0], "patch": [16, 16], "foreground": "all",
                "neighbours": neighbours,
            },
            training=training,
        )  # fmt: skip
        place = replace(machine, output=machine.output / str(neighbours))
        scores.append(max(validation_dice(fit_to_examples(recipe, [example], [], place))))
    assert scores[0] < 0.8
    assert scores[1] > 0.95


def test_deep_supervision_is_of_training_only(machine: Machine) -> None:
    network = {"channels": [4, 8, 8], "deep_supervision": 1}
    path = fit_to_examples(make_recipe(network=network), make_halves(), [], machine)
    assert max(validation_dice(path)) > 0.95
    engine = Engine.load(path, device="cpu")
    volume = Volume(data=1000 * draw_halves().astype(np.float32), grid=make_grid(SHAPE, np.eye(4)))
    example = make_halves()[1]
    found = engine.predict(volume, engine.header.encoder.encode(example.values))
    assert np.mean((found.labels > 0) == (example.labels > 0)) > 0.95


SHORT = {"steps": 4, "validate_every": 2, "warm_up": 1}


def fit_shortly(machine: Machine, folder: str, **settings: Any) -> Path:
    recipe = make_recipe(training={**SHORT, **settings}, network={"dropout": 0.2})
    place = replace(machine, output=machine.output / folder)
    return fit_to_examples(recipe, make_halves(), make_halves()[:1], place)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(machine: Machine) -> None:
    one, again, other = (
        load_file(fit_shortly(machine, folder, seed=seed))
        for folder, seed in (("one", 1), ("again", 1), ("other", 2))
    )
    assert all(torch.equal(value, again[name]) for name, value in one.items())
    assert not torch.equal(one["head.weight"], other["head.weight"])


def test_a_stopped_training_goes_on_to_the_same_weights(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = load_file(fit_shortly(machine, "whole"))
    stream = fit.stream_batches

    def stop_after_three(*arguments: Any, **settings: Any) -> Any:
        yield from itertools.islice(stream(*arguments, **settings), 3)
        raise KeyboardInterrupt

    monkeypatch.setattr(fit, "stream_batches", stop_after_three)
    with pytest.raises(KeyboardInterrupt):
        fit_shortly(machine, "stopped")
    monkeypatch.undo()
    assert not (machine.output / "stopped" / "tiny.safetensors").exists()
    lines: list[str] = []
    path = fit_shortly(replace(machine, report=lines.append), "stopped")
    assert lines[0] == "going on at step 2 of 4"
    found = load_file(path)
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_another_recipe_does_not_go_on_from_the_state_of_this_one(machine: Machine) -> None:
    fit_shortly(machine, "one")
    with pytest.raises(InputError, match="another recipe or other data"):
        fit_shortly(machine, "one", learning_rate=0.5)


def test_what_is_said_of_a_model_can_change_without_training_it_again(machine: Machine) -> None:
    first = fit_shortly(machine, "one")
    weights = load_file(first)
    recipe = make_recipe(
        training=SHORT,
        network={"dropout": 0.2},
        postprocessing={"keep_largest": ["cord"]},
        model={"name": "tiny", "description": "Other words."},
    )
    told: list[str] = []
    place = replace(machine, output=machine.output / "one", report=told.append)
    again = fit_to_examples(recipe, make_halves(), make_halves()[:1], place)
    assert told == ["going on at step 4 of 4"]
    assert read_header(again).description == "Other words."
    assert read_header(again).postprocessing.keep_largest == ("cord",)
    assert all(torch.equal(value, weights[name]) for name, value in load_file(again).items())


def test_model_card_and_curve_are_written(machine: Machine) -> None:
    path = fit_shortly(machine, "new/folder")
    assert sorted(entry.name for entry in path.parent.iterdir()) == [
        "tiny.card.md", "tiny.curve.tsv", "tiny.safetensors", "tiny.state.safetensors",
    ]  # fmt: skip
    header = read_header(path)
    assert (header.name, header.network.out_channels) == ("tiny", 2)
    assert [structure.index for structure in header.labels] == [10]
    assert header.encoder.trained_on("MagneticFieldStrength") == "1.5–3 T"
    assert header.training["steps"] == 4
    assert header.training["precision"] == "fp32"
    assert [entry["scan"] for entry in header.training["data"]["training"]] == [
        "sub-2T/anat/sub-2T_T1w.nii.gz", "sub-3T/anat/sub-3T_T1w.nii.gz",
    ]  # fmt: skip
    assert header.training["recipe"]["model"]["name"] == "tiny"
    card = path.with_name("tiny.card.md").read_text(encoding="utf-8")
    assert card == header.card
    for part in ("# tiny 1", "Halves of a box.", "| cord | 10 | SC |", "1.5–3 T", "research only"):
        assert part in card
    assert "2 for training, 1 for validation" in card
    assert "Dice on the validation scans: cord 0." in card
    with path.with_name("tiny.curve.tsv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert set(rows[0]) == {"step", "loss", "dice", "seconds", "waited", "dice cord"}
    assert all(float(value) >= 0 for row in rows for value in row.values())


def test_a_card_says_where_dice_is_that_of_the_training_scans(machine: Machine) -> None:
    path = fit_to_examples(make_recipe(training=SHORT), make_halves(), [], machine)
    assert "Dice on the training scans" in read_header(path).card


def test_a_model_without_metadata_can_be_made(machine: Machine) -> None:
    recipe = make_recipe(fields=(), training=SHORT)
    path = fit_to_examples(recipe, make_halves(), [], machine)
    engine = Engine.load(path, device="cpu")
    assert engine.header.encoder.width == 0
    volume = Volume(data=draw_halves().astype(np.float32), grid=make_grid(SHAPE, np.eye(4)))
    assert engine.predict(volume, engine.header.encoder.encode({})).labels.shape == SHAPE


def test_a_structure_that_comes_and_goes_in_validation_leaves_gaps_in_the_curve(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([{"cord": 0.1}, {"cord": 0.5, "gray": 0.0}, {"cord": 0.6}])
    monkeypatch.setattr(fit, "validate_cases", lambda *_, **__: next(scores))
    recipe = make_recipe(structures=2, training={**SHORT, "steps": 6})
    path = fit_to_examples(recipe, [make_nested()], [], machine)
    lines = path.with_name("tiny.curve.tsv").read_text(encoding="utf-8").splitlines()
    assert lines[0].split("\t")[-2:] == ["dice cord", "dice gray"]
    assert [line.split("\t")[-2:] for line in lines[1:]] == [
        ["0.1", "n/a"], ["0.5", "0"], ["0.6", "n/a"],
    ]  # fmt: skip


def test_validation_scans_without_any_structure_are_refused_at_once(machine: Machine) -> None:
    empty = make_example(
        "empty", draw_halves(), np.zeros(SHAPE, np.uint8), values={"MagneticFieldStrength": 3.0}
    )
    with pytest.raises(InputError, match="has a voxel of an annotated structure"):
        fit_to_examples(make_recipe(), make_halves(), [empty], machine)
    assert not list(machine.output.iterdir())


def test_a_model_says_what_bfloat16_does_to_its_labels(machine: Machine) -> None:
    header = read_header(fit_shortly(machine, "measured"))
    assert 0.9 < header.bfloat16_dice <= 1
    assert f"float32 on the same scans: {header.bfloat16_dice:.4f}" in header.card


def test_a_model_of_volumes_says_which_it_saw_with_their_parts() -> None:
    recipe = make_recipe(
        structures=2,
        preprocessing={"patch": [16, 16, 2]},
        network={"dimensions": 3},
    )
    seen = [make_nested(), make_nested(annotated=(True, False))]
    assert measure_examples(seen, recipe) == {"cord": (0.384, 0.384), "gray": (0.096, 0.096)}
    assert measure_examples(seen, make_recipe(structures=2)) == {}


def test_bfloat16_is_taken_where_it_is_asked_for(machine: Machine) -> None:
    place = replace(machine, precision="bf16")
    path = fit_to_examples(make_recipe(training=SHORT), make_halves(), [], place)
    assert read_header(path).training["precision"] == "bf16"
    assert np.isfinite(validation_dice(path)).all()


def test_a_training_that_starts_from_a_model_is_ahead_and_says_what_it_started_from(
    machine: Machine,
) -> None:
    first = fit_to_examples(make_recipe(), make_halves(), [], machine)
    brief = {"steps": 2, "validate_every": 2, "learning_rate": 1e-5, "freeze_norm_from": 0}
    began: dict[str, dict[str, Any]] = {}
    for name in ("", str(first)):
        output = machine.output / ("fresh" if not name else "started")
        recipe = make_recipe(training={**brief, "start_from": name})
        made = fit_to_examples(recipe, make_halves(), [], replace(machine, output=output))
        began[output.name] = dict(read_header(made).training)
    dice = {name: record["curve"][-1]["dice"] for name, record in began.items()}
    assert dice["started"] > 0.9 > dice["fresh"]
    assert began["started"]["start"]["sha256"] == hash_file(first)
    assert "Started from tiny 1" in (machine.output / "started/tiny.card.md").read_text()
    assert "start" not in began["fresh"]
