from __future__ import annotations

from typing import Any

import pytest

from bids_film.domain.errors import UsageError
from bids_film.training.augment_settings import PRESETS
from bids_film.training.experiment_settings import ArmSettings
from bids_film.training.recipe import Recipe, describe_training, recipe_from_dict

LABELS = "{folder}/{stem}_seg.nii.gz"


def make_recipe(**experiment: Any) -> Recipe:
    return recipe_from_dict(
        {
            "model": {"name": "tiny"},
            "structures": [{"index": 1, "name": "cord", "abbreviation": "SC", "labels": LABELS}],
            "network": {"channels": [4, 8]},
            "experiment": experiment,
        }
    )


def derive(recipe: Recipe, arm: ArmSettings) -> Recipe:
    return recipe_from_dict(arm.change(describe_training(recipe)))


def test_without_arms_the_recipe_is_compared_with_the_controls() -> None:
    recipe = make_recipe()
    arms = {arm.name: derive(recipe, arm) for arm in recipe.experiment.arms}
    conditionings = [own.network.conditioning for own in arms.values()]
    assert conditionings == ["film", "constant", "unconditioned", "shuffled"]
    assert {own.network.channels for own in arms.values()} == {(4, 8)}


def test_an_arm_changes_its_keys_and_no_others() -> None:
    recipe = make_recipe(
        arms=[
            {"name": "sigmoid", "network": {"film_form": "sigmoid"}, "training": {"steps": 7}},
            {"name": "other", "structures": [{**recipe_structure(), "name": "gray"}]},
        ]
    )
    sigmoid, other = (derive(recipe, arm) for arm in recipe.experiment.arms)
    assert sigmoid.network.film_form == "sigmoid"
    assert sigmoid.network.channels == (4, 8)
    assert sigmoid.training.steps == 7
    assert sigmoid.structures == recipe.structures
    assert [target.name for target in other.structures] == ["gray"]
    assert other.training == recipe.training


def recipe_structure() -> dict[str, Any]:
    return {"index": 1, "name": "cord", "abbreviation": "SC", "labels": LABELS}


def test_an_arm_with_a_preset_begins_with_that() -> None:
    recipe = make_recipe(arms=[{"name": "plain", "augmentation": {"preset": "none"}}])
    assert derive(recipe, recipe.experiment.arms[0]).augmentation == PRESETS["none"]


@pytest.mark.parametrize("key", ["images", "also", "exclude"])
def test_arms_share_their_scans(key: str) -> None:
    with pytest.raises(UsageError, match=f"data.{key} cannot differ"):
        make_recipe(arms=[{"name": "one", "data": {key: {} if key == "images" else []}}])


def test_a_key_that_no_section_has_is_refused_with_the_nearest_one() -> None:
    recipe = make_recipe(arms=[{"name": "one", "network": {"film_from": "sigmoid"}}])
    with pytest.raises(UsageError, match="film_from") as caught:
        derive(recipe, recipe.experiment.arms[0])
    assert "film_form" in caught.value.hint


@pytest.mark.parametrize(
    "experiment",
    [
        {"seeds": []},
        {"seeds": [1, 1]},
        {"arms": []},
        {"arms": [{"name": "one"}, {"name": "one"}]},
        {"arms": [{"name": "../out"}]},
        {"arms": [{"name": "-"}]},
    ],
    ids=str,
)
def test_what_cannot_be_told_apart_is_refused(experiment: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="experiment"):
        make_recipe(**experiment)


def test_what_a_model_remembers_is_the_recipe_without_the_experiment() -> None:
    assert describe_training(make_recipe(seeds=[4])) == describe_training(make_recipe())
