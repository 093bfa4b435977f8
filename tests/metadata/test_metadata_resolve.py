from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.domain.errors import ScanError
from bids_film.domain.scan import MetadataSource, SourceKind
from bids_film.metadata.catalogue import CATALOGUE, known_field
from bids_film.metadata.fields import CategoricalField, ContinuousField
from bids_film.metadata.parse import Status
from bids_film.metadata.resolve import FieldValue, MetadataPolicy, check_policy, resolve

FIELD = known_field("MagneticFieldStrength")
KINDS = tuple(SourceKind)


def source(kind: SourceKind, values: dict[str, Any], **units: str) -> MetadataSource:
    file = "" if kind is SourceKind.COMMAND_LINE else f"from_{kind.name.lower()}"
    return MetadataSource(kind=kind, file=file, values=values, units=units)


def find(name: str, *sources: MetadataSource) -> FieldValue:
    (value,) = resolve([known_field(name)], sources)
    return value


usable = st.sampled_from([0.55, 1.5, 3, "7", "3T"])
unusable = st.sampled_from(["n/a", None, 15000, "high", [1.5, 3]])


def is_answer(kind: SourceKind, alone: FieldValue) -> bool:
    """Whether a source settles the matter: only a table may leave it to the next one."""
    return alone.status is not Status.MISSING or kind is SourceKind.SIDECAR


@given(st.lists(st.tuples(st.sampled_from(KINDS[1:]), usable | unusable), max_size=6))
def test_the_first_source_that_speaks_of_a_field_decides(
    given_values: list[tuple[SourceKind, Any]],
) -> None:
    sources = [source(kind, {FIELD.name: raw}) for kind, raw in given_values]
    (found,) = resolve([FIELD], sources)
    alone = [resolve([FIELD], [one])[0] for one in sources]
    expected = next(
        (one for (kind, _), one in zip(given_values, alone, strict=True) if is_answer(kind, one)),
        None,
    )
    if expected is None:
        assert (found.value, found.status) == (None, Status.MISSING)
        return
    assert (found.value, found.status) == (expected.value, expected.status)
    if found.status is not Status.MISSING:
        assert (found.source, found.file) == (expected.source, expected.file)


@given(st.permutations(list(CATALOGUE)), st.dictionaries(st.sampled_from(list(CATALOGUE)), usable))
def test_each_field_has_its_value_in_the_order_asked_for(
    names: list[str], values: dict[str, Any]
) -> None:
    found = resolve([known_field(name) for name in names], [source(SourceKind.SIDECAR, values)])
    assert [value.field for value in found] == names
    for value in found:
        assert value.key in (values if value.field in values else ("",))


@given(st.dictionaries(st.text(), st.integers() | st.text() | st.none(), max_size=5))
def test_any_keys_of_a_source_are_survived(values: dict[str, Any]) -> None:
    found = resolve(tuple(CATALOGUE.values()), [source(SourceKind.PARTICIPANTS_TSV, values)])
    assert all(value.key in values for value in found if value.source)


@pytest.mark.parametrize(
    ("raw", "status"),
    [("30", Status.IMPLAUSIBLE), ("soon", Status.INVALID)],
)
def test_a_farther_source_never_speaks_for_one_that_cannot_be_used(
    raw: str, status: Status
) -> None:
    found = find(
        "EchoTime",
        source(SourceKind.SCANS_TSV, {"EchoTime": raw}),
        source(SourceKind.SIDECAR, {"EchoTime": 0.03}),
    )
    assert (found.value, found.source, found.status) == (None, SourceKind.SCANS_TSV, status)


def test_a_level_that_the_model_does_not_know_is_not_replaced_by_a_farther_one() -> None:
    field = CategoricalField(name="Manufacturer", levels=("Siemens", "Philips"))
    near, far = ({"Manufacturer": name} for name in ("GE", "Philips"))
    for kinds in (
        (SourceKind.SIDECAR, SourceKind.SIDECAR),
        (SourceKind.METADATA_FILE, SourceKind.SIDECAR),
    ):
        (found,) = resolve([field], [source(kinds[0], near), source(kinds[1], far)])
        assert (found.value, found.status, found.raw) == (None, Status.UNKNOWN_LEVEL, "GE")


