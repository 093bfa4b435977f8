from __future__ import annotations

import pytest
from report_scenes import MANY, TABLE

from bids_film.domain.labels import Structure
from bids_film.report.sides import pair_structures, split_side


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("left thalamus", ("left", "thalamus")),
        ("Right-Cerebral-Cortex", ("right", "Cerebral-Cortex")),
        ("hippocampus (left)", ("left", "hippocampus ()")),
        ("Brain-Stem", ("", "Brain-Stem")),
        ("cleft", ("", "cleft")),
        ("left", ("", "left")),
    ],
)
def test_a_side_is_a_word_of_its_own_beside_others(name: str, found: tuple[str, str]) -> None:
    assert split_side(name) == found


def test_pairs_keep_the_places_of_both_sides_left_first_and_singles_their_names() -> None:
    pairs = pair_structures(MANY.structures)
    assert sum(len(members) for members in pairs.values()) == len(MANY)
    structures = MANY.structures
    for name, members in pairs.items():
        assert all(structures[member.place] is member.structure for member in members)
        if len(members) == 1:
            assert name == members[0].structure.name
        else:
            assert [member.side for member in members] == ["left", "right"]
    assert [len(members) for members in pairs.values()] == 14 * [2] + 4 * [1]
    assert list(pair_structures(TABLE.structures)) == ["spinal cord", "gray matter"]


def test_a_side_without_the_other_is_no_pair() -> None:
    alone = Structure(index=1, name="left hippocampus", abbreviation="H", color="#000000")
    assert list(pair_structures([alone])) == ["left hippocampus"]
