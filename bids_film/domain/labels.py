"""Structures, and the label table that gives them numbers, names and colours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from bids_film.domain.errors import UsageError

COLOR = re.compile("#[0-9a-fA-F]{6}")


def check_color(color: str, *, where: str) -> None:
    """Refuse what is not a colour such as ``#1a2b3c``.

    Raises
    ------
    UsageError
    """
    if not COLOR.fullmatch(color):
        raise UsageError(f"{where}: expected a colour such as #1a2b3c, got {color!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """One structure of a label map.

    Attributes
    ----------
    index : int
        Value in the label map; positive.
    name : str
        Such as ``gray matter``.
    abbreviation : str
        Letters and digits only: it becomes the ``label-`` entity of a BIDS name, such as ``GM``.
    color : str
        ``#rrggbb``.
    part_of : str
        Name of the structure that contains this one ("" for none): measures and volumes of the
        container include its parts, though the label map gives each voxel one value.
    """

    index: int
    name: str
    abbreviation: str
    color: str
    part_of: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelTable:
    """The structures of a model, in the order of its output channels (channel 0 is background)."""

    structures: tuple[Structure, ...]

    def __iter__(self) -> Iterator[Structure]:
        return iter(self.structures)

    def __len__(self) -> int:
        return len(self.structures)

    def indices_of(self, name: str) -> tuple[int, ...]:
        """Label values that make up a structure: its own and those of its parts, recursively.

        Raises
        ------
        KeyError
            Where no structure has that name.
        """
        own = {structure.name: structure.index for structure in self.structures}[name]
        parts = [part for part in self.structures if part.part_of == name]
        return (own, *(index for part in parts for index in self.indices_of(part.name)))

    def channels_of(self, name: str) -> tuple[int, ...]:
        """Output channels that make up a structure: its own and those of its parts.

        Raises
        ------
        KeyError
            Where no structure has that name.
        """
        channel = {entry.index: number for number, entry in enumerate(self.structures, start=1)}
        return tuple(channel[index] for index in self.indices_of(name))
