"""Names of the outputs: one set per scan and model, whatever else is in the run.

A BIDS ``dseg`` has no place for the suffix of the image that it was drawn on, so ``sub-01_T1w`` and
``sub-01_T2w`` would share a name. ``space-T2w`` tells them apart: the segmentation lies on the grid
of that image, and `SpatialReference` in the sidecar names the file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_film.domain.entities import ENTITY_ORDER, BidsName, format_name
from bids_film.domain.errors import InputError
from bids_film.domain.labels import Structure
from bids_film.domain.scan import Scan

_FIGURES = "figures"
_ANAT = frozenset({"sub", "ses", "task", "acq", "ce", "rec", "run", "echo", "part", "chunk"})
_ENTITIES_OF_DSEG: Mapping[str, frozenset[str]] = {
    "anat": _ANAT,
    "func": _ANAT | {"dir"},
    "dwi": frozenset({"sub", "ses", "acq", "rec", "dir", "run", "part", "chunk"}),
}
"""Entities that a valid dseg may keep, per folder (measured: BIDS validator, schema 1.2.7)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class OutputNames:
    """Where the outputs of one scan go.

    Attributes
    ----------
    folder : Path
        Absolute, such as ``OUTPUT/sub-01/anat``.
    entities : Mapping[str, str]
        Of the label map, in the specification's order.
    """

    folder: Path
    entities: Mapping[str, str]

    @property
    def labels(self) -> Path:
        """The label map."""
        return self._path("dseg", ".nii.gz")

    @property
    def sidecar(self) -> Path:
        """The label map's sidecar: what was done, with which metadata, by which model."""
        return self._path("dseg", ".json")

    @property
    def table(self) -> Path:
        """The label table, with a volume per structure."""
        return self._path("dseg", ".tsv")

    def probabilities(self, structure: Structure) -> Path:
        """Probability map of one structure."""
        return self._path("probseg", ".nii.gz", label=structure.abbreviation)

    def probabilities_sidecar(self, structure: Structure) -> Path:
        """Sidecar of one structure's probability map."""
        return self._path("probseg", ".json", label=structure.abbreviation)

    def find_probabilities(self) -> list[Path]:
        """Find the probability maps that are there, of any structures, after their sidecars.

        None of a scan that differs by ``desc``: the pattern of the structure would take it in.
        """
        patterns = (self._path("probseg", end, label="*").name for end in (".json", ".nii.gz"))
        found = [path for pattern in patterns for path in sorted(self.folder.glob(pattern))]
        return [path for path in found if "desc" in self.entities or "_desc-" not in path.name]

    def find_figures(self) -> list[Path]:
        """Find the maps of `figure` that are there; none of a scan that differs by ``desc``."""
        start = self.figure("").name.removesuffix(".nii.gz")
        found = sorted(self.figures.glob(self.figure("*").name))
        return [path for path in found if not path.name.removeprefix(start).startswith("desc-")]

    def figure(self, what: str) -> Path:
        """Map that only the report shows, such as ``entropy``; validators pass over its folder."""
        return _name_figure(self.labels, f"{what}.nii.gz")

    @property
    def checks(self) -> Path:
        """What the report's checks found."""
        return name_checks(self.labels)

    @property
    def figures(self) -> Path:
        """Folder of what only the report shows."""
        return self.folder / _FIGURES

    def _path(self, suffix: str, extension: str, **more: str) -> Path:
        name = BidsName(entities={**self.entities, **more}, suffix=suffix, extension=extension)
        return self.folder / format_name(name)


def output_names(scan: Scan, model_name: str, output: Path) -> OutputNames:
    """Name the outputs of a scan.

    Entities that the name of a dseg may not carry (``inv-1``, ``mt-on`` …) go into the label of the
    space together with the suffix: ``sub-01_inv-1_MP2RAGE`` gives ``space-inv1MP2RAGE``. An input
    that has a space of its own keeps it, and the label goes into ``desc``.

    Parameters
    ----------
    scan : Scan
    model_name : str
        Letters and digits only.
    output : Path
        The output folder.
    """
    datatype = scan.datatype if scan.datatype in _ENTITIES_OF_DSEG else "anat"
    kept_keys = _ENTITIES_OF_DSEG[datatype] | {"space", "desc"}
    kept = {key: value for key, value in scan.entities.items() if key in kept_keys}
    folded = [
        f"{key}{scan.entities[key]}" for key in ENTITY_ORDER if key in scan.entities.keys() - kept
    ]
    label = "".join([*folded, scan.suffix])
    if "space" in kept:
        kept["desc"] = kept.get("desc", "") + label
    else:
        kept["space"] = label
    entities = {**kept, "seg": model_name}
    folder = participant_folder(output, scan.participant)
    if scan.session is not None:
        folder /= f"ses-{scan.session}"
    ordered = {key: entities[key] for key in ENTITY_ORDER if key in entities}
    return OutputNames(folder=folder / datatype, entities=ordered)


def name_checks(labels: Path) -> Path:
    """Name the file with what the report's checks found of a label map, given it or its sidecar."""
    return _name_figure(labels, "checks.json")


def _name_figure(labels: Path, ending: str) -> Path:
    stem = labels.name.partition("_dseg.")[0]
    return labels.parent / _FIGURES / f"{stem}_{ending}"


def participant_folder(output: Path, participant: str) -> Path:
    """Folder with all outputs of a participant."""
    return output / f"sub-{participant}"


def participant_page(output: Path, participant: str) -> Path:
    """Report of a participant."""
    return output / f"sub-{participant}.html"


def check_names_differ(scans: Sequence[Scan], model_name: str, output: Path) -> None:
    """Refuse a selection in which two scans would write the same file.

    Raises
    ------
    InputError
        Naming the scans, such as ``sub-01_T1w.nii`` and ``sub-01_T1w.nii.gz`` side by side.
    """
    sharing: dict[Path, list[Scan]] = defaultdict(list)
    for scan in scans:
        sharing[output_names(scan, model_name, output).labels].append(scan)
    for path, group in sharing.items():
        if len(group) > 1:
            files = " and ".join(scan.relative_path for scan in group)
            raise InputError(
                f"{files} would both be written to {path.name}",
                hint=_hint_of_same_name(group),
            )


def _hint_of_same_name(scans: Sequence[Scan]) -> str:
    unknown = [key for scan in scans for key in scan.entities if key not in ENTITY_ORDER]
    if unknown:
        return f"BIDS has no entity {unknown[0]}-: rename that file, such as with acq- in its place"
    return "leave one of them out with --bids-filter-file, or remove the copy"
