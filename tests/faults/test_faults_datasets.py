"""Datasets as labs really have them: what is broken is named, what is odd is read right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fault_lab import Lab, finish, note
from support.bids_factory import scan_path, write_dataset, write_json, write_scan
from support.tiny_models import write_tiny_model

from bids_film.inputs.dataset import open_dataset

Break = Callable[[Path], object]


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    bids = write_dataset(tmp_path / "bids", participants=("0050", "1", "01", "001"))
    assert bids.is_dir()
    write_tiny_model(tmp_path / "tiny.safetensors")
    return Lab(folder=tmp_path)


def write(name: str, content: bytes) -> Break:
    return lambda bids: (bids / name).write_bytes(content)


def write_sidecar(content: bytes) -> Break:
    return lambda sidecar: sidecar.write_bytes(content)


def link_nowhere(sidecar: Path) -> None:
    sidecar.unlink()
    sidecar.symlink_to("../../.git/annex/objects/x.json")


DEEP = b"[" * 100_000
DESCRIPTION = "dataset_description.json"
WHOLE = {
    "description absent": (lambda bids: (bids / DESCRIPTION).unlink(), "is not a BIDS dataset"),
    "description no JSON": (write(DESCRIPTION, b"{"), "is not valid JSON"),
    "description deeply nested": (write(DESCRIPTION, DEEP), "is not valid JSON"),
    "participants.tsv ragged": (
        write("participants.tsv", b"participant_id\tage\nsub-1\t2\t3\t4\n"),
        "line 2 has 4 cells",
    ),
    "participants.tsv with commas": (
        write("participants.tsv", b"participant_id,age\nsub-1,2\n"),
        "tab-separated",
    ),
    "participants.tsv contradicts itself": (
        write("participants.tsv", b"participant_id\tage\nsub-1\t2\nsub-1\t3\n"),
        "two rows for sub-1",
    ),
    "participants.tsv in UTF-16": (
        write("participants.tsv", "participant_id\tage\nsub-1\t2\n".encode("utf-16")),
        "not text in UTF-8",
    ),
    "participants.tsv empty": (write("participants.tsv", b""), "is empty"),
}
ONE = {
    "no JSON": (write_sidecar(b'{"EchoTime": 0.03,}'), "is not valid JSON"),
    "in UTF-16": (write_sidecar('{"EchoTime": 1}'.encode("utf-16")), "not text in UTF-8"),
    "a list": (write_sidecar(b"[1, 2]"), "holds a list"),
    "deeply nested": (write_sidecar(b'{"a":' + DEEP), "is not valid JSON"),
    "keys given twice": (write_sidecar(b'{"a": 1, "a": 2}'), "given twice"),
    "not fetched": (link_nowhere, "datalad get"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_what_is_broken_for_the_whole_dataset_stops_the_run_before_it_begins(
    lab: Lab, name: str
) -> None:
    damage, said = WHOLE[name]
    damage(lab.folder / "bids")
    code, out, err = finish(lab.command(lab.folder / "out"))
    assert (code, out) == (3, ""), err
    assert said in err
    assert err.count("error:") == 1
    assert "Traceback" not in err
    assert not (lab.folder / "out").exists()
    note(name, "one message before anything runs, exit 3")


def test_a_broken_sidecar_costs_its_scan_and_no_other(tmp_path: Path) -> None:
    labels = [f"broken{number}" for number in range(len(ONE))]
    bids = write_dataset(tmp_path / "bids", participants=[*labels, "good"])
    write_tiny_model(tmp_path / "tiny.safetensors")
    for label, (damage, _) in zip(labels, ONE.values(), strict=True):
        damage(scan_path(bids, label).with_suffix("").with_suffix(".json"))
    code, out, err = finish(Lab(folder=tmp_path).command(tmp_path / "out", "--nprocs", 1))
    assert code == 1
    assert f"1 scan done, {len(ONE)} failed" in out, out
    assert "Traceback" not in out + err
    for label, (name, (_, said)) in zip(labels, ONE.items(), strict=True):
        (line,) = [line for line in out.splitlines() if f"] sub-{label}/" in line]
        assert "FAILED" in line
        assert said in line
        note(f"sidecar: {name}", "its scan is named with the reason, the others are done, exit 1")


def values_of(bids: Path, label: str) -> dict[str, Any]:
    (scan,) = [scan for scan in open_dataset(bids) if scan.participant == label]
    merged: dict[str, Any] = {}
    for source in reversed(scan.sources):
        merged |= source.values
    return merged


def test_labels_are_texts_and_never_numbers(tmp_path: Path) -> None:
    bids = write_dataset(tmp_path, participants=("0050", "50", "1", "01", "001"))
    rows = "".join(f"sub-{label}\tof {label}\n" for label in ("0050", "50", "1", "01", "001"))
    (bids / "participants.tsv").write_text(f"participant_id\tnote\n{rows}", encoding="utf-8")
    assert {scan.participant for scan in open_dataset(bids)} == {"0050", "50", "1", "01", "001"}
    for label in ("0050", "50", "1", "01", "001"):
        assert values_of(bids, label)["note"] == f"of {label}"
    note("labels such as 0050 and 01, 1, 001", "kept apart and with their zeros")


@pytest.mark.parametrize("end", ["\r\n", "\r", "\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_tables_of_any_system_are_read_alike(tmp_path: Path, end: str, mark: str) -> None:
    bids = write_dataset(tmp_path, participants=("0050",))
    lines = ["participant_id\tage\tname with spaces", 'sub-0050\t41\t"quo"ted', ""]
    (bids / "participants.tsv").write_bytes((mark + end.join(lines)).encode())
    found = values_of(bids, "0050")
    assert (found["age"], found["name with spaces"]) == ("41", '"quo"ted')
    note("table with CRLF, CR or a byte order mark", "read as without it")
    sidecar = scan_path(bids, "0050").with_suffix("").with_suffix(".json")
    sidecar.write_bytes((mark + end.join(("{", '"EchoTime": 0.03', "}"))).encode())
    assert values_of(bids, "0050")["EchoTime"] == 0.03
    note("sidecar with CRLF, CR or a byte order mark", "read as without it")


def test_a_table_of_100_000_rows_is_read(tmp_path: Path) -> None:
    bids = write_dataset(tmp_path, participants=("99999",))
    rows = "".join(f"sub-{number:05d}\t{number}\n" for number in range(100_000))
    (bids / "participants.tsv").write_text(f"participant_id\tage\n{rows}", encoding="utf-8")
    assert values_of(bids, "99999")["age"] == "99999"
    note("table of 100,000 rows", "read")


def test_a_dataset_in_a_folder_with_spaces_and_umlauts_is_segmented(tmp_path: Path) -> None:
    folder = tmp_path / "Größe & «Über» 脳 's data"
    write_dataset(folder / "bids", participants=("01",))
    write_tiny_model(folder / "tiny.safetensors")
    lab = Lab(folder=folder)
    code, out, err = finish(lab.command(folder / "out put"))
    assert code == 0, out + err
    assert finish(lab.command(folder / "out put", level="group"))[0] == 0
    note("folders with spaces, quotes and Unicode", "segmented")


ODD = ([1.5, 3], "three", {"T": 3}, True, "n/a", "", None, -3, "1e999")


def test_values_of_the_wrong_type_are_unknown_and_told(tmp_path: Path) -> None:
    labels = [f"odd{number}" for number in range(len(ODD))]
    bids = write_dataset(tmp_path / "bids", participants=[*labels, "good"])
    write_tiny_model(tmp_path / "tiny.safetensors")
    for label, value in zip(labels, ODD, strict=True):
        sidecar = scan_path(bids, label).with_suffix("").with_suffix(".json")
        write_json(sidecar, {"MagneticFieldStrength": value, "Manufacturer": value})
    code, out, err = finish(Lab(folder=tmp_path).command(tmp_path / "out"))
    assert (code, "Traceback" in out + err) == (0, False), out + err
    for label in (*labels, "good"):
        (path,) = (tmp_path / f"out/sub-{label}").rglob("*_seg-tiny_dseg.json")
        recorded = json.loads(path.read_text(encoding="utf-8"))["ConditioningMetadata"]
        used = {value["Field"] for value in recorded if value["Status"] in ("used", "converted")}
        expected = {"MagneticFieldStrength", "Manufacturer"} if label == "good" else set()
        assert used & {"MagneticFieldStrength"} == expected & {"MagneticFieldStrength"}, label
        assert label == "good" or "Manufacturer" not in used
    note("sidecar: a value of the wrong type", "unknown, and recorded as found", times=len(ODD))


def test_variants_of_a_scan_have_outputs_of_their_own(tmp_path: Path) -> None:
    names = (
        "acq-defaced_T1w", "run-1_T1w", "run-2_T1w", "run-02_echo-1_T1w", "part-mag_T1w",
        "part-phase_T1w", "rec-norm_T1w", "ce-gad_T1w", "T1w",
    )  # fmt: skip
    bids = write_dataset(tmp_path / "bids", participants=("01",), names=names)
    # Sessions for some participants only.
    write_scan(scan_path(bids, "02", session="a"), sidecar={"EchoTime": "0.03"})
    write_json(bids / "T1w.json", {"EchoTime": [0.01], "Manufacturer": "GE"})
    write_tiny_model(tmp_path / "tiny.safetensors")
    code, out, err = finish(Lab(folder=tmp_path).command(tmp_path / "out"))
    assert code == 0, out + err
    found = {path.name for path in (tmp_path / "out").rglob("*_dseg.nii.gz")}
    # A phase image shows no anatomy, and is segmented only where it is asked for.
    assert len(found) == len(names)
    assert not any("part-phase" in name for name in found)
    recorded = next((tmp_path / "out/sub-02").rglob("*_dseg.json"))
    content = json.loads(recorded.read_text(encoding="utf-8"))
    (maker,) = [v for v in content["ConditioningMetadata"] if v["Field"] == "Manufacturer"]
    # The nearer sidecar says nothing of it: the farther one does.
    assert (maker["Raw"], maker["File"]) == ("GE", "T1w.json")
    note("runs, echoes, parts, reconstructions, some sessions", "an output of its own for each")
