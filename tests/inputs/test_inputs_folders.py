from __future__ import annotations

import string
from pathlib import Path

import pytest
from bids.layout import BIDSLayout
from hypothesis import given
from hypothesis import strategies as st
from support.bids_factory import write_dataset

from bids_film.domain.errors import InputError
from bids_film.inputs.folders import (
    choose_participants,
    list_files,
    list_participants,
    newest_change_ns,
)

_ROOT = Path("dataset")
_LABELS = st.lists(
    st.text(string.ascii_letters + string.digits, min_size=1, max_size=4), unique=True
)


def test_only_folders_with_a_participants_name_are_participants(tmp_path: Path) -> None:
    for name in ("sub-02", "sub-0050", "sub-a", "sub-", "sub-x_y", "derivatives", "xsub-1"):
        (tmp_path / name).mkdir()
    (tmp_path / "sub-file").write_text("")
    assert list_participants(tmp_path) == ["0050", "02", "a"]


@given(available=_LABELS, data=st.data())
def test_labels_are_chosen_with_or_without_their_prefix(
    available: list[str], data: st.DataObject
) -> None:
    asked = data.draw(st.lists(st.sampled_from(available))) if available else []
    prefixed = [data.draw(st.sampled_from([label, f"sub-{label}"])) for label in asked]
    assert choose_participants(available, prefixed, _ROOT) == list(dict.fromkeys(asked))
    assert choose_participants(available, None, _ROOT) == available


@given(available=_LABELS, label=st.text(string.ascii_letters, min_size=5, max_size=6))
def test_a_label_that_is_not_there_is_always_named(available: list[str], label: str) -> None:
    with pytest.raises(InputError, match=f"sub-{label}"):
        choose_participants(available, [label], _ROOT)


def test_a_file_added_anywhere_below_is_a_change(tmp_path: Path) -> None:
    folder = tmp_path / "ses-a" / "anat"
    folder.mkdir(parents=True)
    before = newest_change_ns(tmp_path)
    (folder / "scan.nii.gz").write_text("")
    assert newest_change_ns(tmp_path) > before


def test_the_files_of_a_participant_are_those_that_pybids_lists(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "data", sessions=("a",), labels=True)
    anat = root / "sub-01" / "ses-a" / "anat"
    (anat / "annexed_T1w.nii.gz").symlink_to("../../.git/annex/objects/xyz")
    (anat / ".hidden_T1w.nii.gz").write_text("")
    (root / "sub-02" / ".git").mkdir()
    (root / "sub-02" / ".git" / "object").write_text("")
    (root / "sub-02" / "ses-linked").symlink_to(root / "sub-01" / "ses-a")
    ours = [file for label in ("01", "02") for file in list_files(root / f"sub-{label}")]
    theirs = BIDSLayout(root, validate=False).get(return_type="file", scope="self")
    assert sorted(ours) == sorted(file for file in theirs if "sub-" in file)


def test_a_link_back_into_its_own_folder_does_not_go_on_forever(tmp_path: Path) -> None:
    folder = tmp_path / "sub-01"
    (folder / "anat").mkdir(parents=True)
    for name in ("one", "other"):
        (folder / "anat" / name).symlink_to(folder)
    (folder / "file").write_text("")
    assert len(list(list_files(folder))) == 3


def test_a_folder_that_cannot_be_read_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert list(list_files(tmp_path / "sub-01")) == []
    assert f"{tmp_path / 'sub-01'} is left out" in caplog.text


def test_a_link_that_leads_to_itself_stops_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "sub-01" / "anat"
    folder.mkdir(parents=True)
    for link in (folder / "loop", tmp_path / "sub-02"):
        link.symlink_to(link)
    assert list_participants(tmp_path) == ["01"]
    assert list(list_files(tmp_path / "sub-01")) == [str(folder / "loop")]
    assert newest_change_ns(tmp_path) > 0
