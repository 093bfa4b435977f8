"""Who is trained on, validated on and tested on: always whole people, never slices or sessions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_film.domain.errors import UsageError
from bids_film.domain.records import check_key
from bids_film.domain.scan import Scan, SourceKind
from bids_film.metadata.parse import is_missing
from bids_film.training.settings import SplitSettings

_FINAL = (SourceKind.COMMAND_LINE, SourceKind.SIDECAR)

Group = tuple[int, str]
"""Scans that stay together: number of their dataset, and a person or value of a column."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Split:
    """Scans by what they are used for.

    Attributes
    ----------
    training, validation, test : tuple[Scan, ...]
        No person, or group, is in two of them.
    """

    training: tuple[Scan, ...]
    validation: tuple[Scan, ...]
    test: tuple[Scan, ...] = ()


def split_scans(scans: Sequence[Scan], settings: SplitSettings, *, seed: int) -> Split:
    """Split scans by people; the same scans, settings and seed always give the same split.

    Parameters
    ----------
    scans : Sequence[Scan]
        With labels, of one dataset or several.
    settings : SplitSettings
    seed : int

    Raises
    ------
    UsageError
        Where a column or value is not found, or too few people are left.
    """
    groups = group_scans(scans, settings)
    tested = _find_tested(scans, settings.test)
    test = {group for group, members in groups.items() if any(s.path in tested for s in members)}
    rest = sorted(group for group in groups if group not in test)
    shuffled = [rest[index] for index in np.random.default_rng(seed).permutation(len(rest))]
    validation = set(_choose_validation(shuffled, settings))
    training = set(rest) - validation
    if not training:
        raise UsageError(
            f"nobody is left to train on: {len(groups)} people or groups, {len(test)} of them for "
            f"the test and {len(validation)} for validation",
            hint="lower validation or test in [split], or check group_by and group_pattern",
        )
    return Split(
        training=_members(scans, groups, training),
        validation=_members(scans, groups, validation),
        test=_members(scans, groups, test),
    )


def group_scans(scans: Sequence[Scan], settings: SplitSettings) -> dict[Group, list[Scan]]:
    """Put together the scans of a person, and the people who share a value of `group_by`.

    Raises
    ------
    UsageError
        Where no scan has the column, or the pattern is not a regular expression with a group, or
        matches nobody.
    """
    if settings.group_by:
        _check_column(scans, settings.group_by, "[split] group_by")
    people = _find_people(scans, settings)
    values = [find_value(scan, settings.group_by) if settings.group_by else None for scan in scans]
    names = {
        person: (person[0], f"{settings.group_by}={value}") if value else person
        for person, value in sorted(zip(people, values, strict=True), key=str)
    }
    leader = _join(people, values)
    members: dict[Group, list[Scan]] = {}
    for scan, person in zip(scans, people, strict=True):
        members.setdefault(names[leader[person]], []).append(scan)
    return members


def _find_people(scans: Sequence[Scan], settings: SplitSettings) -> list[Group]:
    pattern = _compile(settings.group_pattern) if settings.group_pattern else None
    if pattern and not any(pattern.fullmatch(scan.participant) for scan in scans):
        raise UsageError(
            f"[split] group_pattern: {settings.group_pattern!r} matches no participant, such as "
            f"{scans[0].participant!r}",
            hint="it is matched with whole labels, without sub-",
        )
    roots = list(dict.fromkeys(scan.dataset_root for scan in scans))
    return [
        (roots.index(scan.dataset_root), name_person(scan.participant, settings)) for scan in scans
    ]


def name_person(participant: str, settings: SplitSettings) -> str:
    """Name whom a participant's label is about: `group_pattern`'s group, or the label itself."""
    if not settings.group_pattern:
        return participant
    match = _compile(settings.group_pattern).fullmatch(participant)
    return match[1] if match and match[1] else participant


def _join(people: Sequence[Group], values: Sequence[str | None]) -> dict[Group, Group]:
    """Give each person the first of all who share a value with them, or with one who does."""
    leader = {person: person for person in people}

    def find(person: Group) -> Group:
        while leader[person] != person:
            person = leader[person]
        return person

    having: dict[str, Group] = {}
    for person, value in zip(people, values, strict=True):
        if value is not None:
            first, second = sorted((find(person), find(having.setdefault(value, person))))
            leader[second] = first
    return {person: find(person) for person in people}


def find_value(scan: Scan, column: str) -> str | None:
    """Look a column up in a scan's metadata as text; None where nothing is known of it.

    The next source is asked where one knows nothing, unless that is an answer, as for a field.
    """
    for source in scan.sources:
        value = source.values.get(column)
        text = "" if value is None else str(value).strip()
        if not is_missing(text):
            return text
        if column in source.values and source.kind in _FINAL:
            return None
    return None


def _find_tested(scans: Sequence[Scan], test: Mapping[str, Sequence[str]]) -> set[object]:
    """Paths of the scans that one of the columns keeps for the test."""
    tested: set[object] = set()
    for column, values in test.items():
        _check_column(scans, column, "[split] test")
        found = [find_value(scan, column) for scan in scans]
        for value in values:
            known = sorted({v for v in found if v})
            check_key(value, known, where=f"[split] test: {column}", what="value")
        tested |= {s.path for s, value in zip(scans, found, strict=True) if value in values}
    return tested


def _choose_validation(shuffled: Sequence[Group], settings: SplitSettings) -> Sequence[Group]:
    if settings.folds:
        if len(shuffled) < settings.folds:
            raise UsageError(
                f"[split] folds = {settings.folds}, but there are only {len(shuffled)} people or "
                "groups to share out"
            )
        return shuffled[settings.fold - 1 :: settings.folds]
    count = round(settings.validation * len(shuffled))
    if settings.validation > 0:
        count = max(count, 1)
    return shuffled[:count]


def check_balance(values: Sequence[object], key: str) -> None:
    """Refuse to draw the values of a field or column equally often where no scan has any.

    Raises
    ------
    UsageError
    """
    if all(value is None for value in values):
        raise UsageError(
            f"[training] balance: no training scan has a value of {key!r}",
            hint="name one of [metadata] fields, or a column of participants.tsv",
        )


def _check_column(scans: Sequence[Scan], column: str, where: str) -> None:
    known = {str(key) for scan in scans for source in scan.sources for key in source.values}
    check_key(column, sorted(known), where=where)


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        compiled = re.compile(pattern)
    except re.error as problem:
        raise UsageError(f"[split] group_pattern = {pattern!r}: {problem}") from problem
    if not compiled.groups:
        raise UsageError(
            f"[split] group_pattern = {pattern!r} has no group in parentheses",
            hint=r"name the person by a group, such as (.+)Ses\d",
        )
    return compiled


def _members(
    scans: Sequence[Scan], groups: Mapping[Group, Sequence[Scan]], chosen: set[Group]
) -> tuple[Scan, ...]:
    paths = {scan.path for group in chosen for scan in groups[group]}
    return tuple(scan for scan in scans if scan.path in paths)
