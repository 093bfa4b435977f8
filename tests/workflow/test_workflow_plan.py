from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from support.bids_factory import write_dataset
from workflow_models import write_header

from bids_film.domain.errors import InputError, UsageError
from bids_film.metadata.parse import Status
from bids_film.workflow.dry_run import describe_plan
from bids_film.workflow.fingerprint import describe_output
from bids_film.workflow.job import Result, ScanJob, ScanOutcome
from bids_film.workflow.options import AnalysisLevel, Options
from bids_film.workflow.plan import Plan, make_plan
from bids_film.workflow.state import write_outcome

ROOT = Path(__file__).parents[2]


@pytest.fixture
def options(tmp_path: Path) -> Options:
    write_dataset(tmp_path / "in", participants=("01", "02", "03"), names=("T1w", "T2w"))
    return Options(
        bids_dir=tmp_path / "in",
        output_dir=tmp_path / "out",
        analysis_level=AnalysisLevel.PARTICIPANT,
        model=str(write_header(tmp_path / "tiny.safetensors")),
    )


def finish(job: ScanJob) -> None:
    output = job.output_dir / "sub-x_dseg.nii.gz"
    output.parent.mkdir(exist_ok=True)
    output.write_bytes(b"labels")
    write_outcome(
        job.state_file,
        ScanOutcome(
            result=Result.DONE,
            entities=job.entities,
            input=job.scan.relative_path,
            outputs=(describe_output(output, job.output_dir),),
            fingerprint=job.fingerprint,
        ),
    )


def reasons(plan: Plan) -> list[str]:
    return [scan.reason for scan in plan.scans]


def test_the_filters_of_the_model_choose_the_scans(options: Options) -> None:
    plan = make_plan(options)
    assert [scan.job.scan.stem for scan in plan.scans] == ["sub-01_T1w", "sub-02_T1w", "sub-03_T1w"]
    assert reasons(plan) == ["not segmented yet"] * 3


def test_a_filter_file_goes_before_the_filters_of_the_model(
    options: Options, tmp_path: Path
) -> None:
    (tmp_path / "filter.json").write_text('{"suffix": "T2w"}', encoding="utf-8")
    plan = make_plan(replace(options, bids_filter_file=tmp_path / "filter.json"))
    assert {scan.job.suffix for scan in plan.scans} == {"T2w"}


def test_a_scan_whose_outputs_hold_is_not_segmented_again(options: Options) -> None:
    finish(make_plan(options).scans[0].job)
    plan = make_plan(options)
    assert reasons(plan)[0] == ""
    assert len(plan.pending) == 2


def change_input(options: Options) -> Options:
    path = next((options.bids_dir / "sub-01/anat").glob("*T1w.nii.gz"))
    os.utime(path, ns=(1, 1))
    return options


def change_model(options: Options) -> Options:
    with Path(options.model).open("ab") as stream:
        stream.write(b"more")
    return options


def change_metadata(options: Options) -> Options:
    return replace(options, metadata=("MagneticFieldStrength=1.5",))


def change_option(options: Options) -> Options:
    return replace(options, save_probabilities=True)


def change_output(options: Options) -> Options:
    (options.output_dir / "sub-x_dseg.nii.gz").unlink()
    return options


def damage_output(options: Options) -> Options:
    # As many bytes as before.
    (options.output_dir / "sub-x_dseg.nii.gz").write_bytes(b"lapels")
    return options


def truncate_output(options: Options) -> Options:
    os.truncate(options.output_dir / "sub-x_dseg.nii.gz", 3)
    return options


def copy_output(options: Options) -> Options:
    os.utime(options.output_dir / "sub-x_dseg.nii.gz", ns=(1, 1))
    return options


