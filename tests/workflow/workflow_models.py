"""Model files for the tests of the workflow; without weights where nothing is computed."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from bids_film.domain.labels import LabelTable, Structure
from bids_film.metadata.catalogue import known_field
from bids_film.metadata.encoder import Encoder
from bids_film.model.config import NetworkConfig, Preprocessing
from bids_film.model.header import HEADER_KEY, ModelHeader, header_to_text

FIELDS = ("MagneticFieldStrength", "Manufacturer", "InPlaneVoxelSize")
LABELS = LabelTable(
    structures=(
        Structure(index=1, name="cord", abbreviation="SC", color="#ff0000"),
        Structure(index=2, name="gray", abbreviation="GM", color="#00ff00", part_of="cord"),
    )
)


def make_header() -> ModelHeader:
    """Make a model of T1w scans that reads three fields."""
    rows = [
        {"MagneticFieldStrength": 1.5, "Manufacturer": "Siemens", "InPlaneVoxelSize": 1.0},
        {"MagneticFieldStrength": 3.0, "Manufacturer": "Philips", "InPlaneVoxelSize": 2.0},
    ]
    return ModelHeader(
        name="tiny",
        inputs={"suffix": ["T1w"]},
        network=NetworkConfig(dimensions=3, out_channels=3, channels=(8, 16)),
        preprocessing=Preprocessing(spacing_mm=(0, 0, 0), patch=(16, 16, 16)),
        encoder=Encoder.fit([known_field(name) for name in FIELDS], rows),
        labels=LABELS,
    )


def write_header(path: Path) -> Path:
    """Write a model file without a single weight: enough for planning."""
    content = {"__metadata__": {HEADER_KEY: header_to_text(make_header())}}
    text = json.dumps(content).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)
    return path


def write_model(path: Path) -> Path:
    """Write a model that can segment, with random weights."""
    # Torch is imported only by the tests that compute.
    from bids_film.model.checkpoint import save_checkpoint  # noqa: PLC0415
    from bids_film.model.unet import build_network  # noqa: PLC0415

    header = make_header()
    save_checkpoint(path, header, build_network(header.network, header.encoder.spans))
    return path
