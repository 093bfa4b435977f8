"""Structures that come in pairs, by their names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bids_film.domain.labels import LabelTable, Structure

Side = Literal["left", "right", ""]
_SIDE = re.compile(r"(?<![A-Za-z])((?i:left|right)(?![a-z])|(?i:[lr]h?)(?![A-Za-z0-9]))")


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """A structure with its place among all of them, from 0, and its name without the side."""

    place: int
    structure: Structure
    side: Side
    name: str


def split_side(name: str) -> tuple[Side, str]:
    """Take the side out of a name: ``left thalamus``, ``Left-Thalamus``, ``lh-cortex``, ``T_R``."""
    found = _SIDE.search(name)
    rest = (name[: found.start()] + name[found.end() :]).strip(" -_.") if found else ""
    if not found or not rest:
        return "", name
    return ("left" if found[0][0] in "lL" else "right"), rest


def pair_structures(structures: Sequence[Structure]) -> dict[str, tuple[Member, ...]]:
    """Bring both sides of a structure together: name without side to left and right, or to itself.

    A structure of which the other side is not there keeps its whole name, and so does one that has
    no side; the pair of such a name is ``thalamus, both sides``.
    """
    groups: dict[tuple[bool, str], list[Member]] = {}
    for place, structure in enumerate(structures):
        side, name = split_side(structure.name)
        member = Member(place=place, structure=structure, side=side, name=name)
        groups.setdefault((bool(side), name.casefold()), []).append(member)
    pairs: dict[str, tuple[Member, ...]] = {}
    for (_, name), members in groups.items():
        if sorted(member.side for member in members) == ["left", "right"]:
            shown = ", both sides" if (False, name) in groups else ""
            pairs[members[0].name + shown] = tuple(sorted(members, key=lambda member: member.side))
        else:
            pairs |= {member.structure.name: (member,) for member in members}
    return pairs


def sort_alike(structures: Sequence[Structure]) -> list[int]:
    """Sort structures for drawing, as places: the left ones lie above the same as the right ones.

    Those without another side come first; both sides of the others follow each other.
    """
    pairs = sorted(pair_structures(structures).values(), key=len)
    return [member.place for members in pairs for member in members]


def find_opposites(labels: LabelTable) -> tuple[int, ...]:
    """Find, for each output channel, the one that holds the same structure of the other side.

    Background, and what has no other side, is its own.
    """
    opposites = list(range(len(labels) + 1))
    for members in pair_structures(labels.structures).values():
        places = [member.place + 1 for member in members]
        for own, other in zip(places, reversed(places), strict=True):
            opposites[own] = other
    return tuple(opposites)
