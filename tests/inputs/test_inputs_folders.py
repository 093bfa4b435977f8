from __future__ import annotations

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.domain.errors import InputError
from bids_film.inputs.folders import choose_participants, list_participants, newest_change_ns

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