@pytest.mark.parametrize("nothing", [None, "n/a"])
def test_a_nearer_sidecar_that_says_nothing_hides_a_farther_one(nothing: str | None) -> None:
    near, far = ({"EchoTime": value} for value in (nothing, 0.03))
    found = find("EchoTime", source(SourceKind.SIDECAR, near), source(SourceKind.SIDECAR, far))
    assert (found.value, found.status) == (None, Status.MISSING)
    table = source(SourceKind.PARTICIPANTS_TSV, {"EchoTime": "n/a"})
    assert find("EchoTime", table, source(SourceKind.SIDECAR, far)).value == 0.03


def test_every_value_has_the_file_and_key_that_it_came_from() -> None:
    found = find(
        "MagneticFieldStrength", source(SourceKind.PARTICIPANTS_TSV, {"Field Strength [T]": "3"})
    )
    assert found == FieldValue(
        field="MagneticFieldStrength",
        value=3.0,
        raw="3",
        status=Status.USED,
        source=SourceKind.PARTICIPANTS_TSV,
        file="from_participants_tsv",
        key="Field Strength [T]",
    )


@pytest.mark.parametrize(
    ("name", "key", "raw", "value"),
    [
        ("EchoTime", "EchoTime", 0.03, 0.03),
        ("EchoTime", "TE", "0.03", 0.03),
        ("EchoTime", "echo_time", "0.03", 0.03),
        ("EchoTime", "Echo Time [ms]", "30", 0.03),
        ("EchoTime", "echo-time (ms)", "30", 0.03),
        ("EchoTime", "TE_ms", "30", 0.03),
        ("EchoTime", "TE_ms", "30 ms", 0.03),
        ("MagneticFieldStrength", "field_strength_T", "3", None),
        ("MagneticFieldStrength", "Field strength in Tesla", "3", 3.0),
        ("MagneticFieldStrength", "field strength {mT}", "3000", 3.0),
        ("age", "Age", "3", 3.0),
        ("age", "age_months", "30", 2.5),
        ("age", "Age in months", "30", 2.5),
        ("age", "age (months)", "30", 2.5),
        ("age", "age_group", "30", None),
        ("age", "age (of the mother)", "30", None),
        ("age", "average", "30", None),
        ("sex", "Gender", "m", "M"),
        ("sex", "Sex (M/F)", "f", "F"),
        ("site", "Site", "UCL", "UCL"),
        ("site", "site_name", "UCL", "UCL"),
        ("site", "site_previous", "UCL", None),
    ],
)
def test_columns_are_found_as_labs_call_them(name: str, key: str, raw: Any, value: Any) -> None:
    found = find(name, source(SourceKind.PARTICIPANTS_TSV, {key: raw}))
    assert found.value == value
    assert found.key == ("" if value is None else key)


def test_the_exact_name_comes_first_then_further_keys_then_any_spelling() -> None:
    values = {"echo_time": 0.01, "TE": 0.02, "EchoTime": 0.03}
    assert find("EchoTime", source(SourceKind.SIDECAR, values)).value == 0.03
    del values["EchoTime"]
    assert find("EchoTime", source(SourceKind.SIDECAR, values)).value == 0.02
    values["TE"] = None  # type: ignore[assignment]
    assert find("EchoTime", source(SourceKind.SIDECAR, values)).value == 0.01


def test_the_data_dictionary_s_unit_comes_before_that_of_the_column_s_name() -> None:
    found = find("age", source(SourceKind.PARTICIPANTS_TSV, {"age": "30"}, age="months"))
    assert (found.value, found.status) == (2.5, Status.CONVERTED)
    column = MetadataSource(
        kind=SourceKind.SCANS_TSV, values={"age [years]": "30"}, units={"age [years]": "months"}
    )
    assert find("age", column).value == 2.5


