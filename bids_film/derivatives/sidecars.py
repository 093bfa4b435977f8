"""Sidecar of a label map: all that a reader, or a report made later, needs to know of it.

Standard keys come first; ours follow in the same style. There are no times in it: the same scan,
model and metadata give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from bids_film.derivatives.atomic import write_text_atomically
from bids_film.derivatives.names import OutputNames, participant_folder
from bids_film.derivatives.tables import describe_columns
from bids_film.domain.errors import InputError
from bids_film.domain.labels import Structure
from bids_film.domain.paths import TEMPORARY_PATTERN
from bids_film.domain.segmentation import (
    Alternative,
    ModelIdentity,
    RecordedValue,
    Segmentation,
    StructureChange,
    StructureVolume,
)
from bids_film.metadata.resolve import FieldValue

RAW_LINK = "raw"
"""Name of the input dataset in `DatasetLinks`, so that `bids:raw:…` can be resolved."""

_LONGEST_RAW_VALUE = 200

Record = TypeVar("Record", RecordedValue, ModelIdentity, Structure, StructureChange, Alternative)


def record_value(value: FieldValue, *, unit: str = "", trained_on: str = "") -> RecordedValue:
    """Keep a metadata value in the form in which it is written.

    Parameters
    ----------
    value : FieldValue
        As resolved and checked against the model's encoder.
    unit : str
        Of the field.
    trained_on : str
        Range or levels of the training data, in words.
    """
    # Outputs are shared: of a file outside the dataset only the name may appear in them.
    outside = PurePosixPath(value.file).is_absolute()
    return RecordedValue(
        field=value.field,
        value=value.value,
        unit=unit,
        status=value.status.value,
        origin=value.source.value if value.source else "",
        file=PurePosixPath(value.file).name if outside else value.file,
        key=value.key,
        raw="" if value.raw is None else str(value.raw)[:_LONGEST_RAW_VALUE],
        note=value.note,
        trained_on=trained_on,
        outside_range=value.outside_range,
    )


def bids_uri(relative_path: str) -> str:
    """Name a file of the input dataset in a way that survives moving either dataset."""
    return f"bids:{RAW_LINK}:{relative_path}"


def write_sidecar(path: Path, segmentation: Segmentation) -> None:
    """Write the sidecar of a label map.

    Raises
    ------
    UsageError
        Where the file cannot be written.
    """
    write_text_atomically(path, _to_json(segmentation_to_dict(segmentation)))


def write_probabilities_sidecar(
    path: Path, segmentation: Segmentation, structure: Structure
) -> None:
    """Write the sidecar of one structure's probability map.

    Raises
    ------
    UsageError
        Where the file cannot be written.
    """
    model = segmentation.model
    content = {
        "Description": f"Probability of {structure.name}, model {model.name} {model.version}",
        **_standard_keys(segmentation),
        "Model": _to_camel_keys(model),
    }
    write_text_atomically(path, _to_json(content))


def segmentation_to_dict(segmentation: Segmentation) -> dict[str, Any]:
    """Put a segmentation into the form of a BIDS sidecar."""
    model = segmentation.model
    return {
        "Description": (
            f"Segmentation of {PurePosixPath(segmentation.scan).name} by bids-film, "
            f"model {model.name} {model.version}"
        ),
        **_standard_keys(segmentation),
        "Model": _to_camel_keys(model),
        "ConditioningMetadata": [_to_camel_keys(value) for value in segmentation.values],
        "Structures": [
            _to_camel_keys(item.structure)
            | {
                "Voxels": item.voxels,
                "VolumeMl": item.volume_ml,
                "ExpectedDice": item.expected_dice,
                "Entropy": item.entropy,
                "TrainedOnMl": item.trained_ml,
                "ReachedDice": item.reached_dice,
            }
            for item in segmentation.volumes
        ],
        "MetadataEffect": {
            "Alternatives": [
                _to_camel_keys(item)
                | {"Changes": [_to_camel_keys(change) for change in item.changes]}
                for item in segmentation.alternatives
            ],
            "ComparedFile": segmentation.compared_file,
            "Untried": segmentation.untried,
        },
        "EntropyFile": segmentation.entropy_file,
        "Notes": list(segmentation.notes),
        "Software": dict(segmentation.software),
        "Settings": dict(segmentation.settings),
        **describe_columns(),
    }


def segmentation_from_dict(content: Mapping[str, Any], *, labels_file: str) -> Segmentation:
    """Read what `segmentation_to_dict` wrote.

    Raises
    ------
    KeyError, TypeError, ValueError
        Where it is the sidecar of something else.
    """
    source, *companions = content["Sources"]
    # Sidecars of earlier versions know nothing of it.
    effect = content.get("MetadataEffect", {})
    return Segmentation(
        scan=str(source).removeprefix(bids_uri("")),
        labels_file=labels_file,
        model=_from_camel_keys(ModelIdentity, content["Model"]),
        values=tuple(
            _from_camel_keys(RecordedValue, entry) for entry in content["ConditioningMetadata"]
        ),
        volumes=tuple(
            StructureVolume(
                structure=_from_camel_keys(Structure, entry),
                voxels=int(entry["Voxels"]),
                volume_ml=float(entry["VolumeMl"]),
                expected_dice=_read_number(entry.get("ExpectedDice")),
                entropy=_read_number(entry.get("Entropy")),
                trained_ml=_read_range(entry.get("TrainedOnMl")),
                reached_dice=_read_number(entry.get("ReachedDice")),
            )
            for entry in content["Structures"]
        ),
        notes=tuple(str(note) for note in content["Notes"]),
        software={str(key): str(value) for key, value in content["Software"].items()},
        settings={str(key): str(value) for key, value in content["Settings"].items()},
        companions=tuple(str(other).removeprefix(bids_uri("")) for other in companions),
        entropy_file=str(content.get("EntropyFile", "")),
        alternatives=tuple(_read_alternative(entry) for entry in effect.get("Alternatives", [])),
        compared_file=str(effect.get("ComparedFile", "")),
        untried=int(effect.get("Untried", 0)),
    )


def _read_number(value: object) -> float | None:
    return None if value is None else float(str(value))


def _read_range(value: Any) -> tuple[float, float] | None:
    if value is None:
        return None
    lowest, highest = value
    return float(lowest), float(highest)


def _read_alternative(content: Mapping[str, Any]) -> Alternative:
    changes = tuple(_from_camel_keys(StructureChange, entry) for entry in content["Changes"])
    return _from_camel_keys(Alternative, {**content, "Changes": changes})


def read_segmentation(sidecar: Path, output: Path) -> Segmentation:
    """Read the sidecar of a label map that this program wrote.

    Raises
    ------
    InputError
        Where it cannot be read, or is not one of ours.
    """
    labels = sidecar.with_name(sidecar.name.removesuffix(".json") + ".nii.gz")
    try:
        content = json.loads(sidecar.read_text(encoding="utf-8"))
        return segmentation_from_dict(content, labels_file=labels.relative_to(output).as_posix())
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as problem:
        raise InputError(
            f"{sidecar} is not a sidecar that bids-film wrote: {problem}",
            hint="remove it together with its label map, and run the participant again",
        ) from problem


def find_sidecars(output: Path, participant: str) -> list[Path]:
    """Sidecars of all label maps of a participant, of all sessions and models, by name.

    A sidecar counts only with its label map beside it, and is written after it: what is listed here
    is complete.
    """
    found = participant_folder(output, participant).rglob("*_dseg.json")
    return sorted(
        path
        for path in found
        if path.with_name(path.name.removesuffix(".json") + ".nii.gz").is_file()
    )


def remove_outputs(names: OutputNames) -> None:
    """Remove what an earlier run left for a scan; the sidecar first, as it vouches for the rest.

    Structures may have been others then, and a run may have been killed while it wrote a figure.
    """
    own = [names.sidecar, names.labels, names.table, names.checks]
    for path in [*own, *names.find_probabilities(), *names.find_figures()]:
        path.unlink(missing_ok=True)
    for left in names.figures.glob(TEMPORARY_PATTERN):
        left.unlink(missing_ok=True)


def _standard_keys(segmentation: Segmentation) -> dict[str, Any]:
    source = bids_uri(segmentation.scan)
    sources = [source, *(bids_uri(path) for path in segmentation.companions)]
    return {"Sources": sources, "SpatialReference": source, "Manual": False}


def _to_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _to_camel_keys(
    record: RecordedValue | ModelIdentity | Structure | StructureChange | Alternative,
) -> dict[str, Any]:
    return {_camel(item.name): getattr(record, item.name) for item in fields(record)}


def _from_camel_keys(record: type[Record], content: Mapping[str, Any]) -> Record:
    named = {item.name: _camel(item.name) for item in fields(record)}
    return record(**{name: content[key] for name, key in named.items() if key in content})


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
