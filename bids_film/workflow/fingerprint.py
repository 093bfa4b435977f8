"""What the outputs of a scan depend on: if none of it changed, they need not be made again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import bids_film
from bids_film.domain.patterns import find_files
from bids_film.domain.scan import Scan
from bids_film.metadata.resolve import FieldValue
from bids_film.model.header import hash_file
from bids_film.workflow.job import OutputFile, ScanOutcome
from bids_film.workflow.options import Options

_NAMED = ("metadata", "options")
"""Parts of which is said what of them changed."""


def make_fingerprint(
    scan: Scan,
    values: Sequence[FieldValue],
    model: Mapping[str, str],
    options: Options,
    *,
    companions: Sequence[str] = (),
) -> dict[str, Any]:
    """Gather what a scan's outputs depend on, as plain JSON.

    Parameters
    ----------
    values : sequence of FieldValue
        Metadata as it will be used.
    model : Mapping[str, str]
        ``name``, ``version`` and ``sha256``.
    companions : Sequence[str]
        Patterns of the images that the model sees as well.
    """
    others = [path for path in find_files(scan, companions) if path is not None]
    return {
        "input": _describe_file(scan.path, scan.relative_path),
        **({"companions": [_describe_file(path, path.name) for path in others]} if others else {}),
        "model": dict(model),
        "metadata": [_describe_value(value) for value in values],
        "options": {
            "precision": options.precision,
            "on_missing_metadata": options.on_missing_metadata,
            "save_probabilities": options.save_probabilities,
            "metadata_effect": options.metadata_effect,
            "ensemble": [options.ensemble, options.passes] if options.ensemble != "none" else [],
        },
        "program": {"version": bids_film.__version__},
    }


def explain_run(
    outcome: ScanOutcome | None, fingerprint: Mapping[str, Any], output_dir: Path
) -> str:
    """Say why a scan has to be segmented; empty where its outputs are there and still hold."""
    if outcome is None:
        return "not segmented yet"
    if outcome.failed:
        return f"failed before: {outcome.message}"
    before = outcome.fingerprint
    changed = [
        f"{key}{_name_parts(before.get(key), fingerprint[key]) if key in _NAMED else ''}"
        for key in _find_changed(before, fingerprint)
    ]
    if changed:
        return f"changed since: {', '.join(changed)}"
    reasons = (_explain_output(output, output_dir) for output in outcome.outputs)
    return next((reason for reason in reasons if reason), "")


def is_of_another_image(outcome: ScanOutcome, scan: Scan) -> bool:
    """Whether a scan's image has another size than the one that was segmented.

    Its time says nothing where a dataset was copied; an image that is not there is none.
    """
    before = outcome.fingerprint.get("input", {})
    now = _describe_file(scan.path, scan.relative_path)
    return "size" in before and "size" in now and before["size"] != now["size"]


def describe_output(path: Path, output_dir: Path) -> OutputFile:
    """Describe a file that was just written, so that a later run knows it again."""
    status = path.stat()
    return OutputFile(
        path=path.relative_to(output_dir).as_posix(),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        sha256=hash_file(path),
    )


def _find_changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [key for key in {**now, **before} if before.get(key) != now.get(key)]


def _name_parts(before: object, now: object) -> str:
    """Name what of a part changed, in brackets: which options, or which metadata fields."""
    changed = _find_changed(_index(before), _index(now))
    return f" ({', '.join(changed)})" if changed else ""


def _index(part: object) -> Mapping[str, Any]:
    if isinstance(part, Mapping):
        return part
    # A field comes first, then its value and where that was found; a damaged file has anything.
    entries = part if isinstance(part, list) else []
    return {str(entry[0]): entry for entry in entries if isinstance(entry, list) and entry}


def _explain_output(output: OutputFile, output_dir: Path) -> str:
    path = output_dir / output.path
    try:
        status = path.stat()
        # A file is read only where its time says that somebody touched or copied it.
        same = status.st_size == output.size and (
            status.st_mtime_ns == output.mtime_ns or hash_file(path) == output.sha256
        )
    except OSError:
        return f"output is gone: {output.path}"
    return "" if same else f"output is no longer what was written: {output.path}"


def _describe_file(path: Path, name: str) -> dict[str, Any]:
    try:
        status = path.stat()
    except OSError:
        # A dangling link or a file that may not be read: segmenting it will say so.
        return {"path": name}
    return {
        "path": name,
        "size": status.st_size,
        "mtime_ns": status.st_mtime_ns,
    }


def _describe_value(value: FieldValue) -> list[str | float | None]:
    source = str(value.source) if value.source else None
    return [value.field, value.value, str(value.status), source, value.file, value.key]
