from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.derivatives.names import check_names_differ, output_names, participant_page
from bids_film.domain.entities import parse_name
from bids_film.domain.errors import InputError
from bids_film.domain.labels import Structure
from bids_film.domain.scan import Scan

ROOT, OUTPUT = Path("/bids"), Path("/out")
GRAY = Structure(index=1, name="gray matter", abbreviation="GM", color="#808080")
_LABEL = st.text(alphabet="abcXYZ019", min_size=1, max_size=4)
_INDEX = st.integers(min_value=1, max_value=12).map(str)
_ENTITIES = st.fixed_dictionaries(
    {"sub": _LABEL},
    optional={
        "ses": _LABEL,
        "acq": _LABEL,
        "ce": _LABEL,
        "rec": _LABEL,
        "run": _INDEX,
        "echo": _INDEX,
        "flip": _INDEX,
        "inv": _INDEX,
        "mt": st.sampled_from(["on", "off"]),
        "part": st.sampled_from(["mag", "phase"]),
        "chunk": _INDEX,
    },
)
_SUFFIX = st.sampled_from(["T1w", "T2w", "FLAIR", "T2starw", "PDw", "MP2RAGE", "MTS", "UNIT1"])


def make_scan(name: str, datatype: str = "anat") -> Scan:
    parts = parse_name(name)
    assert parts is not None
    return Scan(
        path=ROOT / f"sub-{parts.entities['sub']}" / datatype / name,
        dataset_root=ROOT,
        entities=parts.entities,
        suffix=parts.suffix,
        datatype=datatype,
    )


def label_map_of(name: str, datatype: str = "anat") -> str:
    names = output_names(make_scan(name, datatype), "brain", OUTPUT)
    return names.labels.relative_to(OUTPUT).as_posix()


@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        ("sub-01_T1w.nii.gz", "sub-01/anat/sub-01_space-T1w_seg-brain_dseg.nii.gz"),
        ("sub-01_T2w.nii", "sub-01/anat/sub-01_space-T2w_seg-brain_dseg.nii.gz"),
        (
            "sub-1_ses-a_acq-hi_ce-gad_rec-n_run-02_echo-1_part-mag_PDw.nii.gz",
            (
                "sub-1/ses-a/anat/sub-1_ses-a_acq-hi_ce-gad_rec-n_run-02_echo-1_part-mag"
                "_space-PDw_seg-brain_dseg.nii.gz"
            ),
        ),
        (
            "sub-01_inv-1_part-mag_MP2RAGE.nii.gz",
            "sub-01/anat/sub-01_part-mag_space-inv1MP2RAGE_seg-brain_dseg.nii.gz",
        ),
        (
            "sub-01_space-MNI152NLin6Asym_desc-preproc_T1w.nii.gz",
            "sub-01/anat/sub-01_space-MNI152NLin6Asym_seg-brain_desc-preprocT1w_dseg.nii.gz",
        ),
        (
            "sub-01_desc-preproc_T1w.nii.gz",
            "sub-01/anat/sub-01_space-T1w_seg-brain_desc-preproc_dseg.nii.gz",
        ),
    ],
)
def test_a_label_map_is_named_after_its_scan(scan: str, expected: str) -> None:
    assert label_map_of(scan) == expected


def test_folders_that_take_no_segmentations_are_replaced_by_anat() -> None:
    assert label_map_of("sub-01_trc-fdg_pet.nii.gz", "pet") == (
        "sub-01/anat/sub-01_space-trcfdgpet_seg-brain_dseg.nii.gz"
    )
    assert label_map_of("sub-01_dir-AP_sbref.nii.gz", "dwi") == (
        "sub-01/dwi/sub-01_dir-AP_space-sbref_seg-brain_dseg.nii.gz"
    )


def test_table_sidecar_and_probabilities_lie_beside_the_label_map() -> None:
    names = output_names(make_scan("sub-01_T1w.nii.gz"), "brain", OUTPUT)
    stem = "sub-01_space-T1w_seg-brain"
    assert names.sidecar.name == f"{stem}_dseg.json"
    assert names.table.name == f"{stem}_dseg.tsv"
    assert names.probabilities(GRAY).name == f"{stem}_label-GM_probseg.nii.gz"
    assert names.probabilities_sidecar(GRAY).name == f"{stem}_label-GM_probseg.json"
    assert participant_page(OUTPUT, "01") == OUTPUT / "sub-01.html"


def test_the_probability_maps_of_a_scan_are_not_those_of_one_that_differs_by_desc(
    tmp_path: Path,
) -> None:
    plain, changed = (
        output_names(make_scan(f"sub-01{desc}_T1w.nii.gz"), "brain", tmp_path)
        for desc in ("", "_desc-preproc")
    )
    plain.folder.mkdir(parents=True)
    for names in (plain, changed):
        names.probabilities(GRAY).touch()
    assert plain.find_probabilities() == [plain.probabilities(GRAY)]
    assert changed.find_probabilities() == [changed.probabilities(GRAY)]


@given(
    scans=st.lists(st.tuples(_ENTITIES, _SUFFIX), min_size=2, max_size=6),
    model=st.sampled_from(["brain", "tumor"]),
)
def test_different_scans_never_share_a_name(
    scans: list[tuple[dict[str, str], str]], model: str
) -> None:
    for (entities, suffix), (other_entities, other_suffix) in combinations(scans, 2):
        first = Scan(
            path=ROOT / "a", dataset_root=ROOT, entities=entities, suffix=suffix, datatype="anat"
        )
        second = Scan(
            path=ROOT / "b",
            dataset_root=ROOT,
            entities=other_entities,
            suffix=other_suffix,
            datatype="anat",
        )
        same_scan = entities == other_entities and suffix == other_suffix
        same_name = (
            output_names(first, model, OUTPUT).labels == output_names(second, model, OUTPUT).labels
        )
        assert same_name == same_scan


@given(entities=_ENTITIES, suffix=_SUFFIX)
def test_every_name_is_a_bids_name_that_keeps_participant_and_session(
    entities: dict[str, str], suffix: str
) -> None:
    scan = Scan(path=ROOT / "a", dataset_root=ROOT, entities=entities, suffix=suffix)
    name = parse_name(output_names(scan, "brain", OUTPUT).labels.name)
    assert name is not None
    assert name.suffix == "dseg"
    assert name.entities["seg"] == "brain"
    assert name.entities["sub"] == entities["sub"]
    assert name.entities.get("ses") == entities.get("ses")


def test_the_same_scan_with_and_without_compression_is_refused() -> None:
    scans = [make_scan("sub-01_T1w.nii"), make_scan("sub-01_T1w.nii.gz")]
    with pytest.raises(InputError, match=r"T1w\.nii and sub-01/anat/sub-01_T1w\.nii\.gz"):
        check_names_differ(scans, "brain", OUTPUT)
    check_names_differ(scans[:1], "brain", OUTPUT)


def test_scans_that_differ_by_no_entity_of_bids_are_to_be_renamed() -> None:
    scans = [make_scan("sub-02_T1w.nii.gz"), make_scan("sub-02_foo-x_T1w.nii.gz")]
    with pytest.raises(InputError) as caught:
        check_names_differ(scans, "brain", OUTPUT)
    assert "foo-: rename" in caught.value.hint
    check_names_differ([scans[0], make_scan("sub-02_acq-x_T1w.nii.gz")], "brain", OUTPUT)
