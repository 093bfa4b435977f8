from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from bids_film.metadata.catalogue import CATALOGUE, known_field
from bids_film.metadata.fields import CategoricalField, ContinuousField, Field
from bids_film.metadata.parse import Status, parse_value
from bids_film.metadata.units import convert, find_unit, format_number, list_units

json_like = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text()
    | st.from_regex(r"\s*[<>~]?[+-]?[0-9.,]{1,8}\s*[A-Za-z°µ+]{0,6}", fullmatch=True),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=5,
)
fields = st.sampled_from(tuple(CATALOGUE.values()))
continuous = [item for item in CATALOGUE.values() if isinstance(item, ContinuousField)]
units = st.none() | st.text() | st.sampled_from(["ms", "months", "mT", "n/a", "Years (decimal)"])


@given(fields, json_like, units)
@example(known_field("EchoTime"), 10**400, None)
@example(known_field("EchoTime"), 10**5000, None)
@example(known_field("site"), 10**5000, None)
@example(known_field("site"), [[10**5000], 1], None)
@example(known_field("age"), "\ud800", None)
@example(known_field("age"), "१२", None)
def test_parsing_never_raises_and_a_value_is_given_exactly_where_it_is_usable(
    field: Field, raw: Any, unit: str | None
) -> None:
    parsed = parse_value(field, raw, unit=unit)
    assert parsed.status.usable == (parsed.value is not None)
    if parsed.status not in (Status.USED, Status.MISSING):
        assert parsed.note
    if isinstance(field, ContinuousField) and parsed.value is not None:
        assert isinstance(parsed.value, float)
        assert field.plausible[0] <= parsed.value <= field.plausible[1]
    if isinstance(field, CategoricalField) and parsed.value is not None:
        assert isinstance(parsed.value, str)
        assert not field.levels or parsed.value in field.levels


@given(fields, json_like, units)
def test_a_list_of_one_is_its_value(field: Field, raw: Any, unit: str | None) -> None:
    assert parse_value(field, [raw], unit=unit) == parse_value(field, raw, unit=unit)


@given(st.sampled_from(continuous), st.data())
def test_a_plausible_number_is_the_same_as_number_text_and_text_with_its_unit(
    field: ContinuousField, data: st.DataObject
) -> None:
    number = data.draw(st.floats(*field.plausible))
    parsed = parse_value(field, number)
    assert parsed.status.usable
    assert parse_value(field, repr(number)) == parsed
    assert parse_value(field, f" {number!r} {field.unit}") == parsed
    if not field.nominal:
        assert parsed.value == number
        assert parsed.status is Status.USED


@given(st.sampled_from([item for item in continuous if item.unit]), st.data())
def test_a_number_in_another_unit_is_converted_whether_text_or_dictionary_tells_the_unit(
    field: ContinuousField, data: st.DataObject
) -> None:
    unit = data.draw(st.sampled_from(list_units(field.unit)[1:]))
    number = data.draw(st.floats(*field.plausible)) / convert(1.0, unit, field.unit)
    told = parse_value(field, number, unit=unit.symbol)
    written = parse_value(field, f"{number!r} {unit.symbol.upper()}")
    assert told == written
    if told.status.usable:
        assert isinstance(told.value, float)
        expected = convert(number, unit, field.unit)
        assert told.value == pytest.approx(expected, rel=0.06 if field.nominal else 1e-9)


@given(st.sampled_from(continuous), st.floats(allow_nan=False))
def test_a_number_that_cannot_be_right_is_never_used(field: ContinuousField, number: float) -> None:
    low, high = field.plausible
    if not low <= number <= high:
        parsed = parse_value(field, number)
        assert parsed.status in (Status.IMPLAUSIBLE, Status.INVALID)
        assert parsed.value is None


@pytest.mark.parametrize(
    "raw",
    ["n/a", "N/A", "NaN", "nan", "", "  ", "unknown", "Not Available", "NA", "None", "-", "?",
     None, float("nan"), [], [""], [None], ["n/a"]],
)  # fmt: skip
@pytest.mark.parametrize("name", ["EchoTime", "Manufacturer", "site"])
def test_what_says_that_nothing_is_known_is_missing(name: str, raw: Any) -> None:
    parsed = parse_value(known_field(name), raw)
    assert (parsed.status, parsed.value) == (Status.MISSING, None)


