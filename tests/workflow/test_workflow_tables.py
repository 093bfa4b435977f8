from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.bids_factory import make_phantom, write_image
from workflow_jobs import make_job
from workflow_models import LABELS

from bids_film.derivatives.nifti import write_labels
from bids_film.derivatives.sidecars import write_sidecar
from bids_film.domain.errors import InputError, ScanError
from bids_film.domain.segmentation import ModelIdentity, Segmentation, StructureVolume
from bids_film.inputs.nifti import read_volume
from bids_film.workflow.group import run_group
from bids_film.workflow.options import AnalysisLevel, Options
from bids_film.workflow.pages import read_cohort
from bids_film.workflow.state import record_failure, write_outcome
from bids_film.workflow.tables import Column, write_table


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))


def write_segmentation(output: Path, participant: str, model: str = "brain") -> None:
    folder = output / f"sub-{participant}/anat"
    stem = f"sub-{participant}_space-T1w_seg-{model}_dseg"
    phantom = make_phantom()
    grid = read_volume(write_image(output.parent / "image.nii.gz", phantom.image)).grid
    write_labels(folder / f"{stem}.nii.gz", phantom.labels, grid)
    segmentation = Segmentation(
        scan=f"sub-{participant}/anat/sub-{participant}_T1w.nii.gz",
        labels_file=f"sub-{participant}/anat/{stem}.nii.gz",
        model=ModelIdentity(name=model, version="1", sha256="0" * 64),
        volumes=tuple(StructureVolume(structure=s, voxels=3, volume_ml=1.25) for s in LABELS),
        notes=("12 voxels were NaN: set to 0",),
    )
    write_sidecar(folder / f"{stem}.json", segmentation)


def make_options(tmp_path: Path) -> Options:
    (tmp_path / "in").mkdir(exist_ok=True)
    return Options(
        bids_dir=tmp_path / "in", output_dir=tmp_path / "out", analysis_level=AnalysisLevel.GROUP
    )


def test_the_group_table_has_a_row_for_each_scan_done_or_failed(tmp_path: Path) -> None:
    options = make_options(tmp_path)
    write_segmentation(options.output_dir, "0050")
    write_segmentation(options.output_dir, "02")
    job = make_job(options.bids_dir, options.output_dir)
    write_outcome(job.state_file, record_failure(job, ScanError("it is\tbroken\nhere")))
    assert run_group(options) == 0
    rows = read_table(options.output_dir / "group_seg-brain.tsv")
    failed, first, second = sorted(rows, key=lambda row: row["status"], reverse=True)
    assert failed["reason"] == "it is broken here"
    assert failed["SC_volume_ml"] == "n/a"
    assert {first["participant_id"], second["participant_id"]} == {"sub-0050", "sub-02"}
    assert first["SC_volume_ml"] == "1.25"
    assert (first["notes"], first["session_id"]) == ("12 voxels were NaN: set to 0", "n/a")
    assert (first["verdict"], first["n_concerns"]) == ("n/a", "n/a"), "there is no report yet"
    dictionary = json.loads((options.output_dir / "group_seg-brain.json").read_text("utf-8"))
    assert set(dictionary) == set(first)
    assert dictionary["SC_volume_ml"]["Units"] == "mL"


def test_each_model_has_its_own_group_table(tmp_path: Path) -> None:
    options = make_options(tmp_path)
    write_segmentation(options.output_dir, "01", "brain")
    write_segmentation(options.output_dir, "01", "spinalcord")
    run_group(options)
    assert len(read_table(options.output_dir / "group_seg-brain.tsv")) == 1
    assert len(read_table(options.output_dir / "group_seg-spinalcord.tsv")) == 1


def test_a_rejected_scan_is_left_out_of_the_numbers_and_named(tmp_path: Path) -> None:
    listed = tmp_path / "review.tsv"
    listed.write_text("scan\tdecision\tnote\nsub-02/anat/sub-02_T1w.nii.gz\treject\tmoved\n")
    options = replace(make_options(tmp_path), exclude_list=listed)
    write_segmentation(options.output_dir, "01")
    write_segmentation(options.output_dir, "02")
    run_group(options)
    first, second = read_table(options.output_dir / "group_seg-brain.tsv")
    assert (first["status"], second["status"]) == ("done", "excluded")
    assert second["reason"] == "rejected in review: moved"
    assert second["SC_volume_ml"] == "n/a"


def test_what_a_review_names_wrongly_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "review.tsv"
    wrong = ["sub-02_T1w.nii.gz", "sub-02", "sub-02/anat/", "sub-02/anat/sub-02_T1w.json"]
    listed.write_text("\n".join(["scan", *wrong, "./sub-02/anat/sub-02_T1w.nii.gz"]) + "\n")
    options = make_options(tmp_path)
    write_segmentation(options.output_dir, "02")
    (options.bids_dir / "sub-02/anat").mkdir(parents=True)
    for ending in ("json", "nii.gz"):
        (options.bids_dir / f"sub-02/anat/sub-02_T1w.{ending}").touch()
    run_group(replace(options, exclude_list=listed))
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == len(wrong)
    for note, scan in zip(notes, wrong, strict=True):
        assert f"{scan.rstrip('/')} is no scan of" in note
        assert "single scan" in note


