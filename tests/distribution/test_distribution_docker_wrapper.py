from __future__ import annotations

import importlib.util
import shlex
from pathlib import Path
from types import ModuleType

import pytest

import bids_film
from bids_film.cli.parser import absolute_path, build_parser
from bids_film.workflow.options import AnalysisLevel

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wrapper() -> ModuleType:
    path = ROOT / "docker" / "bids_film_docker.py"
    spec = importlib.util.spec_from_file_location("bids_film_docker", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bids").mkdir()
    return tmp_path / "bids"


def printed(wrapper: ModuleType, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert wrapper.main(["--print-only", *words]) == 0
    return shlex.split(capsys.readouterr().err.removeprefix("+ "))


def test_folders_keep_their_names_and_the_dataset_is_read_only(
    wrapper: ModuleType, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = printed(wrapper, capsys, "bids", "my out", "participant", "--force")
    out = dataset.with_name("my out")
    assert f"type=bind,source={dataset},target={dataset},readonly" in command
    assert f"type=bind,source={out},target={out}" in command
    assert command[-4:] == [str(dataset), str(out), "participant", "--force"]
    assert out.is_dir()


@pytest.mark.parametrize("given", [["{}", "m.tsv"], ["{}=m.tsv"]])
@pytest.mark.parametrize("option", ["--metadata-file", "--metadata_file"])
def test_files_that_options_name_are_mounted_and_made_absolute(
    wrapper: ModuleType, dataset: Path, capsys: pytest.CaptureFixture[str],
    option: str, given: list[str],
) -> None:  # fmt: skip
    table = dataset.with_name("m.tsv")
    table.touch()
    words = [word.format(option) for word in given]
    command = printed(wrapper, capsys, "bids", "out", "participant", *words)
    assert f"type=bind,source={table},target={table},readonly" in command
    assert command[-1] == words[-1].replace("m.tsv", str(table))


def test_a_models_name_is_no_file_and_a_model_file_is(
    wrapper: ModuleType, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = printed(wrapper, capsys, "bids", "out", "participant", "--model", "brain")
    assert command[-1] == "brain"
    dataset.with_name("mine.safetensors").touch()
    command = printed(wrapper, capsys, "bids", "out", "participant", "--model", "mine.safetensors")
    assert command[-1] == str(dataset.with_name("mine.safetensors"))


def test_a_label_that_is_called_like_a_file_stays_a_label(
    wrapper: ModuleType, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset.with_name("01").touch()
    command = printed(wrapper, capsys, "bids", "out", "participant", "--participant-label", "01")
    assert command[-1] == "01"
    words = ["--participant-label", "work", "--work-dir", "work"]
    command = printed(wrapper, capsys, "bids", "out", "participant", *words)
    assert command[-4:] == [*words[:3], str(dataset.with_name("work"))]


def test_each_option_of_the_program_that_names_a_path_is_mounted(wrapper: ModuleType) -> None:
    options = {
        name
        for action in build_parser()._actions
        if action.type is absolute_path
        for name in action.option_strings
        if "_" not in name
    }
    assert options
    assert options <= {*wrapper.FILES, *wrapper.FOLDERS}


def test_it_takes_every_analysis_level(wrapper: ModuleType) -> None:
    assert set(wrapper.LEVELS) == set(AnalysisLevel)


def test_gpu_memory_and_user_are_handed_on(
    wrapper: ModuleType, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--gpus", "all", "--memory", "8g", "--user", "7:8", "bids", "out", "group"]
    command = " ".join(printed(wrapper, capsys, *given))
    assert "--gpus all" in command
    assert "--memory 8g" in command
    assert "--user 7:8" in command
    assert "--network none" in command


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "out", "participant"], "nowhere"),
        (["file", "out", "participant"], "is a folder"),
        (["bids", "out", "participant", "--metadata-file", "no.tsv"], "no.tsv"),
        (["bids", "a,b", "participant"], "comma"),
        (["bids", "file/out", "participant"], "cannot be made"),
    ],
)
def test_what_docker_would_misunderstand_is_refused_before(
    wrapper: ModuleType, dataset: Path, capsys: pytest.CaptureFixture[str],
    words: list[str], said: str,
) -> None:  # fmt: skip
    dataset.with_name("file").touch()
    assert wrapper.main(["--print-only", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_machine_without_docker_is_told_so(
    wrapper: ModuleType, dataset: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert wrapper.main(["--docker", "no-such-docker", str(dataset), "out", "group"]) == 2
    assert "no-such-docker" in capsys.readouterr().err


def test_versions_agree(wrapper: ModuleType) -> None:
    assert wrapper.__version__ == bids_film.__version__
    for name in ("Dockerfile", "singularity/bids_film.def"):
        assert f"VERSION={bids_film.__version__}" in (ROOT / name).read_text(encoding="utf-8")
