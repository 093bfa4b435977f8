"""A dataset as labs have them: two sites, missing values, a structure that some did not draw."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.bids_factory import scan_path, write_dataset, write_tsv
from support.phantom_recipe import DATA
from support.program import run_program

RECIPE = f"""
[model]
name = "phantom"

{DATA}
[metadata]
fields = ["MagneticFieldStrength", "age", "sex"]

[preprocessing]
spacing_mm = [1.0, 1.0, 0.0]
patch = [32, 32]

[network]
dimensions = 2
channels = [8, 16]
target = "TARGET"

[training]
batch_size = 8
steps = 480
foreground = 1.0
warm_up = 10
learning_rate = 0.01
validate_every = 120
balance = "site"
"""
PARTICIPANTS = ("01", "02", "03", "04", "05", "06")


@pytest.fixture(scope="module")
def bids(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("incomplete") / "bids"
    write_dataset(root, participants=PARTICIPANTS, shape=(32, 30, 6), labels=True)
    rows = [
        {
            "participant_id": f"sub-{name}",
            "site": "one" if number < 4 else "two",
            "age": "n/a" if number % 3 == 0 else str(20 + number),
            "sex": "n/a" if number == 1 else "MF"[number % 2],
        }
        for number, name in enumerate(PARTICIPANTS)
    ]
    write_tsv(root / "participants.tsv", rows)
    for name in ("01", "04"):
        for path in root.glob(f"derivatives/labels/sub-{name}/**/*_gmseg-manual.nii.gz"):
            path.unlink()
    sidecar = root / "sub-02" / "anat" / "sub-02_T1w.json"
    content = json.loads(sidecar.read_text())
    content.pop("MagneticFieldStrength", None)
    sidecar.write_text(json.dumps(content))
    return root


@pytest.mark.parametrize("target", ["joint", "prompted"])
def test_it_trains_a_model_that_segments_all_of_it_without_a_further_word(
    bids: Path, tmp_path: Path, target: str
) -> None:
    recipe = tmp_path / "train.toml"
    recipe.write_text(RECIPE.replace("TARGET", target), encoding="utf-8")
    trained = run_program(bids, tmp_path / "model", "train", "--config-file", recipe)
    assert trained.code == 0, trained.err
    model = tmp_path / "model" / "phantom.safetensors"
    run = run_program(bids, tmp_path / "out", "participant", "--model", model)
    assert run.code == 0, run.err
    for name in PARTICIPANTS:
        path = tmp_path / f"out/sub-{name}/anat/sub-{name}_space-T1w_seg-phantom_dseg.nii.gz"
        labels = np.asarray(nib.load(path).dataobj)
        assert labels.shape == nib.load(scan_path(bids, name)).shape
        assert set(np.unique(labels)) == {0, 3, 7}, "each structure is asked for on every scan"
