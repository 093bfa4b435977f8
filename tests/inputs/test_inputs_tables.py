from __future__ import annotations

import logging
import re
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.domain.errors import MetadataError
from bids_film.inputs.tables import index_rows, read_json, read_table, read_units

_CELLS = st.text(string.ascii_letters + string.digits + " .,;'\"-\u2028é", max_size=6)


def _write(folder: Path, content: bytes) -> Path:
    path = folder / "participants.tsv"
    path.write_bytes(content)
    return path


@given(rows=st.lists(st.tuples(_CELLS, _CELLS), max_size=4), end=st.sampled_from(["\n", "\r\n"]))
def test_every_cell_stays_the_text_that_it_is(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str]], end: str
) -> None:
    lines = ["participant_id\ta\tb", *(f"sub-{i}\t{a}\t{b}" for i, (a, b) in enumerate(rows))]
    path = _write(tmp_path_factory.mktemp("table"), end.join([*lines, ""]).encode())
    table = read_table(path, required="participant_id")
    assert [(row.values["a"], row.values["b"]) for row in table.rows] == rows


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbfparticipant_id\tage\nsub-0050\t007\n",
        b"participant_id\tage\r\nsub-0050\t007\r\n",
        b" participant_id \tage \nsub-0050\t007\n\n\n",
        b"participant_id\tage\t\nsub-0050\t007\t\t\n",
        b"Participant_ID\tage\nsub-0050\t007",
    ],
    ids=["byte order mark", "windows", "blanks", "trailing tabs", "capitals"],
)
def test_harmless_oddities_are_read_over(tmp_path: Path, content: bytes) -> None:
    (row,) = read_table(_write(tmp_path, content), required="participant_id").rows
    assert row.values == {"participant_id": "sub-0050", "age": "007"}
    assert row.line == 2


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n \n", "is empty"),
        (b"subject\tage\nsub-01\t3\n", "no column 'participant_id'.*subject, age"),
        (b"participant_id,age\nsub-01,3\n", "tab-separated"),
        (b"participant_id\tage\tage\nsub-01\t3\t4\n", "more than one column 'age'"),
        (b"participant_id\tage\tsex\nsub-01\t3\n", "line 2 has 2 cells.*names 3"),
        (b"participant_id\tage\n\nsub-01\t3\tM\n", "line 3 has 3 cells.*names 2"),
        (b"participant_id\tage\nsub-01\t\xe9\n", "UTF-8"),
        ("participant_id\tage\n".encode("utf-16"), "UTF-8"),
        (b"PK\x03\x04\xff\xfe\x00", "UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_names_file_and_place(
    tmp_path: Path, content: bytes, said: str
) -> None:
    with pytest.raises(MetadataError) as caught:
        read_table(_write(tmp_path, content), required="participant_id")
    assert "participants.tsv" in str(caught.value)
    assert re.search(said, str(caught.value), re.DOTALL)


def test_rows_that_repeat_each_other_are_one_row(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = _write(tmp_path, b"participant_id\tage\nsub-01\t3\nsub-01\t3\n01\t3\n")
    table = read_table(path, required="participant_id")
    with caplog.at_level(logging.WARNING):
        rows = index_rows(table, [("participant_id", "sub-")])
    assert list(rows) == [("01",)]
    assert "line 3 repeats line 2" in caplog.text


def test_rows_that_contradict_each_other_are_named_by_their_lines(tmp_path: Path) -> None:
    path = _write(tmp_path, b"participant_id\tage\tsex\nsub-01\t3\tM\nsub-02\t4\tF\nsub-01\t5\tM\n")
    table = read_table(path, required="participant_id")
    with pytest.raises(MetadataError, match=r"sub-01, lines 2 and 4, that differ in age") as caught:
        index_rows(table, [("participant_id", "sub-")])
    assert "participants.tsv" in str(caught.value)


def test_the_first_data_dictionary_that_declares_a_unit_wins(tmp_path: Path) -> None:
    near, far = tmp_path / "near.json", tmp_path / "far.json"
    near.write_text('{"age": {"Units": "months"}, "sex": {"Description": "M or F"}, "odd": 3}')
    far.write_text('{"age": {"Units": "year"}, "weight": {"Units": "kg"}}')
    assert read_units(near, tmp_path / "none.json", far) == {"age": "months", "weight": "kg"}


@pytest.mark.parametrize(
    ("content", "said"), [(b"{", "not valid JSON"), (b"[]", "list"), (b"\xff", "UTF-8")]
)
def test_a_json_file_that_is_no_object_names_itself(
    tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "T1w.json"
    path.write_bytes(content)
    with pytest.raises(MetadataError, match=said) as caught:
        read_json(path)
    assert "T1w.json" in str(caught.value)


def test_a_json_file_that_was_not_fetched_says_how_to_get_it(tmp_path: Path) -> None:
    path = tmp_path / "T1w.json"
    path.symlink_to(tmp_path / "annex")
    with pytest.raises(MetadataError, match="datalad get"):
        read_json(path)


def test_a_data_dictionary_that_was_not_fetched_is_no_absent_one(tmp_path: Path) -> None:
    link = tmp_path / "participants.json"
    link.symlink_to(tmp_path / "annex" / "gone")
    with pytest.raises(MetadataError, match="a link to a file that is not there"):
        read_units(link)


@pytest.mark.parametrize("empty", ["", " ", "N/A", "n/a"])
def test_a_key_that_is_not_given_is_one_however_that_is_written(tmp_path: Path, empty: str) -> None:
    text = f"participant_id\tsession_id\tage\nsub-01\t{empty}\t30\n"
    table = read_table(_write(tmp_path, text.encode()), required="participant_id")
    assert list(index_rows(table, [("participant_id", "sub-"), ("session_id", "ses-")])) == [
        ("01", "n/a")
    ]


def test_a_table_that_is_not_there_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="is not there") as caught:
        read_table(tmp_path / "none.tsv", required="scan")
    assert "link" not in str(caught.value)
