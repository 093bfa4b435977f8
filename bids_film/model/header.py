"""What a model file says of itself. Read without torch, so that a dry run starts at once.

A model is one safetensors file. Its JSON header holds, as one string under ``bids_film``, all that
is needed to use it: configuration, fitted metadata encoder, label table, preprocessing, the record
of its training and its card. Nothing in it is code, and nothing in it is run.
"""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bids_film.domain.errors import BidsFilmError, ModelFileError
from bids_film.domain.labels import LabelTable, Structure, check_color
from bids_film.domain.records import convert
from bids_film.metadata.encoder import Encoder
from bids_film.model.config import NetworkConfig, Postprocessing, Preprocessing

FORMAT_VERSION = 1
HEADER_KEY = "bids_film"
MAX_HEADER_BYTES = 16 * 2**20
_LENGTH_BYTES = 8
_HIGHEST_INDEX = 2**15 - 1


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelHeader:
    """Everything in a model file but the weights.

    Attributes
    ----------
    name : str
        Letters and digits only: it becomes the ``seg-`` entity of the outputs' names.
    version : str
    description : str
        One sentence: what it segments, in what.
    inputs : Mapping[str, Any]
        BIDS filter of the scans it is meant for, such as ``{"suffix": ["T2starw"]}``.
    network : NetworkConfig
    preprocessing : Preprocessing
    postprocessing : Postprocessing
    encoder : Encoder
    labels : LabelTable
    training : Mapping[str, Any]
        Record of the training: recipe, data, split, curve, versions, machine.
    volumes_ml : Mapping[str, tuple[float, float]]
        Structure to its lowest and highest volume, parts included, in the training data.
    bfloat16_dice : float
        Mean Dice between its labels in bfloat16 and in float32 on the validation scans; 0 where
        that was not measured.
    card : str
        Markdown: what the model is for and not for, its data, licence, results and limits.
    """

    name: str
    version: str = "1"
    description: str = ""
    inputs: Mapping[str, Any] = field(default_factory=dict)
    network: NetworkConfig
    preprocessing: Preprocessing
    postprocessing: Postprocessing = field(default_factory=Postprocessing)
    encoder: Encoder
    labels: LabelTable
    training: Mapping[str, Any] = field(default_factory=dict)
    volumes_ml: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    bfloat16_dice: float = 0.0
    card: str = ""

    @property
    def reached_dice(self) -> Mapping[str, float]:
        """Structure to its mean Dice on the validation scans, at the step that was kept."""
        curve, step = self.training.get("curve"), self.training.get("best_step")
        rows = [row for row in curve if isinstance(row, dict)] if isinstance(curve, list) else []
        best = next((row for row in rows if row.get("step") == step), {})
        named = {item.name: best.get(f"dice {item.name}") for item in self.labels}
        return {name: float(dice) for name, dice in named.items() if isinstance(dice, int | float)}


