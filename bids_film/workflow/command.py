"""The command that makes a participant's outputs again."""

from __future__ import annotations

import shlex
from pathlib import Path

from bids_film.workflow.options import Options

_TELLING = (
    "model",
    "session_label",
    "bids_filter_file",
    "skip_bids_validation",
    "metadata",
    "metadata_file",
    "on_missing_metadata",
    "save_probabilities",
    "metadata_effect",
    "device",
    "precision",
    "ensemble",
    "passes",
)
"""Options on which the outputs depend; how many run at once and where the work goes do not."""


def describe_command(options: Options, participant: str) -> str:
    """Write the command for one participant.

    Folders and files are named without their place on this machine: outputs are shared.
    """
    words = ["bids-film", "BIDS_DIR", "OUTPUT_DIR", "participant"]
    words += ["--participant-label", participant]
    for name in _TELLING:
        value = getattr(options, name)
        if value != Options.__dataclass_fields__[name].default or name == "model":
            words += [f"--{name.replace('_', '-')}", *_write_value(value)]
    return shlex.join(words)


def _write_value(value: object) -> list[str]:
    if isinstance(value, bool):
        return []
    if isinstance(value, tuple):
        return [str(item) for item in value]
    path = Path(str(value))
    return [path.name if path.is_absolute() else str(value)]
