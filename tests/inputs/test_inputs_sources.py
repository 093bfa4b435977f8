from __future__ import annotations

from pathlib import Path

import pytest
from support.bids_factory import scan_path, write_dataset, write_json, write_tsv

from bids_film.domain.entities import parse_name
from bids_film.domain.errors import MetadataError
from bids_film.domain.scan import SourceKind
from bids_film.inputs.dataset import open_dataset
from bids_film.inputs.sources import SourceReader


def _sidecars(root: Path, path: Path) -> list[str]:
    name = parse_name(path.name)
    assert name is not None
    return [
        file.relative_to(root).as_posix() for file in SourceReader(root).find_sidecars(path, name)
    ]


def test_a_sidecar_applies_where_suffix_and_all_its_entities_agree(tmp_path: Path) -> None:
    write_dataset(tmp_path, participants=("01",), names=("acq-x_run-1_T1w",))
    applying = [
        "sub-01/anat/sub-01_acq-x_run-1_T1w.json",
        "sub-01/sub-01_acq-x_T1w.json",
        "sub-01/sub-01_T1w.json",
        "acq-x_T1w.json",
        "T1w.json",
    ]
    others = [
        "sub-01/sub-01_run-2_T1w.json",
        "sub-01/sub-01_T2w.json",
        "sub-01/sub-02_T1w.json",
        "acq-y_T1w.json",
        "dataset_description.json",
        "T2w.json",
    ]
    for file in [*applying[1:], *others]:
        write_json(tmp_path / file, {"Name": "x", "BIDSVersion": "1"})
    assert _sidecars(tmp_path, scan_path(tmp_path, "01", name="acq-x_run-1_T1w")) == applying


def test_a_sidecar_outside_the_dataset_never_applies(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data", participants=("01",))
    write_json(tmp_path / "T1w.json", {"EchoTime": 1})
    assert _sidecars(root, scan_path(root, "01")) == ["sub-01/anat/sub-01_T1w.json"]


def test_the_table_of_the_session_comes_before_that_of_the_participant(tmp_path: Path) -> None:
    write_dataset(tmp_path, participants=("01",), sessions=("a",))
    folder = tmp_path / "sub-01"
    row = {"filename": "ses-a/anat/sub-01_ses-a_T1w.nii.gz", "from": "participant"}
    write_tsv(folder / "sub-01_scans.tsv", [row])
    row = {"filename": "./anat/sub-01_ses-a_T1w.nii.gz", "from": "session"}
    write_tsv(folder / "ses-a" / "sub-01_ses-a_scans.tsv", [row])
    write_json(tmp_path / "scans.json", {"from": {"Units": "level"}})
    (scan,) = open_dataset(tmp_path)
    rows = [source for source in scan.sources if source.kind is SourceKind.SCANS_TSV]
    assert [source.values["from"] for source in rows] == ["session", "participant"]
    assert rows[0].units == {"from": "level"}


@pytest.mark.parametrize(
    ("file", "column"),
    [
        ("participants.tsv", "participant_id"),
        ("sub-01/sub-01_sessions.tsv", "session_id"),
        ("sub-01/ses-a/sub-01_ses-a_scans.tsv", "filename"),
    ],
)
def test_a_table_without_its_column_of_labels_is_refused_by_name(
    tmp_path: Path, file: str, column: str
) -> None:
    write_dataset(tmp_path, participants=("01",), sessions=("a",))
    write_tsv(tmp_path / file, [{"age": "3"}])
    said = f"{file} has no column '{column}'"
    if file == "participants.tsv":
        with pytest.raises(MetadataError, match=said):
            open_dataset(tmp_path)
    else:
        (scan,) = open_dataset(tmp_path)
        assert said in scan.problem


def test_a_broken_data_dictionary_is_named(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    (tmp_path / "participants.json").write_text("{'age': 1}")
    with pytest.raises(MetadataError, match=r"participants\.json is not valid JSON"):
        open_dataset(tmp_path)


def test_a_participant_label_without_its_prefix_is_found_in_the_table(tmp_path: Path) -> None:
    write_dataset(tmp_path, participants=("0050",))
    write_tsv(tmp_path / "participants.tsv", [{"participant_id": "0050", "age": "40"}])
    (scan,) = open_dataset(tmp_path)
    assert scan.sources[0].values["age"] == "40"
