from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bids_film.derivatives.dataset import check_output, find_container, write_dataset_files
from bids_film.derivatives.names import output_names
from bids_film.derivatives.nifti import write_labels, write_probabilities
from bids_film.derivatives.sidecars import write_probabilities_sidecar, write_sidecar
from bids_film.derivatives.tables import write_label_table
from bids_film.domain.errors import UsageError
from bids_film.domain.labels import Structure
from bids_film.domain.scan import Scan
from bids_film.domain.segmentation import (
    ModelIdentity,
    RecordedValue,
    Segmentation,
    StructureVolume,
)
from bids_film.domain.volume import Grid

GRAY = Structure(index=1, name="gray matter", abbreviation="GM", color="#ff6b57")


def make_bids(root: Path, **description: Any) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    content = {"Name": "Some brains", "BIDSVersion": "1.8.0", **description}
    (root / "dataset_description.json").write_text(json.dumps(content))
    return root


def write(output: Path, bids: Path, **environment: str) -> dict[str, Any]:
    write_dataset_files(output, bids, version="0.1.0", environment=environment)
    content: dict[str, Any] = json.loads((output / "dataset_description.json").read_text())
    return content


def test_the_description_says_what_and_from_where(tmp_path: Path) -> None:
    content = write(tmp_path / "out", make_bids(tmp_path / "bids"))
    assert content["Name"] == "Segmentations of Some brains"
    assert content["DatasetType"] == "derivative"
    assert content["GeneratedBy"] == [{"Name": "bids-film", "Version": "0.1.0"}]
    assert content["DatasetLinks"] == {"raw": "../bids"}
    assert content["SourceDatasets"] == [{"URL": "../bids"}]


def test_a_published_source_is_named_by_its_doi(tmp_path: Path) -> None:
    bids = make_bids(tmp_path / "bids", DatasetDOI="doi:10.18112/openneuro.ds000001.v1")
    assert write(tmp_path / "out", bids)["SourceDatasets"] == [
        {
            "URL": "https://doi.org/10.18112/openneuro.ds000001.v1",
            "DOI": "doi:10.18112/openneuro.ds000001.v1",
        }
    ]


def test_outputs_of_two_inputs_never_mix(tmp_path: Path) -> None:
    first, second = (make_bids(tmp_path / name) for name in ("first", "second"))
    output = tmp_path / "out"
    write(output, first)
    before = (output / "dataset_description.json").read_bytes()
    with pytest.raises(UsageError, match="another dataset"):
        write(output, second)
    assert (output / "dataset_description.json").read_bytes() == before
    first.rename(tmp_path / "moved")
    assert write(output, tmp_path / "moved")["DatasetLinks"]["raw"] == "../moved"


def test_links_are_uris_whatever_the_folders_are_called(tmp_path: Path) -> None:
    first, second = (make_bids(tmp_path / name) for name in ("50 % of Köln", "second"))
    links = write(tmp_path / "out", first)["DatasetLinks"]
    assert links == {"raw": "../50%20%25%20of%20K%C3%B6ln"}
    assert write(tmp_path / "out", first)["DatasetLinks"] == links
    with pytest.raises(UsageError, match=r"results of another dataset, .*50 % of Köln"):
        write(tmp_path / "out", second)


def test_folders_of_old_file_servers_are_linked_by_their_bytes(tmp_path: Path) -> None:
    bids = make_bids(Path(os.fsdecode(os.fsencode(tmp_path) + b"/M\xfcller")))
    assert write(tmp_path / "out", bids)["DatasetLinks"] == {"raw": "../M%FCller"}
    assert write(tmp_path / "out", bids)["DatasetLinks"] == {"raw": "../M%FCller"}