@pytest.mark.parametrize(
    ("name", "raw", "value"),
    [
        ("Manufacturer", "SIEMENS ", "Siemens"),
        ("Manufacturer", "Siemens Healthineers", "Siemens"),
        ("Manufacturer", "siemens_healthineers", "Siemens"),
        ("Manufacturer", "GE MEDICAL SYSTEMS", "GE"),
        ("Manufacturer", "Philips Medical Systems", "Philips"),
        ("Manufacturer", "TOSHIBA_MEC", "Canon"),
        ("Manufacturer", "Germany", None),
        ("SkullStripped", True, "true"),
        ("SkullStripped", "Yes", "true"),
        ("SkullStripped", 0.0, "false"),
        ("MRAcquisitionType", "3d", "3D"),
        ("sex", "m", "M"),
        ("sex", "FEMALE ", "F"),
        ("sex", 1, None),
        ("sex", "2", None),
        ("site", "  St.  Mary's ", "St. Mary's"),
        ("site", 3, "3"),
        ("site", 3.0, "3"),
        ("site", "007", "007"),
        ("suffix", "T2star", "T2starw"),
        ("suffix", "inplaneT2", "inplaneT2"),
    ],
)
def test_levels_as_labs_write_them(name: str, raw: Any, value: str | None) -> None:
    parsed = parse_value(known_field(name), raw)
    assert parsed.value == value
    assert parsed.status is (Status.UNKNOWN_LEVEL if value is None else Status.USED)


def test_a_number_for_a_level_is_explained() -> None:
    assert "numbers stand for other things" in parse_value(known_field("sex"), 1).note


def test_a_declared_level_may_be_called_none_but_na_is_always_missing() -> None:
    field = CategoricalField(name="agent", levels=("none", "given", "n/a"))
    assert parse_value(field, "None").value == "none"
    assert parse_value(field, "n/a").status is Status.MISSING


@pytest.mark.parametrize(
    ("name", "raw", "value", "status"),
    [
        ("MagneticFieldStrength", 1.494, 1.5, Status.CONVERTED),
        ("MagneticFieldStrength", 2.89362, 3.0, Status.CONVERTED),
        ("MagneticFieldStrength", "3T", 3.0, Status.USED),
        ("MagneticFieldStrength", "3,0 Tesla", 3.0, Status.USED),
        ("MagneticFieldStrength", "15000 gauss", 1.5, Status.CONVERTED),
        ("MagneticFieldStrength", 7, 7.0, Status.USED),
        ("MagneticFieldStrength", 2.0, 2.0, Status.USED),
        ("EchoTime", [0.03], 0.03, Status.USED),
        ("EchoTime", "30 ms", 0.03, Status.CONVERTED),
        ("RepetitionTime", "2300 msec.", 2.3, Status.CONVERTED),
        ("age", "45Y", 45.0, Status.USED),
        ("age", "045Y", 45.0, Status.USED),
        ("age", "018M", 1.5, Status.CONVERTED),
        ("age", "89+", 89.0, Status.CONVERTED),
        ("age", "≥ 89 years", 89.0, Status.CONVERTED),
        ("age", "0", 0.0, Status.USED),
        ("FlipAngle", "90°", 90.0, Status.USED),
        ("SliceThickness", "0.1 cm", 1.0, Status.CONVERTED),
        ("VoxelVolume", "1 mm³", 1.0, Status.USED),
    ],
)
def test_numbers_as_labs_write_them(name: str, raw: Any, value: float, status: Status) -> None:
    parsed = parse_value(known_field(name), raw)
    assert (parsed.value, parsed.status) == (value, status)
    assert bool(parsed.note) == (status is Status.CONVERTED)


