from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.domain.labels import LabelTable, Structure


def _table(parents: list[int | None]) -> LabelTable:
    """Structure i (value i + 1) is part of the structure at `parents[i]`, which comes before it."""
    return LabelTable(
        structures=tuple(
            Structure(
                index=position + 1,
                name=f"structure {position}",
                abbreviation=f"S{position}",
                color="#000000",
                part_of="" if parent is None else f"structure {parent}",
            )
            for position, parent in enumerate(parents)
        )
    )


@st.composite
def _forests(draw: st.DrawFn) -> list[int | None]:
    size = draw(st.integers(1, 8))
    return [
        None if position == 0 else draw(st.none() | st.integers(0, position - 1))
        for position in range(size)
    ]


@given(_forests())
def test_a_structure_holds_itself_and_every_structure_below_it_once(
    parents: list[int | None],
) -> None:
    table = _table(parents)
    for position, structure in enumerate(table):
        indices = table.indices_of(structure.name)
        below = {
            other
            for other in range(len(parents))
            if position in _ancestors_and_self(other, parents)
        }
        assert set(indices) == {other + 1 for other in below}
        assert len(set(indices)) == len(indices)
        assert indices[0] == structure.index


def _ancestors_and_self(position: int, parents: list[int | None]) -> set[int]:
    found: set[int] = set()
    current: int | None = position
    while current is not None:
        found.add(current)
        current = parents[current]
    return found


def test_an_unknown_structure_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        _table([None]).indices_of("liver")


def test_a_table_is_as_long_as_its_structures() -> None:
    table = _table([None, 0, None])
    assert len(table) == 3
    assert [structure.index for structure in table] == [1, 2, 3]
