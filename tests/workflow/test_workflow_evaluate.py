from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.bids_factory import write_dataset
from support.phantom_recipe import DATA
from workflow_models import make_header

from bids_film.model.header import hash_file
from bids_film.training.recipe import read_recipe
from bids_film.workflow.evaluate import _find_known
from bids_film.workflow.options import AnalysisLevel, Options
from bids_film.workflow.seen import SeenScans
from bids_film.workflow.train import find_labelled_scans


def find_unknown(folder: Path, split: str = "", **chosen: object) -> set[str]:
    """Scans for a test of a model that was trained on the first person's first session."""
    root = folder / "bids"
    write_dataset(
        root,
        participants=("1Ses1", "1Ses2", "2", "3"),
        sessions=("a", "b"),
        shape=(8, 8, 4),
        labels=True,
    )
    (folder / "train.toml").write_text(f'[model]\nname = "phantom"\n{DATA}{split}', "utf-8")
    recipe = read_recipe(folder / "train.toml")
    options = Options(
        bids_dir=root,
        output_dir=folder / "out",
        analysis_level=AnalysisLevel.EVALUATE,
        **chosen,  # type: ignore[arg-type]
    )
    learned = root / "sub-1Ses1" / "ses-a" / "anat" / "sub-1Ses1_ses-a_T1w.nii.gz"
    entry = {"scan": str(learned.relative_to(root)), "image_sha256": hash_file(learned)}
    seen = SeenScans(replace(make_header(), training={"data": {"training": [entry]}}), recipe)
    labelled, _ = find_labelled_scans(options, recipe)
    known = _find_known(labelled, options, recipe, seen)
    return {f"{s.participant} {s.entities['ses']}" for s in labelled if s.path not in known}


def test_who_was_seen_in_one_session_is_for_no_test(tmp_path: Path) -> None:
    assert find_unknown(tmp_path) == {
        f"{person} {ses}" for person in ("1Ses2", "2", "3") for ses in "ab"
    }


@pytest.mark.parametrize(
    "chosen", [{"session_label": ("b",)}, {"exclude_list": "rejected.tsv"}], ids=str
)
def test_nor_is_who_was_seen_in_a_scan_that_the_options_leave_out(
    tmp_path: Path, chosen: dict[str, object]
) -> None:
    rejected = "sub-1Ses1/ses-a/anat/sub-1Ses1_ses-a_T1w.nii.gz"
    (tmp_path / "rejected.tsv").write_text(f"scan\tdecision\n{rejected}\treject\n", "utf-8")
    if "exclude_list" in chosen:
        chosen = {"exclude_list": tmp_path / "rejected.tsv"}
    assert not {scan for scan in find_unknown(tmp_path, **chosen) if scan.startswith("1Ses1")}


def test_nor_are_the_other_labels_of_a_person_whom_the_recipe_tells_by_a_pattern(
    tmp_path: Path,
) -> None:
    unknown = find_unknown(tmp_path, "[split]\ngroup_pattern = '(.+)Ses\\d|\\d'\n")
    assert not {scan for scan in unknown if scan.startswith("1Ses")}


def test_a_dataset_without_the_recipes_column_is_told_apart_by_people(tmp_path: Path) -> None:
    unknown = find_unknown(tmp_path, '[split]\ngroup_by = "family"\n')
    assert {scan.split()[0] for scan in unknown} == {"1Ses2", "2", "3"}