def test_what_a_user_wrote_stays_and_what_we_know_is_renewed(tmp_path: Path) -> None:
    bids, output = make_bids(tmp_path / "bids"), tmp_path / "out"
    content = write(output, bids)
    content |= {"Name": "Mine", "Authors": ["A", "B"]}
    content["DatasetLinks"]["atlas"] = "https://example.org/atlas"
    content["GeneratedBy"] = [{"Name": "bids-film", "Version": "0.0.9"}, {"Name": "by hand"}]
    (output / "dataset_description.json").write_text(json.dumps(content))
    renewed = write(output, bids)
    assert (renewed["Name"], renewed["Authors"]) == ("Mine", ["A", "B"])
    assert renewed["DatasetLinks"] == {"raw": "../bids", "atlas": "https://example.org/atlas"}
    assert renewed["GeneratedBy"] == [
        {"Name": "bids-film", "Version": "0.1.0"},
        {"Name": "by hand"},
    ]


def test_a_second_run_touches_nothing(tmp_path: Path) -> None:
    bids, output = make_bids(tmp_path / "bids"), tmp_path / "out"
    write(output, bids)
    before = {path: path.stat().st_mtime_ns for path in output.iterdir()}
    write(output, bids)
    assert {path: path.stat().st_mtime_ns for path in output.iterdir()} == before


def test_many_tasks_in_the_same_moment_agree(tmp_path: Path) -> None:
    bids, output = make_bids(tmp_path / "bids"), tmp_path / "out"
    with ThreadPoolExecutor(8) as pool:
        contents = list(pool.map(lambda _: write(output, bids), range(40)))
    assert all(content == contents[0] for content in contents)
    assert sorted(path.name for path in output.iterdir()) == [
        ".bidsignore",
        "dataset_description.json",
    ]


def test_a_description_that_another_task_writes_meanwhile_is_no_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bids, output = make_bids(tmp_path / "bids"), tmp_path / "out"
    read = Path.read_text

    def come_too_late(path: Path, **options: Any) -> str:
        if path == output / "dataset_description.json" and not path.exists():
            path.parent.mkdir()
            path.write_text("{}", encoding="utf-8")
            raise FileNotFoundError(2, "No such file or directory", str(path))
        return read(path, **options)

    monkeypatch.setattr(Path, "read_text", come_too_late)
    assert check_output(output, bids) == {}


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ({"DatasetType": "raw"}, "is a raw BIDS dataset"),
        ({}, "is a raw BIDS dataset"),
        (
            {"DatasetType": "derivative", "GeneratedBy": [{"Name": "fMRIPrep"}]},
            "holds results of fMRIPrep",
        ),
    ],
)
def test_a_folder_of_others_is_refused(
    tmp_path: Path, description: dict[str, Any], reason: str
) -> None:
    other = make_bids(tmp_path / "other", **description)
    before = (other / "dataset_description.json").read_bytes()
    with pytest.raises(UsageError, match=reason):
        write(other, make_bids(tmp_path / "bids"))
    assert (other / "dataset_description.json").read_bytes() == before


def test_a_users_own_lines_of_bidsignore_stay(tmp_path: Path) -> None:
    bids, output = make_bids(tmp_path / "bids"), tmp_path / "out"
    output.mkdir()
    (output / ".bidsignore").write_text("mine/\n/logs\n")
    write(output, bids)
    lines = (output / ".bidsignore").read_text().splitlines()
    assert lines[:2] == ["mine/", "/logs"]
    assert lines.count("/logs") == 1
    assert "/*.html" in lines


def test_the_container_is_named_without_the_folder_it_lies_in() -> None:
    assert find_container({}) == {}
    assert find_container({"APPTAINER_NAME": "/home/somebody/bids-film.sif"}) == {
        "Type": "apptainer",
        "Tag": "bids-film.sif",
    }
    assert find_container({"BIDS_FILM_CONTAINER_TAG": "bids-film:0.1.0"}) == {
        "Type": "docker",
        "Tag": "bids-film:0.1.0",
    }


