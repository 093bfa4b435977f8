from __future__ import annotations

import pytest

from bids_film.domain.labels import LabelTable, Structure
from bids_film.domain.sides import find_opposites, pair_structures, sort_alike, split_side


def make_table(*names: str) -> LabelTable:
    return LabelTable(
        structures=tuple(
            Structure(index=10 * number, name=name, abbreviation=f"S{number}", color="#000000")
            for number, name in enumerate(names, start=1)
        )
    )


BRAIN = make_table(
    "Right-Thalamus", "Left-Cerebral-Cortex", "Brain-Stem", "Left-Thalamus", "CSF",
    "Right-Cerebral-Cortex", "left amygdala",
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("left thalamus", ("left", "thalamus")),
        ("Right-Cerebral-Cortex", ("right", "Cerebral-Cortex")),
        ("hippocampus (left)", ("left", "hippocampus ()")),
        ("Left_Thalamus", ("left", "Thalamus")),
        ("RightThalamus", ("right", "Thalamus")),
        ("lh-cortex", ("left", "cortex")),
        ("ctx_rh_insula", ("right", "ctx__insula")),
        ("CST_R", ("right", "CST")),
        ("L1", ("", "L1")),
        ("leftover", ("", "leftover")),
        ("Brain-Stem", ("", "Brain-Stem")),
        ("cleft", ("", "cleft")),
        ("left", ("", "left")),
    ],
)
def test_a_side_is_a_word_of_its_own_beside_others(name: str, found: tuple[str, str]) -> None:
    assert split_side(name) == found


def test_pairs_keep_the_places_of_both_sides_left_first_and_singles_their_names() -> None:
    pairs = pair_structures(BRAIN.structures)
    assert {name: [(m.place, m.side) for m in members] for name, members in pairs.items()} == {
        "Thalamus": [(3, "left"), (0, "right")],
        "Cerebral-Cortex": [(1, "left"), (5, "right")],
        "Brain-Stem": [(2, "")],
        "CSF": [(4, "")],
        "left amygdala": [(6, "left")],
    }
    members = [member for pair in pairs.values() for member in pair]
    assert all(BRAIN.structures[member.place] is member.structure for member in members)


def test_opposites_exchange_the_sides_and_leave_all_else() -> None:
    opposites = find_opposites(BRAIN)
    assert opposites == (0, 4, 6, 3, 1, 5, 2, 7)


def test_a_container_and_other_capitals_do_not_keep_sides_from_each_other() -> None:
    table = make_table("Thalamus", "Left-Thalamus", "Right thalamus", "right-Thalamus-Proper")
    assert find_opposites(table) == (0, 1, 3, 2, 4)
    assert list(pair_structures(table.structures)) == [
        "Thalamus",
        "Thalamus, both sides",
        "right-Thalamus-Proper",
    ]


def test_for_drawing_both_sides_follow_each_other_after_all_that_has_none() -> None:
    names = [BRAIN.structures[place].name for place in sort_alike(BRAIN.structures)]
    assert names == [
        "Brain-Stem", "CSF", "left amygdala", "Left-Thalamus", "Right-Thalamus",
        "Left-Cerebral-Cortex", "Right-Cerebral-Cortex",
    ]  # fmt: skip
