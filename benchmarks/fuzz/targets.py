"""What reads files that others wrote, each as a function of bytes that may only fail in our words.

A target returns where the bytes are accepted and where they are refused by an error of ours; any
other exception is a defect. ``tests/fuzz`` replays the kept inputs, `benchmarks.fuzz.run` looks for
new ones.
"""

from __future__ import annotations

import gzip
import json
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from bids_film.cli.config_file import config_arguments, read_config_file
from bids_film.cli.parser import build_parser
from bids_film.derivatives.sidecars import read_segmentation
from bids_film.domain.entities import format_name, parse_name
from bids_film.domain.errors import (
    BidsFilmError,
    InputError,
    MetadataError,
    ModelFileError,
    ScanError,
    UsageError,
)
from bids_film.domain.scan import MetadataSource, SourceKind
from bids_film.inputs.filters import read_filter_file
from bids_film.inputs.folders import check_dataset
from bids_film.inputs.metadata_file import metadata_file_source, read_metadata_file
from bids_film.inputs.nifti import check_image, header_source, read_volume
from bids_film.inputs.tables import index_rows, read_json, read_table
from bids_film.metadata.catalogue import CATALOGUE
from bids_film.metadata.resolve import resolve
from bids_film.model.checkpoint import load_checkpoint
from bids_film.model.header import HEADER_KEY
from bids_film.training.recipe import read_recipe
from bids_film.workflow.plugin_file import read_plugin_file
from bids_film.workflow.state import read_outcome

Target = Callable[[bytes, Path], None]


def read_nifti(data: bytes, folder: Path) -> None:
    """Image: plain, compressed, or bytes that only claim to be compressed."""
    kind, content = data[:1], data[1:]
    path = folder / ("scan.nii" if kind < b"\x80" else "scan.nii.gz")
    path.write_bytes(gzip.compress(content, 1) if b"\x80" <= kind < b"\xc0" else content)
    for read in (check_image, header_source, read_volume):
        with suppress(ScanError):
            read(path)
    with suppress(ScanError):
        read_volume(path, labels=True)


def read_sidecar(data: bytes, folder: Path) -> None:
    """Sidecar, and each field of the catalogue looked up in it."""
    path = _write(data, folder / "scan.json")
    with suppress(MetadataError):
        source = MetadataSource(kind=SourceKind.SIDECAR, file="scan.json", values=read_json(path))
        resolve(list(CATALOGUE.values()), [source])


def read_tsv(data: bytes, folder: Path) -> None:
    """Table of participants, and each field of the catalogue looked up in its rows."""
    path = _write(data, folder / "participants.tsv")
    with suppress(MetadataError):
        table = read_table(path, required="participant_id")
        for row in index_rows(table, [("participant_id", "sub-")]).values():
            kind = SourceKind.PARTICIPANTS_TSV
            source = MetadataSource(kind=kind, file=path.name, values=row.values)
            resolve(list(CATALOGUE.values()), [source])


def read_given_metadata(data: bytes, folder: Path) -> None:
    """Table of ``--metadata-file``."""
    path = _write(data, folder / "given.tsv")
    with suppress(MetadataError):
        metadata_file_source(read_metadata_file(path), {"sub": "01", "ses": "a"}, path)


def read_toml(data: bytes, folder: Path) -> None:
    """Options and recipe."""
    path = _write(data, folder / "config.toml")
    with suppress(UsageError):
        config_arguments(read_config_file(path), path, build_parser())
    with suppress(UsageError):
        read_recipe(path)


def read_model(data: bytes, folder: Path) -> None:
    """Model file: any bytes, or a description in a file that is otherwise right."""
    path = folder / "model.safetensors"
    if data[:1] < b"\x80":
        path.write_bytes(data[1:])
    else:
        text = data[1:].decode("utf-8", errors="replace")
        content = json.dumps({"__metadata__": {HEADER_KEY: text}}).encode()
        path.write_bytes(struct.pack("<Q", len(content)) + content)
    with suppress(ModelFileError):
        load_checkpoint(path)


def read_filters(data: bytes, folder: Path) -> None:
    """Filter file."""
    with suppress(UsageError):
        read_filter_file(_write(data, folder / "filter.json"))


def read_plugin(data: bytes, folder: Path) -> None:
    """Plugin file."""
    with suppress(UsageError):
        read_plugin_file(_write(data, folder / "plugin.yml"))


def read_name(data: bytes, folder: Path) -> None:  # noqa: ARG001 nothing is written for a name
    """File name: one that is BIDS is written as it was read, but for the order of its entities."""
    name = parse_name(data.decode("utf-8", errors="replace"))
    if name is not None and parse_name(format_name(name)) != name:
        raise AssertionError(name)


def read_own_files(data: bytes, folder: Path) -> None:
    """Files of earlier runs: state file, sidecar of a label map, description of the dataset."""
    read_outcome(_write(data, folder / "state.json"))
    with suppress(InputError):
        read_segmentation(_write(data, folder / "x_dseg.json"), folder)
    _write(data, folder / "dataset_description.json")
    with suppress(BidsFilmError):
        check_dataset(folder, ["01"])


def _write(data: bytes, path: Path) -> Path:
    path.write_bytes(data)
    return path


TARGETS: Mapping[str, Target] = {
    "nifti": read_nifti,
    "sidecar": read_sidecar,
    "tsv": read_tsv,
    "given-metadata": read_given_metadata,
    "toml": read_toml,
    "model": read_model,
    "filters": read_filters,
    "plugin": read_plugin,
    "name": read_name,
    "own-files": read_own_files,
}
