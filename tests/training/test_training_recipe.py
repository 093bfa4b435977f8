from __future__ import annotations

import json
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

import bids_film.models
from bids_film.domain.errors import BidsFilmError, UsageError
from bids_film.training.recipe import Recipe, read_recipe, recipe_from_dict, recipe_to_dict

BUNDLED = sorted(Path(bids_film.models.__file__).parent.glob("*/recipe.toml"))

MINIMAL = """
[model]
name = "cord"

[[structures]]
index = 1
name = "spinal cord"
abbreviation = "SC"
labels = "derivatives/labels/{folder}/{stem}_seg-manual.nii.gz"
"""


def make_recipe(**sections: Any) -> Recipe:
    return recipe_from_dict({**tomllib.loads(MINIMAL), **sections})


def make_structure(**changes: Any) -> dict[str, Any]:
    return {**tomllib.loads(MINIMAL)["structures"][0], **changes}


def test_a_recipe_of_a_name_and_a_structure_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text(MINIMAL)
    recipe = read_recipe(path)
    assert recipe.model.name == "cord"
    assert recipe.network_config.out_channels == 2
    assert recipe.label_table.structures[0].color.startswith("#")
    assert recipe.synthesis is None


def test_options_of_the_command_line_in_the_same_file_are_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text('participant-label = ["01"]\n' + MINIMAL)
    assert read_recipe(path).model.name == "cord"


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.parent.name)
def test_bundled_recipes_are_valid_and_named_as_their_folder(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe.model.name == path.parent.name


@pytest.mark.parametrize("path", BUNDLED, ids=lambda path: path.parent.name)
def test_a_recipe_survives_the_way_through_json(path: Path) -> None:
    recipe = read_recipe(path)
    assert recipe_from_dict(json.loads(json.dumps(recipe_to_dict(recipe)))) == recipe


@pytest.mark.parametrize(
    ("section", "content", "named"),
    [
        ("training", {"learning_rat": 0.1}, "did you mean 'learning_rate'"),
        ("trainin", {}, "did you mean 'training'"),
        ("training", {"steps": "many"}, "steps: expected int, got 'many'"),
        ("training", {"steps": 0}, "at least 1"),
        ("training", {"steps": True}, "expected int, got True"),
        ("training", {"learning_rate": 0}, "learning_rate: expected more than 0"),
        ("training", {"learning_rate": math.nan}, "learning_rate: expected more than 0, got nan"),
        ("training", {"weight_decay": math.inf}, "weight_decay: expected 0 or more, got inf"),
        ("training", {"loss": "dce"}, "expected one of 'dice+ce'"),
        ("training", {"foreground": 1.5}, "from 0 to 1"),
        ("network", {"conditioning": "films"}, "'film'"),
        ("network", {"channels": 16}, "expected a list"),
        ("network", {"dimensions": 2}, "expected 2 sizes for a 2-D network"),
        ("preprocessing", {"patch": [96, 96, 90]}, "multiples of 8"),
        ("preprocessing", {"patch": [8, 8, 8]}, "one voxel at the lowest of 4 levels"),
        ("metadata", {"fields": ["MagneticFieldStrenght"]}, "MagneticFieldStrength"),
        ("metadata", {"fields": ["suffix", "suffix"]}, "repeated: ['suffix']"),
        ("metadata", {"drop_probability": -0.1}, "from 0 to 1"),
        ("augmentation", {"preset": "strnog"}, "did you mean 'strong'"),
        ("augmentation", {"rotation": 3}, "unknown key 'rotation'"),
        ("augmentation", {"gamma_probability": 30}, "gamma_probability: expected a number from 0"),
        ("augmentation", {"noise_std": [0.0, 0.08]}, "noise_std: expected more than 0"),
        ("augmentation", {"elastic_points": [8, 3]}, "the lower one first"),
        ("augmentation", {"flip_axes": [3]}, "flip_axes: expected axes from 0 to 2"),
        ("augmentation", {"voxel_size": [1.0, 1.0]}, "voxel_size: expected 3 sizes"),
        ("augmentation", {"noise_rician": 2}, "noise_rician: expected a number from 0 to 1"),
        ("data", {"labelled_slices_only": True}, "takes single slices"),
        ("training", {"patience": -1}, "patience: expected 0 or more"),
        ("model", {"name": "my model"}, "letters and digits"),
        ("model", {}, "missing name"),
        ("structures", [], "at least one"),
        ("structures", [make_structure(index=n) for n in range(1, 257)], "at most 255"),
        ("structures", [make_structure(labels="")], "labels"),
        ("structures", [make_structure(labels="{foldr}/x.nii.gz")], "did you mean 'folder'"),
        ("structures", [make_structure(labels="labels.nii.gz")], "same file for every scan"),
        ("structures", [make_structure(labels="{folder/x.nii.gz")], "labels ="),
        ("structures", [make_structure(index=0)], "index from 1"),
        ("structures", [make_structure(color="#f00")], "a colour such as #1a2b3c, got '#f00'"),
        ("structures", [make_structure(), make_structure()], "index must come once"),
        ("structures", [make_structure(part_of="spine")], "unknown key 'spine'"),
        ("structures", [make_structure(abbreviation="S-C")], "letters and digits"),
        ("synthesis", {}, "source_labels are needed"),
        ("postprocessing", {"mirrored": True}, "did you mean 'mirror'"),
        ("training", {"seed": -1}, "seed: expected 0 or more"),
        ("training", {"weight_decay": -1.0}, "weight_decay: expected 0 or more"),
        ("training", {"batch_size": 4, "accumulate": 3}, "a divisor of batch_size = 4"),
        ("augmentation", {"remap_knots": [1, 3]}, "remap_knots: expected 2 or more"),
        ("augmentation", {"elastic_points": [0, 4]}, "elastic_points: expected 1 or more"),
    ],
)
def test_what_is_wrong_is_refused_by_name(section: str, content: Any, named: str) -> None:
    with pytest.raises(BidsFilmError) as caught:
        make_recipe(**{section: content})
    assert named in str(caught.value)
    assert str(caught.value).startswith("recipe")


def test_structures_that_contain_each_other_are_refused() -> None:
    one = make_structure(name="a", part_of="b")
    other = make_structure(name="b", part_of="a", index=2, abbreviation="B")
    with pytest.raises(UsageError, match="part of itself"):
        make_recipe(structures=[one, other])


def test_a_file_that_is_absent_or_not_toml_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.toml"):
        read_recipe(tmp_path / "absent.toml")
    path = tmp_path / "train.toml"
    path.write_text("[model\n")
    with pytest.raises(UsageError, match=r"train\.toml is not a TOML file"):
        read_recipe(path)


def test_keys_of_the_augmentation_change_its_preset() -> None:
    recipe = make_recipe(augmentation={"preset": "none", "rotation_deg": 3.0})
    assert recipe.augmentation.rotation_deg == 3.0
    assert recipe.augmentation.noise_probability == 0


def test_a_field_of_ones_own_is_defined_in_the_recipe() -> None:
    field = {
        "kind": "categorical",
        "name": "tumor_grade",
        "levels": ["I", "II"],
    }
    recipe = make_recipe(metadata={"fields": ["suffix", field]})
    assert [item.name for item in recipe.metadata_fields] == ["suffix", "tumor_grade"]


def test_the_shuffled_control_trains_a_film_network() -> None:
    recipe = make_recipe(network={"conditioning": "shuffled"})
    assert recipe.network_config.conditioning == "film"


def test_synthesis_takes_its_targets_from_the_structures() -> None:
    structures = [
        make_structure(source_labels=[3, 42], labels=""),
        make_structure(index=2, name="b", abbreviation="B", source_labels=[2, 41], labels=""),
    ]
    recipe = make_recipe(structures=structures, synthesis={})
    assert recipe.synthesis is not None
    assert dict(recipe.synthesis.targets) == {"spinal cord": (3, 42), "b": (2, 41)}


def test_synthesis_is_as_soft_as_the_data() -> None:
    sections = {"structures": [make_structure(source_labels=[3], labels="")], "synthesis": {}}
    for soft in (True, False):
        recipe = make_recipe(data={"soft_labels": soft}, **sections)
        assert recipe.synthesis is not None
        assert recipe.synthesis.soft_labels == soft
    with pytest.raises(UsageError, match=r"give it in \[data\]"):
        make_recipe(**{**sections, "synthesis": {"soft_labels": True}})


def test_a_mirror_image_of_slices_or_of_one_side_alone_is_refused() -> None:
    left, right = (
        make_structure(name=name, index=index, abbreviation=name[0].upper())
        for index, name in enumerate(("left half", "right half"), start=1)
    )
    settings = {"postprocessing": {"mirror": True}}
    assert make_recipe(structures=[left, right], **settings).postprocessing.mirror
    with pytest.raises(UsageError, match="'left half' has no other side"):
        make_recipe(structures=[left, make_structure(index=3)], **settings)
    slices = {"network": {"dimensions": 2}, "preprocessing": {"patch": [96, 96]}}
    with pytest.raises(UsageError, match="3 dimensions knows its sides"):
        make_recipe(structures=[left, right], **settings, **slices)


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"preprocessing": {"percentiles": [10, 90]}}, "percentiles: synthetic scans are scaled"),
        ({"synthesis": {"realistic_probability": 1, "simulated_probability": 1}}, "at most 1"),
        ({"synthesis": {"contrasts": {"UNIT1": {}}}}, "contrast_weights"),
        ({"synthesis": {"contrast_weights": {"T1w": 0}}}, "one of them above it"),
        ({"synthesis": {"contrast_weights": {"T1w": 2, "T2w": -1}}}, "numbers from 0 on"),
        (
            {
                "synthesis": {
                    "contrasts": {"UNIT1": {"white": [0.5, 1]}},
                    "contrast_weights": {"UNIT1": 1},
                    "simulated_probability": 0.1,
                }
            },
            "no sequence is known for ['UNIT1']",
        ),
    ],
)
def test_what_synthetic_scans_would_not_follow_is_refused(
    sections: dict[str, Any], named: str
) -> None:
    structure = make_structure(source_labels=[2])
    plain = {"preprocessing": {"spacing_mm": [2, 2, 2]}, "synthesis": {}}
    make_recipe(structures=[structure], **plain)
    changed = {key: {**content, **sections.get(key, {})} for key, content in plain.items()}
    with pytest.raises(UsageError, match=re.escape(named)):
        make_recipe(structures=[structure], **changed)


def test_synthesis_of_slices_or_of_uneven_voxels_is_refused() -> None:
    structures = [make_structure(source_labels=[3], labels="")]
    with pytest.raises(UsageError, match="voxels of equal sides"):
        make_recipe(
            structures=structures, synthesis={}, preprocessing={"spacing_mm": [1.0, 1.0, 2.0]}
        )
