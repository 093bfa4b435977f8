from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path

import pytest
from support.bids_factory import make_phantom, write_image
from workflow_models import LABELS

from bids_film.derivatives.dataset import write_dataset_files
from bids_film.derivatives.names import name_checks
from bids_film.derivatives.nifti import write_labels
from bids_film.derivatives.sidecars import write_sidecar
from bids_film.derivatives.tables import measure_volumes
from bids_film.domain.errors import UsageError
from bids_film.domain.segmentation import ModelIdentity, RecordedValue, Segmentation
from bids_film.inputs.nifti import read_volume
from bids_film.workflow.group import run_group
from bids_film.workflow.options import AnalysisLevel, Options
from bids_film.workflow.pages import PageJob, write_page
from bids_film.workflow.verdicts import count_lights, read_checks

CONCERN = re.compile(r"<li><strong>([^<]+):</strong>")


def write_outputs(options: Options, participant: str, *, status: str = "used") -> Segmentation:
    """Write an image and its segmentation, whose one field of metadata has a status."""
    stem = f"sub-{participant}/anat/sub-{participant}"
    phantom = make_phantom()
    image = read_volume(write_image(options.bids_dir / f"{stem}_T1w.nii.gz", phantom.image))
    segmentation = Segmentation(
        scan=f"{stem}_T1w.nii.gz",
        labels_file=f"{stem}_space-T1w_seg-brain_dseg.nii.gz",
        model=ModelIdentity(name="brain", version="1", sha256="0" * 64),
        values=(RecordedValue(field="EchoTime", value=3.0, status=status),),
        volumes=measure_volumes(phantom.labels, LABELS, image.grid),
    )
    labels = options.output_dir / segmentation.labels_file
    write_labels(labels, phantom.labels, image.grid)
    write_sidecar(labels.with_name(labels.name.replace(".nii.gz", ".json")), segmentation)
    return segmentation


def write_reports(options: Options, *participants: str) -> None:
    for participant in participants:
        write_page(
            PageJob(
                participant=participant,
                output_dir=options.output_dir,
                dataset_root=options.bids_dir,
            )
        )


def read_group(options: Options) -> dict[str, dict[str, str]]:
    run_group(options)
    path = options.output_dir / "group_seg-brain.tsv"
    with path.open(encoding="utf-8", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE)
        return {row["participant_id"].removeprefix("sub-"): row for row in rows}


@pytest.fixture
def options(tmp_path: Path) -> Options:
    return Options(
        bids_dir=tmp_path / "in", output_dir=tmp_path / "out", analysis_level=AnalysisLevel.GROUP
    )


def test_a_scan_has_the_same_light_and_the_same_reasons_on_both_pages(options: Options) -> None:
    write_outputs(options, "01")
    write_outputs(options, "02", status="implausible")
    empty = write_outputs(options, "03")
    labels = options.output_dir / empty.labels_file
    volumes = tuple(replace(item, voxels=0, volume_ml=0.0) for item in empty.volumes)
    write_sidecar(
        labels.with_name(labels.name.replace(".nii.gz", ".json")), replace(empty, volumes=volumes)
    )
    write_reports(options, "01", "02", "03")
    rows = read_group(options)
    for participant, row in rows.items():
        page = (options.output_dir / f"sub-{participant}.html").read_text(encoding="utf-8")
        assert f'<div class="light {row["verdict"]}">' in page
        concerns = CONCERN.findall(page)
        assert len(concerns) == int(row["n_concerns"])
        assert all(f"{name}: " in row["concerns"] for name in concerns)
    assert "Metadata in order: EchoTime" in rows["02"]["concerns"]
    assert rows["03"]["verdict"] == "failed"
    found = [options.output_dir / name for name in (empty.labels_file, "not there_dseg.nii.gz")]
    assert count_lights(found) == "1 red"
    severity = ["passed", "look", "failed"]
    assert severity.index(rows["01"]["verdict"]) <= severity.index(rows["02"]["verdict"])


def test_a_verdict_is_of_the_label_map_that_is_there(options: Options) -> None:
    segmentation = write_outputs(options, "01")
    assert read_checks(options.output_dir / segmentation.labels_file) == ()
    write_reports(options, "01")
    assert read_checks(options.output_dir / segmentation.labels_file)
    path = name_checks(options.output_dir / segmentation.labels_file)
    for text in ("[", '[{"Name": "a", "Verdict": "of another version", "Detail": ""}]', "[1]"):
        path.write_text(text, encoding="utf-8")
        assert read_checks(options.output_dir / segmentation.labels_file) == ()
        assert read_group(options)["01"]["verdict"] == "n/a"


def test_the_group_level_says_which_reports_do_not_know_the_others_yet(
    options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    participants = [f"{number:02d}" for number in range(1, 10)]
    for number, participant in enumerate(participants):
        segmentation = write_outputs(options, participant)
        labels = options.output_dir / segmentation.labels_file
        volumes = tuple(
            replace(item, volume_ml=item.volume_ml * (1 + number / 50))
            for item in segmentation.volumes
        )
        write_sidecar(
            labels.with_name(labels.name.replace(".nii.gz", ".json")),
            replace(segmentation, volumes=volumes),
        )
    write_reports(options, *participants)
    run_group(options)
    told = capsys.readouterr().out
    assert "9 of 9 reports do not compare" in told
    assert "participant --model brain --reports-only" in told
    write_reports(options, *participants)
    run_group(options)
    assert "reports do not compare" not in capsys.readouterr().out


def test_the_group_level_says_where_scans_do_not_belong_together(
    options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    write_outputs(options, "01")
    write_outputs(options, "02")
    run_group(options)
    assert "note" not in capsys.readouterr().err
    segmentation = write_outputs(options, "03")
    other = replace(segmentation, model=replace(segmentation.model, sha256="1" * 64))
    labels = options.output_dir / other.labels_file
    write_sidecar(labels.with_name(labels.name.replace(".nii.gz", ".json")), other)
    (options.bids_dir / segmentation.scan).unlink()
    run_group(options)
    said = capsys.readouterr().err
    assert "2 model files of that name" in said
    assert f"1 scans are not in {options.bids_dir} any more" in said
    assert segmentation.scan in said


def test_the_tables_of_a_dataset_are_not_made_with_another_one(options: Options) -> None:
    write_outputs(options, "01")
    write_dataset_files(options.output_dir, options.bids_dir, version="1", environment={})
    run_group(options)
    other = options.bids_dir.with_name("other")
    other.mkdir()
    with pytest.raises(UsageError, match="another dataset"):
        run_group(replace(options, bids_dir=other))
