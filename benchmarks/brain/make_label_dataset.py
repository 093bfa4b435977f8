"""Lay a folder of whole-head label maps out as a BIDS derivative dataset to train from.

    python -m benchmarks.brain.make_label_dataset LABEL_MAPS_FOLDER OUTPUT_FOLDER

Each ``labels_XX.nii.gz`` becomes ``sub-XX/anat/sub-XX_dseg.nii.gz``, a link to the original.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

DESCRIPTION = {
    "Name": "Whole-head label maps",
    "BIDSVersion": "1.10.0",
    "DatasetType": "derivative",
    "GeneratedBy": [
        {"Name": "SynthSeg training label maps", "Description": "FreeSurfer numbering"}
    ],
}


def main() -> None:
    """Read the arguments and link the maps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("label_maps", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    maps = sorted(arguments.label_maps.glob("labels_*.nii.gz"))
    if not maps:
        raise SystemExit(f"no labels_*.nii.gz in {arguments.label_maps}")
    arguments.output.mkdir(parents=True, exist_ok=True)
    description = arguments.output / "dataset_description.json"
    description.write_text(json.dumps(DESCRIPTION, indent=2) + "\n", encoding="utf-8")
    for path in maps:
        label = path.name.removeprefix("labels_").removesuffix(".nii.gz")
        link = arguments.output / f"sub-{label}" / "anat" / f"sub-{label}_dseg.nii.gz"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.exists():
            link.symlink_to(path.resolve())
    print(f"{len(maps)} label maps in {arguments.output}")


if __name__ == "__main__":
    main()
