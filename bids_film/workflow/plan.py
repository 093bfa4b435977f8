"""The work of a run, scan by scan, before anything heavy is imported."""

from __future__ import annotations

import difflib
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bids_film.derivatives.names import check_names_differ
from bids_film.domain.errors import ScanError, UsageError
from bids_film.domain.scan import MetadataSource, Scan, SourceKind
from bids_film.domain.words import name_some
from bids_film.inputs.dataset import open_dataset
from bids_film.inputs.filters import parse_filters, read_filter_file
from bids_film.inputs.folders import list_participants
from bids_film.inputs.metadata_file import GivenRow, metadata_file_source, read_metadata_file
from bids_film.metadata.encoder import Encoder
from bids_film.metadata.overrides import check_overrides, read_overrides
from bids_film.metadata.parse import Status
from bids_film.metadata.resolve import FieldValue, resolve
from bids_film.model.header import ModelHeader, hash_file, read_header
from bids_film.models import find_model
from bids_film.workflow.command import describe_command
from bids_film.workflow.fingerprint import explain_run, make_fingerprint
from bids_film.workflow.job import EngineSettings, ScanJob
from bids_film.workflow.options import Options
from bids_film.workflow.state import read_outcome, state_path


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanPlan:
    """What is to be done with one scan.

    Attributes
    ----------
    job : ScanJob
    reason : str
        Why it has to be segmented; empty where its outputs are there and still hold.
    """

    job: ScanJob
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What is to be done in a run.

    Attributes
    ----------
    header : ModelHeader
    model : Path
    scans : tuple[ScanPlan, ...]
        In the order of their paths.
    """

    header: ModelHeader
    model: Path
    scans: tuple[ScanPlan, ...]

    @property
    def pending(self) -> tuple[ScanJob, ...]:
        """Jobs that have to run."""
        return tuple(scan.job for scan in self.scans if scan.reason)

    @property
    def participants(self) -> tuple[str, ...]:
        """Labels of all participants with a scan, in order."""
        return tuple(dict.fromkeys(scan.job.scan.participant for scan in self.scans))


def make_plan(options: Options) -> Plan:
    """Find the scans, their metadata, and which of them have to be segmented.

    Raises
    ------
    InputError
        Where dataset, model or metadata cannot be used, or nothing matches.
    UsageError
        Where a filter or metadata file cannot be read.
    """
    path = find_model(options.model)
    header = read_header(path)
    scans = find_scans(options, header)
    check_names_differ(scans, header.name, options.output_dir)
    overrides = read_given_metadata(options, header.encoder, scans)
    model = {"name": header.name, "version": header.version, "sha256": hash_file(path)}
    plans = [_plan_scan(scan, header, overrides, options, (path, model)) for scan in scans]
    return Plan(header=header, model=path, scans=tuple(plans))


def find_scans(options: Options, header: ModelHeader) -> list[Scan]:
    """Find the scans that the user asked for and that the model is meant for."""
    chosen = read_filter_file(options.bids_filter_file) if options.bids_filter_file else {}
    filters = {**parse_filters(header.inputs, origin="The model's inputs").wanted, **chosen}
    return open_dataset(
        options.bids_dir,
        participants=options.participant_label,
        sessions=options.session_label,
        filters=filters,
        database_dir=options.bids_database_dir,
        validate=not options.skip_bids_validation,
    )


def resolve_metadata(
    scan: Scan, encoder: Encoder, given: Sequence[MetadataSource] = ()
) -> tuple[FieldValue, ...]:
    """Find a scan's values for the fields of a model.

    Parameters
    ----------
    given : sequence of MetadataSource
        What the user gave for this scan; comes before what the dataset says.
    """
    sources = (*given, *scan.sources)
    values = resolve(encoder.fields, sources)
    if any(value.status is Status.MISSING for value in values):
        # The file itself is opened only for what nothing else tells: disks of clusters are slow.
        from bids_film.inputs.nifti import header_source  # noqa: PLC0415 imports nibabel

        with suppress(ScanError):
            values = resolve(
                encoder.fields, (*sources, header_source(scan.path, root=scan.dataset_root))
            )
    return tuple(encoder.check(value) for value in values)


class GivenMetadata:
    """Values from the command line and ``--metadata-file``, for one scan after the other."""

    def __init__(
        self, assignments: Sequence[str], file: Path | None, rows: Sequence[GivenRow] = ()
    ) -> None:
        self._overrides = [read_overrides(assignments)] if assignments else []
        self._file = file
        self._rows: dict[str, list[GivenRow]] = defaultdict(list)
        for row in rows:
            self._rows[row["participant_id"]].append(row)

    def for_scan(self, scan: Scan) -> list[MetadataSource]:
        """List the sources that hold for a scan, in order of precedence."""
        if self._file is None:
            return self._overrides
        row = metadata_file_source(self._rows[scan.participant], scan.entities, self._file)
        return [*self._overrides, row] if row else self._overrides


def _plan_scan(
    scan: Scan,
    header: ModelHeader,
    given: GivenMetadata,
    options: Options,
    model: tuple[Path, dict[str, str]],
) -> ScanPlan:
    path, identity = model
    values = resolve_metadata(scan, header.encoder, given.for_scan(scan))
    companions = header.preprocessing.companions
    fingerprint = make_fingerprint(scan, values, identity, options, companions=companions)
    state_file = state_path(options.output_dir, identity["name"], scan.relative_path)
    job = ScanJob(
        path=scan.path,
        dataset_root=scan.dataset_root,
        entities=dict(scan.entities),
        suffix=scan.suffix,
        datatype=scan.datatype,
        output_dir=options.output_dir,
        state_file=state_file,
        values=values,
        on_missing_metadata=options.on_missing_metadata,
        save_probabilities=options.save_probabilities,
        metadata_effect=options.metadata_effect,
        command=describe_command(options, scan.participant),
        engine=EngineSettings(
            model=path,
            device=options.device,
            precision=options.precision,
            ensemble=options.ensemble,
            passes=options.passes,
        ),
        problem=scan.problem,
        hint=scan.hint,
        fingerprint=fingerprint,
    )
    why = explain_run(read_outcome(state_file), fingerprint, options.output_dir)
    reason = "asked for by --force" if options.force and not why else why
    return ScanPlan(job=job, reason=reason)


def read_given_metadata(options: Options, encoder: Encoder, scans: Sequence[Scan]) -> GivenMetadata:
    """Read ``--metadata`` and ``--metadata-file``.

    Raises
    ------
    UsageError
        Where one of them is of no use to the model or to anybody in the dataset.
    """
    check_overrides(read_overrides(options.metadata), encoder.fields)
    file = options.metadata_file
    rows = read_metadata_file(file) if file else []
    if file and scans:
        _check_metadata_file(file, rows, encoder, scans[0])
    return GivenMetadata(options.metadata, file, rows)


def _check_metadata_file(
    path: Path, rows: Sequence[GivenRow], encoder: Encoder, scan: Scan
) -> None:
    """Refuse a table that is about nobody in the scan's dataset, or has no field of the model.

    What else looks like a mistake is noted.
    """
    people = dict.fromkeys(row["participant_id"] for row in rows)
    # Nobody in the dataset, not nobody in this run: each task of an array is given the same table.
    there = set(list_participants(scan.dataset_root))
    gone = [person for person in people if person not in there]
    if len(gone) == len(people):
        raise UsageError(
            f"--metadata-file {path}: none of its {len(people)} participants is in the dataset",
            hint=f"participant_id is such as {scan.participant} or sub-{scan.participant}",
        )
    # Every row has the same columns, and n/a speaks of no field.
    read = {column: _speaks_of_a_field(column, encoder) for column in rows[0]}
    if not any(read.values()):
        known = ", ".join(field.name for field in encoder.fields) or "none"
        raise UsageError(
            f"--metadata-file {path}: no column is a field that the model reads",
            hint=f"its fields: {known}",
        )
    notes = list(_find_misspelt([column for column in read if not read[column]], encoder))
    if gone:
        notes.append(
            f"{len(gone)} of {len(people)} participants are not in the dataset: {name_some(gone)}"
        )
    sys.stderr.writelines(f"note: --metadata-file {path}: {note}\n" for note in notes)


def _speaks_of_a_field(column: str, encoder: Encoder) -> bool:
    source = MetadataSource(kind=SourceKind.METADATA_FILE, file="", values={column: "1"})
    return any(value.source for value in resolve(encoder.fields, [source]))


def _find_misspelt(columns: Iterable[str], encoder: Encoder) -> Iterator[str]:
    """Find the columns, of those that are no field's, that are nearly called like one."""
    known = [key for field in encoder.fields for key in (field.name, *field.keys)]
    for column in columns:
        near = difflib.get_close_matches(column, known, n=1, cutoff=0.8)
        if near:
            yield f"column {column!r} is no field of the model; did you mean {near[0]!r}?"
