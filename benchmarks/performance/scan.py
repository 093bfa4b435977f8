"""One whole scan from .nii.gz to .nii.gz: each part alone, and the program's own function.

python -m benchmarks.performance.scan SCAN.nii.gz [--model NAME] [--threads N] [--write]
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.performance.timing import (
    Row,
    find_peak_mb,
    make_parser,
    parse_arguments,
    publish,
    take_best,
)
from bids_film.derivatives.nifti import write_labels
from bids_film.inference.engine import Engine
from bids_film.inputs.nifti import read_volume
from bids_film.models import find_model


def main() -> None:
    """Time the parts and the whole, print the table."""
    parser = make_parser(__doc__)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--model", default="brain")
    arguments = parse_arguments(parser)
    engine = Engine.load(find_model(arguments.model), device="cpu")
    encoded = engine.header.encoder.encode({})
    volume = read_volume(arguments.scan)
    prepared = engine.prepare(volume)
    found = engine.predict(prepared, encoded)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "labels.nii.gz"

        def segment() -> None:
            labels = engine.predict(read_volume(arguments.scan), encoded).labels
            write_labels(path, labels, volume.grid)

        parts = {
            "read and decode": lambda: read_volume(arguments.scan),
            "network": lambda: engine.compute(prepared, encoded),
            "encode and write": lambda: write_labels(path, found.labels, volume.grid),
        }
        seconds = {name: take_best(call) for name, call in parts.items()}
        seconds["resample to the network's space"] = take_best(lambda: engine.prepare(volume))
        whole = take_best(segment)
    limit = sum(seconds[name] for name in parts)
    rows = [
        Row(way="the limit: decode, network and encode, each alone", seconds=limit),
        Row(way="the whole, file to file", seconds=whole, memory_mb=find_peak_mb()),
        *(Row(way=f"of it: {name}", seconds=value) for name, value in seconds.items()),
    ]
    size = " × ".join(map(str, volume.grid.shape))
    spacing = " × ".join(f"{length:.3g}" for length in volume.grid.spacing_mm)
    inside = " × ".join(map(str, prepared.image.shape[1:]))
    title = (
        f"A scan of {size} voxels of {spacing} mm; {arguments.model} sees it as {inside}, in "
        f"{engine.precision}"
    )
    publish("scan", {title: rows}, arguments, arguments.model)


if __name__ == "__main__":
    main()
