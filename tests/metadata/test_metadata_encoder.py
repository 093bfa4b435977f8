from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.domain.errors import MetadataError, ModelFileError
from bids_film.metadata.catalogue import known_field
from bids_film.metadata.encoder import Encoder
from bids_film.metadata.fields import CategoricalField, ContinuousField
from bids_film.metadata.parse import Status, parse_value
from bids_film.metadata.resolve import FieldValue
from bids_film.metadata.units import format_range

FIELDS = tuple(known_field(n) for n in ("MagneticFieldStrength", "Manufacturer", "site", "age"))
ROWS: list[dict[str, str | float | None]] = [
    {"MagneticFieldStrength": 1.5, "Manufacturer": "Siemens", "site": "UCL", "age": 20.0},
    {"MagneticFieldStrength": 3.0, "Manufacturer": "Philips", "site": "Milan", "age": 40.0},
    {"MagneticFieldStrength": 3.0, "Manufacturer": None, "site": "ucl ", "age": None},
    {"MagneticFieldStrength": 3.0, "site": "UCL", "age": 60.0},
]
ENCODER = Encoder.fit(FIELDS, ROWS)

values = st.fixed_dictionaries(
    {},
    optional={
        "MagneticFieldStrength": st.none() | st.floats(0.02, 25),
        "Manufacturer": st.none() | st.sampled_from(["Siemens", "Philips", "GE"]),
        "site": st.none() | st.sampled_from(["UCL", "Milan", "ucl", "elsewhere"]),
        "age": st.none() | st.floats(0, 120),
    },
)


def test_each_field_has_its_span_and_the_spans_fill_the_vector() -> None:
    assert ENCODER.spans == ((0, 2), (2, 4), (4, 6), (6, 8))
    assert ENCODER.width == 8
    encoded = ENCODER.encode(ROWS[0])
    assert encoded.vector.shape == (8,)
    assert encoded.known.shape == (4,)
    assert encoded.vector.dtype == encoded.known.dtype == np.float32


def test_values_are_standardised_and_levels_are_one_hot() -> None:
    encoded = ENCODER.encode({"age": 40.0, "Manufacturer": "Philips", "site": "UCL"})
    np.testing.assert_array_equal(encoded.vector, [0, 0, 0, 1, 0, 1, 0, 1])
    np.testing.assert_array_equal(encoded.known, [0, 1, 1, 1])
    seen = [ENCODER.encode(row).vector[0] for row in ROWS]
    assert np.mean(seen) == pytest.approx(0, abs=1e-6)
    assert np.std(seen) == pytest.approx(1, abs=1e-6)


def test_a_log_scale_sees_ratios() -> None:
    field = known_field("EchoTime")
    encoder = Encoder.fit([field], [{"EchoTime": 0.01}, {"EchoTime": 0.1}])
    z = [encoder.encode({"EchoTime": te}).vector[0] for te in (0.01, math.sqrt(0.001), 0.1)]
    np.testing.assert_allclose(z, [-1, 0, 1], atol=1e-6)


@given(values, st.sets(st.sampled_from([field.name for field in FIELDS])))
def test_a_field_that_is_withheld_is_zero_and_leaves_the_others_as_they_are(
    given_values: dict[str, Any], withheld: set[str]
) -> None:
    whole = ENCODER.encode(given_values)
    part = ENCODER.encode({k: v for k, v in given_values.items() if k not in withheld})
    none = ENCODER.encode({k: None if k in withheld else v for k, v in given_values.items()})
    np.testing.assert_array_equal(part.vector, none.vector)
    np.testing.assert_array_equal(part.known, none.known)
    for index, (field, (start, stop)) in enumerate(zip(FIELDS, ENCODER.spans, strict=True)):
        if field.name in withheld:
            assert not part.vector[start:stop].any()
            assert part.known[index] == 0
        else:
            np.testing.assert_array_equal(part.vector[start:stop], whole.vector[start:stop])
            assert part.known[index] == whole.known[index]


