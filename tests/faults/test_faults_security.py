"""Files that want in: through names, links, markup, formulas, models; and what must not get out."""

from __future__ import annotations

import ast
import csv
import gzip
import json
import os
import pickle
import shutil
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from fault_lab import ROOT, Lab, finish, hash_outputs, note
from safetensors.torch import load_file, save_file
from support.bids_factory import (
    scan_path,
    write_dataset,
    write_description,
    write_image,
    write_json,
    write_tsv,
)
from support.tiny_models import make_header, write_tiny_model

from bids_film.domain.labels import LabelTable, Structure
from bids_film.model.header import HEADER_KEY, header_to_text, read_header

LONG = "x" * 5000
HOSTILE = ("../../etc", "/etc/passwd", "a\0b", "a\nb\tc", LONG)
SECRET = "s3cr3t-t0k3n"
MARKUP = '"><script>alert(1)</script><img src=x onerror=alert(2)>'
FORMULA = '=HYPERLINK("http://evil.example","look")'
PATIENT = {
    "PatientName": "Doe^Jane",
    "PatientID": "MRN0012345",
    "PatientBirthDate": "1961-07-13",
    "AcquisitionDateTime": "2023-04-05T06:07:08",
    "AcquisitionTime": "06:07:08.12",
    "InstitutionAddress": "7 Hospital Street",
    "SeriesInstanceUID": "1.2.840.113619.2.5",
}
OPTIONS = (
    ("--participant-label", "../../etc"),
    ("--participant-label", "/etc/passwd"),
    ("--participant-label", LONG),
    ("--participant-label", "01\n02"),
    ("--session-label", "../x"),
    ("--model", LONG),
    ("--model", "../../x"),
    ("--work-dir", LONG),
    ("--bids-filter-file", LONG),
    ("--metadata-file", LONG),
    ("--use-plugin", LONG),
    ("--bids-database-dir", LONG),
    ("--config-file", LONG),
    ("--metadata", f"{LONG}=3"),
    ("--metadata", f"MagneticFieldStrength={LONG}"),
    ("--device", "../cpu"),
)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: f"{option[0]} {option[1][:12]!r}")
def test_an_option_that_wants_out_of_its_place_is_refused(
    lab: Lab, output: Path, option: tuple[str, str]
) -> None:
    code, out, err = finish(lab.command(output, *option))
    assert code in (2, 3), err[:500]
    assert err.count("error:") == 1
    assert "Traceback" not in out + err
    assert "defect" not in err
    assert not list(output.rglob("*_dseg*"))
    note("option with ../, an absolute path, a newline or 5,000 characters", "refused, exit 2 or 3")


@pytest.mark.parametrize("name", ["participant-label", "work-dir", "model", "bids-filter-file"])
def test_a_null_byte_in_a_configuration_is_refused(lab: Lab, output: Path, name: str) -> None:
    config = output.with_suffix(".toml")
    config.write_text(f'{name} = "a\\u0000b"\n', encoding="utf-8")
    command = lab.command(output, "--config-file", config)
    if name == "model":
        command = [part for part in command if part not in {"--model", command[7]}]
    code, _, err = finish(command)
    assert code in (2, 3), err
    assert err.count("error:") == 1
    note("NUL in a configuration file", "refused, exit 2 or 3")


@pytest.mark.parametrize("value", HOSTILE, ids=lambda value: repr(value[:12]))
def test_a_filter_that_wants_out_of_its_place_finds_nothing(
    lab: Lab, output: Path, value: str
) -> None:
    filters = output.with_suffix(".filters.json")
    filters.write_text(json.dumps({"t1w": {"session": value}}), encoding="utf-8")
    code, out, err = finish(lab.command(output, "--bids-filter-file", filters))
    assert code in (2, 3), out + err
    assert err.count("error:") == 1
    assert "defect" not in err
    assert not list(output.rglob("*_dseg*"))
    note("filter of ../, an absolute path, NUL, a newline or 5,000 characters", "nothing is found")


