from __future__ import annotations

import json
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.domain.errors import UsageError
from bids_film.inputs.filters import matches, parse_filters, read_filter_file, with_defaults

_PARTS = {"sub": "0050", "acq": "a", "run": "01", "suffix": "T1w", "datatype": "anat"}
_LABELS = st.text(string.ascii_letters + string.digits, min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ({}, True),
        ({"suffix": "T1w"}, True),
        ({"suffix": ["T2w", "T1w"]}, True),
        ({"suffix": ["T2w", "T2starw"]}, False),
        ({"acquisition": "*"}, True),
        ({"acq": None}, False),
        ({"session": None}, True),
        ({"session": "*"}, False),
        ({"session": [None, "a"]}, True),
        ({"subject": "50"}, False),
        ({"subject": "sub-0050"}, True),
        ({"run": 1}, True),
        ({"run": "1"}, True),
        ({"run": "02"}, False),
        ({"acq": "A"}, False),
        ({"suffix": "T1w", "acq": None}, False),
    ],
)
def test_a_scan_matches_where_every_filter_does(filters: dict[str, object], expected: bool) -> None:  # noqa: FBT001
    assert matches(parse_filters(filters), _PARTS) is expected


@given(_LABELS, st.lists(_LABELS, min_size=1))
def test_a_value_matches_a_list_exactly_where_it_is_in_it(value: str, wanted: list[str]) -> None:
    assert matches(parse_filters({"acq": wanted}), {"acq": value}) is (value in wanted)


@given(_LABELS)
def test_absent_and_any_divide_all_scans_between_them(value: str) -> None:
    absent, present = parse_filters({"ce": None}), parse_filters({"ce": "*"})
    assert matches(present, {"ce": value})
    assert not matches(absent, {"ce": value})
    assert matches(absent, {})
    assert not matches(present, {})


def test_without_a_datatype_anat_is_meant() -> None:
    assert with_defaults(parse_filters({"suffix": "T1w"})).wanted["datatype"] == ("anat",)
    assert with_defaults(parse_filters({"datatype": "dwi"})).wanted["datatype"] == ("dwi",)


@pytest.mark.parametrize(
    ("filters", "said"),
    [
        ({"sufix": "T1w"}, "Did you mean 'suffix'"),
        ({"aquisition": "a"}, "Did you mean 'acquisition'"),
        ({"t1w": {"suffix": "T1w"}}, "not a BIDS entity"),
        ({"suffix": {"a": 1}}, "no named queries"),
        ({"run": 1.5}, "1.5"),
        ({"run": True}, "True"),
        ({"suffix": []}, "empty list"),
        ({"acq": "a", "acquisition": "b"}, "twice"),
    ],
)
def test_filters_that_cannot_be_meant_are_refused(filters: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse_filters(filters)


def test_a_filter_file_is_read_with_null_as_absent(tmp_path: Path) -> None:
    file = tmp_path / "filters.json"
    file.write_text(json.dumps({"acquisition": None, "suffix": "T1w"}))
    assert read_filter_file(file) == {"acq": [None], "suffix": ["T1w"]}


@pytest.mark.parametrize(
    ("content", "said"),
    [("{", "not valid JSON"), ("[1]", "list"), ('{"sufix": 1}', "filters.json.*sufix")],
)
def test_a_filter_file_that_is_none_names_itself(tmp_path: Path, content: str, said: str) -> None:
    file = tmp_path / "filters.json"
    file.write_text(content)
    with pytest.raises(UsageError, match=said) as caught:
        read_filter_file(file)
    assert "filters.json" in str(caught.value)


def test_a_filter_file_that_is_absent_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        read_filter_file(tmp_path / "none.json")
