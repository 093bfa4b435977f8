from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.domain.errors import UsageError
from bids_film.domain.records import check_key, convert, from_mapping


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    share: float = 0.5
    flag: bool = False

    def __post_init__(self) -> None:
        if self.share > 1:
            raise UsageError(f"expected a share, got {self.share}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    name: str
    count: int = 1
    size: float | None = None
    dimensions: Literal[2, 3] = 3
    channels: tuple[int, ...] = (1, 2)
    pair: tuple[float, float] = (0.0, 1.0)
    filters: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)
    extra: Inner | None = None
    anything: Any = None


def read(**content: Any) -> Outer:
    return from_mapping(Outer, {"name": "x", **content}, where="file.toml")


def test_defaults_stand_where_nothing_is_given() -> None:
    assert read() == Outer(name="x")


def test_lists_become_tuples_tables_dataclasses_and_integers_numbers() -> None:
    found = read(channels=[4, 8], pair=[1, 2], size=3, inner={"share": 1}, extra={"flag": True})
    assert found.channels == (4, 8)
    assert found.pair == (1.0, 2.0)
    assert isinstance(found.pair[0], float)
    assert isinstance(found.size, float)
    assert found.inner == Inner(share=1.0)
    assert found.extra == Inner(flag=True)


def test_a_mapping_may_hold_texts_and_lists_of_texts() -> None:
    filters = {"suffix": ["T1w", "T2w"], "acq": "a"}
    assert read(filters=filters).filters == {"suffix": ("T1w", "T2w"), "acq": "a"}


@given(
    st.builds(
        Outer,
        name=st.text(),
        count=st.integers(),
        size=st.none() | st.floats(allow_nan=False),
        dimensions=st.sampled_from([2, 3]),
        channels=st.lists(st.integers()).map(tuple),
        inner=st.builds(Inner, share=st.floats(max_value=1, allow_nan=False), flag=st.booleans()),
        extra=st.none() | st.builds(Inner, flag=st.booleans()),
        anything=st.none() | st.text() | st.integers(),
    )
)
def test_a_record_survives_the_way_through_plain_values(record: Outer) -> None:
    assert from_mapping(Outer, asdict(record), where="here") == record


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"chanels": [1]}, r"file\.toml: unknown key 'chanels'\n  → did you mean 'channels'\?"),
        ({"zzzz": 1}, "known keys: name, count"),
        ({"count": 1.5}, r"file\.toml: count: expected int, got 1\.5"),
        ({"count": True}, "count: expected int, got True"),
        ({"size": False}, "size: expected float, got False"),
        ({"name": 3}, "name: expected str, got 3"),
        ({"dimensions": 4}, "dimensions: expected one of 2, 3, got 4"),
        ({"channels": 4}, "channels: expected a list, got 4"),
        ({"channels": ["4"]}, "channels: expected int, got '4'"),
        ({"pair": [1, 2, 3]}, "pair: expected 2 values, got 3"),
        ({"filters": [1]}, "filters: expected a table"),
        ({"inner": 4}, "inner: expected a table of keys and values, got 4"),
        ({"inner": {"sahre": 1}}, r"file\.toml: inner: unknown key 'sahre'"),
        ({"inner": {"share": 2}}, "expected a share, got 2"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(content: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read(**content)


def test_a_missing_key_is_named() -> None:
    with pytest.raises(UsageError, match=r"file\.toml: missing name"):
        from_mapping(Outer, {}, where="file.toml")


def test_a_mistake_in_an_optional_table_is_named_and_not_that_it_could_be_absent() -> None:
    with pytest.raises(UsageError, match="extra: unknown key 'sahre'"):
        read(extra={"sahre": 1})
    assert read(extra=None).extra is None


def test_a_choice_of_integers_takes_no_number_that_only_equals_one() -> None:
    for value in (3.0, True, "3"):
        with pytest.raises(UsageError, match="expected one of 2, 3"):
            read(dimensions=value)


def test_an_integer_too_large_for_a_number_is_an_error_like_any_other() -> None:
    with pytest.raises(UsageError, match="size: the number is too large"):
        read(size=10**400)


def test_no_value_of_a_file_ends_in_another_error() -> None:
    @given(
        st.sampled_from([item for item in Outer.__dataclass_fields__ if item != "anything"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(), part, max_size=2),
            max_leaves=5,
        ),
    )
    def check(key: str, value: Any) -> None:
        with contextlib.suppress(UsageError):
            read(**{key: value})

    check()


def test_check_key_and_convert_can_be_used_by_themselves() -> None:
    check_key("a", ["a", "b"], where="here")
    with pytest.raises(UsageError, match="here: unknown key 'c'"):
        check_key("c", ["a", "b"], where="here")
    assert convert(tuple[float, ...], [1, 2.5], where="here") == (1.0, 2.5)