def test_participants_of_whom_nothing_was_segmented_are_named(tmp_path: Path) -> None:
    options = make_options(tmp_path)
    write_segmentation(options.output_dir, "01")
    (options.bids_dir / "sub-77").mkdir(parents=True)
    run_group(options)
    rows = read_table(options.output_dir / "group_seg-brain.tsv")
    assert [(row["participant_id"], row["status"]) for row in rows] == [
        ("sub-01", "done"),
        ("sub-77", "skipped"),
    ]


def test_what_a_model_left_unfinished_is_skipped_and_what_it_failed_on_is_not(
    tmp_path: Path,
) -> None:
    options = make_options(tmp_path)
    write_segmentation(options.output_dir, "05")
    write_segmentation(options.output_dir, "02", "spinalcord")
    (options.output_dir / "sub-03/anat").mkdir(parents=True)
    (options.output_dir / "logs/seg-brain/sub-04/anat").mkdir(parents=True)
    job = make_job(options.bids_dir, options.output_dir)
    write_outcome(job.state_file, record_failure(job, ScanError("it is broken")))
    for number in range(1, 6):
        (options.bids_dir / f"sub-0{number}").mkdir()
    run_group(options)
    rows = read_table(options.output_dir / "group_seg-brain.tsv")
    status = {row["participant_id"]: row["status"] for row in rows}
    assert status == {
        "sub-01": "failed",
        "sub-02": "skipped",
        "sub-03": "skipped",
        "sub-04": "skipped",
        "sub-05": "done",
    }


def test_a_participant_who_is_asked_for_and_was_not_segmented_is_skipped(tmp_path: Path) -> None:
    options = make_options(tmp_path)
    write_segmentation(options.output_dir, "003")
    (options.bids_dir / "sub-004").mkdir()
    run_group(replace(options, participant_label=("003", "004")))
    rows = read_table(options.output_dir / "group_seg-brain_selected.tsv")
    assert [row["status"] for row in rows] == ["done", "skipped"]
    with pytest.raises(InputError, match="no segmentations of sub-004") as caught:
        run_group(replace(options, participant_label=("004",)))
    assert "participant level" in caught.value.hint


def test_a_group_of_a_dataset_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    options = make_options(tmp_path)
    write_segmentation(options.output_dir, "01")
    options.bids_dir.rmdir()
    with pytest.raises(InputError, match="does not exist"):
        run_group(options)
    assert not list(options.output_dir.glob("group*"))


def test_a_group_is_compared_with_another_scan_by_scan(tmp_path: Path) -> None:
    options = make_options(tmp_path)
    write_segmentation(options.output_dir, "01")
    other = tmp_path / "other.tsv"
    other.write_text("scan\tSC_volume_ml\nsub-01/anat/sub-01_T1w.nii.gz\t1.0\nx\t3\n")
    run_group(replace(options, compare_with=other))
    (row,) = read_table(options.output_dir / "group_seg-brain_comparison.tsv")
    assert (row["structure"], row["difference_ml"], row["difference_percent"]) == (
        "SC",
        "0.25",
        "25",
    )


def test_a_comparison_with_nothing_in_common_leaves_none_of_an_earlier_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = make_options(tmp_path)
    write_segmentation(options.output_dir, "01")
    earlier = options.output_dir / "group_seg-brain_comparison.tsv"
    earlier.write_text("structure\nSC\n")
    other = tmp_path / "other.tsv"
    other.write_text("scan\tSC_volume_ml\nx\t3\n")
    run_group(replace(options, compare_with=other))
    assert "has no scan and structure of" in capsys.readouterr().err
    assert not earlier.exists()


def test_a_participants_table_that_cannot_be_used_stops_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = make_options(tmp_path)
    write_segmentation(options.output_dir, "01")
    (options.bids_dir / "participants.tsv").write_text("label\n01\n")
    assert run_group(options) == 0
    assert "does without participants.tsv" in capsys.readouterr().err


def test_a_page_knows_the_spread_of_the_group_table(tmp_path: Path) -> None:
    options = make_options(tmp_path)
    assert read_cohort(options.output_dir, "brain") == {}
    write_segmentation(options.output_dir, "01")
    run_group(options)
    spread = read_cohort(options.output_dir, "brain")["SC"]
    assert (spread.scans, spread.median) == (1, 1.25)


def test_a_group_of_nothing_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no segmentations"):
        run_group(make_options(tmp_path))


def test_cells_keep_to_their_cell_and_start_no_formula(tmp_path: Path) -> None:
    columns = {name: Column(description=name) for name in ("text", "formula", "nan", "number")}
    row = {"text": "a\tb\nc", "formula": "=1+1", "nan": float("nan"), "number": 1 / 3}
    write_table(tmp_path / "table.tsv", columns, [row, {}])
    first, second = read_table(tmp_path / "table.tsv")
    assert first == {"text": "a b c", "formula": "'=1+1", "nan": "n/a", "number": "0.333333"}
    assert set(second.values()) == {"n/a"}


def test_small_numbers_are_no_zeros(tmp_path: Path) -> None:
    write_table(tmp_path / "table.tsv", {"p": Column(description="p")}, [{"p": 3e-7}, {"p": 0.0}])
    small, zero = read_table(tmp_path / "table.tsv")
    assert (float(small["p"]), zero["p"]) == (3e-7, "0")
