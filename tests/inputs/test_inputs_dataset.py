from __future__ import annotations

import json
import logging
from collections import ChainMap
from pathlib import Path

import numpy as np
import pytest
from bids.layout import BIDSLayout
from support.bids_factory import (
    SIDECAR,
    make_phantom,
    scan_path,
    write_dataset,
    write_description,
    write_json,
    write_mask,
    write_scan,
    write_tsv,
)

from bids_film.domain.errors import InputError, MetadataError
from bids_film.domain.scan import Scan, SourceKind
from bids_film.inputs.dataset import open_dataset


def _names(scans: list[Scan]) -> list[str]:
    return [scan.path.name for scan in scans]


def test_all_scans_are_found_in_the_order_of_their_paths(tmp_path: Path) -> None:
    write_dataset(tmp_path, sessions=("a", "b"), names=("T1w", "acq-x_T2w"))
    scans = open_dataset(tmp_path)
    assert len(scans) == 8
    assert scans == sorted(scans, key=lambda scan: scan.path)
    first = next(scan for scan in scans if scan.suffix == "T2w")
    assert first.entities == {"sub": "01", "ses": "a", "acq": "x"}
    assert (first.datatype, first.session) == ("anat", "a")
    assert first.relative_path == "sub-01/ses-a/anat/sub-01_ses-a_acq-x_T2w.nii.gz"


def test_only_the_participants_and_sessions_asked_for_are_returned(tmp_path: Path) -> None:
    write_dataset(tmp_path, participants=("0050", "50", "x"), sessions=("1", "2"))
    scans = open_dataset(tmp_path, participants=["sub-0050", "x", "x"], sessions=["ses-2"])
    assert [(scan.participant, scan.session) for scan in scans] == [("0050", "2"), ("x", "2")]


def test_derivatives_masks_and_files_without_a_bids_name_are_no_scans(tmp_path: Path) -> None:
    write_dataset(tmp_path, participants=("01",), labels=True)
    anat = tmp_path / "sub-01" / "anat"
    for name in ("sub-01_T1w_seg-manual", "sub-01_mask", "sub-01_label-GM_dseg", "draft"):
        write_scan(anat / f"{name}.nii.gz")
    write_scan(anat / "derivatives" / "sub-01_T2w.nii.gz")
    write_scan(tmp_path / "sourcedata" / "sub-01" / "anat" / "sub-01_T2w.nii.gz")
    write_mask(tmp_path, anat / "sub-01_T1w.nii.gz", np.ones((6, 7, 5)))
    assert _names(open_dataset(tmp_path)) == ["sub-01_T1w.nii.gz"]
    assert _names(open_dataset(tmp_path, filters={"datatype": "*"})) == ["sub-01_T1w.nii.gz"]


def test_label_maps_are_found_where_they_are_asked_for(tmp_path: Path) -> None:
    for name in ("sub-01_dseg", "sub-02_seg-aseg_dseg", "sub-02_T1w", "sub-02_desc-brain_mask"):
        write_scan(tmp_path / name[:6] / "anat" / f"{name}.nii.gz")
    maps = {"suffix": "dseg"}
    found = open_dataset(tmp_path, validate=False, filters=maps)
    assert _names(found) == ["sub-01_dseg.nii.gz", "sub-02_seg-aseg_dseg.nii.gz"]
    (only,) = open_dataset(tmp_path, validate=False, filters={**maps, "segmentation": "aseg"})
    assert only.participant == "02"
    with pytest.raises(InputError, match="probseg"):
        open_dataset(tmp_path, validate=False, filters={"suffix": "probseg"})


def test_rows_that_are_about_nobody_are_said_where_scans_have_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dataset(tmp_path, participants=("01", "02"))
    for labels, said in (
        (("sub-01", "sub-2"), "no row of sub-02, but rows of nobody in the dataset: 2"),
        (("sub-01",), ""),
        (("sub-01", "sub-02", "sub-99"), ""),
    ):
        rows = [{"participant_id": label, "age": "30"} for label in labels]
        write_tsv(tmp_path / "participants.tsv", rows)
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            open_dataset(tmp_path)
        assert said in caplog.text
        assert bool(said) == bool(caplog.text)


def test_images_whose_names_are_not_bids_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dataset(tmp_path, participants=("01",))
    for name in ("draft", "sub-01_acq-a b_T1w"):
        write_scan(tmp_path / "sub-01" / "anat" / f"{name}.nii.gz")
    with caplog.at_level(logging.WARNING):
        assert len(open_dataset(tmp_path)) == 1
    assert "2 images are left out" in caplog.text
    assert "sub-01/anat/draft.nii.gz" in caplog.text