def header_to_text(header: ModelHeader) -> str:
    """Write a header as JSON text."""
    content = {
        "format_version": FORMAT_VERSION,
        "name": header.name,
        "version": header.version,
        "description": header.description,
        "inputs": dict(header.inputs),
        "network": asdict(header.network),
        "preprocessing": asdict(header.preprocessing),
        "postprocessing": asdict(header.postprocessing),
        "encoder": header.encoder.to_dict(),
        "labels": [asdict(structure) for structure in header.labels],
        "training": dict(header.training),
        "volumes_ml": {name: list(limits) for name, limits in header.volumes_ml.items()},
        "bfloat16_dice": header.bfloat16_dice,
        "card": header.card,
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def header_from_text(text: str, *, file: str) -> ModelHeader:
    """Read a header from JSON text.

    Raises
    ------
    ModelFileError
        Where a part is missing or of the wrong type, or the format is newer than this program.
    """
    try:
        content = json.loads(text)
        version = int(content["format_version"])
        if 1 <= version <= FORMAT_VERSION:
            return _build_header(content, file)
    except (
        BidsFilmError,
        KeyError,
        TypeError,
        ValueError,
        OverflowError,
        RecursionError,
    ) as problem:
        what = problem.message if isinstance(problem, BidsFilmError) else problem
        raise ModelFileError(
            f"{file} is a safetensors file, but its description cannot be read: {what}",
            hint="give a model file written by `bids-film … train`",
        ) from problem
    raise ModelFileError(
        f"{file} has model format {version}; this program reads up to {FORMAT_VERSION}",
        hint="update bids-film, or train the model again with this version",
    )


def _build_header(content: Mapping[str, Any], file: str) -> ModelHeader:
    def read(kind: Any, key: str, default: Any = None) -> Any:
        # Files of earlier versions lack what has a default.
        if default is not None and key not in content:
            return default
        return convert(kind, content[key], where=f"{file}: {key}")

    header = ModelHeader(
        name=read(str, "name"),
        version=read(str, "version"),
        description=read(str, "description"),
        inputs=read(Mapping[str, Any], "inputs"),
        network=read(NetworkConfig, "network"),
        preprocessing=read(Preprocessing, "preprocessing"),
        postprocessing=read(Postprocessing, "postprocessing", Postprocessing()),
        encoder=Encoder.from_dict(content["encoder"]),
        labels=LabelTable(structures=read(tuple[Structure, ...], "labels")),
        training=read(Mapping[str, Any], "training"),
        volumes_ml=read(Mapping[str, tuple[float, float]], "volumes_ml", {}),
        bfloat16_dice=read(float, "bfloat16_dice", 0.0),
        card=read(str, "card"),
    )
    _check_names(header)
    _check_fit(header)
    return header


def _check_names(header: ModelHeader) -> None:
    """Names become parts of file names: those of a file that somebody else made are not trusted."""
    for name in (header.name, *(structure.abbreviation for structure in header.labels)):
        if not (name.isascii() and name.isalnum()):
            raise ValueError(f"expected a name of letters and digits only, got {name!r}")
    for structure in header.labels:
        check_color(structure.color, where=f"structure {structure.name!r}")


def _check_fit(header: ModelHeader) -> None:
    """Parts that are right by themselves may not fit together."""
    network, patch, labels = header.network, header.preprocessing.patch, header.labels
    if network.structures != len(labels):
        raise ValueError(
            f"a network of {network.structures} structures and a table of {len(labels)}"
        )
    if header.preprocessing.channels != network.in_channels:
        raise ValueError(
            f"{header.preprocessing.channels} channels of an image for a network of "
            f"{network.in_channels}"
        )
    if len(patch) != network.dimensions:
        raise ValueError(f"the patch {patch} does not fit {network.dimensions} dimensions")
    indices = {structure.index for structure in labels}
    names = {structure.name for structure in labels}
    if len(indices) < len(labels) or len(names) < len(labels):
        raise ValueError("an index or a name of a structure comes twice")
    if not all(1 <= index <= _HIGHEST_INDEX for index in indices):
        raise ValueError(f"expected structure indices from 1 to {_HIGHEST_INDEX}, got {indices}")
    containers = {structure.part_of for structure in labels} - {""}
    for name in names | containers | {*header.postprocessing.keep_largest}:
        labels.indices_of(name)


def read_header(path: Path) -> ModelHeader:
    """Read what a model file says of itself, without its weights.

    Raises
    ------
    ModelFileError
        Where the file is missing, is not a safetensors file, or is not a model of this program.
    """
    not_ours = "give a bundled model's name, or a model file written by `bids-film … train`"
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(_LENGTH_BYTES))
            if length > min(MAX_HEADER_BYTES, path.stat().st_size - _LENGTH_BYTES):
                raise ValueError(f"its header would be {length} bytes long")  # noqa: TRY301
            content = json.loads(stream.read(length))
            given = path.stat().st_size - _LENGTH_BYTES - length
    except OSError as problem:
        raise ModelFileError(f"cannot read the model file {path}: {problem.strerror}") from problem
    except (ValueError, struct.error, RecursionError) as problem:
        raise ModelFileError(
            f"{path} is not a safetensors file: {problem}", hint=not_ours
        ) from problem
    metadata = content.get("__metadata__") if isinstance(content, dict) else None
    if not isinstance(metadata, dict) or HEADER_KEY not in metadata:
        raise ModelFileError(
            f"{path} is a safetensors file, but not a bids-film model", hint=not_ours
        )
    header = header_from_text(metadata[HEADER_KEY], file=str(path))
    _check_length(content, given, path)
    return header


def _check_length(content: dict[str, Any], given: int, path: Path) -> None:
    """Notice missing weights before a run begins, and not once for each scan."""
    tensors = [entry for name, entry in content.items() if name != "__metadata__"]
    try:
        declared = max((int(entry["data_offsets"][1]) for entry in tensors), default=0)
    except (KeyError, IndexError, TypeError, ValueError) as problem:
        raise ModelFileError(f"{path}: the list of its weights cannot be read") from problem
    if given < declared:
        raise ModelFileError(
            f"{path} is truncated: its weights should be {declared} bytes long, and are {given}",
            hint="copy the file again, or train the model again",
        )


def hash_file(path: Path) -> str:
    """SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
