"""One scan's work and what came of it, as plain JSON: they cross process borders and nights."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from bids_film.domain.scan import Scan, SourceKind
from bids_film.metadata.parse import Status
from bids_film.metadata.resolve import FieldValue
from bids_film.model.config import EnsembleKind


class Result(StrEnum):
    """How a scan ended."""

    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineSettings:
    """What a process needs to load a network; equal settings share one loaded network.

    Attributes
    ----------
    model : Path
    device, precision : str
    threads : int
    memory_gb : float
        What the process may take; 0 for no limit.
    ensemble : str
        Kind of `Ensemble`.
    passes : int
    """

    model: Path
    device: str = "auto"
    precision: str = "auto"
    threads: int = 1
    memory_gb: float = 0.0
    ensemble: EnsembleKind = "none"
    passes: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanJob:
    """All that it takes to segment one scan, without looking at the dataset again.

    Attributes
    ----------
    path, dataset_root, output_dir, state_file : Path
        Absolute; the state file is where the outcome goes.
    entities, suffix, datatype
        As in `Scan`.
    values : tuple[FieldValue, ...]
        Metadata as resolved and checked against the model's encoder, in the encoder's order.
    on_missing_metadata : str
        Value of a `MetadataPolicy`.
    save_probabilities : bool
    metadata_effect : str
        With which other metadata the scan is segmented again: ``all``, ``withheld`` or ``none``.
    command : str
        That segments this participant again.
    engine : EngineSettings
    problem, hint : str
        Why it cannot be done, where that is known already; empty otherwise.
    fingerprint : Mapping[str, Any]
        What the outputs depend on, see `workflow.fingerprint`.
    """

    path: Path
    dataset_root: Path
    entities: Mapping[str, str]
    suffix: str
    datatype: str = ""
    output_dir: Path
    state_file: Path
    values: tuple[FieldValue, ...] = ()
    on_missing_metadata: str = "use-unknown"
    save_probabilities: bool = False
    metadata_effect: str = "withheld"
    command: str = ""
    engine: EngineSettings
    problem: str = ""
    hint: str = ""
    fingerprint: Mapping[str, Any] = field(default_factory=dict)

    @property
    def scan(self) -> Scan:
        """The scan that this job is about; its metadata sources stay with the plan."""
        return Scan(
            path=self.path,
            dataset_root=self.dataset_root,
            entities=self.entities,
            suffix=self.suffix,
            datatype=self.datatype,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputFile:
    """A file that was written, and what tells whether it still is what was written.

    Attributes
    ----------
    path : str
        Relative to the output folder, POSIX form.
    size : int
        In bytes.
    mtime_ns : int
    sha256 : str
    """

    path: str
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanOutcome:
    """What came of a job; kept in the output folder's logs.

    Attributes
    ----------
    result : Result
    entities : Mapping[str, str]
        Of the input, without prefixes.
    input : str
        Path relative to the dataset, POSIX form.
    model : Mapping[str, str]
        ``name``, ``version`` and ``sha256``.
    outputs : tuple[OutputFile, ...]
        What is in them is not repeated here.
    flags : tuple[str, ...]
        What a reader should look at: notes on the file, the geometry and the metadata.
    seconds : Mapping[str, float]
        Step to duration.
    message, hint : str
        Why it failed; empty otherwise.
    exit_code : int
        What the whole run ends with, where it is the model or the device that cannot be used and
        not the scan; 0 otherwise.
    crash_file : str
        Path of the crash file relative to the output folder; empty where there is none.
    finished : str
        UTC, ISO 8601.
    fingerprint : Mapping[str, Any]
        Of the job, see `workflow.fingerprint`.
    """

    result: Result
    entities: Mapping[str, str]
    input: str
    model: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[OutputFile, ...] = ()
    flags: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict)
    message: str = ""
    hint: str = ""
    exit_code: int = 0
    crash_file: str = ""
    finished: str = ""
    fingerprint: Mapping[str, Any] = field(default_factory=dict)

    @property
    def failed(self) -> bool:
        """Whether the scan could not be segmented."""
        return self.result is Result.FAILED


def job_to_json(job: ScanJob) -> str:
    """Write a job as one line of JSON."""
    return _to_json(job)


def job_from_json(text: str) -> ScanJob:
    """Read what `job_to_json` wrote."""
    content = json.loads(text)
    paths = {
        key: Path(content[key]) for key in ("path", "dataset_root", "output_dir", "state_file")
    }
    engine = content["engine"] | {"model": Path(content["engine"]["model"])}
    read = {"values": _read_values(content["values"]), "engine": EngineSettings(**engine)}
    return ScanJob(**(content | paths | read))


def outcome_to_json(outcome: ScanOutcome, *, indent: int | None = None) -> str:
    """Write an outcome as JSON; one line unless indented."""
    return _to_json(outcome, indent=indent)


def outcome_from_json(text: str) -> ScanOutcome:
    """Read what `outcome_to_json` wrote.

    Raises
    ------
    ValueError, KeyError, TypeError
        Where the text is something else: cut short by a full disk, or of another version.
    """
    content = json.loads(text)
    read = {
        "result": Result(content["result"]),
        "outputs": tuple(OutputFile(**entry) for entry in content["outputs"]),
        "flags": tuple(content["flags"]),
    }
    return ScanOutcome(**(content | read))


def values_to_dict(values: tuple[FieldValue, ...]) -> dict[str, str | float | None]:
    """Field to value as the encoder takes them."""
    return {value.field: value.value for value in values}


def _to_json(record: ScanJob | ScanOutcome, *, indent: int | None = None) -> str:
    # Raw metadata can be anything that a sidecar holds; for a message its text is enough.
    content = dataclasses.asdict(record)
    # In ASCII, as a worker may run in a locale that is not UTF-8.
    return json.dumps(content, default=str, indent=indent, allow_nan=True)


def _read_values(entries: list[dict[str, Any]]) -> tuple[FieldValue, ...]:
    return tuple(
        FieldValue(
            **entry
            | {
                "status": Status(entry["status"]),
                "source": SourceKind(entry["source"]) if entry["source"] else None,
            }
        )
        for entry in entries
    )
