"""What the user asked for, as one frozen object."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bids_film.model.config import EnsembleKind


class AnalysisLevel(StrEnum):
    """The third positional argument of a BIDS App."""

    PARTICIPANT = "participant"
    GROUP = "group"
    TRAIN = "train"
    EVALUATE = "evaluate"
    EXPERIMENT = "experiment"


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """Every option of the command line; the names are those of the long options.

    Attributes
    ----------
    bids_dir, output_dir : Path
        Absolute.
    analysis_level : AnalysisLevel
    participant_label, session_label : tuple[str, ...] or None
        Without ``sub-`` and ``ses-``; None means all.
    bids_filter_file, bids_database_dir, metadata_file, work_dir, use_plugin, config_file
        Absolute paths, or None.
    model : str
        Name of a bundled model, or a path.
    metadata : tuple[str, ...]
        Each ``FIELD=VALUE``.
    ensemble : str
        Whether each scan is segmented several times: ``none``, ``augment`` or ``dropout``.
    passes : int
        How often.
    nprocs : int or None
        Scans segmented at the same time; None lets the program choose.
    omp_nthreads : int or None
        Threads per scan; None lets the program choose.
    mem : float or None
        Gigabytes that all scans together may use; None means what the machine has.
    part : str
        Part of the model's split that it is evaluated on in memory; empty takes the label maps in
        the output folder.
    by : str
        Column whose values divide the scans of an evaluation; empty for none.
    compare_with : Path or None
        Table of another evaluation, or of another group.
    exclude_list : Path or None
        Scans that a review rejected.
    verbose : int
        How often ``-v`` was given.
    """

    bids_dir: Path
    output_dir: Path
    analysis_level: AnalysisLevel
    participant_label: tuple[str, ...] | None = None
    session_label: tuple[str, ...] | None = None
    bids_filter_file: Path | None = None
    skip_bids_validation: bool = False
    bids_database_dir: Path | None = None
    model: str = "brain"
    metadata: tuple[str, ...] = ()
    metadata_file: Path | None = None
    on_missing_metadata: str = "use-unknown"
    save_probabilities: bool = False
    metadata_effect: str = "withheld"
    reports_only: bool = False
    dry_run: bool = False
    force: bool = False
    device: str = "auto"
    precision: str = "auto"
    ensemble: EnsembleKind = "none"
    passes: int = 8
    nprocs: int | None = None
    omp_nthreads: int | None = None
    mem: float | None = None
    work_dir: Path | None = None
    clean_workdir: bool = False
    use_plugin: Path | None = None
    stop_on_first_crash: bool = False
    write_graph: bool = False
    resource_monitor: bool = False
    part: str = ""
    by: str = ""
    compare_with: Path | None = None
    exclude_list: Path | None = None
    config_file: Path | None = None
    verbose: int = 0

    @property
    def segments_here(self) -> bool:
        """Whether scans are segmented by processes of this one, as far as the options say."""
        elsewhere = self.dry_run or self.reports_only or self.resource_monitor or self.use_plugin
        return self.analysis_level is AnalysisLevel.PARTICIPANT and not elsewhere
