"""Metadata that the user gives on the command line."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from bids_film.domain.errors import UsageError
from bids_film.domain.scan import MetadataSource, SourceKind
from bids_film.metadata.fields import Field
from bids_film.metadata.parse import Status
from bids_film.metadata.resolve import resolve


def read_overrides(assignments: Sequence[str]) -> MetadataSource:
    """Read ``FIELD=VALUE`` from the command line.

    Raises
    ------
    UsageError
        Where one is not of that form, or a field comes twice.
    """
    values: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals or not name:
            raise UsageError(
                f"--metadata: expected FIELD=VALUE, got {assignment!r}",
                hint="such as --metadata MagneticFieldStrength=3 Manufacturer=Siemens",
            )
        if values.setdefault(name, value) != value:
            raise UsageError(f"--metadata: {name} is given as {values[name]!r} and as {value!r}")
    return MetadataSource(kind=SourceKind.COMMAND_LINE, values=values)


def check_overrides(given: MetadataSource, fields: Sequence[Field]) -> None:
    """Refuse what was typed for nothing: a name that is no field, a value that cannot be used.

    Parameters
    ----------
    given : MetadataSource
        Of `read_overrides`.
    fields : Sequence[Field]
        Those of the model.

    Raises
    ------
    UsageError
        Naming the nearest field, or what is wrong with the value.
    """
    # A typing mistake here would otherwise let the dataset's value win, for every scan.
    values = resolve(fields, [given])
    names = [field.name for field in fields]
    for name in given.values:
        if name in {value.key for value in values}:
            continue
        near = difflib.get_close_matches(name, names, n=1)
        listed = f"its fields: {', '.join(names)}" if names else "it reads no metadata"
        hint = f"did you mean {near[0]!r}?" if near else listed
        raise UsageError(f"--metadata {name}: the model has no such field", hint=hint)
    for value in values:
        if not value.status.usable and value.status is not Status.MISSING:
            raise UsageError(
                f"--metadata {value.key}={value.raw}: {value.note}",
                hint=f"{value.key}=n/a makes the field unknown to the model",
            )
