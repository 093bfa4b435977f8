from __future__ import annotations

from pathlib import Path

import pytest

from bids_film.domain.errors import MetadataError
from bids_film.domain.scan import SourceKind
from bids_film.inputs.metadata_file import metadata_file_source, read_metadata_file


def write(path: Path, *rows: str, encoding: str = "utf-8", end: str = "\n") -> Path:
    file = path / "given.tsv"
    file.write_bytes(end.join(rows).encode(encoding))
    return file


def values_of(file: Path, **entities: str) -> dict[str, str] | None:
    source = metadata_file_source(read_metadata_file(file), entities, file)
    return None if source is None else dict(source.values)


def test_a_scan_has_the_row_of_its_participant_with_or_without_prefix(tmp_path: Path) -> None:
    file = write(tmp_path, "participant_id\tage", "sub-01\t045Y", "02\t46")
    assert values_of(file, sub="01") == {"age": "045Y"}
    assert values_of(file, sub="02", ses="a") == {"age": "46"}
    assert values_of(file, sub="1") is None


def test_the_row_of_a_session_comes_before_that_of_all_sessions(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "participant_id\tsession_id\tage\tsex",
        "sub-01\tses-a\t45\tn/a",
        "sub-01\tn/a\t44\tF",
        "sub-02\tb\t30\tM",
    )
    assert values_of(file, sub="01", ses="a") == {"age": "45", "sex": "F"}
    assert values_of(file, sub="01", ses="b") == {"age": "44", "sex": "F"}
    assert values_of(file, sub="01") == {"age": "44", "sex": "F"}
    assert values_of(file, sub="02") is None
    source = metadata_file_source(read_metadata_file(file), {"sub": "02", "ses": "b"}, file)
    assert source is not None
    assert (source.kind, source.file) == (SourceKind.METADATA_FILE, "given.tsv")


def test_spreadsheet_habits_are_read_over(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "Participant_ID \tage\t",
        "sub-0050\t1.0\t\t",
        "",
        encoding="utf-8-sig",
        end="\r\n",
    )
    assert values_of(file, sub="0050") == {"age": "1.0"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "is empty"),
        (
            ["subject\tage", "sub-01\t3"],
            "no column 'participant_id'; its .* subject, age",
        ),
        (["participant_id,age", "sub-01,3"], "separated by tabs"),
        (["participant_id\tage\tage", "sub-01\t3\t4"], "more than one column 'age'"),
        (["participant_id\tage", "sub-01\t3", "01\t4"], "lines 2 and 3 are both about participant"),
        (["participant_id\tage", "sub-01"], "line 2 has 1 cells"),
        (["participant_id\tage", "sub-01\t3\t4"], "line 2 has 3 cells"),
        (["participant_id\tage", "\t3"], "which participant"),
        (
            ["participant_id\tSession_ID\tsession_id", "01\ta\tb"],
            "more than one column of sessions: Session_ID, session_id",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(
    tmp_path: Path, rows: list[str], message: str
) -> None:
    with pytest.raises(MetadataError, match=message) as caught:
        read_metadata_file(write(tmp_path, *rows))
    assert "given.tsv" in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="is not there"):
        read_metadata_file(tmp_path / "nowhere.tsv")
    with pytest.raises(MetadataError, match="Is a directory"):
        read_metadata_file(tmp_path)
    with pytest.raises(MetadataError, match="UTF-8"):
        read_metadata_file(write(tmp_path, "participant_id\tsité", encoding="latin-1"))
