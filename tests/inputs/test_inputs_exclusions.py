from __future__ import annotations

import json
from pathlib import Path

import pytest

from bids_film.domain.errors import BidsFilmError, UsageError
from bids_film.inputs.exclusions import read_exclusions

REVIEW = [
    {"scan": "sub-01/anat/sub-01_T1w.nii.gz", "decision": "reject", "note": "moved"},
    {"scan": "sub-02/anat/sub-02_T1w.nii.gz", "decision": "accept", "note": "n/a"},
    {"scan": "sub-03/anat/sub-03_T1w.nii.gz", "decision": "undecided", "note": "ask"},
    {"scan": "sub-04/anat/sub-04_T1w.nii.gz", "decision": "reject", "note": "n/a"},
]


def write_tsv(path: Path, rows: list[dict[str, str]]) -> Path:
    lines = ["\t".join(rows[0]), *("\t".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_both_forms_of_a_review_leave_out_what_was_rejected(tmp_path: Path) -> None:
    (tmp_path / "review.json").write_text(json.dumps(REVIEW))
    expected = {REVIEW[0]["scan"]: "moved", REVIEW[3]["scan"]: ""}
    assert read_exclusions(tmp_path / "review.json") == expected
    assert read_exclusions(write_tsv(tmp_path / "review.tsv", REVIEW)) == expected


def test_a_list_without_decisions_leaves_out_every_scan_in_it(tmp_path: Path) -> None:
    rows = [{"scan": row["scan"]} for row in REVIEW]
    assert len(read_exclusions(write_tsv(tmp_path / "bad.tsv", rows))) == len(REVIEW)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.json", "[", "cannot be read as JSON"),
        ("a.json", '{"scan": "x"}', "list of objects"),
        ("a.json", '[{"file": "x"}]', "list of objects"),
        ("a.tsv", "file\nx\n", "no column 'scan'"),
        ("a.tsv", "scan\tdecision\nx\tmaybe\n", "expected accept or reject"),
    ],
)
def test_a_file_that_is_no_such_list_says_what_is_wrong(
    tmp_path: Path, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(BidsFilmError, match=said):
        read_exclusions(tmp_path / name)


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.tsv is not there"):
        read_exclusions(tmp_path / "nowhere.tsv")


@pytest.mark.parametrize("name", ["review.tsv", "review.json"])
def test_keys_are_read_in_any_case(tmp_path: Path, name: str) -> None:
    rows = [{key.capitalize(): value for key, value in row.items()} for row in REVIEW]
    rows = [{"scan": row.pop("Scan"), **row} for row in rows]
    path = tmp_path / name
    if path.suffix == ".json":
        path.write_text(json.dumps(rows))
    else:
        write_tsv(path, rows)
    assert read_exclusions(path) == {REVIEW[0]["scan"]: "moved", REVIEW[3]["scan"]: ""}


def test_a_path_from_the_current_folder_is_that_of_the_scan(tmp_path: Path) -> None:
    path = write_tsv(tmp_path / "bad.tsv", [{"scan": f"./{REVIEW[0]['scan']}"}])
    assert list(read_exclusions(path)) == [REVIEW[0]["scan"]]