def test_na_on_the_command_line_withholds_the_field_and_elsewhere_does_not() -> None:
    sidecar = source(SourceKind.SIDECAR, {"EchoTime": 0.03})
    withheld = find("EchoTime", source(SourceKind.COMMAND_LINE, {"EchoTime": "n/a"}), sidecar)
    assert (withheld.value, withheld.status) == (None, Status.MISSING)
    assert withheld.source is SourceKind.COMMAND_LINE
    passed = find("EchoTime", source(SourceKind.METADATA_FILE, {"EchoTime": "n/a"}), sidecar)
    assert passed.value == 0.03


def test_where_every_source_says_na_the_first_of_them_is_recorded() -> None:
    found = find("sex", source(SourceKind.PARTICIPANTS_TSV, {"sex": "n/a"}))
    assert (found.status, found.file, found.raw) == (Status.MISSING, "from_participants_tsv", "n/a")
    assert find("sex") == FieldValue(field="sex")


def test_a_sidecar_that_contradicts_a_table_is_told() -> None:
    sidecar = source(SourceKind.SIDECAR, {"MagneticFieldStrength": 1.494})
    table = source(SourceKind.PARTICIPANTS_TSV, {"Field Strength [T]": "3"})
    assert "from_sidecar says 1.5 T" in find("MagneticFieldStrength", table, sidecar).note
    same = source(SourceKind.PARTICIPANTS_TSV, {"Field Strength [T]": "1.5"})
    assert find("MagneticFieldStrength", same, sidecar).note == ""
    override = source(SourceKind.COMMAND_LINE, {"MagneticFieldStrength": "3"})
    assert find("MagneticFieldStrength", override, sidecar).note == ""


def test_columns_of_one_table_that_contradict_each_other_are_told() -> None:
    table = source(SourceKind.METADATA_FILE, {"MagneticFieldStrength": "3", "Field Strength": "7"})
    found = find("MagneticFieldStrength", table)
    assert (found.value, found.note) == (3, "Field Strength in from_metadata_file says 7 T")
    same = source(SourceKind.METADATA_FILE, {"MagneticFieldStrength": "3", "Field Strength": "n/a"})
    assert find("MagneticFieldStrength", same).note == ""


def test_sidecars_that_are_equally_near_and_contradict_each_other_are_told() -> None:
    def sidecar(file: str, tesla: float) -> MetadataSource:
        values = {"MagneticFieldStrength": tesla}
        return MetadataSource(kind=SourceKind.SIDECAR, file=file, values=values)

    used, same = sidecar("acq-x_T1w.json", 3), sidecar("run-1_T1w.json", 3)
    rival = sidecar("run-1_T1w.json", 1.5)
    found = find("MagneticFieldStrength", used, rival)
    assert (found.value, found.file) == (3, "acq-x_T1w.json")
    assert "run-1_T1w.json says 1.5 T" in found.note
    assert find("MagneticFieldStrength", used, same).note == ""
    # The inheritance principle knows which of these comes first.
    for near in ("sub-01/acq-x_T1w.json", "acq-x_run-1_T1w.json"):
        assert find("MagneticFieldStrength", sidecar(near, 3), rival).note == ""


def test_a_field_of_ones_own_is_found_like_any_other() -> None:
    fields = (
        CategoricalField(name="arm", keys=("group",)),
        ContinuousField(name="iq", plausible=(0, 200)),
    )
    arm, iq = resolve(fields, [source(SourceKind.PARTICIPANTS_TSV, {"Group": "b", "IQ": "100"})])
    assert (arm.value, iq.value) == ("b", 100.0)


def test_the_policy_error_names_each_unknown_field_and_why_it_is_unknown() -> None:
    values = resolve(
        [known_field(name) for name in ("EchoTime", "sex", "age", "Manufacturer")],
        [source(SourceKind.SIDECAR, {"EchoTime": 30, "sex": "n/a", "Manufacturer": "GE"})],
    )
    check_policy(values, MetadataPolicy.USE_UNKNOWN)
    with pytest.raises(ScanError) as caught:
        check_policy(values, MetadataPolicy.ERROR)
    message = caught.value.message
    assert "EchoTime (implausible: 30 s is outside" in message
    assert "sex (sex is 'n/a' in from_sidecar)" in message
    assert "age (not given)" in message
    assert "Manufacturer" not in message
    check_policy([value for value in values if value.value], MetadataPolicy.ERROR)
