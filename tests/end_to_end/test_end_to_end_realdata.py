"""The bundled models on real scans: every scan segmented, on its own grid, and well."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.program import find_bids_errors, run_program

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def cords(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of the spinal cord model for three participants without sidecars."""
    folder = tmp_path_factory.mktemp("cords")
    run = run_program(
        shared_data / "spine-multicontrast", folder / "out", "participant",
        "--model", "spinalcord", "--participant-label", "sct01", "sct02", "sct03",
        "-w", folder / "work", "--nprocs", 1,
    )  # fmt: skip
    assert run.code == 0, run.err
    return folder / "out"


def test_cords_of_three_contrasts_lie_where_experts_drew_them(
    cords: Path, shared_data: Path
) -> None:
    run = run_program(
        shared_data / "spine-multicontrast", cords, "evaluate", "--model", "spinalcord"
    )
    assert run.code == 0, run.err
    with (cords / "evaluation_seg-spinalcord.tsv").open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    dice = {row["scan"]: float(row["dice"]) for row in rows if row["structure"] == "spinal cord"}
    assert len(dice) == 3
    assert min(dice.values()) > 0.8


def test_missing_metadata_are_said_to_be_missing(cords: Path) -> None:
    page = (cords / "sub-sct01.html").read_text(encoding="utf-8")
    assert "missing" in page


def test_label_maps_keep_shape_affines_and_codes(cords: Path, shared_data: Path) -> None:
    found = sorted(cords.glob("sub-*/anat/*_dseg.nii.gz"))
    assert len(found) == 3
    for path in found:
        entities, _, _ = path.name.partition("_space-")
        (scan,) = (shared_data / "spine-multicontrast" / entities / "anat").glob("*.nii.gz")
        labels, image = nib.load(path), nib.load(scan)
        assert labels.shape == image.shape
        assert labels.header["qform_code"] == image.header["qform_code"]
        assert labels.header["sform_code"] == image.header["sform_code"]
        np.testing.assert_array_equal(labels.get_sform(), image.get_sform())
        np.testing.assert_allclose(labels.get_qform(), image.get_qform(), atol=1e-6)


def test_the_outputs_are_valid(cords: Path) -> None:
    assert find_bids_errors(cords) == []
