from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.domain.errors import UsageError
from bids_film.domain.scan import SourceKind
from bids_film.metadata.catalogue import known_field
from bids_film.metadata.overrides import check_overrides, read_overrides

FIELDS = tuple(known_field(name) for name in ("EchoTime", "Manufacturer", "age"))


@given(
    st.dictionaries(
        st.text(min_size=1).filter(lambda name: name.strip() == name and "=" not in name),
        st.text().map(str.strip),
    )
)
def test_assignments_are_read_as_they_were_written(values: dict[str, str]) -> None:
    source = read_overrides([f" {name} = {value} " for name, value in values.items()])
    assert dict(source.values) == values
    assert (source.kind, source.file) == (SourceKind.COMMAND_LINE, "")


def test_a_value_may_hold_an_equals_sign() -> None:
    assert read_overrides(["acq=a=b"]).values == {"acq": "a=b"}


@pytest.mark.parametrize("assignment", ["EchoTime", "=3", "", " = "])
def test_what_is_no_assignment_is_refused(assignment: str) -> None:
    with pytest.raises(UsageError, match="expected FIELD=VALUE"):
        read_overrides([assignment])


def test_two_values_for_a_field_are_refused_and_the_same_one_twice_is_not() -> None:
    with pytest.raises(UsageError, match="'1' and as '2'"):
        read_overrides(["age=1", "age=2"])
    assert read_overrides(["age=1", "age=1"]).values == {"age": "1"}


def test_a_typed_name_that_is_no_field_of_the_model_is_refused_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'EchoTime'"):
        check_overrides(read_overrides(["EchoTme=0.03"]), FIELDS)
    with pytest.raises(UsageError, match="EchoTime, Manufacturer, age"):
        check_overrides(read_overrides(["zzz=0.03"]), FIELDS)
    with pytest.raises(UsageError, match="reads no metadata"):
        check_overrides(read_overrides(["age=3"]), ())


@pytest.mark.parametrize("assignment", ["EchoTime=30", "Manufacturer=Lego", "age=old"])
def test_a_typed_value_that_cannot_be_used_is_refused(assignment: str) -> None:
    with pytest.raises(UsageError, match=assignment):
        check_overrides(read_overrides([assignment]), FIELDS)


def test_what_can_be_used_or_withholds_a_field_is_accepted() -> None:
    check_overrides(read_overrides(["TE=30ms", "Manufacturer=n/a", "age=45Y"]), FIELDS)
