"""A scan, and the places where its metadata can be found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

_EMPTY: Mapping[str, str] = MappingProxyType({})


class SourceKind(StrEnum):
    """Where metadata comes from; the order here is the order of precedence."""

    COMMAND_LINE = "command line"
    METADATA_FILE = "metadata file"
    SCANS_TSV = "scans.tsv"
    SESSIONS_TSV = "sessions.tsv"
    PARTICIPANTS_TSV = "participants.tsv"
    SIDECAR = "JSON sidecar"
    NAME = "file name"
    HEADER = "NIfTI header"


@dataclass(frozen=True, kw_only=True, slots=True)
class MetadataSource:
    """One file, or the command line, with the raw values that it gives for a scan.

    Attributes
    ----------
    kind : SourceKind
    file : str
        Path relative to the dataset's root in POSIX form; empty for the command line.
    values : Mapping[str, Any]
        Key or column to raw value, exactly as found.
    units : Mapping[str, str]
        Key or column to the unit that the file's data dictionary declares, where it does.
    """

    kind: SourceKind
    file: str = ""
    values: Mapping[str, Any]
    units: Mapping[str, str] = field(default_factory=lambda: _EMPTY)


@dataclass(frozen=True, kw_only=True, slots=True)
class Scan:
    """An image file of a BIDS dataset.

    Attributes
    ----------
    path : Path
        Absolute path of the NIfTI file.
    dataset_root : Path
        Absolute path of the dataset that it belongs to.
    entities : Mapping[str, str]
        Short BIDS keys to values without prefix: ``{"sub": "01", "ses": "a"}``.
    suffix : str
        Such as ``T1w``.
    datatype : str
        Such as ``anat``; empty where the folder does not say.
    sources : tuple[MetadataSource, ...]
        In order of precedence: the first that has a usable value for a field wins.
    problem, hint : str
        Why the scan cannot be segmented, where its metadata files show that already, and what to
        do about it; empty otherwise.
    """

    path: Path
    dataset_root: Path
    entities: Mapping[str, str]
    suffix: str
    datatype: str = ""
    sources: tuple[MetadataSource, ...] = ()
    problem: str = ""
    hint: str = ""

    @property
    def participant(self) -> str:
        """Participant label without ``sub-``."""
        return self.entities["sub"]

    @property
    def session(self) -> str | None:
        """Session label without ``ses-``, or None."""
        return self.entities.get("ses")

    @property
    def relative_path(self) -> str:
        """Path relative to the dataset's root, in POSIX form."""
        return self.path.relative_to(self.dataset_root).as_posix()

    @property
    def stem(self) -> str:
        """File name without its extension: ``sub-01_T1w``."""
        return self.path.name.partition(".")[0]