def test_metadata_never_become_names_paths_or_rows(tmp_path: Path) -> None:
    """Whatever a sidecar says, outputs have the names of their scans, and rows stay rows."""
    labels = [f"hostile{number}" for number in range(len(HOSTILE))]
    bids = write_dataset(tmp_path / "bids", participants=[*labels, "good"], shape=(16, 16, 12))
    write_tiny_model(tmp_path / "tiny.safetensors")
    for label, value in zip(labels, HOSTILE, strict=True):
        sidecar = scan_path(bids, label).with_suffix("").with_suffix(".json")
        write_json(sidecar, {"Manufacturer": value, "MagneticFieldStrength": value, value: value})
    lab = Lab(folder=tmp_path)
    before = {path for path in tmp_path.parent.rglob("*") if tmp_path / "out" not in path.parents}
    code, out, err = finish(lab.command(tmp_path / "out"))
    assert (code, "Traceback" in out + err) == (0, False), out + err
    assert finish(lab.command(tmp_path / "out", level="group"))[0] == 0
    after = {path for path in tmp_path.parent.rglob("*") if tmp_path / "out" not in path.parents}
    assert after - before == {tmp_path / "out"}
    scans = [path.name for path in (tmp_path / "out").rglob("*_dseg.nii.gz")]
    named = [f"sub-{label}_space-T1w_seg-tiny_dseg.nii.gz" for label in (*labels, "good")]
    assert sorted(name for name in scans if "_seg-tiny_dseg" in name) == sorted(named)
    with (tmp_path / "out/group_seg-tiny.tsv").open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
    assert {row["participant_id"] for row in rows} == {
        f"sub-{label}" for label in (*labels, "good")
    }
    assert len(rows) == len(labels) + 1
    for label in labels:
        assert len((tmp_path / f"out/sub-{label}.html").read_bytes()) < 3_000_000
    note(
        "metadata of ../, NUL, a newline or 5,000 characters",
        "text, and unknown",
        times=len(labels),
    )


@pytest.mark.parametrize("level", ["participant", "group", "evaluate", "train"])
def test_a_folder_with_a_name_of_5000_characters_is_refused(lab: Lab, level: str) -> None:
    for places in ((LONG, "out"), (str(lab.folder / "bids"), LONG)):
        command = lab.command(Path("out"), level=level)
        command[3:5] = places
        code, _, err = finish(command)
        assert code in (2, 3), err[:500]
        assert "defect" not in err


def test_a_link_from_the_output_into_the_input_is_not_followed(lab: Lab, output: Path) -> None:
    before = hash_outputs(lab.folder / "bids")
    output.mkdir()
    (output / "sub-01").symlink_to(lab.folder / "bids" / "sub-01")
    (output / "sub-02").mkdir()
    (output / "sub-02" / "anat").symlink_to("/etc")
    code, out, err = finish(lab.command(output, "--participant-label", "01", "02", "03"))
    assert code == 1, out + err
    assert "1 scan done, 2 failed" in out
    assert out.count("leads out of the output folder") == 2
    assert hash_outputs(lab.folder / "bids") == before
    assert not list(Path("/etc").glob("*dseg*"))
    note("link that leads out of the output folder", "not followed: the scan is refused")


class Page(HTMLParser):
    """What a browser would act upon."""

    def __init__(self) -> None:
        super().__init__()
        self.handlers: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handlers += [f"{tag} {name}" for name, _ in attrs if name.startswith("on")]
        self.handlers += [str(value) for _, value in attrs if "javascript:" in str(value)]


def write_hostile_lab(folder: Path) -> Lab:
    """Write a dataset and a model of which every text is markup or a formula."""
    bids = write_dataset(folder / "bids", participants=("01", "02"), shape=(20, 20, 16))
    write_description(bids, name=MARKUP)
    rows = [{"participant_id": f"sub-{n}", "age": MARKUP, "sex": FORMULA} for n in ("01", "02")]
    write_tsv(bids / "participants.tsv", rows)
    for label in ("01", "02"):
        sidecar = scan_path(bids, label).with_suffix("").with_suffix(".json")
        write_json(sidecar, {"MagneticFieldStrength": MARKUP, "Manufacturer": FORMULA, **PATIENT})
    write_image(scan_path(bids, "02"), np.zeros((4, 4, 4), np.uint8))
    write_tiny_model(folder / "tiny.safetensors")
    header = read_header(folder / "tiny.safetensors")
    structures = (
        Structure(index=3, name=MARKUP, abbreviation="SC", color="#ff0000"),
        Structure(index=7, name=FORMULA, abbreviation="GM", color="#00ff00", part_of=MARKUP),
    )
    hostile = {"labels": LabelTable(structures=structures), "description": MARKUP, "card": MARKUP}
    weights = load_file(folder / "tiny.safetensors")
    text = header_to_text(replace(header, **hostile))
    save_file(weights, folder / "tiny.safetensors", metadata={HEADER_KEY: text})
    return Lab(folder=folder)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    folder = tmp_path_factory.mktemp("hostile")
    lab = write_hostile_lab(folder)
    secret = {"API_TOKEN": SECRET, "HOME": str(folder / "home-of-jane")}
    code, out, err = finish(lab.command(folder / "out"), environment=secret)
    assert (code, "Traceback" in out + err) == (1, False), out + err
    assert finish(lab.command(folder / "out", level="group"), environment=secret)[0] == 0
    return lab


