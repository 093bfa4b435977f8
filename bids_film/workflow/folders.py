"""The folders of a run: checked before anything is computed, so that no night is lost on them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from bids_film.derivatives.atomic import check_output_folder, check_writable
from bids_film.domain.errors import UsageError
from bids_film.inputs.exclusions import read_exclusions
from bids_film.workflow.options import AnalysisLevel, Options


def read_excluded(options: Options) -> Mapping[str, str]:
    """Read which scans ``--exclude-list`` leaves out, and why; say which of them are not there.

    Raises
    ------
    UsageError
        Where the file is not such a list.
    """
    if options.exclude_list is None:
        return {}
    excluded = read_exclusions(options.exclude_list)
    for scan in excluded:
        if not _is_image_of(options.bids_dir, scan):
            sys.stderr.write(
                f"note: --exclude-list: {scan} is no scan of {options.bids_dir}, and leaves out "
                "none; expected the path of a single scan, such as sub-01/anat/sub-01_T1w.nii.gz\n"
            )
    return excluded


def _is_image_of(dataset: Path, scan: str) -> bool:
    path = dataset / scan
    # A link to nowhere is an image whose content may be got later.
    there = os.path.lexists(path) and not path.is_dir()
    return there and not Path(scan).is_absolute() and scan.endswith((".nii", ".nii.gz"))


def check_folders(options: Options) -> None:
    """Refuse a folder that would spoil the input or the outputs; nothing is made yet.

    Raises
    ------
    UsageError
    """
    check_output_folder(options.output_dir, options.bids_dir)
    if options.output_dir.exists() and not options.output_dir.is_dir():
        raise UsageError(
            f"the output folder {options.output_dir} is a file", hint="give another OUTPUT_DIR"
        )
    inside = {"--work-dir": options.work_dir, "--bids-database-dir": options.bids_database_dir}
    for option, folder in inside.items():
        if folder and os.path.isfile(folder):  # noqa: PTH113 Path's fails where it may not look
            raise UsageError(
                f"the folder {folder} of {option} is a file", hint=f"give {option} a folder"
            )
        if folder and folder.resolve().is_relative_to(options.bids_dir.resolve()):
            raise UsageError(
                f"the folder {folder} lies inside the input {options.bids_dir}",
                hint=f"give another folder to {option}: the input is never written to",
            )
        makes_bids = options.analysis_level is AnalysisLevel.PARTICIPANT
        if makes_bids and folder and folder.resolve().is_relative_to(options.output_dir.resolve()):
            raise UsageError(
                f"the folder {folder} lies inside the output {options.output_dir}, which would be "
                "no BIDS dataset any more",
                hint=f"give {option} a folder beside it, such as {options.output_dir}-work",
            )


@contextmanager
def run_folder(work_dir: Path | None, *, clean: bool) -> Iterator[Path]:
    """Folder for one run's files, of its own so that runs at the same time do not meet.

    Parameters
    ----------
    work_dir : Path or None
        Where the user wants it; a temporary folder, removed at the end, where None.
    clean : bool
        Whether it is removed at the end in any case.

    Raises
    ------
    UsageError
        Where it cannot be made.
    """
    if work_dir is not None:
        check_writable(work_dir)
    try:
        folder = Path(tempfile.mkdtemp(prefix="bids_film-", dir=work_dir))
    except OSError as error:
        raise UsageError(
            f"no folder for temporary files can be made: {error.strerror}",
            hint="give a writable folder with --work-dir",
        ) from error
    try:
        yield folder
    finally:
        if clean or work_dir is None:
            shutil.rmtree(folder, ignore_errors=True)
