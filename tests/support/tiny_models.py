"""A model of two nested structures, small enough to be computed in milliseconds."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bids_film.domain.labels import LabelTable, Structure
from bids_film.metadata.catalogue import known_field
from bids_film.metadata.encoder import Encoder
from bids_film.model.config import NetworkConfig, Preprocessing
from bids_film.model.header import HEADER_KEY, ModelHeader, header_to_text

LABELS = LabelTable(
    structures=(
        Structure(index=3, name="cord", abbreviation="SC", color="#ff0000"),
        Structure(index=7, name="gray", abbreviation="GM", color="#00ff00", part_of="cord"),
    )
)
ROWS = (
    {"MagneticFieldStrength": 1.5, "Manufacturer": "Siemens"},
    {"MagneticFieldStrength": 3.0, "Manufacturer": "Philips"},
)
ENCODER = Encoder.fit([known_field(name) for name in ROWS[0]], ROWS)


def make_header(
    *, dimensions: int = 3, preprocessing: Preprocessing | None = None, **network: Any
) -> ModelHeader:
    """Make the description of a model that keeps the scan's voxel size."""
    settings = {"dimensions": dimensions, "out_channels": 3, "channels": (4, 8), **network}
    kept = Preprocessing(spacing_mm=(0.0, 0.0, 0.0), patch=(16,) * dimensions, foreground="all")
    return ModelHeader(
        name="tiny",
        description="A small model — for tests.",
        inputs={"suffix": ["T1w"]},
        network=NetworkConfig(**settings),
        preprocessing=preprocessing or kept,
        encoder=ENCODER,
        labels=LABELS,
        training={"steps": 3, "curve": [{"dice": 0.5}]},
        card="# tiny\n\nµ\n",
    )


def write_content(path: Path, text: Any) -> Path:
    """Write a safetensors file without weights whose description is any JSON value."""
    return write_raw_header(path, json.dumps({"__metadata__": {HEADER_KEY: text}}).encode())


def write_raw_header(path: Path, content: bytes, *, length: int | None = None) -> Path:
    """Write a safetensors header of any bytes, saying that it is `length` bytes long."""
    path.write_bytes(struct.pack("<Q", len(content) if length is None else length) + content)
    return path


def change_content(change: Callable[[dict[str, Any]], object]) -> str:
    """Write a header as text, with a change to its JSON."""
    content = json.loads(header_to_text(make_header()))
    change(content)
    return json.dumps(content)


def write_tiny_model(path: Path, **settings: Any) -> Path:
    """Write the model with the weights that torch's seed gives."""
    # Torch is imported only by the tests that compute.
    from bids_film.model.checkpoint import save_checkpoint  # noqa: PLC0415
    from bids_film.model.unet import build_network  # noqa: PLC0415

    header = make_header(**settings)
    save_checkpoint(path, header, build_network(header.network, header.encoder.spans))
    return path
