"""What makes a folder of outputs a BIDS dataset of its own.

Its content depends on the input dataset and this program alone, not on participants or time: tasks
that start in the same second write the same bytes, so none needs to wait for another.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from bids_film.derivatives.atomic import write_text_atomically
from bids_film.derivatives.sidecars import RAW_LINK
from bids_film.domain.errors import UsageError
from bids_film.domain.paths import TEMPORARY_PATTERN

PROGRAM = "bids-film"
BIDS_VERSION = "1.10.0"
"""Version of the specification that the outputs follow."""

DESCRIPTION = "dataset_description.json"
IGNORED = ("/*.html", "/group_*", "/evaluation_*", "/logs", "**/figures", TEMPORARY_PATTERN)
"""Files beside the BIDS ones. A trailing slash would keep the validator from matching a folder."""


def write_dataset_files(
    output: Path, bids_root: Path, *, version: str, environment: Mapping[str, str]
) -> None:
    """Write dataset_description.json and .bidsignore, keeping what others wrote into them.

    Parameters
    ----------
    output, bids_root : Path
    version : str
        Of this program.
    environment : Mapping[str, str]
        Variables that say in which container it runs, see `find_container`.

    Raises
    ------
    UsageError
        As for `check_output`, or where the folder cannot be written.
    """
    existing = check_output(output, bids_root)
    content = describe_dataset(
        existing=existing,
        source=_read_description(bids_root / DESCRIPTION) or {},
        link=_relative_link(output, bids_root),
        generated_by=describe_program(version, environment),
    )
    if content != existing:
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        write_text_atomically(output / DESCRIPTION, text)
    _write_ignored(output / ".bidsignore")


def check_output(output: Path, bids_root: Path) -> dict[str, Any]:
    """Refuse an output folder that is not ours, or of another input; give its description.

    Parameters
    ----------
    output, bids_root : Path

    Raises
    ------
    UsageError
        Where the folder belongs to another pipeline, is a raw dataset or holds the outputs of
        another input.
    """
    existing = _read_own(output)
    _check_same_input(existing, output, bids_root)
    if existing:
        _check_ours(existing, output)
    return existing


def describe_dataset(
    *,
    existing: Mapping[str, Any],
    source: Mapping[str, Any],
    link: str,
    generated_by: Mapping[str, Any],
) -> dict[str, Any]:
    """Merge what we know into what is there; a user's own Name, Authors or License stay.

    Parameters
    ----------
    existing : Mapping
        The output's description, empty where there is none.
    source : Mapping
        The input's description.
    link : str
        Where the input is, seen from the output.
    generated_by : Mapping
        Our entry of ``GeneratedBy``.
    """
    source_name = str(source.get("Name") or "").strip() or "an unnamed dataset"
    others = [entry for entry in _entries(existing, "GeneratedBy") if entry.get("Name") != PROGRAM]
    before = _table(existing, "DatasetLinks").get(RAW_LINK)
    # Where the input lay before is where it lies now: both folders may have been moved.
    sources = [
        {**entry, "URL": link} if before and entry.get("URL") == before else entry
        for entry in _entries(existing, "SourceDatasets")
    ]
    return {
        "Name": f"Segmentations of {source_name}",
        "BIDSVersion": BIDS_VERSION,
        **existing,
        "DatasetType": "derivative",
        "GeneratedBy": [dict(generated_by), *others],
        "DatasetLinks": {**_table(existing, "DatasetLinks"), RAW_LINK: link},
        "SourceDatasets": sources or [_describe_source(source, link)],
    }


def describe_program(version: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Our entry of ``GeneratedBy``."""
    entry: dict[str, Any] = {"Name": PROGRAM, "Version": version}
    container = find_container(environment)
    return entry | {"Container": container} if container else entry


def find_container(environment: Mapping[str, str]) -> dict[str, str]:
    """Say in which container the program runs; empty where it runs in none.

    Images of ours set ``BIDS_FILM_CONTAINER_TAG`` (and ``BIDS_FILM_CONTAINER_URI``); Apptainer and
    Singularity name the image file, of which only the last part may go into a shared file.
    """
    tag = environment.get("BIDS_FILM_CONTAINER_TAG", "")
    uri = environment.get("BIDS_FILM_CONTAINER_URI", "")
    names = ("APPTAINER_NAME", "SINGULARITY_NAME")
    image = next((environment[name] for name in names if environment.get(name)), "")
    if not (tag or image):
        return {}
    container = {"Type": "apptainer" if image else "docker", "Tag": tag or Path(image).name}
    return container | {"URI": uri} if uri else container


def _describe_source(source: Mapping[str, Any], link: str) -> dict[str, str]:
    doi = str(source.get("DatasetDOI") or "").strip()
    if not doi:
        return {"URL": link}
    number = doi.removeprefix("doi:").removeprefix("https://doi.org/")
    return {"URL": f"https://doi.org/{number}", "DOI": doi}


def _relative_link(output: Path, bids_root: Path) -> str:
    # An absolute path would break when both datasets move, and tell strangers about the machine.
    path = Path(os.path.relpath(bids_root.resolve(), output.resolve())).as_posix()
    return quote(os.fsencode(path))  # BIDS asks for a URI


def _read_own(output: Path) -> dict[str, Any]:
    """Read the output's description; one that cannot be read is somebody's all the same."""
    content = _read_description(output / DESCRIPTION)
    if content is None:
        raise UsageError(
            f"{output / DESCRIPTION} is there, but is not a JSON object",
            hint="repair or remove it, or give another OUTPUT_DIR",
        )
    return content


def _read_description(path: Path) -> dict[str, Any] | None:
    """Read a description; empty where there is none, None where it cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
    except (FileNotFoundError, NotADirectoryError):
        # Not asked again: another task may have written it by now.
        return {}
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _check_ours(existing: Mapping[str, Any], output: Path) -> None:
    names = [str(entry.get("Name")) for entry in _entries(existing, "GeneratedBy")]
    if PROGRAM in names:
        return
    hint = "give a folder of its own"
    if existing.get("DatasetType", "raw") == "raw" and not names:
        raise UsageError(f"the output folder {output} is a raw BIDS dataset", hint=hint)
    owner = ", ".join(names) or "another program"
    raise UsageError(f"the output folder {output} holds results of {owner}", hint=hint)


def _check_same_input(existing: Mapping[str, Any], output: Path, bids_root: Path) -> None:
    """Refuse a second input: the outputs' ``bids:raw:`` would name files of the wrong dataset.

    An input that is no longer where it was has moved, and is followed.
    """
    link = _table(existing, "DatasetLinks").get(RAW_LINK)
    if not isinstance(link, str) or "://" in link:
        return
    linked = output.resolve() / unquote(link)
    if linked.is_dir() and not linked.samefile(bids_root):
        raise UsageError(
            f"the output folder {output} holds results of another dataset, {linked.resolve()}",
            hint="give each input dataset an output folder of its own",
        )


def _write_ignored(path: Path) -> None:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    missing = [pattern for pattern in IGNORED if pattern not in lines]
    if missing:
        write_text_atomically(path, "\n".join([*lines, *missing]) + "\n")


def _entries(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    entries = content.get(key)
    entries = entries if isinstance(entries, list) else []
    return [dict(entry) for entry in entries if isinstance(entry, dict)]


def _table(content: Mapping[str, Any], key: str) -> dict[str, Any]:
    table = content.get(key)
    return dict(table) if isinstance(table, dict) else {}
