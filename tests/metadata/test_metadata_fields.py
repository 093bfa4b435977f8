from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.domain.errors import MetadataError, UsageError
from bids_film.metadata.catalogue import CATALOGUE, known_field
from bids_film.metadata.fields import (
    CategoricalField,
    ContinuousField,
    field_from_dict,
    field_to_dict,
    normalise_level,
)
from bids_film.metadata.units import list_units

names = st.text(min_size=1).filter(str.strip)
finite = st.floats(-1e6, 1e6)


@st.composite
def categorical_fields(draw: st.DrawFn) -> CategoricalField:
    levels = draw(
        st.lists(names.filter(normalise_level), unique_by=normalise_level, min_size=1, max_size=5)
    )
    aliases = draw(st.dictionaries(names, st.sampled_from(levels), max_size=4))
    return CategoricalField(name=draw(names), levels=tuple(levels), aliases=aliases)


@st.composite
def continuous_fields(draw: st.DrawFn) -> ContinuousField:
    low, high = sorted(draw(st.lists(finite, min_size=2, max_size=2, unique=True)))
    scale = draw(st.sampled_from(("linear", "log"))) if low > 0 else "linear"
    return ContinuousField(name=draw(names), plausible=(low, high), scale=scale, unit="s")


@given(st.one_of(categorical_fields(), continuous_fields()))
def test_a_field_survives_json_text(field: CategoricalField | ContinuousField) -> None:
    assert field_from_dict(json.loads(json.dumps(field_to_dict(field)))) == field


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_field_of_the_catalogue_survives_json_text_and_is_described(name: str) -> None:
    field = known_field(name)
    assert field_from_dict(json.loads(json.dumps(field_to_dict(field)))) == field
    assert field.name == name
    assert field.description


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_units_of_the_catalogue_are_known(name: str) -> None:
    field = known_field(name)
    if isinstance(field, ContinuousField) and field.unit:
        assert list_units(field.unit)[0].symbol == field.unit


def test_a_unit_is_found_in_its_own_dimension_whatever_others_are_called_like() -> None:
    assert [unit.symbol for unit in list_units("kg")] == ["kg", "g", "lb"]
    assert list_units("g") == list_units("kg")
    assert list_units("kG")[0].symbol == "T"
    assert list_units("MHz") == list_units("Hz")
    assert list_units("m") == list_units("mm")


def test_no_two_fields_of_the_catalogue_share_a_key() -> None:
    keys = [normalise_level(key) for item in CATALOGUE.values() for key in (item.name, *item.keys)]
    assert sorted(keys) == sorted(set(keys))


def test_every_alias_of_the_catalogue_leads_to_its_level() -> None:
    for field in CATALOGUE.values():
        if isinstance(field, CategoricalField):
            for alias, level in field.aliases.items():
                assert field.find_level(alias.replace("*", " of Somewhere")) == level


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(MetadataError, match="did you mean 'MagneticFieldStrength'"):
        known_field("magneticFieldstrenght")
    with pytest.raises(MetadataError, match="a table with name, kind"):
        known_field("zzz")


def test_an_unknown_key_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(UsageError, match="did you mean 'plausible'"):
        field_from_dict({"name": "iq", "kind": "continuous", "plausibel": [0, 200]})
    with pytest.raises(UsageError, match="did you mean 'continuous'"):
        field_from_dict({"name": "iq", "kind": "continous", "plausible": [0, 200]})


def test_the_kind_can_be_left_out_where_the_keys_tell_it() -> None:
    assert isinstance(field_from_dict({"name": "iq", "plausible": [0, 200]}), ContinuousField)
    assert isinstance(field_from_dict({"name": "arm", "levels": ["A", "B"]}), CategoricalField)
    with pytest.raises(UsageError, match="what kind of field"):
        field_from_dict({"name": "age"})
    with pytest.raises(UsageError, match="what kind of field"):
        field_from_dict({"name": "age", "levels": ["A"], "plausible": [0, 1]})
    with pytest.raises(UsageError, match="expected a table"):
        field_from_dict(["age"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"name": "x", "plausible": [1, 0]}, "low < high"),
        ({"name": "x", "plausible": [0.0, float("inf")]}, "finite"),
        ({"name": "x", "plausible": [0, 1], "scale": "log"}, "above 0"),
        ({"name": "x", "plausible": [1, 2], "nominal": [3.0]}, "nominal"),
        ({"name": "x", "levels": ["A", "a "]}, "differ in more than case"),
        ({"name": "x", "levels": ["A", " "]}, "differ in more than case"),
        ({"name": "x", "levels": ["A"], "aliases": {"b": "B"}}, "none of its levels"),
        ({"name": " ", "levels": ["A"]}, "not blank"),
    ],
)
def test_a_field_that_makes_no_sense_is_refused(content: dict[str, object], message: str) -> None:
    with pytest.raises(MetadataError, match=message):
        field_from_dict(content)


@given(categorical_fields(), st.data())
def test_case_blanks_and_underscores_of_a_level_do_not_count(
    field: CategoricalField, data: st.DataObject
) -> None:
    level = data.draw(st.sampled_from(field.levels))
    pad = st.text(" \t_", max_size=3)
    assert field.find_level(data.draw(pad) + level.swapcase().swapcase() + data.draw(pad)) == level
    if level.isascii():
        assert field.find_level(level.upper()) == level
        assert field.find_level(level.lower().replace(" ", "__")) == level


def test_a_level_comes_before_an_alias_and_the_longest_beginning_before_a_shorter_one() -> None:
    field = CategoricalField(
        name="x", levels=("A", "B", "C"), aliases={"b": "A", "lab*": "A", "lab two*": "C"}
    )
    assert field.find_level("b") == "B"
    assert field.find_level("Lab 1") == "A"
    assert field.find_level("LAB-TWO, annex") == "C"
    assert field.find_level("the lab") is None


def test_a_minus_sign_and_a_fraction_count() -> None:
    field = CategoricalField(name="x", levels=("1", "-1", "1.5", "15"))
    assert [field.find_level(text) for text in ("1.0", "-1.00", "1.5", "15")] == [
        "1", "-1", "1.5", "15",
    ]  # fmt: skip
    assert [field.find_level(text) for text in ("1.0_", "_-1", " 1_.5 ")] == ["1", "-1", "1.5"]
