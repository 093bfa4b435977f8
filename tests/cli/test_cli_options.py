from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from bids_film.cli import config_file
from bids_film.cli.options import read_options
from bids_film.domain.errors import UsageError
from bids_film.training.recipe import MetadataSettings, Recipe
from bids_film.workflow.options import AnalysisLevel

LEVEL = ["/in", "/out", "participant"]


def write_config(folder: Path, text: str) -> list[str]:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return ["--config-file", str(path)]


def test_labels_are_taken_with_and_without_their_prefix() -> None:
    options = read_options(
        [*LEVEL, "--participant-label", "sub-01", "02", "01", "--session-label", "ses-a"]
    )
    assert options.participant_label == ("01", "02")
    assert options.session_label == ("a",)


def test_positionals_give_absolute_paths_and_a_level(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    options = read_options(["in", "out", "train"])
    assert options.bids_dir == Path("/in")
    assert options.output_dir == Path("/out")
    assert options.analysis_level is AnalysisLevel.TRAIN


def test_what_is_not_given_has_its_default() -> None:
    options = read_options(LEVEL)
    assert options.participant_label is None
    assert options.model == "brain"
    assert options.on_missing_metadata == "use-unknown"
    assert options.nprocs is None


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("--participant_label", "--participant-label"),
        ("--n_cpus", "--nprocs"),
        ("--n-cpus", "--nprocs"),
        ("--mem_gb", "--mem"),
        ("--omp_nthreads", "--omp-nthreads"),
    ],
)
def test_spellings_of_other_apps_are_understood(given: str, meant: str) -> None:
    assert read_options([*LEVEL, given, "4"]) == read_options([*LEVEL, meant, "4"])


def test_an_underscore_in_a_value_stays() -> None:
    assert read_options([*LEVEL, "--model=my_model"]).model == "my_model"


def test_a_misspelt_option_is_answered_with_the_nearest_one() -> None:
    with pytest.raises(UsageError) as caught:
        read_options([*LEVEL, "--participnt-label", "01"])
    assert "--participant-label" in caught.value.hint


@pytest.mark.parametrize("short", ["--session", "--participant"])
def test_a_shortened_option_is_answered_with_the_whole_one(short: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_options([*LEVEL, short, "01"])
    assert f"{short}-label" in caught.value.hint


@pytest.mark.parametrize(
    "arguments",
    [
        ["--participant-label", "../etc"],
        ["--participant-label", "a" * 5000],
        ["--participant-label", "01\n02"],
        ["--nprocs", "0"],
        ["--nprocs", "two"],
        ["--mem", "-1"],
        ["--device", "gpu"],
        ["--precision", "fp16"],
        ["--metadata", "Manufacturer"],
        ["--on-missing-metadata", "guess"],
        ["--work-dir", ""],
        ["--reports-only", "--force"],
        ["--use-plugin", "p.yml", "--nprocs", "2"],
    ],
)
def test_a_value_that_an_option_does_not_take_is_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        read_options([*LEVEL, *arguments])


@pytest.mark.parametrize(
    ("text", "gigabytes"), [("8", 8.0), ("7.5", 7.5), ("16G", 16), ("2 GB", 2)]
)
def test_memory_is_read_in_gigabytes(text: str, gigabytes: float) -> None:
    assert read_options([*LEVEL, "--mem", text]).mem == gigabytes


def test_every_kind_of_option_can_stand_in_the_configuration_file(tmp_path: Path) -> None:
    config = write_config(
        tmp_path,
        """
        participant-label = ["sub-01", "02"]
        metadata = ["Manufacturer=Siemens", "EchoTime=0.03"]
        model = "spinalcord"
        nprocs = 3
        mem = 7.5
        force = true
        dry-run = false
        verbose = 2
        work_dir = "/work"
        """,
    )
    options = read_options([*LEVEL, *config])
    assert options.participant_label == ("01", "02")
    assert options.metadata == ("Manufacturer=Siemens", "EchoTime=0.03")
    assert options.model == "spinalcord"
    assert (options.nprocs, options.mem, options.verbose) == (3, 7.5, 2)
    assert options.force
    assert not options.dry_run
    assert options.work_dir == Path("/work")


def test_the_command_line_wins_over_the_configuration_file(tmp_path: Path) -> None:
    config = write_config(tmp_path, 'model = "a"\nparticipant-label = ["01"]\nnprocs = 2\n')
    options = read_options([*LEVEL, *config, "--model", "b", "--participant-label", "02"])
    assert options.model == "b"
    assert options.participant_label == ("02",)
    assert options.nprocs == 2


def test_tables_of_the_configuration_file_are_left_to_the_recipe(tmp_path: Path) -> None:
    config = write_config(
        tmp_path, 'model = "a"\n[training]\nsteps = 5\n[[structures]]\nname = "cord"\n'
    )
    assert read_options([*LEVEL, *config]).model == "a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("modle = 'brain'", "'modle'"),
        ("nprocs = 'many'", "config.toml"),
        ("nprocs = [1, 2]", "'nprocs'"),
        ("force = 'yes'", "'force'"),
        ("participant-label = []", "'participant-label'"),
        ("participant-label = [['01']]", "'participant-label'"),
        ("config-file = 'other.toml'", "'config-file'"),
        ("help = true", "'help'"),
        ("verbose = 5", "0, 1, 2, true or false"),
        ("model = ", "not TOML"),
    ],
)
def test_a_bad_configuration_file_is_named_with_its_key(
    tmp_path: Path, text: str, expected: str
) -> None:
    with pytest.raises(UsageError) as caught:
        read_options([*LEVEL, *write_config(tmp_path, text)])
    assert expected in caught.value.message
    assert "config.toml" in caught.value.message


def test_an_unknown_key_is_answered_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read_options([*LEVEL, *write_config(tmp_path, 'participant-lable = ["01"]')])
    assert "participant-label" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ('[participant]\nmodel = "spinalcord"\n', "above all tables"),
        ("[trainign]\nsteps = 3\n", r"\[training\]"),
        ("metadata = { EchoTime = 0.03 }\n", r'\["FIELD=VALUE"\]'),
    ],
)
def test_a_table_that_nothing_reads_is_refused(tmp_path: Path, text: str, hint: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_options(["in", "out", "participant", "--config-file", str(path)])
    assert re.search(hint, str(caught.value.hint))


def test_a_configuration_file_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_options([*LEVEL, "--config-file", str(tmp_path / "none.toml")])


def test_a_value_that_begins_with_a_dash_can_stand_in_the_configuration_file(
    tmp_path: Path,
) -> None:
    assert read_options([*LEVEL, *write_config(tmp_path, 'model = "-x"')]).model == "-x"


def test_the_tables_that_are_left_to_the_recipe_are_those_of_the_recipe() -> None:
    """They stand twice: the recipe needs torch, which reading options must not import."""
    assert set(config_file._RECIPE_TABLES) == {entry.name for entry in fields(Recipe)}
    assert set(config_file._RECIPE_METADATA) == {entry.name for entry in fields(MetadataSettings)}