def _write_all_outputs(output: Path, bids: Path, name: str, entities: dict[str, str]) -> None:
    scan = Scan(
        path=bids / "sub-01" / "anat" / name,
        dataset_root=bids,
        entities={"sub": "01", **entities},
        suffix=name.partition(".")[0].rpartition("_")[2],
        datatype="anat",
    )
    affine = np.eye(4)
    grid = Grid(
        shape=(4, 4, 4),
        stored_shape=(4, 4, 4),
        affine=affine,
        qform=affine,
        sform=affine,
        qform_code=1,
        sform_code=1,
    )
    names = output_names(scan, "brain", output)
    segmentation = Segmentation(
        scan=scan.relative_path,
        labels_file=names.labels.relative_to(output).as_posix(),
        model=ModelIdentity(name="brain", version="1", sha256="ab" * 32),
        values=(RecordedValue(field="age", value=None, status="missing"),),
        volumes=(StructureVolume(structure=GRAY, voxels=64, volume_ml=0.064),),
        notes=("qform and sform differ",),
        software={"torch": "2.13.0"},
    )
    write_labels(names.labels, np.ones((4, 4, 4), np.int32), grid)
    write_label_table(names.table, segmentation.volumes)
    write_probabilities(names.probabilities(GRAY), np.ones((4, 4, 4), np.float32), grid)
    write_probabilities_sidecar(names.probabilities_sidecar(GRAY), segmentation, GRAY)
    write_sidecar(names.sidecar, segmentation)


def _find_validator() -> str | None:
    beside = Path(sys.executable).with_name("bids-validator-deno")
    return str(beside) if beside.exists() else shutil.which("bids-validator-deno")


@pytest.mark.skipif(_find_validator() is None, reason="bids-validator-deno is not installed")
def test_the_official_validator_finds_no_error_in_the_outputs(tmp_path: Path) -> None:
    bids, output = make_bids(tmp_path / "bids"), tmp_path / "out"
    write(output, bids, BIDS_FILM_CONTAINER_TAG="bids-film:0.1.0")
    _write_all_outputs(output, bids, "sub-01_T1w.nii.gz", {})
    _write_all_outputs(output, bids, "sub-01_T2w.nii.gz", {})
    _write_all_outputs(
        output, bids, "sub-01_run-1_echo-2_T2starw.nii.gz", {"run": "1", "echo": "2"}
    )
    _write_all_outputs(output, bids, "sub-01_inv-1_MP2RAGE.nii.gz", {"inv": "1"})
    for name in ("sub-01.html", "group_seg-brain.tsv", "logs/a.txt", "sub-01/figures/a.svg"):
        (output / name).parent.mkdir(parents=True, exist_ok=True)
        (output / name).write_text("text")
    (output / "sub-01" / "anat" / ".bids-film-0123456789abcdef.tmp").write_text("")
    run = subprocess.run(
        [str(_find_validator()), str(output), "--format", "json"],
        capture_output=True,
        text=True,
        check=False,
    )
    issues = json.loads(run.stdout)["issues"]["issues"]
    assert [issue for issue in issues if issue["severity"] == "error"] == []
    assert run.returncode == 0


def test_a_source_that_was_moved_is_where_it_is_now(tmp_path: Path) -> None:
    bids = make_bids(tmp_path / "bids")
    write(tmp_path / "out", bids)
    (tmp_path / "moved").mkdir()
    moved = bids.rename(tmp_path / "moved" / "bids")
    content = write(tmp_path / "out", moved)
    assert content["SourceDatasets"] == [{"URL": "../moved/bids"}]


@pytest.mark.parametrize("text", ['{"Name": "fMRIPrep",}', "[]", ""])
def test_a_description_that_cannot_be_read_is_not_replaced(tmp_path: Path, text: str) -> None:
    bids, output = make_bids(tmp_path / "bids"), tmp_path / "out"
    output.mkdir()
    (output / "dataset_description.json").write_text(text)
    with pytest.raises(UsageError, match="is not a JSON object"):
        write(output, bids)
    assert (output / "dataset_description.json").read_text() == text