def test_a_file_whose_name_lacks_its_session_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dataset(tmp_path, sessions=("a",))
    write_scan(tmp_path / "sub-01" / "ses-a" / "anat" / "sub-01_T2w.nii.gz")
    with caplog.at_level(logging.WARNING):
        assert len(open_dataset(tmp_path)) == 2
    assert "sub-01_T2w.nii.gz is left out: its name lacks the ses-a of its folder" in caplog.text


def test_a_file_below_another_participant_is_left_out_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dataset(tmp_path)
    write_scan(tmp_path / "sub-01" / "anat" / "sub-02_T2w.nii.gz")
    with caplog.at_level(logging.WARNING):
        assert len(open_dataset(tmp_path)) == 2
    assert "sub-02_T2w.nii.gz is left out" in caplog.text


def test_phase_images_are_no_scans_unless_they_are_asked_for(tmp_path: Path) -> None:
    names = ("T1w", "part-mag_T2starw", "part-phase_T2starw")
    write_dataset(tmp_path, participants=("01",), names=names)
    assert _names(open_dataset(tmp_path)) == [
        "sub-01_T1w.nii.gz",
        "sub-01_part-mag_T2starw.nii.gz",
    ]
    phases = open_dataset(tmp_path, filters={"part": "phase"})
    assert _names(phases) == ["sub-01_part-phase_T2starw.nii.gz"]


def test_filters_choose_by_entity(tmp_path: Path) -> None:
    write_dataset(tmp_path, participants=("01",), names=("T1w", "T2w", "acq-x_T1w", "FLAIR"))
    chosen = open_dataset(tmp_path, filters={"suffix": ["T1w", "FLAIR"], "acquisition": None})
    assert _names(chosen) == ["sub-01_FLAIR.nii.gz", "sub-01_T1w.nii.gz"]
    assert _names(open_dataset(tmp_path, filters={"acq": "*"})) == ["sub-01_acq-x_T1w.nii.gz"]


def test_an_image_whose_content_was_not_fetched_is_still_a_scan(tmp_path: Path) -> None:
    write_dataset(tmp_path, participants=("01",))
    scan_path(tmp_path, "01").unlink()
    scan_path(tmp_path, "01").symlink_to("../../.git/annex/objects/xyz")
    assert _names(open_dataset(tmp_path)) == ["sub-01_T1w.nii.gz"]


def test_a_participant_folder_that_is_a_link_is_followed(tmp_path: Path) -> None:
    write_dataset(tmp_path / "store", participants=("01",))
    dataset = tmp_path / "dataset"
    write_description(dataset)
    (dataset / "sub-01").symlink_to(tmp_path / "store" / "sub-01")
    assert _names(open_dataset(dataset)) == ["sub-01_T1w.nii.gz"]


def test_every_value_names_the_file_that_it_came_from(tmp_path: Path) -> None:
    write_dataset(tmp_path, participants=("01",), sessions=("a",))
    write_json(tmp_path / "T1w.json", {"EchoTime": 9, "RepetitionTime": 2, "Site": "x"})
    write_json(tmp_path / "T2w.json", {"Other": 1})
    write_json(tmp_path / "acq-y_T1w.json", {"Other": 1})
    write_json(tmp_path / "sub-01" / "ses-a" / "sub-01_T1w.json", {"RepetitionTime": 3})
    write_json(tmp_path / "participants.json", {"age": {"Units": "years"}})
    write_tsv(
        tmp_path / "sub-01" / "sub-01_sessions.tsv", [{"session_id": "ses-a", "weight": "70"}]
    )
    write_json(tmp_path / "sub-01" / "sub-01_sessions.json", {"weight": {"Units": "kg"}})
    write_tsv(
        tmp_path / "sub-01" / "ses-a" / "sub-01_ses-a_scans.tsv",
        [{"filename": "anat/sub-01_ses-a_T1w.nii.gz", "quality": "good"}],
    )
    (scan,) = open_dataset(tmp_path)
    assert [(source.kind, source.file) for source in scan.sources] == [
        (SourceKind.SCANS_TSV, "sub-01/ses-a/sub-01_ses-a_scans.tsv"),
        (SourceKind.SESSIONS_TSV, "sub-01/sub-01_sessions.tsv"),
        (SourceKind.PARTICIPANTS_TSV, "participants.tsv"),
        (SourceKind.SIDECAR, "sub-01/ses-a/anat/sub-01_ses-a_T1w.json"),
        (SourceKind.SIDECAR, "sub-01/ses-a/sub-01_T1w.json"),
        (SourceKind.SIDECAR, "T1w.json"),
        (SourceKind.NAME, "sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz"),
    ]
    scans, sessions, participants, nearest, *_, name = scan.sources
    assert scans.values["quality"] == "good"
    assert sessions.units == {"weight": "kg"}
    assert participants.values["age"] == "20"
    assert participants.units == {"age": "years"}
    assert nearest.values == SIDECAR
    assert name.values == {"sub": "01", "ses": "a", "suffix": "T1w", "datatype": "anat"}


