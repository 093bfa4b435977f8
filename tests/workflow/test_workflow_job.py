from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from workflow_jobs import MODEL, make_job

from bids_film.domain.errors import ScanError
from bids_film.workflow.job import (
    OutputFile,
    Result,
    ScanOutcome,
    job_from_json,
    job_to_json,
    outcome_from_json,
    outcome_to_json,
    values_to_dict,
)
from bids_film.workflow.state import (
    read_outcome,
    read_outcomes,
    record_failure,
    state_path,
    write_outcome,
)


def test_a_job_survives_json_in_one_line() -> None:
    job = make_job()
    text = job_to_json(job)
    assert "\n" not in text
    assert job_from_json(text) == job


def test_an_outcome_survives_json() -> None:
    outcome = ScanOutcome(
        result=Result.DONE,
        entities={"sub": "01"},
        input="sub-01/anat/sub-01_T1w.nii.gz",
        model=MODEL,
        outputs=(OutputFile(path="sub-01/anat/x.nii.gz", size=3, mtime_ns=5, sha256="ab"),),
        flags=("look: µ\nhere",),
        seconds={"read": 0.5},
        fingerprint={"options": {"precision": "auto"}},
    )
    assert outcome_from_json(outcome_to_json(outcome)) == outcome


def test_raw_metadata_of_any_kind_can_be_sent() -> None:
    job = make_job()
    odd = replace(job, values=(replace(job.values[0], raw=Path("/x")), *job.values[1:]))
    assert job_from_json(job_to_json(odd)).values[0].raw == "/x"


def test_values_go_to_the_encoder_by_field() -> None:
    assert values_to_dict(make_job().values) == {"MagneticFieldStrength": 3.0, "Manufacturer": None}


def test_state_files_of_scans_with_one_name_differ() -> None:
    out = Path("/out")
    one = state_path(out, "brain", "sub-01/ses-a/anat/sub-01_T1w.nii.gz")
    other = state_path(out, "brain", "sub-01/ses-b/anat/sub-01_T1w.nii.gz")
    assert one != other
    assert one.name == "sub-01_T1w.json"


@pytest.mark.parametrize("text", ["", "{", "[]", '{"result": "done"}', '{"result": "odd"}', "null"])
def test_a_damaged_state_file_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "state.json"
    path.write_text(text, encoding="utf-8")
    assert read_outcome(path) is None


def test_a_failure_is_recorded_with_a_crash_file_and_without_absolute_paths(tmp_path: Path) -> None:
    job = make_job(tmp_path / "in", tmp_path / "out")
    error = ScanError(f"{job.path} is damaged", hint=f"copy {job.path} anew")
    outcome = record_failure(job, error, details="Traceback: …")
    assert outcome.failed
    assert outcome.message == "the image is damaged"
    assert str(tmp_path) not in outcome.message + outcome.hint
    crash = (job.output_dir / outcome.crash_file).read_text(encoding="utf-8")
    assert "is damaged" in crash
    assert "Traceback: …" in crash
    assert outcome.crash_file.startswith("logs/crash-")


def test_an_unexpected_error_names_its_kind_and_memory_by_its_name(tmp_path: Path) -> None:
    job = make_job(tmp_path / "in", tmp_path / "out")
    assert "KeyError: 'x'" in record_failure(job, KeyError("x")).message
    assert "memory" in record_failure(job, MemoryError()).message


def test_a_failure_is_told_even_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("a file", encoding="utf-8")
    outcome = record_failure(make_job(tmp_path / "in", tmp_path / "out"), ScanError("no"))
    assert outcome.message == "no"
    assert outcome.crash_file == ""


def test_outcomes_are_found_by_participant(tmp_path: Path) -> None:
    job = make_job(tmp_path / "in", tmp_path / "out")
    write_outcome(job.state_file, record_failure(job, ScanError("no")))
    assert len(read_outcomes(job.output_dir)) == 1
    assert len(read_outcomes(job.output_dir, "01")) == 1
    assert read_outcomes(job.output_dir, "1") == []
