from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.derivatives.names import output_names
from bids_film.derivatives.sidecars import (
    find_sidecars,
    read_segmentation,
    record_value,
    remove_outputs,
    segmentation_from_dict,
    segmentation_to_dict,
    write_probabilities_sidecar,
    write_sidecar,
)
from bids_film.derivatives.tables import measure_volumes, write_label_table
from bids_film.domain.errors import InputError
from bids_film.domain.labels import LabelTable, Structure
from bids_film.domain.paths import TEMPORARY_PATTERN
from bids_film.domain.scan import Scan, SourceKind
from bids_film.domain.segmentation import (
    ModelIdentity,
    RecordedValue,
    Segmentation,
    StructureVolume,
)
from bids_film.domain.volume import Grid
from bids_film.metadata.parse import Status
from bids_film.metadata.resolve import FieldValue

CORD = Structure(index=1, name="spinal cord", abbreviation="SC", color="#4fb3ff")
GRAY = Structure(
    index=2, name="gray matter", abbreviation="GM", color="#ff6b57", part_of="spinal cord"
)
_TEXT = st.text(max_size=20)
_VALUES = st.builds(
    RecordedValue,
    field=_TEXT,
    value=st.none() | _TEXT | st.floats(allow_nan=False, allow_infinity=False),
    unit=_TEXT,
    status=st.sampled_from([status.value for status in Status]),
    origin=_TEXT,
    file=_TEXT,
    key=_TEXT,
    raw=_TEXT,
    note=_TEXT,
    trained_on=_TEXT,
    outside_range=st.booleans(),
)


def make_segmentation(**changes: object) -> Segmentation:
    known: dict[str, object] = {
        "scan": "sub-01/anat/sub-01_T1w.nii.gz",
        "labels_file": "sub-01/anat/sub-01_space-T1w_seg-cord_dseg.nii.gz",
        "model": ModelIdentity(name="cord", version="1", sha256="ab" * 32),
        "values": (RecordedValue(field="age", value=31.0, status="used"),),
        "volumes": (
            StructureVolume(structure=CORD, voxels=10, volume_ml=0.01, trained_ml=(0.005, 0.02)),
            StructureVolume(structure=GRAY, voxels=4, volume_ml=0.004),
        ),
        "notes": ("12 voxels were NaN: set to 0",),
        "software": {"torch": "2.13.0"},
        "settings": {"device": "cpu"},
    }
    return Segmentation(**(known | changes))  # type: ignore[arg-type]


def make_grid(shape: tuple[int, int, int], spacing_mm: float = 2.0) -> Grid:
    affine = np.diag([spacing_mm, spacing_mm, spacing_mm, 1.0])
    return Grid(
        shape=shape,
        stored_shape=shape,
        affine=affine,
        qform=affine,
        sform=affine,
        qform_code=1,
        sform_code=1,
    )


@given(values=st.lists(_VALUES, max_size=3), notes=st.lists(_TEXT, max_size=3))
def test_a_sidecar_tells_all_that_was_known(values: list[RecordedValue], notes: list[str]) -> None:
    segmentation = make_segmentation(values=tuple(values), notes=tuple(notes))
    text = json.dumps(segmentation_to_dict(segmentation))
    read = segmentation_from_dict(json.loads(text), labels_file=segmentation.labels_file)
    assert read == segmentation


def test_a_sidecar_names_its_image_as_source_and_reference() -> None:
    content = segmentation_to_dict(make_segmentation())
    assert content["Sources"] == ["bids:raw:sub-01/anat/sub-01_T1w.nii.gz"]
    assert content["SpatialReference"] == content["Sources"][0]
    assert content["Manual"] is False
    assert content["Description"]


def test_a_sidecar_of_something_else_is_refused_by_name(tmp_path: Path) -> None:
    sidecar = tmp_path / "sub-01" / "anat" / "sub-01_dseg.json"
    sidecar.parent.mkdir(parents=True)
    for text in ("{}", "not JSON", "[]", '{"Sources": ["a", "b"]}'):
        sidecar.write_text(text)
        with pytest.raises(InputError, match=r"sub-01_dseg\.json is not a sidecar"):
            read_segmentation(sidecar, tmp_path)


