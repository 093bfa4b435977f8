"""Inputs from which the fuzzing of each target starts: right ones, small."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import nibabel as nib
import numpy as np

from bids_film.model.header import header_to_text, read_header
from bids_film.models import find_model

_ROOT = Path(__file__).parents[2]


def _make_images() -> list[bytes]:
    images = []
    for kind, prefix in ((nib.Nifti1Image, b"\x00"), (nib.Nifti2Image, b"\x80")):
        for dtype in (np.uint8, np.int16, np.float32):
            voxels = np.arange(60, dtype=dtype).reshape(3, 4, 5)
            image = kind(voxels, np.diag([1.0, 2.0, 3.0, 1.0]))
            image.set_qform(image.affine, 1)
            images.append(prefix + image.to_bytes())
    return images


def _make_models() -> list[bytes]:
    header = header_to_text(read_header(find_model("spinalcord")))
    content = json.loads(header)
    small = {**content, "training": {}, "card": "", "description": ""}
    small["network"]["channels"] = [1, 1]
    whole = find_model("spinalcord").read_bytes()[:2000]
    return [b"\x80" + json.dumps(small).encode(), b"\x00" + whole]


def _make_sidecars() -> list[bytes]:
    values = {
        "Manufacturer": "Siemens",
        "MagneticFieldStrength": 3,
        "EchoTime": [0.03],
        "RepetitionTime": "2.3 s",
        "FlipAngle": None,
        "InPlaneVoxelSize": 1e-3,
        "PatientAge": "041Y",
    }
    return [json.dumps(values).encode(), b"\xef\xbb\xbf{}", b'{"EchoTime": 1, "EchoTime": 2}']


def _make_tables() -> list[bytes]:
    return [
        b"participant_id\tage\tsex\nsub-0050\t41\tF\nsub-1\tn/a\tm\n",
        b"\xef\xbb\xbfparticipant_id\tsession_id\tEchoTime\r\nsub-01\tses-a\t0.03\r\n",
    ]


def _read_recipes() -> list[bytes]:
    files = sorted((_ROOT / "bids_film" / "models").glob("*/recipe.toml"))
    return [
        *(file.read_bytes() for file in files),
        b'participant-label = ["01"]\nnprocs = 2\nmem = 7.5\nverbose = 1\n',
    ]


_FILTERS = [b'{"suffix": ["T1w", "T2w"], "acquisition": null, "run": 1, "ses": "*"}']
_PLUGINS = [b"plugin: SLURM\nplugin_args:\n  sbatch_args: --mem=8G\n", b"plugin: Linear\n"]
_NAMES = [b"sub-01_ses-a_run-1_T1w.nii.gz", b"acq-a_sub-01_T2w.json"]
_OWN = [
    b'{"Name": "x", "BIDSVersion": "1.10.0", "DatasetType": "raw"}',
    b'{"result": "done", "entities": {}, "input": "x", "outputs": [], "flags": []}',
    b'{"Sources": ["bids:raw:sub-01_T1w.nii.gz"], "Model": {}, "Structures": [], "Notes": []}',
]

SEEDS: Mapping[str, Callable[[], list[bytes]]] = {
    "nifti": _make_images,
    "sidecar": _make_sidecars,
    "tsv": _make_tables,
    "given-metadata": _make_tables,
    "toml": _read_recipes,
    "model": _make_models,
    "filters": lambda: _FILTERS,
    "plugin": lambda: _PLUGINS,
    "name": lambda: _NAMES,
    "own-files": lambda: _OWN,
}
