"""A run to disturb, what tells that nothing was lost, and the ledger of what was done to it."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

LEDGER = "BIDS_FILM_FAULT_LEDGER"
"""Names a file to which a line is added for each fault; `benchmarks.faults.run` reads it."""

TIMES = "BIDS_FILM_FAULT_TIMES"
"""How often the faults that come at a random moment are injected; few times where it is unset."""

BOUND_S = 300.0
"""No run of the lab may take longer, whatever is done to it: beyond it, it hangs.

It takes seconds; what it may take besides is for a busy machine.
"""

ROOT = Path(__file__).parents[2]


def find_times(few: int) -> int:
    """How often to inject a fault."""
    return int(os.environ.get(TIMES, few))


def note(fault: str, outcome: str, *, times: int = 1) -> None:
    """Write a fault, how often it was injected, and what came of it, into the ledger if any."""
    path = os.environ.get(LEDGER)
    if path:
        with Path(path).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({"fault": fault, "outcome": outcome, "times": times}) + "\n")


@dataclass(frozen=True, kw_only=True)
class Lab:
    """A dataset and a model, with the outputs of a run that nothing disturbed.

    Attributes
    ----------
    folder : Path
        Holds ``bids``, ``tiny.safetensors`` and ``undisturbed``.
    expected : Mapping[str, str]
        Output to hash, of the undisturbed run.
    seconds : float
        How long that run took.
    """

    folder: Path
    expected: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def command(self, output: Path, *options: object, level: str = "participant") -> list[str]:
        """Write the command of a run."""
        model = self.folder / "tiny.safetensors"
        places = [str(self.folder / "bids"), str(output), level]
        chosen = ["--model", str(model)] if level in ("participant", "evaluate") else []
        return [sys.executable, "-m", "bids_film", *places, *chosen, *map(str, options)]


def start(
    command: Sequence[str], *, before: Sequence[str] = (), environment: Mapping[str, str] = {}
) -> subprocess.Popen[str]:
    """Start a program in a session of its own."""
    given = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        [*before, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | given,
        start_new_session=True,
    )


def finish(
    command: Sequence[str], *, before: Sequence[str] = (), environment: Mapping[str, str] = {}
) -> tuple[int, str, str]:
    """Run a program to its end; exit code, standard output and error."""
    with start(command, before=before, environment=environment) as process:
        out, err = process.communicate(timeout=BOUND_S)
    return process.returncode, out, err


def hash_outputs(output: Path) -> dict[str, str]:
    """Hash all that is in an output folder but the logs, in which there are times."""
    return {
        path.relative_to(output).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.relative_to(output).parts[0] != "logs"
        if not path.name.startswith(".bids-film-")
    }


def check_whole(output: Path) -> None:
    """Fail where there is a half file under a final name, or a sidecar that vouches for nothing."""
    for path in output.rglob("*.nii.gz"):
        with gzip.open(path) as stream:
            assert len(stream.read()) > 352, path
    for path in output.rglob("*.json"):
        json.loads(path.read_text(encoding="utf-8"))
        if path.name.endswith("_dseg.json"):
            assert path.with_suffix("").with_suffix(".nii.gz").is_file(), path
            assert path.with_suffix(".tsv").read_text(encoding="utf-8").endswith("\n"), path
    for path in output.glob("*.html"):
        assert path.read_text(encoding="utf-8").rstrip().endswith("</html>"), path


class Member(NamedTuple):
    """A process of a session."""

    process: int
    parent: int
    command: str


def list_session(session: int) -> Iterator[Member]:
    """Find all processes of a session that are still running."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, parent, _, number = (
                (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[:4]
            )
            if int(number) == session and state != "Z":
                command = (folder / "cmdline").read_text(encoding="utf-8")
                yield Member(int(folder.name), int(parent), command)
        except OSError:
            continue


def wait_for_the_end(session: int) -> None:
    """Wait until no process of a session is left."""
    deadline = time.monotonic() + 60
    while left := list(list_session(session)):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
