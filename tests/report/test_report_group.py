from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

from group_scenes import HOSTILE, make_members, write_group_page
from support.cohorts import make_group

from bids_film.domain.segmentation import RecordedValue
from bids_film.report.group import _read_cell, _shorten, describe_content, find_coverage
from bids_film.workflow.group import GroupScans, make_rows


def test_coverage_counts_what_is_known_and_why_the_rest_is_not() -> None:
    first, *others = make_members(4)
    missing = RecordedValue(field="Manufacturer", status="missing")
    (coverage,) = find_coverage([replace(first, values=(missing,)), *others])
    assert (coverage.field, coverage.scans, coverage.used) == ("Manufacturer", 4, 3)
    assert coverage.others == (("missing", 1),)
    assert coverage.values == "Philips (2), Siemens (1)"


def test_numbers_are_summed_up_with_their_unit() -> None:
    members = [
        replace(
            member,
            values=(
                RecordedValue(field="EchoTime", value=10.0 + number, unit="ms", status="used"),
            ),
        )
        for number, member in enumerate(make_members(3))
    ]
    (coverage,) = find_coverage(members)
    assert coverage.values == "10 to 12, median 11 ms"


def test_cells_of_participants_tsv_are_numbers_only_where_they_are_no_labels() -> None:
    assert _read_cell("31.5") == 31.5
    assert _read_cell("0050") == "0050"
    assert _read_cell("n/a") is None
    assert _read_cell("nan") == "nan"
    assert _read_cell("0.5") == 0.5
    assert _read_cell("1_2") == "1_2"
    assert _shorten("participants.tsv scanned", 20210314.0) == 20210314.0


def test_an_outlier_does_not_hide_itself_and_few_scans_are_not_rated() -> None:
    rows = make_rows(GroupScans(segmentations=make_members(12)))
    far = max(rows, key=lambda row: abs(float(row["farthest_robust_z"] or 0)))
    assert far["participant_id"] == "sub-00004"
    few = make_rows(GroupScans(segmentations=make_members(4)))
    assert {row["farthest_robust_z"] for row in few} == {None}


def test_rows_are_sorted_and_tell_what_is_not_in_the_numbers() -> None:
    rows = make_rows(
        GroupScans(
            segmentations=make_members(2)[1:],
            excluded={"sub-00001/anat/sub-00001_T2starw.nii.gz": "moved"},
            skipped=["00009"],
        )
    )
    assert [row["status"] for row in rows] == ["excluded", "done", "skipped"]
    assert rows[0]["reason"] == "rejected in review: moved"


def test_a_scan_that_was_excluded_is_linked_where_it_is_shown() -> None:
    members = make_members(3)
    scans = GroupScans(
        segmentations=members[1:],
        excluded={members[0].scan: "moved"},
        skipped=["00009"],
        outputs={item.scan: item.labels_file for item in members},
    )
    structures = [item.structure for item in members[0].volumes]
    page = make_group(tuple(structures), members[1:])
    page = replace(page, rows=make_rows(scans), outputs=scans.outputs)
    first, *_, last = describe_content(page)["links"]
    stem = members[0].labels_file.rpartition("/")[2].partition(".")[0]
    assert first == f"{members[0].labels_file.partition('/')[0]}.html#{stem}"
    assert last == ""


def test_text_of_a_dataset_can_end_no_script(tmp_path: Path) -> None:
    text = write_group_page(tmp_path, 3, hostile=True).read_text(encoding="utf-8")
    assert HOSTILE not in text
    content = re.search(r'id="content">(.*?)</script>', text, flags=re.DOTALL)
    assert content is not None
    assert json.loads(content[1])["comparedWith"] == HOSTILE