def test_sidecars_together_say_what_pybids_says(tmp_path: Path) -> None:
    write_dataset(tmp_path, sessions=("a", "b"), names=("T1w", "acq-x_run-1_T1w"))
    write_json(tmp_path / "T1w.json", {"A": 1, "EchoTime": 5})
    write_json(tmp_path / "acq-x_T2w.json", {"A": 2, "B": 2})
    write_json(tmp_path / "sub-01" / "sub-01_T1w.json", {"B": 3, "C": 3})
    write_json(tmp_path / "sub-01" / "ses-b" / "sub-01_ses-b_run-1_T1w.json", {"C": 4, "D": [1]})
    layout = BIDSLayout(tmp_path)
    for scan in open_dataset(tmp_path):
        sidecars = [s.values for s in scan.sources if s.kind is SourceKind.SIDECAR]
        assert dict(ChainMap(*map(dict, sidecars))) == layout.get_metadata(str(scan.path))


def test_rows_of_a_participant_with_several_sessions_hold_for_their_session(
    tmp_path: Path,
) -> None:
    write_dataset(tmp_path, participants=("01",), sessions=("a", "b", "c"))
    write_tsv(
        tmp_path / "participants.tsv",
        [
            {"participant_id": "sub-01", "session_id": "ses-a", "age": "30"},
            {"participant_id": "sub-01", "session_id": "b", "age": "31"},
            {"participant_id": "sub-01", "session_id": "n/a", "age": "32"},
        ],
    )
    ages = [
        source.values["age"]
        for scan in open_dataset(tmp_path)
        for source in scan.sources
        if source.kind is SourceKind.PARTICIPANTS_TSV
    ]
    assert ages == ["30", "31", "32"]


def test_a_participant_without_a_row_has_no_source_of_that_kind(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    write_tsv(tmp_path / "participants.tsv", [{"participant_id": "sub-99", "age": "3"}])
    kinds = {source.kind for scan in open_dataset(tmp_path) for source in scan.sources}
    assert kinds == {SourceKind.SIDECAR, SourceKind.NAME}


def test_a_broken_sidecar_concerns_its_scan_alone(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    broken = tmp_path / "sub-02" / "anat" / "sub-02_T1w.json"
    broken.write_text('{"EchoTime": }')
    one, other = open_dataset(tmp_path)
    assert (one.problem, bool(one.sources)) == ("", True)
    assert "sub-02_T1w.json is not valid JSON" in other.problem


def test_a_broken_file_of_the_whole_dataset_stops_it(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    (tmp_path / "T1w.json").write_text('{"EchoTime": }')
    with pytest.raises(MetadataError, match=r"T1w\.json is not valid JSON"):
        open_dataset(tmp_path)


def test_a_path_with_dots_and_a_relative_path_open_the_same_dataset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_dataset(tmp_path / "data")
    expected = open_dataset(tmp_path / "data")
    assert open_dataset(tmp_path / "other" / ".." / "data") == expected
    monkeypatch.chdir(tmp_path)
    assert open_dataset(Path("data")) == expected


@pytest.mark.parametrize("version", ["BIDS 1.6.0", "1.10.0", "v1.8"])
def test_a_version_that_labs_really_write_is_accepted(tmp_path: Path, version: str) -> None:
    write_dataset(tmp_path)
    write_description(tmp_path, BIDSVersion=version)
    assert len(open_dataset(tmp_path)) == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "no dataset_description.json"),
        ("{", "not valid JSON"),
        ("[]", "lacks Name and BIDSVersion"),
        ('{"Name": "x"}', "lacks BIDSVersion"),
        ('{"Name": "x", "BIDSVersion": "1", "DatasetType": "derivative"}', "derivative"),
    ],
)
def test_what_is_no_raw_dataset_is_refused_unless_the_check_is_skipped(
    tmp_path: Path, content: str | None, said: str
) -> None:
    write_dataset(tmp_path)
    description = tmp_path / "dataset_description.json"
    description.unlink()
    if content is not None:
        description.write_text(content)
    with pytest.raises(InputError, match=said):
        open_dataset(tmp_path)
    assert len(open_dataset(tmp_path, validate=False)) == 2