@given(values)
def test_a_span_is_zero_exactly_where_the_field_is_not_known(given_values: dict[str, Any]) -> None:
    encoded = ENCODER.encode(given_values)
    for known, (start, stop) in zip(encoded.known, ENCODER.spans, strict=True):
        assert bool(known) == bool(encoded.vector[start:stop].any())


@given(st.floats(1e-3, 1e3))
def test_numbers_are_clamped_to_the_training_range(age: float) -> None:
    clamped = min(max(age, 20.0), 60.0)
    np.testing.assert_array_equal(
        ENCODER.encode({"age": age}).vector, ENCODER.encode({"age": clamped}).vector
    )


@given(values)
def test_an_encoder_survives_json_text(given_values: dict[str, Any]) -> None:
    again = Encoder.from_dict(json.loads(json.dumps(ENCODER.to_dict())))
    assert again == ENCODER
    np.testing.assert_array_equal(
        again.encode(given_values).vector, ENCODER.encode(given_values).vector
    )


def test_only_levels_that_training_had_are_kept_in_the_declared_order_with_their_aliases() -> None:
    fitted = ENCODER.fields[1]
    assert isinstance(fitted, CategoricalField)
    assert fitted.levels == ("Siemens", "Philips")
    assert parse_value(fitted, "SIEMENS HEALTHINEERS").value == "Siemens"
    assert parse_value(fitted, "GE MEDICAL SYSTEMS").status is Status.UNKNOWN_LEVEL


def test_spellings_of_one_level_are_one_level_and_the_most_frequent_gives_the_name() -> None:
    fitted = ENCODER.fields[2]
    assert isinstance(fitted, CategoricalField)
    assert fitted.levels == ("Milan", "UCL")
    assert ENCODER.encode({"site": " ucl"}).vector[5] == 1


def test_the_order_of_the_training_scans_does_not_matter_for_the_levels() -> None:
    assert Encoder.fit(FIELDS, ROWS[::-1]).fields == ENCODER.fields


def test_aliases_of_a_field_without_declared_levels_survive_the_fit() -> None:
    rows = [{"suffix": parse_value(known_field("suffix"), raw).value} for raw in ("T2star", "T1w")]
    (fitted,) = Encoder.fit([known_field("suffix")], rows).fields
    assert parse_value(fitted, "t2star").value == "T2starw"


def test_a_field_that_was_constant_in_training_encodes_as_zero_with_the_one() -> None:
    encoder = Encoder.fit([known_field("age")], [{"age": 30.0}, {"age": 30.0}])
    np.testing.assert_array_equal(encoder.encode({"age": 80.0}).vector, [0, 1])


def test_a_field_that_no_training_scan_has_is_an_error_that_names_it() -> None:
    with pytest.raises(MetadataError, match=r"none of the 4 training scans .* 'EchoTime'"):
        Encoder.fit([known_field("EchoTime")], ROWS)
    with pytest.raises(MetadataError, match="one of the levels M, F"):
        Encoder.fit([CategoricalField(name="sex", levels=("M", "F"))], [{"sex": "x"}])


def test_no_fields_make_an_empty_vector() -> None:
    encoder = Encoder.fit([], ROWS)
    assert (encoder.width, encoder.spans) == (0, ())
    assert encoder.encode({}).vector.shape == (0,)
    assert Encoder.from_dict(json.loads(json.dumps(encoder.to_dict()))) == encoder


@pytest.mark.parametrize("wrong", ["3", math.nan, math.inf, 0.0, True])
def test_what_is_not_a_number_of_the_scale_is_refused(wrong: Any) -> None:
    with pytest.raises(MetadataError, match="MagneticFieldStrength: expected a positive number"):
        ENCODER.encode({"MagneticFieldStrength": wrong})
    with pytest.raises(MetadataError, match="expected a positive number"):
        Encoder.fit([FIELDS[0]], [{"MagneticFieldStrength": wrong}])


def test_a_level_that_training_did_not_have_becomes_unknown_with_the_reason() -> None:
    checked = ENCODER.check(
        FieldValue(field="site", value="Paris", status=Status.USED, note="first")
    )
    assert (checked.value, checked.status) == (None, Status.UNKNOWN_LEVEL)
    assert checked.note == "first; the model was not trained on 'Paris', only on Milan, UCL"
    assert ENCODER.check(FieldValue(field="site", value="ucl", status=Status.USED)).value == "UCL"