def change_nothing_but_force(options: Options) -> Options:
    return replace(options, force=True)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (change_input, "changed since: input"),
        (change_model, "changed since: model"),
        (change_metadata, "changed since: metadata (MagneticFieldStrength)"),
        (change_option, "changed since: options (save_probabilities)"),
        (change_output, "output is gone: sub-x_dseg.nii.gz"),
        (damage_output, "output is no longer what was written: sub-x_dseg.nii.gz"),
        (truncate_output, "output is no longer what was written: sub-x_dseg.nii.gz"),
        (copy_output, ""),
        (change_nothing_but_force, "asked for by --force"),
    ],
)
def test_a_scan_is_segmented_again_for_what_changed(
    options: Options, change: Callable[[Options], Options], reason: str
) -> None:
    plan = make_plan(replace(options, participant_label=("01",)))
    finish(plan.scans[0].job)
    assert reasons(make_plan(replace(change(options), participant_label=("01",)))) == [reason]


@pytest.mark.parametrize("damaged", [None, 3, [], [[]], [[["age"], 3.0]], [3], {"age": 4}])
@pytest.mark.parametrize("key", ["metadata", "options"])
def test_a_damaged_record_only_has_its_scan_segmented_again(
    options: Options, key: str, damaged: object
) -> None:
    plan = make_plan(replace(options, participant_label=("01",)))
    finish(plan.scans[0].job)
    path = plan.scans[0].job.state_file
    record = json.loads(path.read_text(encoding="utf-8"))
    record["fingerprint"][key] = damaged
    path.write_text(json.dumps(record), encoding="utf-8")
    (reason,) = reasons(make_plan(replace(options, participant_label=("01",))))
    assert reason.startswith(f"changed since: {key}")


@pytest.mark.parametrize("name", ["nprocs", "omp_nthreads"])
def test_what_does_not_change_the_outputs_makes_nothing_run(options: Options, name: str) -> None:
    finish(make_plan(options).scans[0].job)
    assert reasons(make_plan(replace(options, **{name: 3})))[0] == ""


def test_a_scan_that_failed_is_tried_again(options: Options) -> None:
    job = make_plan(options).scans[0].job
    failed = ScanOutcome(
        result=Result.FAILED,
        entities=job.entities,
        input="x",
        message="no memory",
        fingerprint=job.fingerprint,
    )
    write_outcome(job.state_file, failed)
    assert reasons(make_plan(options))[0] == "failed before: no memory"


def test_the_command_line_goes_before_the_metadata_file_and_that_before_the_dataset(
    options: Options, tmp_path: Path
) -> None:
    table = tmp_path / "metadata.tsv"
    table.write_text(
        "participant_id\tMagneticFieldStrength\tManufacturer\nsub-01\t1.5\tPhilips\n",
        encoding="utf-8",
    )
    given = replace(options, metadata_file=table, metadata=("MagneticFieldStrength=3",))
    first, second, _ = (scan.job.values for scan in make_plan(given).scans)
    (alone, *_) = make_plan(replace(given, participant_label=("02",))).scans
    assert alone.job.values == second, "a run without the table's participants is the same"
    assert [value.value for value in first[:2]] == [3.0, "Philips"]
    assert second[0].value == 3.0
    assert second[1].file != "metadata.tsv"


def test_the_header_is_asked_for_what_nothing_else_tells(options: Options) -> None:
    value = make_plan(options).scans[0].job.values[2]
    assert value.status is Status.USED
    assert str(value.source) == "NIfTI header"


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("MagneticFieldStrenght=3", "did you mean 'MagneticFieldStrength'"),
        ("Manufacturer=Unknown Inc", "none of the levels"),
        ("MagneticFieldStrength=30000", "30000 G would be 3"),
    ],
)
def test_metadata_on_the_command_line_that_cannot_be_used_is_a_usage_error(
    options: Options, assignment: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        make_plan(replace(options, metadata=(assignment,)))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("participant_id\tMagneticFieldStrength\nsub-77\t3\n", "none of its 1 participants"),
        ("participant_id\tNonsense\nsub-01\t3\n", "no column is a field"),
    ],
)
def test_a_metadata_file_that_fits_nothing_is_a_usage_error(
    options: Options, tmp_path: Path, table: str, said: str
) -> None:
    path = tmp_path / "values.tsv"
    path.write_text(table, encoding="utf-8")
    with pytest.raises(UsageError, match=said):
        make_plan(replace(options, metadata_file=path))