def list_shared(lab: Lab) -> Iterator[Path]:
    """All outputs but the logs of nipype, of which the manual warns."""
    for path in (lab.folder / "out").rglob("*"):
        if path.is_file() and not path.name.startswith("nipype-"):
            yield path


def test_no_text_of_a_dataset_or_model_becomes_markup(hostile: Lab) -> None:
    pages = [path for path in list_shared(hostile) if path.suffix in (".html", ".svg")]
    assert len(pages) >= 2
    for path in pages:
        text = path.read_text(encoding="utf-8")
        page = Page()
        page.feed(text)
        assert page.handlers == [], path
        assert not [part for part in ("<script>alert", "<img src=x") if part in text], path
    note("markup in names, metadata, model", "shown as text")


def test_no_cell_of_a_table_is_computed_by_a_spreadsheet(hostile: Lab) -> None:
    tables = [path for path in list_shared(hostile) if path.suffix == ".tsv"]
    assert len(tables) >= 2
    for path in tables:
        with path.open(encoding="utf-8", newline="") as stream:
            rows = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
        assert len({len(row) for row in rows}) == 1, path
        for cell in (cell for row in rows for cell in row):
            number = cell.removeprefix("-").replace(".", "", 1).isdecimal()
            assert number or not cell.startswith(("=", "+", "-", "@")), (path, cell)
    note("formula in metadata, model", "written as text")


def read_unpacked(path: Path) -> bytes:
    """Read a file; what it holds, where it is compressed."""
    content = path.read_bytes()
    return gzip.decompress(content) if path.suffix == ".gz" else content


def test_what_is_shared_names_no_place_person_or_secret(hostile: Lab) -> None:
    forbidden = [
        str(hostile.folder), str(ROOT), "home-of-jane", SECRET, *PATIENT.values(),
    ]  # fmt: skip
    found = [
        (path.name, word)
        for path in list_shared(hostile)
        for word in forbidden
        if word.encode() in read_unpacked(path)
    ]
    assert found == []
    note("secrets, home paths, patient's names and dates", "in no output that is shared")


def test_nothing_is_unpickled_and_no_text_is_run() -> None:
    banned = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle"}
    for path in sorted((ROOT / "bids_film").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not banned & {name.partition(".")[0] for name in names}, path
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            shell = [word for word in node.keywords if word.arg in ("shell", "allow_pickle")]
            assert not shell, (path, node.lineno)
            assert called not in {
                "eval", "exec", "compile", "torch.load", "yaml.load", "yaml.unsafe_load",
                "os.system", "os.popen",
            }, (path, node.lineno)  # fmt: skip


class Exploit:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_model_that_is_a_pickle_is_not_opened(lab: Lab, output: Path, tmp_path: Path) -> None:
    for number, dump in enumerate(("pickle", "torch")):
        made, model = tmp_path / f"made-{number}", tmp_path / f"{number}.safetensors"
        if dump == "pickle":
            model.write_bytes(pickle.dumps(Exploit(made)))
        else:
            torch.save(Exploit(made), model)
        code, _, err = finish([*lab.command(output), "--model", str(model)])
        assert code == 3
        assert "is not a safetensors file" in err
        assert not made.exists()
        note("model file that is a pickle", "refused unopened, exit 3")


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"name": "../../evil"}, 3),
        ({"network": {"dimensions": 3, "channels": [4096] * 8, "out_channels": 3}}, 3),
        ({"network": {"dimensions": 3, "channels": [4] * 99, "out_channels": 3}}, 3),
        ({"preprocessing": {"spacing_mm": [1e-6, 1e-6, 1e-6], "patch": [16, 16, 16]}}, 1),
        # A patch larger than any scan is of no consequence: windows are no larger than the scan.
        ({"preprocessing": {"spacing_mm": [1, 1, 1], "patch": [2**40] * 3}}, 0),
        ({"inputs": {"suffix": "../T1w"}}, 3),
    ],
    ids=lambda change: json.dumps(change)[:40],
)
def test_a_model_with_a_hostile_description_does_no_harm(
    lab: Lab, output: Path, tmp_path: Path, change: dict[str, object], expected: int
) -> None:
    content = json.loads(header_to_text(make_header())) | change
    model = tmp_path / "evil.safetensors"
    weights = load_file(lab.folder / "tiny.safetensors")
    save_file(weights, model, metadata={HEADER_KEY: json.dumps(content)})
    code, out, err = finish([*lab.command(output, "--mem", 4), "--model", str(model)])
    assert code == expected, out + err
    assert "Traceback" not in out + err
    assert "defect" not in out + err
    assert not list(tmp_path.rglob("*evil*dseg*"))
    note("model file with a hostile description", "refused, or without harm")
    shutil.rmtree(output, ignore_errors=True)
