"""Which scans a model has seen while it was trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bids_film.domain.errors import ScanError
from bids_film.domain.scan import Scan
from bids_film.inputs.nifti import read_volume
from bids_film.model.header import ModelHeader
from bids_film.training.labels import hash_image, hash_scan, hash_voxels
from bids_film.training.recipe import Recipe, recipe_from_dict


class SeenScans:
    """Which labelled scans a model has seen, as its file says."""

    def __init__(self, header: ModelHeader, recipe: Recipe) -> None:
        own = header.training.get("recipe")
        # Its scans were listed with the labels that it learned from, not with those it meets now.
        self._structures = recipe_from_dict(own).structures if own else recipe.structures
        self._parts: dict[Path, str] = {}
        self._images: dict[str, str] = {}
        self._voxels: dict[str, str] = {}
        self._entries: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
        for part, entries in header.training.get("data", {}).items():
            for entry in entries:
                # Models of older versions list label maps by their path alone, and scans without
                # the hash of their image.
                known = {"scan": entry} if isinstance(entry, str) else entry
                if known.get("voxels_sha256"):
                    self._voxels[known["voxels_sha256"]] = part
                if known.get("image_sha256"):
                    self._images[known["image_sha256"]] = part
                else:
                    self._entries.setdefault(known["scan"], []).append((part, known))

    def part_of(self, scan: Scan) -> str:
        """``training``, ``validation``, or nothing for a scan that the model has not seen.

        A scan is the same where its image is, whatever it and its dataset are called, and however
        its labels have been corrected since: its file or, of models that know them, its voxels. A
        model that does not know the images' hashes tells by the path, and the content of the files
        or the dataset's folder name.
        """
        if scan.path not in self._parts:
            # The files of a scan are read whole: once, however often it is asked for.
            self._parts[scan.path] = self._find_part(scan)
        return self._parts[scan.path]

    def _find_part(self, scan: Scan) -> str:
        if self._images and (part := self._images.get(hash_image(scan))):
            return part
        if self._voxels and (part := self._voxels.get(_hash_voxels(scan))):
            return part
        entries = self._entries.get(scan.relative_path, [])
        content = hash_scan(scan, self._structures) if entries else ""
        for part, entry in entries:
            by_path_alone = "sha256" not in entry and "dataset" not in entry
            same_dataset = entry.get("dataset") == scan.dataset_root.name
            if by_path_alone or same_dataset or entry.get("sha256") == content:
                return part
        return ""


def _hash_voxels(scan: Scan) -> str:
    try:
        return hash_voxels(read_volume(scan.path))
    except ScanError:  # what cannot be read was not learned from
        return ""