def test_a_folder_that_is_none_or_holds_no_participant_is_refused(tmp_path: Path) -> None:
    write_description(tmp_path / "bare")
    (tmp_path / "bare" / "sub-01").mkdir()
    with pytest.raises(InputError, match="does not exist"):
        open_dataset(tmp_path / "none")
    with pytest.raises(InputError, match="is a file"):
        open_dataset(write_description(tmp_path / "empty"))
    with pytest.raises(InputError, match="no participant"):
        open_dataset(tmp_path / "empty")
    with pytest.raises(InputError, match="not one NIfTI image"):
        open_dataset(tmp_path / "bare")


def test_a_folder_above_or_below_the_dataset_is_told_where_it_is(tmp_path: Path) -> None:
    write_dataset(tmp_path / "study")
    with pytest.raises(InputError, match=r"such as .*study"):
        open_dataset(tmp_path)
    with pytest.raises(InputError, match=r"participant's folder; give the dataset's, .*study"):
        open_dataset(tmp_path / "study" / "sub-01")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["1"], "No participant sub-1 .*sub-01"),
        (["sub-10062ses1"], "Did you mean sub-10062Ses1"),
        (["zzzz"], "There are: sub-01, sub-10062Ses1"),
        (["01", "99", "98"], "sub-99, sub-98"),
    ],
)
def test_an_unknown_participant_is_named_with_the_nearest(
    tmp_path: Path, asked: list[str], said: str
) -> None:
    write_dataset(tmp_path, participants=("01", "10062Ses1"))
    with pytest.raises(InputError, match=f"(?s){said}"):
        open_dataset(tmp_path, participants=asked)


def test_an_unknown_session_is_named(tmp_path: Path) -> None:
    write_dataset(tmp_path, sessions=("pre", "post"))
    with pytest.raises(InputError, match=r"(?s)No session ses-prae.*ses-pre"):
        open_dataset(tmp_path, sessions=["prae"])
    write_dataset(tmp_path / "none")
    with pytest.raises(InputError, match="no sessions"):
        open_dataset(tmp_path / "none", sessions=["a"])


def test_sessions_of_other_participants_are_not_denied(tmp_path: Path) -> None:
    write_dataset(tmp_path, participants=("01",), sessions=("pre",))
    write_dataset(tmp_path, participants=("02",))
    said = r"(?s)No session ses-pre for sub-02.*no sessions for sub-02"
    with pytest.raises(InputError, match=said):
        open_dataset(tmp_path, participants=["02"], sessions=["pre"])


def test_where_nothing_matches_the_filters_and_what_there_is_are_named(tmp_path: Path) -> None:
    write_dataset(tmp_path, names=("T1w", "T2w"))
    with pytest.raises(InputError, match=r"suffix=FLAIR\|acq") as caught:
        open_dataset(tmp_path, filters={"suffix": ["FLAIR", "acq"]})
    assert "2 anat/T1w, 2 anat/T2w" in str(caught.value)


def test_a_participant_without_a_matching_scan_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_dataset(tmp_path)
    scan_path(tmp_path, "02").rename(scan_path(tmp_path, "02", name="T2w"))
    with caplog.at_level(logging.WARNING):
        open_dataset(tmp_path, participants=["01", "02"], filters={"suffix": "T1w"})
    assert "Participant 02 has no scan" in caplog.text


def test_opening_a_dataset_changes_nothing_in_it(tmp_path: Path) -> None:
    write_dataset(tmp_path, labels=True)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    open_dataset(tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_the_phantom_of_the_factory_has_a_structure_in_a_structure() -> None:
    labels = make_phantom((20, 20, 20)).labels
    assert (labels == 2).sum() > 0
    assert (labels == 1).sum() > (labels == 2).sum()


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "scans"),
    [
        ("gm-challenge", 16),
        ("spine-multicontrast", 6),
        ("hippocampus", 200),
        ("brain-samples", 7),
    ],
)
def test_every_scan_of_the_real_datasets_is_found(shared_data: Path, name: str, scans: int) -> None:
    found = open_dataset(shared_data / name)
    assert len(found) == scans
    assert all(scan.sources[0].kind is SourceKind.PARTICIPANTS_TSV for scan in found)


@pytest.mark.realdata
def test_the_field_strength_of_a_real_scan_is_found_in_sidecar_and_table(
    shared_data: Path,
) -> None:
    scans = open_dataset(shared_data / "gm-challenge", participants=["9418"])
    for scan in scans:
        table, sidecar, name = scan.sources
        assert table.values["Field Strength [T]"] == "3"
        assert sidecar.values == json.loads(
            (shared_data / "gm-challenge" / sidecar.file).read_text()
        )
        assert name.values["suffix"] == "T2starw"


@pytest.mark.realdata
def test_one_of_three_thousand_participants_is_found_with_its_row(shared_data: Path) -> None:
    (scan,) = open_dataset(shared_data / "brisc", participants=["te00001"])
    assert scan.sources[0].values["tumor_type"] == "glioma"
