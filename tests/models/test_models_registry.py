from __future__ import annotations

import os
from pathlib import Path

import pytest

import bids_film.models
from bids_film.domain.errors import ExitCode, ModelFileError
from bids_film.models import find_model, list_models

BUNDLED = Path(bids_film.models.__file__).parent


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("one/liver/model.safetensors", "one/heart.safetensors", "two/liver.safetensors"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "one" / "notes").mkdir()
    (tmp_path / "one" / "readme.txt").touch()
    return tmp_path / "one", tmp_path / "two"


def name_folders(*folders: Path) -> dict[str, str]:
    return {"BIDS_FILM_MODELS": os.pathsep.join(map(str, folders))}


def test_bundled_models_are_named_as_their_folders() -> None:
    models = list_models({})
    assert "spinalcord" in models
    assert all(path == BUNDLED / name / "model.safetensors" for name, path in models.items())


def test_further_folders_hold_files_or_folders_named_as_the_model(
    folders: tuple[Path, Path],
) -> None:
    models = list_models(name_folders(folders[0]))
    assert models["liver"] == folders[0] / "liver" / "model.safetensors"
    assert models["heart"] == folders[0] / "heart.safetensors"
    assert set(models) == {"liver", "heart", *list_models({})}


def test_the_first_folder_comes_before_the_second_and_both_before_the_bundled_ones(
    folders: tuple[Path, Path],
) -> None:
    one, two = folders
    assert find_model("liver", name_folders(one, two)).parent.parent == one
    assert find_model("liver", name_folders(two, one)).parent == two
    own = one / "spinalcord.safetensors"
    own.touch()
    assert find_model("spinalcord", name_folders(one)) == own


def test_empty_and_absent_folders_are_passed_over(tmp_path: Path) -> None:
    for value in ("", os.pathsep, str(tmp_path / "absent")):
        assert list_models({"BIDS_FILM_MODELS": value}) == list_models({})


def test_a_path_is_taken_as_it_is(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = folders[0] / "heart.safetensors"
    assert find_model(str(path), {}) == path
    monkeypatch.chdir(folders[0])
    assert find_model("heart.safetensors", {}) == path
    monkeypatch.setenv("HOME", str(folders[0]))
    assert find_model("~/heart.safetensors", {}) == path


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("spinal-cord", "did you mean 'spinalcord'?"),
        ("hart", "did you mean 'heart'?"),
        ("qqqq", "give one of these names"),
        ("", "give one of these names"),
        ("x" * 5000, "give one of these names"),
        ("absent.safetensors", "give the path of a .safetensors file"),
        ("no/such/file", "give the path of a .safetensors file"),
        ("~nobodyknows/x", "give the path of a .safetensors file"),
    ],
)
def test_a_model_that_is_not_there_is_one_clear_error(
    folders: tuple[Path, Path], name: str, hint: str
) -> None:
    with pytest.raises(ModelFileError) as caught:
        find_model(name, name_folders(folders[0]))
    assert hint in caught.value.hint
    assert name in caught.value.message
    assert caught.value.exit_code == ExitCode.INPUT
