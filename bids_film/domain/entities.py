"""BIDS file names: parse, format, and what lies between."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

ENTITY_ORDER = (
    "sub", "ses", "sample", "task", "tracksys", "acq", "nuc", "voi", "ce", "trc", "stain", "rec",
    "dir", "run", "mod", "echo", "flip", "inv", "mt", "part", "proc", "hemi", "space", "split",
    "recording", "chunk", "atlas", "seg", "scale", "res", "den", "label", "desc",
)  # fmt: skip
"""Entities in the order that the BIDS specification gives them in a file name."""

_PAIR = re.compile(r"([a-zA-Z0-9]+)-([a-zA-Z0-9+]+)")
_SUFFIX = re.compile(r"[a-zA-Z0-9]+")
_EMPTY: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True, slots=True)
class BidsName:
    """The parts of a BIDS file name.

    Attributes
    ----------
    entities : Mapping[str, str]
        Short key to value, without the key's prefix (``{"sub": "01", "run": "1"}``), in the order
        in which the name gives them.
    suffix : str
        Last part before the extension, such as ``T1w``.
    extension : str
        With its leading dot, such as ``.nii.gz``; empty for a name without one.
    """

    entities: Mapping[str, str] = field(default_factory=lambda: _EMPTY)
    suffix: str = ""
    extension: str = ""


def parse_name(name: str) -> BidsName | None:
    """Take a file name apart; None where it is not a BIDS name.

    A name is BIDS where every part but the last is ``key-value``, no key comes twice, the last part
    is a plain suffix, and there is at least one entity.
    """
    stem, dot, extension = name.partition(".")
    *pairs, suffix = stem.split("_")
    matches = [_PAIR.fullmatch(pair) for pair in pairs]
    entities = {match[1]: match[2] for match in matches if match}
    if not pairs or len(entities) != len(pairs) or not _SUFFIX.fullmatch(suffix):
        return None
    return BidsName(entities=entities, suffix=suffix, extension=dot + extension)


def format_name(name: BidsName) -> str:
    """Write a file name with its entities in the specification's order.

    Entities that the specification does not know come last, in the order in which they are given.
    """
    known = [key for key in ENTITY_ORDER if key in name.entities]
    unknown = [key for key in name.entities if key not in ENTITY_ORDER]
    pairs = [f"{key}-{name.entities[key]}" for key in known + unknown]
    return "_".join([*pairs, name.suffix]) + name.extension
