from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bids_film.domain.errors import UsageError
from bids_film.workflow.folders import check_folders, run_folder
from bids_film.workflow.options import AnalysisLevel, Options
from bids_film.workflow.plugin_file import read_plugin_file


def make_options(root: Path, output: str, work: str | None = None) -> Options:
    return Options(
        bids_dir=root / "in",
        output_dir=root / output,
        work_dir=root / work if work else None,
        analysis_level=AnalysisLevel.PARTICIPANT,
    )


@pytest.mark.parametrize(("output", "work"), [("in", None), ("in/out", None), ("out", "in/work")])
def test_folders_inside_the_input_are_refused(
    tmp_path: Path, output: str, work: str | None
) -> None:
    with pytest.raises(UsageError):
        check_folders(make_options(tmp_path, output, work))


def test_an_index_inside_the_input_is_refused(tmp_path: Path) -> None:
    options = replace(make_options(tmp_path, "out"), bids_database_dir=tmp_path / "in/index")
    with pytest.raises(UsageError, match="lies inside") as caught:
        check_folders(options)
    assert "--bids-database-dir" in str(caught.value.hint)


@pytest.mark.parametrize("name", ["work_dir", "bids_database_dir"])
def test_a_work_folder_or_index_inside_the_output_is_refused(tmp_path: Path, name: str) -> None:
    options = replace(make_options(tmp_path, "out"), **{name: tmp_path / "out/work"})
    with pytest.raises(UsageError, match="no BIDS dataset any more"):
        check_folders(options)


@pytest.mark.parametrize("output", ["out", "in/derivatives/bids-film"])
def test_folders_outside_and_in_derivatives_are_taken(tmp_path: Path, output: str) -> None:
    check_folders(make_options(tmp_path, output, "work"))
    assert not list(tmp_path.iterdir())


def test_an_output_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    with pytest.raises(UsageError, match="is a file"):
        check_folders(make_options(tmp_path, "out"))


@pytest.mark.parametrize("option", ["--work-dir", "--bids-database-dir"])
def test_a_folder_of_an_option_that_is_a_file_is_refused_by_the_options_name(
    tmp_path: Path, option: str
) -> None:
    (tmp_path / "work").touch()
    name = option.removeprefix("--").replace("-", "_")
    options = replace(make_options(tmp_path, "out"), **{name: tmp_path / "work"})
    with pytest.raises(UsageError, match=f"of {option} is a file"):
        check_folders(options)


def test_two_runs_in_one_work_folder_do_not_meet(tmp_path: Path) -> None:
    with run_folder(tmp_path, clean=True) as one, run_folder(tmp_path, clean=False) as other:
        assert one != other
        assert one.parent == other.parent == tmp_path
    assert list(tmp_path.iterdir()) == [other]


def fail_in_run_folder(seen: list[Path]) -> None:
    with run_folder(None, clean=False) as folder:
        seen.append(folder)
        raise ValueError("no")


def test_a_temporary_run_folder_is_removed_even_after_an_error() -> None:
    seen: list[Path] = []
    with pytest.raises(ValueError, match="no"):
        fail_in_run_folder(seen)
    assert not seen[0].exists()


def test_a_work_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "work").touch()
    with pytest.raises(UsageError), run_folder(tmp_path / "work", clean=False):
        pass


def test_a_plugin_file_gives_a_name_and_arguments(tmp_path: Path) -> None:
    path = tmp_path / "slurm.yml"
    path.write_text("plugin: SLURM\nplugin_args:\n  sbatch_args: --mem=4G\n", encoding="utf-8")
    assert read_plugin_file(path) == ("SLURM", {"sbatch_args": "--mem=4G"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plugin: [",
        "plugin: IPython",
        "plugin: SLURMGraph",
        "plugin: MultiProc\nplugin_args: 3",
        "plugin: MultiProc\nplugin_args:\n  n_procs: 0",
        "plugin: MultiProc\nplugin_args:\n  n_procs: two",
        "plugin: MultiProc\nimport: os",
        "!!python/object/apply:os.mkdir [OWNED]",
        "plugin: !!python/object/apply:os.mkdir [OWNED]",
        "- plugin",
    ],
)
def test_a_plugin_file_is_configuration_and_never_code(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plugin.yml"
    owned = tmp_path / "owned"
    path.write_text(text.replace("OWNED", str(owned)), encoding="utf-8")
    with pytest.raises(UsageError):
        read_plugin_file(path)
    assert not owned.exists()
