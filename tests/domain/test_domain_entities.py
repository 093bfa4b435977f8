from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.domain.entities import ENTITY_ORDER, BidsName, format_name, parse_name

_VALUES = st.text(string.ascii_letters + string.digits + "+", min_size=1, max_size=8)
_KEYS = st.sampled_from(ENTITY_ORDER) | st.text(string.ascii_lowercase, min_size=2, max_size=5)
_NAMES = st.builds(
    lambda entities, suffix, extension: BidsName(
        entities=entities, suffix=suffix, extension=extension
    ),
    st.dictionaries(_KEYS, _VALUES, min_size=1, max_size=6),
    st.text(string.ascii_letters + string.digits, min_size=1, max_size=8),
    st.sampled_from(["", ".nii", ".nii.gz", ".json"]),
)


@given(_NAMES)
def test_a_name_that_is_written_and_read_has_lost_nothing(name: BidsName) -> None:
    read = parse_name(format_name(name))
    assert read is not None
    assert dict(read.entities) == dict(name.entities)
    assert (read.suffix, read.extension) == (name.suffix, name.extension)


@given(_NAMES)
def test_known_entities_come_in_the_order_of_the_specification(name: BidsName) -> None:
    read = parse_name(format_name(name))
    assert read is not None
    known = [key for key in read.entities if key in ENTITY_ORDER]
    assert known == sorted(known, key=ENTITY_ORDER.index)
    assert list(read.entities)[: len(known)] == known


@given(_NAMES)
def test_writing_twice_changes_nothing(name: BidsName) -> None:
    once = format_name(name)
    again = parse_name(once)
    assert again is not None
    assert format_name(again) == once


@given(
    st.from_regex(
        r"([a-z]{2,3}-[A-Za-z0-9+]{1,4}_){1,4}[A-Za-z0-9]{1,6}(\.[a-z]{2,4}){0,2}", fullmatch=True
    )
    | st.text(max_size=40)
)
def test_any_text_is_a_name_that_is_rewritten_with_the_same_parts_or_none(text: str) -> None:
    name = parse_name(text)
    if name is not None:
        written = parse_name(format_name(name))
        assert written is not None
        assert dict(written.entities) == dict(name.entities)
        assert len(format_name(name)) == len(text)


@pytest.mark.parametrize("label", ["0050", "007", "1e5", "+1", "NaN", "true"])
def test_labels_that_look_like_numbers_stay_text(label: str) -> None:
    name = parse_name(f"sub-{label}_T1w.nii.gz")
    assert name is not None
    assert name.entities == {"sub": label}


@pytest.mark.parametrize(
    "text",
    [
        "T1w.json",
        "participants.tsv",
        "sub-01_sub-02_T1w.nii.gz",
        "sub-01.nii.gz",
        "sub-01_T1w_seg-manual.nii.gz",
        "sub-01__T1w.nii.gz",
        "sub-_T1w.nii.gz",
        "sub-a-b_T1w.nii.gz",
        "",
    ],
)
def test_what_is_no_bids_name_is_none(text: str) -> None:
    assert parse_name(text) is None