def test_what_looks_like_a_mistake_in_a_metadata_file_is_said(
    options: Options, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "values.tsv"
    columns = ("Manufacturer", "MagneticFieldStrenght", "comment", "MagneticFieldStrength [T]")
    head = "\t".join(("participant_id", *columns)) + "\n"
    rows = "sub-01\tn/a\t3\t\tn/a\nsub-77\tSiemens\t3\t\t3\n"
    path.write_text(head + rows, encoding="utf-8")
    make_plan(replace(options, metadata_file=path))
    said = capsys.readouterr().err
    assert "'MagneticFieldStrenght' is no field" in said
    assert "1 of 2 participants are not in the dataset: 77" in said
    assert "comment" not in said
    assert "[T]" not in said, "what is read with its unit is no mistake"


def test_no_such_model_and_no_such_participant_are_input_errors(options: Options) -> None:
    with pytest.raises(InputError):
        make_plan(replace(options, model="no-such-model"))
    with pytest.raises(InputError, match="99"):
        make_plan(replace(options, participant_label=("99",)))


def test_a_dangling_link_is_told_and_never_counts_as_done(options: Options) -> None:
    path = next((options.bids_dir / "sub-01/anat").glob("*T1w.nii.gz"))
    path.unlink()
    path.symlink_to("/nowhere/at/all.nii.gz")
    text = "\n".join(describe_plan(make_plan(options)))
    assert "would fail: the image is a link to a file that is not there" in text
    assert "datalad get sub-01/anat/sub-01_T1w.nii.gz" in text


@pytest.mark.parametrize("kept", [0, 100, 380, -1])
def test_a_dry_run_foretells_a_truncated_image(options: Options, kept: int) -> None:
    path = next((options.bids_dir / "sub-01/anat").glob("*T1w.nii.gz"))
    path.write_bytes(path.read_bytes()[:kept])
    text = "\n".join(describe_plan(make_plan(options)))
    assert text.count("would fail: the image is") == 1


def test_a_dry_run_foretells_a_broken_sidecar(options: Options) -> None:
    (options.bids_dir / "sub-02/anat/sub-02_T1w.json").write_text("{,}", encoding="utf-8")
    text = "\n".join(describe_plan(make_plan(options)))
    assert text.count("would fail: sub-02/anat/sub-02_T1w.json is not valid JSON") == 1
    assert "2 of 3 scans of 3 participants would be segmented, 1 would fail, 0 are up" in text


def test_a_dry_run_tells_each_value_and_where_it_was_found(options: Options) -> None:
    given = replace(options, metadata=("Manufacturer=SIEMENS ",), on_missing_metadata="error")
    text = "\n".join(describe_plan(make_plan(given)))
    assert "sub-01/anat/sub-01_T1w.nii.gz would be segmented (not segmented yet)" in text
    assert "Manufacturer           Siemens, used, command line: Manufacturer" in text
    assert "InPlaneVoxelSize" in text
    assert "3 of 3 scans of 3 participants would be segmented, 0 are up to date" in text


def test_a_dry_run_tells_what_would_fail_for_missing_metadata(options: Options) -> None:
    for sidecar in options.bids_dir.rglob("*.json"):
        if sidecar.name != "dataset_description.json":
            sidecar.unlink()
    text = "\n".join(describe_plan(make_plan(replace(options, on_missing_metadata="error"))))
    assert "would fail: " in text
    assert "MagneticFieldStrength  unknown, missing" in text


def test_the_dry_run_of_the_command_imports_neither_torch_nor_nipype(options: Options) -> None:
    arguments = [str(options.bids_dir), str(options.output_dir), "participant", "--dry-run"]
    program = (
        "import sys\nfrom bids_film.cli.main import entry_point\n"
        f"code = entry_point({[*arguments, '--model', options.model]!r})\n"
        "print([n for n in ('torch', 'nipype') if n in sys.modules], code, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.stderr.strip().endswith("[] 0")
    assert not options.output_dir.exists()
