"""A BIDS dataset to the scans that are asked for."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from bids_film.domain.entities import BidsName, parse_name
from bids_film.domain.errors import InputError, ScanError
from bids_film.domain.paths import make_absolute
from bids_film.domain.scan import Scan
from bids_film.domain.words import name_some
from bids_film.inputs.filters import Filters, matches, parse_filters, with_defaults
from bids_film.inputs.folders import (
    check_dataset,
    choose_participants,
    list_files,
    list_participants,
    unknown_label_error,
)
from bids_film.inputs.sources import SourceReader

_IMAGE_EXTENSIONS = (".nii", ".nii.gz")
_NEVER_SCANS = frozenset({"mask", "defacemask", "dseg", "probseg"})
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Image:
    path: Path
    name: BidsName
    datatype: str

    @property
    def parts(self) -> dict[str, str]:
        """What filters look at."""
        name = self.name
        kind = {"suffix": name.suffix, "datatype": self.datatype, "extension": name.extension}
        return {**name.entities, **kind}


def open_dataset(
    root: Path,
    *,
    participants: Sequence[str] | None = None,
    sessions: Sequence[str] | None = None,
    filters: Mapping[str, Any] | None = None,
    database_dir: Path | None = None,
    validate: bool = True,
) -> list[Scan]:
    """Find the scans of a BIDS dataset and all that it says of them.

    Parameters
    ----------
    root : Path
        The dataset's folder.
    participants, sessions : Sequence[str] or None
        Labels with or without ``sub-`` and ``ses-``; None for all.
    filters : Mapping[str, Any] or None
        Entity, ``suffix``, ``datatype`` or ``extension`` to a value, a list of values, None
        (absent) or ``*`` (any). Where they name no datatype, ``anat`` is meant; label maps and
        masks are no scans, unless they are asked for by their suffix.
    database_dir : Path or None
        Where an index of the whole dataset is kept for later runs; it is made anew where it does
        not say what is on disk.
    validate : bool
        Whether to check that the folder is a raw BIDS dataset.

    Returns
    -------
    list[Scan]
        Sorted by path; at least one. A scan of which a metadata file cannot be read says so in its
        `problem`.

    Raises
    ------
    InputError
        Where the dataset cannot be used, a label is not in it, or no scan matches.
    UsageError
        Where the filters or the database folder cannot be used.
    """
    root = make_absolute(root)
    wanted = with_defaults(parse_filters(filters or {}))
    available = list_participants(root)
    if validate:
        check_dataset(root, available)
    chosen = choose_participants(available, participants, root)
    files = _list_all(root, available, chosen, database_dir)
    never = _NEVER_SCANS - {*wanted.wanted.get("suffix", ())}
    images = _list_images(root, files, frozenset(chosen), never)
    images = _choose_sessions(images, sessions, root, people=chosen if participants else ())
    found = [image for image in images if matches(wanted, image.parts)]
    if not found:
        raise _nothing_found_error(root, wanted, images, len(chosen))
    _warn_of_participants_without_scans(participants, found)
    reader = SourceReader(root)
    scans = [_make_scan(image, root, reader) for image in found]
    _warn_of_rows(reader.tabled, available, found)
    return scans


def _make_scan(image: _Image, root: Path, reader: SourceReader) -> Scan:
    scan = Scan(
        path=image.path,
        dataset_root=root,
        entities=image.name.entities,
        suffix=image.name.suffix,
        datatype=image.datatype,
    )
    try:
        return replace(scan, sources=reader.read(image.path, image.name, image.datatype))
    except ScanError as error:
        return replace(scan, problem=error.message, hint=error.hint)


def _list_all(
    root: Path, available: Sequence[str], chosen: Sequence[str], database_dir: Path | None
) -> Iterable[str]:
    if database_dir is None:
        return chain.from_iterable(list_files(root / f"sub-{label}") for label in chosen)
    from bids_film.inputs import database  # noqa: PLC0415 imports pybids, which takes half a second

    return database.list_files(make_absolute(database_dir), root, available, chosen)


def _list_images(
    root: Path, files: Iterable[str], labels: frozenset[str], never: frozenset[str]
) -> list[_Image]:
    nameless: list[Path] = []
    images: list[_Image] = []
    for path in map(Path, files):
        if path.name.endswith(_IMAGE_EXTENSIONS):
            name = parse_name(path.name)
            if name is None:
                nameless.append(path)
            elif name.suffix not in never and (image := _place_image(root, path, name)):
                images.append(image)
    if nameless:
        some = name_some(sorted(str(path.relative_to(root)) for path in nameless))
        text = "%d images are left out, as their names are no BIDS names: %s"
        _LOG.warning(text, len(nameless), some)
    wanted = (image for image in images if image.name.entities["sub"] in labels)
    return sorted(wanted, key=lambda image: image.path)


def _place_image(root: Path, path: Path, name: BidsName) -> _Image | None:
    """See in which folders an image lies; None where it is no scan of a raw dataset."""
    if name.extension not in _IMAGE_EXTENSIONS or not os.path.lexists(path):
        return None
    *folders, _ = path.relative_to(root).parts
    expected = [f"{key}-{name.entities[key]}" for key in ("sub", "ses") if key in name.entities]
    if folders[: len(expected)] != expected or "sub" not in name.entities:
        _LOG.warning("%s is left out: its folders are not those that its name says", path)
        return None
    rest = folders[len(expected) :]
    if rest and rest[0].startswith("ses-"):
        _LOG.warning("%s is left out: its name lacks the %s of its folder", path, rest[0])
        return None
    if len(rest) > 1:
        return None
    return _Image(path=path, name=name, datatype=rest[0] if rest else "")


def _choose_sessions(
    images: list[_Image], sessions: Sequence[str] | None, root: Path, *, people: Sequence[str]
) -> list[_Image]:
    if sessions is None:
        return images
    labels = list(dict.fromkeys(label.removeprefix("ses-") for label in sessions))
    available = sorted({i.name.entities["ses"] for i in images if "ses" in i.name.entities})
    unknown = [label for label in labels if label not in available]
    if unknown:
        among = f" for {name_some([f'sub-{label}' for label in people])}" if people else ""
        raise unknown_label_error("session", "ses", unknown, available, root, among=among)
    return [image for image in images if image.name.entities.get("ses") in labels]


def _nothing_found_error(
    root: Path, filters: Filters, images: Sequence[_Image], participants: int
) -> InputError:
    kinds = Counter(f"{image.datatype or '?'}/{image.name.suffix}" for image in images)
    seen = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common(8))
    return InputError(
        f"No scan of {root} matches {filters} ({participants} participant(s) looked at).",
        hint=f"There are: {seen}. Change the filters by --bids-filter-file."
        if images
        else "There is not one NIfTI image with a BIDS name: is its content there, and are the "
        "names as BIDS has them (sub-01/anat/sub-01_T1w.nii.gz)?",
    )


def _warn_of_rows(
    tabled: frozenset[str], available: Sequence[str], found: Sequence[_Image]
) -> None:
    """Name rows of participants.tsv that are about nobody, where scans are without a row."""
    strange = tabled - set(available)
    without = {image.name.entities["sub"] for image in found} - tabled
    if strange and without:
        _LOG.warning(
            "participants.tsv has no row of %s, but rows of nobody in the dataset: %s",
            name_some(sorted(f"sub-{label}" for label in without)),
            name_some(sorted(strange)),
        )


def _warn_of_participants_without_scans(
    asked: Sequence[str] | None, found: Sequence[_Image]
) -> None:
    having = {image.name.entities["sub"] for image in found}
    for label in dict.fromkeys(asked or ()):
        if label.removeprefix("sub-") not in having:
            _LOG.warning("Participant %s has no scan that matches the filters", label)