@pytest.mark.parametrize(
    ("name", "raw", "note"),
    [
        ("EchoTime", 30, "30 s is outside 0.00001–1 s; 30 ms would be 0.03"),
        ("RepetitionTime", "2300", "2300 ms would be 2.3"),
        ("MagneticFieldStrength", 15000, "15000 G would be 1.5"),
        ("MagneticFieldStrength", 3000, "3000 mT would be 3"),
        ("MagneticFieldStrength", 123.2, "123.2 MHz would be 2.89"),
        ("age", 540, "540 years is outside 0–120 years; 540 months would be 45"),
        ("age", -999, "a missing value, which is written n/a"),
        ("FlipAngle", 0.05, "0.05 rad would be 2.86"),
        ("SliceThickness", 0.003, "0.003 m would be 3"),
    ],
)
def test_the_likely_mistake_is_named_with_the_corrected_value(
    name: str, raw: Any, note: str
) -> None:
    parsed = parse_value(known_field(name), raw)
    assert (parsed.status, parsed.value) == (Status.IMPLAUSIBLE, None)
    assert note in parsed.note


@pytest.mark.parametrize(
    "raw",
    [True, [0.01, 0.02], {"value": 3}, "20-30", "1,500", "1.5.2", "3 apples", "inf", math.inf,
     "0x1", "<5", "45 years 6 months"],
)  # fmt: skip
def test_what_is_not_one_number_is_invalid(raw: Any) -> None:
    for name in ("EchoTime", "age", "EchoTrainLength"):
        parsed = parse_value(known_field(name), raw)
        assert parsed.status is Status.INVALID
        assert parsed.note


@pytest.mark.parametrize(
    ("raw", "unit", "value", "status"),
    [
        (540, "months", 45.0, Status.CONVERTED),
        ("540", "Months", 45.0, Status.CONVERTED),
        ("24", "years at the scan", 24.0, Status.USED),
        ("24", "in Years (decimal)", 24.0, Status.USED),
        ("24 y", "months", 24.0, Status.USED),
        ("24", "n/a", 24.0, Status.USED),
        ("0", "months", 0.0, Status.USED),
    ],
)
def test_the_unit_of_a_data_dictionary_is_heeded(
    raw: Any, unit: str, value: float, status: Status
) -> None:
    parsed = parse_value(known_field("age"), raw, unit=unit)
    assert (parsed.value, parsed.status) == (value, status)


@pytest.mark.parametrize("unit", ["moons", "years or months"])
def test_a_number_in_a_unit_that_is_not_known_is_not_used(unit: str) -> None:
    parsed = parse_value(known_field("age"), 5, unit=unit)
    assert (parsed.value, parsed.status) == (None, Status.INVALID)
    assert f"the unit '{unit}' is not known: expected a number (in year" in parsed.note


def test_a_unit_of_a_mere_number_is_told() -> None:
    parsed = parse_value(known_field("EchoTrainLength"), 5, unit="moons")
    assert parsed.value == 5
    assert "'moons' is not known" in parsed.note


def test_a_field_may_have_a_unit_of_its_own_or_another_one_of_a_dimension() -> None:
    score = ContinuousField(name="score", unit="points", plausible=(0, 10))
    assert parse_value(score, "5 Points").value == 5
    assert parse_value(score, 5, unit="points").note == ""
    assert parse_value(score, "5 years").status is Status.INVALID
    minutes = ContinuousField(name="duration", unit="min", plausible=(0.1, 100))
    assert parse_value(minutes, "90 s").value == 1.5


def test_numpy_numbers_are_numbers() -> None:
    np = pytest.importorskip("numpy")
    assert parse_value(known_field("EchoTime"), np.float32(0.5)).value == 0.5
    assert parse_value(known_field("age"), np.int64(45)).value == 45.0
    assert parse_value(known_field("site"), np.int64(45)).value == "45"


@given(
    st.text(), st.sampled_from(["s", "T", "mm", "mm^3", "degree", "year", "Hz", "kg", "", "apples"])
)
def test_a_unit_that_is_found_is_of_the_field_s_dimension(text: str, like: str) -> None:
    unit = find_unit(text, like)
    assert unit is None or unit in list_units(like)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_written_number_is_the_number_to_six_digits(number: float) -> None:
    assert float(format_number(number)) == pytest.approx(number, rel=1e-5, abs=1e-12)
