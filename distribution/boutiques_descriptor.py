"""The command's arguments as Boutiques describes them, for CBRAIN, NeuroDesk and the like."""

from __future__ import annotations

import argparse
from typing import Any

import bids_film
from bids_film.cli.parser import absolute_path, positive_gigabytes, positive_int
from bids_film.domain.errors import ExitCode

_ABOUT_THE_PROGRAM = ("help", "version")
_WRITTEN = ("output_dir", "bids_database_dir", "work_dir")
_ERRORS = {
    ExitCode.SCANS_FAILED: "at least one scan failed; the others were finished",
    ExitCode.USAGE: "an option or a folder that cannot be used",
    ExitCode.INPUT: "not a BIDS dataset, nothing matches the filters, or no such model",
}


def describe_tool(parser: argparse.ArgumentParser) -> dict[str, Any]:
    """Describe the command by its parser, version 0.5 of the Boutiques schema."""
    actions = [a for a in parser._actions if a.dest not in _ABOUT_THE_PROGRAM]  # noqa: SLF001 argparse has no other way
    inputs = [_describe_input(action) for action in actions]
    keys = " ".join(entry["value-key"] for entry in inputs)
    return {
        "name": "bids-film",
        "tool-version": bids_film.__version__,
        "schema-version": "0.5",
        "description": " ".join((parser.description or "").partition("\n\n")[0].split()),
        "author": "The bids_film developers",
        "command-line": f"bids-film {keys}",
        "container-image": {
            "type": "docker",
            "image": "bids-film",
            "entrypoint": False,
        },
        "inputs": inputs,
        "output-files": [
            {
                "id": "derivatives",
                "name": "Derivatives",
                "description": "Label maps, volumes, tables and reports as BIDS derivatives",
                "path-template": "[OUTPUT_DIR]",
                "optional": False,
            }
        ],
        "error-codes": [{"code": int(code), "description": text} for code, text in _ERRORS.items()],
        "suggested-resources": {"cpu-cores": 2, "ram": 4, "walltime-estimate": 120},
        "tags": {"domain": ["neuroinformatics", "mri"], "toolType": ["segmentation"]},
    }


def _describe_input(action: argparse.Action) -> dict[str, Any]:
    option = max(action.option_strings, key=len, default="")
    key = f"[{action.dest.upper()}]"
    entry: dict[str, Any] = {
        "id": action.dest,
        "name": action.dest.replace("_", " "),
        "description": action.help,
        "type": _find_type(action),
        "optional": bool(option),
        "value-key": key,
    }
    if option:
        entry["command-line-flag"] = option
    if action.nargs == "+":
        entry["list"] = True
    if action.choices:
        entry["value-choices"] = list(action.choices)
    if entry["type"] == "Number":
        entry["integer"] = action.type is positive_int
        entry["minimum"] = 1 if entry["integer"] else 0
    return entry


def _find_type(action: argparse.Action) -> str:
    if action.nargs == 0:
        return "Flag"
    if action.type in (positive_int, positive_gigabytes):
        return "Number"
    # A folder that is made where it is missing is no file that a platform could check before.
    if action.type is absolute_path and action.dest not in _WRITTEN:
        return "File"
    return "String"
