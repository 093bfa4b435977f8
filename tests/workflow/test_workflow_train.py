from __future__ import annotations

import errno
from dataclasses import replace
from pathlib import Path

import pytest
from support.bids_factory import write_dataset, write_scan
from support.phantom_recipe import DATA

from bids_film.domain.errors import BidsFilmError, InputError, UsageError
from bids_film.workflow.options import AnalysisLevel, Options
from bids_film.workflow.train import naming_files, read_own_recipe, run_train

MODEL = '[model]\nname = "phantom"\n'


def make_options(folder: Path, recipe: str) -> Options:
    (folder / "train.toml").write_text(recipe, encoding="utf-8")
    return Options(
        bids_dir=folder / "bids",
        output_dir=folder / "out",
        analysis_level=AnalysisLevel.TRAIN,
        config_file=folder / "train.toml",
        dry_run=True,
    )


def test_inputs_that_no_scan_can_have_are_refused_before_the_training(tmp_path: Path) -> None:
    options = make_options(tmp_path, f'{MODEL}inputs = {{ sufix = "T1w" }}\n{DATA}')
    with pytest.raises(UsageError, match="sufix"):
        read_own_recipe(options)


@pytest.mark.parametrize(
    ("recipe", "named"),
    [
        (DATA.replace("_gmseg-", "_gmesg-"), "structure 'core': none of 2 scans"),
        (f'{DATA}[preprocessing]\ncompanions = ["{{folder}}/{{entities}}_T2W.nii.gz"]\n', "T2W"),
    ],
)
def test_what_no_scan_has_cannot_be_learned(tmp_path: Path, recipe: str, named: str) -> None:
    write_dataset(tmp_path / "bids", participants=("01", "02"), shape=(8, 8, 4), labels=True)
    options = make_options(tmp_path, MODEL + recipe)
    with pytest.raises(InputError, match=named):
        run_train(options)
    assert run_train(make_options(tmp_path, MODEL + DATA)) == 0


@pytest.mark.parametrize(
    ("training", "named"),
    [
        ('balance = "Site"', "no training scan has a value of 'Site'"),
        ('start_from = "brian"', "brian"),
    ],
)
def test_what_a_training_cannot_follow_is_refused_before_scans_are_read(
    tmp_path: Path, training: str, named: str
) -> None:
    write_dataset(tmp_path / "bids", participants=("01", "02"), shape=(8, 8, 4), labels=True)
    options = make_options(tmp_path, f"{MODEL}{DATA}[training]\n{training}\n")
    with pytest.raises(BidsFilmError, match=named):
        run_train(options)


def test_a_field_that_would_replace_a_column_of_the_tables_is_refused_before_the_training(
    tmp_path: Path,
) -> None:
    for name in ("status", "dice"):
        own = (
            f'[metadata]\nfields = [{{ name = "{name}", keys = ["group"], levels = ["a", "b"] }}]\n'
        )
        with pytest.raises(UsageError, match=f"'{name}' is named like a column"):
            run_train(make_options(tmp_path, MODEL + DATA + own))


def test_a_full_disk_is_said_with_its_place(tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(UsageError, match=f"{tmp_path}: No space left"), naming_files(tmp_path):
        raise full


def test_label_maps_to_draw_scans_from_are_chosen_as_scans_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for root, people in (("bids", "1234"), ("other", "5")):
        for person in people:
            write_scan(tmp_path / root / f"sub-{person}" / "anat" / f"sub-{person}_dseg.nii.gz")
    recipe = f"""{MODEL}
[data]
also = ["../other"]
exclude = ["sub-4/*"]

[[structures]]
index = 1
name = "brain"
abbreviation = "B"
color = "#ff0000"
source_labels = [1]

[metadata]
fields = ["suffix"]

[preprocessing]
spacing_mm = [1.0, 1.0, 1.0]
patch = [16, 16, 16]

[network]
dimensions = 3
channels = [4, 8]

[split]
validation = 0.5

[synthesis]
"""
    assert run_train(make_options(tmp_path, recipe)) == 0
    assert "training: 2 scans of 2 participants" in capsys.readouterr().out
    only = replace(make_options(tmp_path, recipe), participant_label=("1",))
    assert run_train(only) == 0
    assert "validation: 1 scans of 1 participants" in capsys.readouterr().out
