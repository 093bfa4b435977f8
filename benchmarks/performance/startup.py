"""From the command to the first scan: help, dry runs of large datasets, and pybids alone.

python -m benchmarks.performance.startup [--write]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.performance.timing import Row, make_parser, parse_arguments, publish, run_command

PROGRAM = (sys.executable, "-m", "bids_film")
BARE = (
    "from bids import BIDSLayout, BIDSLayoutIndexer as Indexer;"
    "BIDSLayout({!r}, validate=False, indexer=Indexer(index_metadata=False))"
)
# As fMRIPrep's config.execution.init() has it: metadata, no validation, the index as a database.
FMRIPREP = (
    "import re; from bids import BIDSLayout, BIDSLayoutIndexer as Indexer;"
    "ignore = ('code', 'stimuli', 'sourcedata', 'models', re.compile(r'^\\.'));"
    "BIDSLayout({!r}, database_path={!r}, reset_database=True,"
    " indexer=Indexer(validate=False, ignore=ignore)).get(subject='00007')"
)
SUFFIXES = ("T1w", "T2w", "FLAIR", "PDw")


def main() -> None:
    """Make the datasets, time the commands, print the table."""
    arguments = parse_arguments(make_parser(__doc__))
    with tempfile.TemporaryDirectory() as folder:
        small, large = Path(folder) / "small", Path(folder) / "large"
        make_dataset(small, participants=500, sessions=2, suffixes=SUFFIXES)
        make_dataset(large, participants=40_000, sessions=0, suffixes=("T1w",))
        one = ("--participant-label", "00007")
        commands = {
            "bids-film --help": (*PROGRAM, "--help"),
            "dry run, 1 of 500 participants, 2 sessions, 8,000 files": _dry_run(small, *one),
            "dry run, all of them": _dry_run(small),
            "dry run, 1 of 40,000 participants": _dry_run(large, *one),
            "pybids alone: BIDSLayout of the 8,000 files": (
                sys.executable, "-c", f"from bids import BIDSLayout; BIDSLayout({str(small)!r})",
            ),
            "pybids alone, without metadata and validation": (
                sys.executable, "-c",
                BARE.format(str(small)),
            ),
            "pybids as fMRIPrep starts it, for 1 of the 500 participants": (
                sys.executable, "-c", FMRIPREP.format(str(small), str(Path(folder) / "index")),
            ),
        }  # fmt: skip
        rows = []
        for way, command in commands.items():
            run = run_command(command, repeats=3 if "help" in way else 1)
            rows.append(Row(way=way, seconds=run.seconds, memory_mb=run.memory_mb))
    publish("startup", {"Whole processes (the ratio is to the first line)": rows}, arguments)


def make_dataset(
    root: Path, *, participants: int, sessions: int, suffixes: tuple[str, ...]
) -> None:
    """Write a dataset of empty images with sidecars."""
    root.mkdir()
    (root / "dataset_description.json").write_text('{"Name": "many", "BIDSVersion": "1.10.0"}')
    labels = [f"sub-{number:05d}" for number in range(participants)]
    (root / "participants.tsv").write_text(
        "participant_id\tage\n" + "".join(f"{label}\t{20 + len(label)}\n" for label in labels)
    )
    for label in labels:
        for session in [f"ses-{number + 1}" for number in range(sessions)] or [""]:
            folder = root / label / session / "anat"
            folder.mkdir(parents=True)
            stem = f"{label}_{session}" if session else label
            for suffix in suffixes:
                (folder / f"{stem}_{suffix}.nii.gz").touch()
                (folder / f"{stem}_{suffix}.json").write_text('{"MagneticFieldStrength": 3}')


def _dry_run(root: Path, *options: str) -> tuple[str, ...]:
    return (*PROGRAM, str(root), str(root.parent / "out"), "participant", "--dry-run", *options)


if __name__ == "__main__":
    main()