def test_a_number_outside_the_training_range_is_kept_and_marked() -> None:
    inside = FieldValue(field="age", value=40.0, status=Status.USED)
    assert ENCODER.check(inside) == inside
    outside = ENCODER.check(replace(inside, value=80.0))
    assert (outside.value, outside.status, outside.outside_range) == (80.0, Status.USED, True)
    assert "outside the training range 20–60 years" in outside.note
    assert not ENCODER.check(replace(inside, value=60.3)).outside_range
    assert ENCODER.check(replace(inside, value=0.0)).outside_range


@given(values)
def test_checked_values_encode_as_unchecked_ones_do(given_values: dict[str, Any]) -> None:
    checked = {
        name: ENCODER.check(FieldValue(field=name, value=value, status=Status.USED)).value
        for name, value in given_values.items()
    }
    np.testing.assert_array_equal(
        ENCODER.encode(checked).vector, ENCODER.encode(given_values).vector
    )


def test_a_missing_value_is_checked_as_it_is_and_a_field_of_another_model_is_an_error() -> None:
    missing = FieldValue(field="age")
    assert ENCODER.check(missing) == missing
    with pytest.raises(MetadataError, match="no field 'EchoTime'"):
        ENCODER.check(FieldValue(field="EchoTime"))


def test_what_a_field_was_trained_on_is_told_in_words() -> None:
    assert ENCODER.trained_on("MagneticFieldStrength") == "1.5–3 T"
    assert ENCODER.trained_on("Manufacturer") == "Siemens, Philips"


def test_a_range_drawn_at_random_is_told_with_four_digits() -> None:
    assert format_range(0.00583485, 10.33061, "s") == "0.005835–10.33 s"
    assert ENCODER.range_of("MagneticFieldStrength") == (1.5, 3.0)
    assert ENCODER.range_of("age") == (20.0, 60.0)


def damage(*path: str | int, value: Any) -> dict[str, Any]:
    content: Any = json.loads(json.dumps(ENCODER.to_dict()))
    part = content
    for step in path[:-1]:
        part = part[step]
    part[path[-1]] = value
    return dict(content)


@pytest.mark.parametrize(
    "content",
    [
        {},
        [],
        None,
        {"fields": []},
        {"fields": 3, "statistics": {}},
        {"fields": "age", "statistics": {}},
        damage("statistics", value={}),
        damage("statistics", "EchoTime", value={"mean": 0, "deviation": 1, "low": 0, "high": 1}),
        damage("statistics", "age", value=3),
        damage("statistics", "age", "mean", value=math.nan),
        damage("statistics", "age", "mean", value="3"),
        damage("statistics", "age", "mean", value=10**400),
        damage("statistics", "age", "deviation", value=0.0),
        damage("statistics", "age", "low", value=1000.0),
        damage("fields", 1, "levels", value=[]),
        damage("fields", 1, "levels", value="Siemens"),
        damage("fields", 1, "kind", value="wild"),
        damage("fields", 1, "colour", value="red"),
        damage("fields", 0, "plausible", value=[3]),
        damage("fields", 0, "name", value="age"),
    ],
)
def test_a_damaged_encoder_is_refused_as_a_model_file(content: Any) -> None:
    with pytest.raises(ModelFileError, match="metadata encoder"):
        Encoder.from_dict(content)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["fields", "statistics", "name"]), inner)
        ),
    )
)
def test_any_other_json_is_refused_as_a_model_file_or_is_an_encoder(content: Any) -> None:
    try:
        Encoder.from_dict(content)
    except ModelFileError:
        return


def test_a_linear_field_may_have_values_below_zero() -> None:
    field = ContinuousField(name="t", unit="degree", plausible=(-50, 50))
    encoder = Encoder.fit([field], [{"t": -20.0}, {"t": -10.0}])
    assert encoder.range_of("t") == (-20.0, -10.0)
    assert ENCODER.encode({}).known.sum() == 0
    assert encoder.check(FieldValue(field="t", value=-5.0, status=Status.USED)).outside_range