def test_only_sidecars_with_a_label_map_beside_them_count(tmp_path: Path) -> None:
    scan = Scan(
        path=Path("/bids/sub-01/ses-a/anat/sub-01_ses-a_T1w.nii.gz"),
        dataset_root=Path("/bids"),
        entities={"sub": "01", "ses": "a"},
        suffix="T1w",
        datatype="anat",
    )
    names = output_names(scan, "cord", tmp_path)
    write_sidecar(names.sidecar, make_segmentation())
    assert find_sidecars(tmp_path, "01") == []
    names.labels.write_bytes(b"")
    assert find_sidecars(tmp_path, "01") == [names.sidecar]
    assert find_sidecars(tmp_path, "0") == []
    read = read_segmentation(names.sidecar, tmp_path)
    assert tmp_path / read.labels_file == names.labels
    names.probabilities(GRAY).write_bytes(b"")
    write_probabilities_sidecar(names.probabilities_sidecar(GRAY), make_segmentation(), GRAY)
    names.checks.parent.mkdir()
    names.checks.write_text("[]")
    remove_outputs(names)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_outside_the_dataset_is_recorded_without_its_folder() -> None:
    value = FieldValue(
        field="age",
        value=3.0,
        raw="3",
        status=Status.USED,
        source=SourceKind.METADATA_FILE,
        file="/home/somebody/secret/ages.tsv",
        key="age",
    )
    recorded = record_value(value, unit="year", trained_on="2 to 9")
    assert recorded.file == "ages.tsv"
    assert (recorded.origin, recorded.status) == ("metadata file", "used")


def test_a_huge_raw_value_is_cut() -> None:
    value = FieldValue(field="age", raw=["x"] * 10_000, status=Status.INVALID)
    assert len(record_value(value).raw) == 200


def test_a_missing_value_has_no_origin() -> None:
    recorded = record_value(FieldValue(field="age"))
    assert (recorded.status, recorded.origin, recorded.raw) == ("missing", "", "")


def test_volumes_of_a_container_include_its_parts() -> None:
    labels = np.zeros((4, 4, 4), np.int32)
    labels[0] = 1
    labels[1, 0] = 2
    table = LabelTable(structures=(CORD, GRAY))
    cord, gray = measure_volumes(labels, table, make_grid((4, 4, 4)))
    assert (cord.voxels, gray.voxels) == (20, 4)
    assert cord.volume_ml == pytest.approx(0.16)


def test_a_structure_that_was_not_found_has_a_volume_of_zero() -> None:
    table = LabelTable(structures=(CORD, GRAY))
    volumes = measure_volumes(np.zeros((2, 2, 2), np.int32), table, make_grid((2, 2, 2)))
    assert [item.volume_ml for item in volumes] == [0, 0]


def test_the_label_table_has_a_row_per_structure_whatever_their_names(tmp_path: Path) -> None:
    odd = Structure(index=3, name="tab\there\nand line", abbreviation="X", color="#000000")
    volumes = (
        StructureVolume(structure=GRAY, voxels=4, volume_ml=0.00425),
        StructureVolume(structure=odd, voxels=0, volume_ml=0.0),
    )
    write_label_table(tmp_path / "a_dseg.tsv", volumes)
    assert (tmp_path / "a_dseg.tsv").read_text().splitlines() == [
        "index\tname\tabbreviation\tcolor\tpart_of\tvoxels\tvolume_ml",
        "2\tgray matter\tGM\t#ff6b57\tspinal cord\t4\t0.00425",
        "3\ttab here and line\tX\t#000000\tn/a\t0\t0",
    ]


def test_removing_takes_old_structures_and_half_written_figures_but_no_other_scan(
    tmp_path: Path,
) -> None:
    entities = {"sub": "01", "space": "MNI"}
    names, other = (
        output_names(
            Scan(
                path=Path("/bids/sub-01/anat/scan_T1w.nii.gz"),
                dataset_root=Path("/bids"),
                entities={**entities, **more},
                suffix="T1w",
                datatype="anat",
            ),
            "cord",
            tmp_path,
        )
        for more in ({}, {"desc": "x"})
    )
    names.figures.mkdir(parents=True)
    kept = [other.figure("entropy"), other.probabilities(GRAY), other.sidecar]
    removed = [
        names.probabilities(replace(GRAY, abbreviation="OLD")),
        names.probabilities_sidecar(GRAY),
        names.figure("entropy"),
        names.figure("other-1"),
        names.figures / TEMPORARY_PATTERN.replace("*", "aaaa"),
    ]
    for path in [*kept, *removed]:
        path.write_bytes(b"")
    remove_outputs(names)
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(kept)
