"""Where the metadata of a scan is written in a BIDS dataset, file by file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bids_film.domain.entities import BidsName, parse_name
from bids_film.domain.errors import MetadataError, ScanError
from bids_film.domain.scan import MetadataSource, SourceKind
from bids_film.inputs.tables import (
    NOT_AVAILABLE,
    Row,
    find_row,
    index_rows,
    read_json,
    read_table,
    read_units,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Key:
    """A column that tells rows apart; a second one counts only where the table has it."""

    column: str
    prefix: str
    value: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _IndexedTable:
    keys: tuple[str, ...]
    rows: Mapping[tuple[str, ...], Row]
    units: Mapping[str, str]


class SourceReader:
    """Reads the metadata of scans; each file of the dataset is read once.

    Parameters
    ----------
    root : Path
        Root of the dataset.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._sidecars: dict[Path, list[tuple[BidsName, Path]]] = {}
        self._contents: dict[Path, dict[str, Any]] = {}
        self._tables: dict[Path, _IndexedTable | None] = {}

    def read(self, path: Path, name: BidsName, datatype: str) -> tuple[MetadataSource, ...]:
        """Collect all that the dataset says of a scan, in order of precedence.

        Parameters
        ----------
        path : Path
            The scan, below the root.
        name : BidsName
            Its name, taken apart.
        datatype : str
            Such as ``anat``.

        Raises
        ------
        MetadataError
            Where a file at the root, which speaks of the whole dataset, cannot be read as what it
            should be.
        ScanError
            Where a file of the participant cannot: it concerns no other one.
        """
        parts = {**name.entities, "suffix": name.suffix, "datatype": datatype}
        sidecars = [
            self._source(SourceKind.SIDECAR, sidecar, self._read_sidecar(sidecar))
            for sidecar in self.find_sidecars(path, name)
        ]
        return (
            *self._read_scans_tables(path, name.entities),
            *self._read_sessions_table(name.entities),
            *self._read_participants_table(name.entities),
            *sidecars,
            self._source(SourceKind.NAME, path, parts),
        )

    @property
    def tabled(self) -> frozenset[str]:
        """Participants of whom the table at the root has a row, once it was read."""
        table = self._tables.get(self._root / "participants.tsv")
        return frozenset(first for first, *_ in table.rows) if table else frozenset()

    def find_sidecars(self, path: Path, name: BidsName) -> list[Path]:
        """Find the JSON files that apply to a scan by BIDS' inheritance principle, nearest first.

        A file applies where it lies in the scan's folder or one above it, has its suffix, and has
        no entity that the scan does not have with the same value. Within a folder the file with
        more entities is the nearer one.
        """
        return [
            sidecar
            for folder in path.parents
            if folder.is_relative_to(self._root)
            for candidate, sidecar in self._list_sidecars(folder)
            if candidate.suffix == name.suffix
            and candidate.entities.items() <= name.entities.items()
        ]

    def _list_sidecars(self, folder: Path) -> list[tuple[BidsName, Path]]:
        if folder not in self._sidecars:
            found = [
                (name, file)
                for file in sorted(folder.glob("*.json"))
                if (name := _parse_sidecar_name(file.name)) is not None
            ]
            found.sort(key=lambda pair: -len(pair[0].entities))
            self._sidecars[folder] = found
        return self._sidecars[folder]

    def _read_sidecar(self, path: Path) -> dict[str, Any]:
        if path not in self._contents:
            with self._confining(path):
                self._contents[path] = read_json(path)
        return self._contents[path]

    def _read_scans_tables(
        self, path: Path, entities: Mapping[str, str]
    ) -> tuple[MetadataSource, ...]:
        sources: tuple[MetadataSource, ...] = ()
        for folder, stem in reversed(self._list_folders(entities)):
            key = _Key(column="filename", prefix="./", value=path.relative_to(folder).as_posix())
            sources += self._read_row(SourceKind.SCANS_TSV, folder / f"{stem}_scans.tsv", key)
        return sources

    def _read_sessions_table(self, entities: Mapping[str, str]) -> tuple[MetadataSource, ...]:
        if "ses" not in entities:
            return ()
        folder, stem = self._list_folders(entities)[0]
        key = _Key(column="session_id", prefix="ses-", value=entities["ses"])
        return self._read_row(SourceKind.SESSIONS_TSV, folder / f"{stem}_sessions.tsv", key)

    def _read_participants_table(self, entities: Mapping[str, str]) -> tuple[MetadataSource, ...]:
        # Many labs put one row per session here: such rows hold for their session only.
        participant = _Key(column="participant_id", prefix="sub-", value=entities["sub"])
        session = _Key(column="session_id", prefix="ses-", value=entities.get("ses", NOT_AVAILABLE))
        table = self._root / "participants.tsv"
        return self._read_row(SourceKind.PARTICIPANTS_TSV, table, participant, session)

    def _read_row(
        self, kind: SourceKind, path: Path, key: _Key, second: _Key | None = None
    ) -> tuple[MetadataSource, ...]:
        keys = (key,) if second is None else (key, second)
        if path not in self._tables:
            with self._confining(path):
                self._tables[path] = self._read_table(path, keys)
        table = self._tables[path]
        if table is None:
            return ()
        used = [one.value for one in keys if one.column in table.keys]
        row = find_row(table.rows, used)
        return () if row is None else (self._source(kind, path, row.values, table.units),)

    @contextmanager
    def _confining(self, path: Path) -> Iterator[None]:
        try:
            yield
        except MetadataError as error:
            if path.parent == self._root:
                raise
            raise ScanError(error.message, hint=error.hint) from error

    def _read_table(self, path: Path, keys: tuple[_Key, ...]) -> _IndexedTable | None:
        if not os.path.lexists(path):
            return None
        table = read_table(path, required=keys[0].column)
        present = [key for key in keys if key.column in table.columns]
        general = self._root / (path.stem.rpartition("_")[2] + ".json")
        return _IndexedTable(
            keys=tuple(key.column for key in present),
            rows=index_rows(table, [(key.column, key.prefix) for key in present]),
            units=read_units(*dict.fromkeys([path.with_suffix(".json"), general])),
        )

    def _list_folders(self, entities: Mapping[str, str]) -> list[tuple[Path, str]]:
        """Folders of the participant and of the session, each with the stem of its tables."""
        participant = f"sub-{entities['sub']}"
        folders = [(self._root / participant, participant)]
        if "ses" in entities:
            session = f"ses-{entities['ses']}"
            folders.append((self._root / participant / session, f"{participant}_{session}"))
        return folders

    def _source(
        self,
        kind: SourceKind,
        path: Path,
        values: Mapping[str, Any],
        units: Mapping[str, str] | None = None,
    ) -> MetadataSource:
        file = path.relative_to(self._root).as_posix()
        return MetadataSource(kind=kind, file=file, values=values, units=units or {})


def _parse_sidecar_name(file: str) -> BidsName | None:
    stem, _, extension = file.partition(".")
    if extension == "json" and stem.isalnum():
        # At the dataset's root a sidecar may have a suffix only: T1w.json holds for every T1w.
        return BidsName(suffix=stem, extension=".json")
    name = parse_name(file)
    return name if name is not None and name.extension == ".json" else None
