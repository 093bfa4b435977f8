"""Jobs for the tests of the workflow."""

from __future__ import annotations

from pathlib import Path

from bids_film.domain.scan import SourceKind
from bids_film.metadata.parse import Status
from bids_film.metadata.resolve import FieldValue
from bids_film.workflow.job import EngineSettings, ScanJob

MODEL = {"name": "brain", "version": "1", "sha256": "0" * 64}


def make_job(root: Path = Path("/data"), output: Path = Path("/out"), acq: str = "a") -> ScanJob:
    """Make a job without files."""
    return ScanJob(
        path=root / f"sub-01/anat/sub-01_acq-{acq}_T1w.nii.gz",
        dataset_root=root,
        entities={"sub": "01", "acq": acq},
        suffix="T1w",
        datatype="anat",
        output_dir=output,
        state_file=output / f"logs/seg-brain/sub-01/anat/sub-01_acq-{acq}_T1w.json",
        values=(
            FieldValue(
                field="MagneticFieldStrength",
                value=3.0,
                raw=3,
                status=Status.USED,
                source=SourceKind.SIDECAR,
                file="task.json",
                key="MagneticFieldStrength",
                note="",
            ),
            FieldValue(
                field="Manufacturer",
                value=None,
                raw=None,
                status=Status.MISSING,
                source=None,
                file="",
                key="",
                note="",
            ),
        ),
        engine=EngineSettings(model=Path("/models/brain.safetensors")),
        fingerprint={"input": {"path": "x", "size": 3}, "model": MODEL},
    )
