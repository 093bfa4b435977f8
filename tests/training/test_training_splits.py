from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bids_film.domain.errors import UsageError
from bids_film.domain.scan import MetadataSource, Scan, SourceKind
from bids_film.training.settings import SplitSettings
from bids_film.training.splits import find_value, group_scans, split_scans

SITES = ("UCL", "Milan", "Zurich", "n/a")


def make_scan(participant: str, *, run: int = 1, root: str = "/data", **columns: str) -> Scan:
    return Scan(
        path=Path(root) / f"sub-{participant}" / "anat" / f"sub-{participant}_run-{run}_T2w.nii.gz",
        dataset_root=Path(root),
        entities={"sub": participant, "run": str(run)},
        suffix="T2w",
        datatype="anat",
        sources=(
            MetadataSource(
                kind=SourceKind.PARTICIPANTS_TSV, file="participants.tsv", values=columns
            ),
        ),
    )


def make_scans(count: int, runs: int = 1) -> list[Scan]:
    return [
        make_scan(f"{person:02d}", run=run, Site=SITES[person % len(SITES)])
        for person in range(count)
        for run in range(1, runs + 1)
    ]


def people(scans: tuple[Scan, ...]) -> set[str]:
    return {scan.participant for scan in scans}


@given(
    count=st.integers(2, 12),
    runs=st.integers(1, 2),
    validation=st.floats(0, 0.5),
    seed=st.integers(0, 2**32),
)
def test_no_person_is_on_two_sides_and_no_scan_is_lost(
    count: int, runs: int, validation: float, seed: int
) -> None:
    scans = make_scans(count, runs)
    split = split_scans(scans, SplitSettings(validation=validation), seed=seed)
    assert not people(split.training) & people(split.validation)
    assert len(split.training) + len(split.validation) == len(scans)
    assert bool(split.validation) == (validation > 0)


def test_the_same_seed_gives_the_same_split_and_another_seed_another() -> None:
    scans = make_scans(20)
    settings = SplitSettings()
    assert split_scans(scans, settings, seed=1) == split_scans(scans, settings, seed=1)
    assert split_scans(scans, settings, seed=1) != split_scans(scans, settings, seed=2)


def test_the_split_does_not_depend_on_the_order_of_the_scans() -> None:
    scans = make_scans(20)
    forward = split_scans(scans, SplitSettings(), seed=1)
    backward = split_scans(scans[::-1], SplitSettings(), seed=1)
    assert people(forward.validation) == people(backward.validation)


def test_a_pattern_keeps_the_sessions_of_a_person_together() -> None:
    scans = [make_scan(name) for name in ("9709Ses1", "9709Ses2", "9418", "9584")]
    groups = group_scans(scans, SplitSettings(group_pattern=r"(.+)Ses\d"))
    assert [len(members) for members in groups.values()] == [2, 1, 1]
    for seed in range(10):
        split = split_scans(scans, SplitSettings(group_pattern=r"(.+)Ses\d"), seed=seed)
        ours = [s for s in split.training if s.participant.startswith("9709")]
        assert len(ours) in (0, 2)


def test_who_is_not_named_by_a_pattern_is_a_person_of_their_own() -> None:
    scans = [make_scan(name) for name in ("1Ses1", "1Ses2", "2", "3", "x")]
    groups = group_scans(scans, SplitSettings(group_pattern=r"(.+)Ses\d|\d"))
    assert [len(members) for members in groups.values()] == [2, 1, 1, 1]


def test_a_column_keeps_its_groups_together_and_an_absent_value_is_a_group_of_its_own() -> None:
    scans = make_scans(12)
    groups = group_scans(scans, SplitSettings(group_by="Site"))
    assert sorted(len(members) for members in groups.values()) == [1, 1, 1, 3, 3, 3]


def test_a_person_with_several_values_keeps_all_who_share_one_of_them_together() -> None:
    scans = [
        make_scan("01", run=1, Site="UCL"), make_scan("01", run=2, Site="Milan"),
        make_scan("02", Site="Milan"), make_scan("03", Site="Zurich"),
        make_scan("04", root="/other", Site="Zurich"),
    ]  # fmt: skip
    groups = group_scans(scans, SplitSettings(group_by="Site"))
    found = sorted(sorted(people(tuple(members))) for members in groups.values())
    assert found == [["01", "02"], ["03", "04"]]


def test_participants_of_two_datasets_with_the_same_label_are_two_people() -> None:
    scans = [make_scan("01", root="/a"), make_scan("01", root="/b")]
    assert len(group_scans(scans, SplitSettings())) == 2


def test_leaving_a_site_out_tests_on_all_of_it_and_only_on_it() -> None:
    split = split_scans(make_scans(16), SplitSettings(test={"Site": ("UCL",)}), seed=0)
    assert {find_value(scan, "Site") for scan in split.test} == {"UCL"}
    assert "UCL" not in {find_value(s, "Site") for s in (*split.training, *split.validation)}


@pytest.mark.parametrize("nothing", [None, "", "n/a", "NaN", "N/A", "unknown"])
def test_where_the_nearest_source_knows_nothing_the_next_one_is_asked(nothing: object) -> None:
    scan = make_scan("1", Site="Milan")
    session = MetadataSource(
        kind=SourceKind.SESSIONS_TSV, file="sessions.tsv", values={"Site": nothing, "Arm": nothing}
    )
    scan = replace(scan, sources=(session, *scan.sources))
    assert find_value(scan, "Site") == "Milan"
    assert find_value(scan, "Arm") is None


def test_a_value_that_nobody_has_is_refused_as_a_value() -> None:
    settings = SplitSettings(test={"Site": ("Pisa",)})
    with pytest.raises(UsageError, match="unknown value 'Pisa'") as caught:
        split_scans(make_scans(8), settings, seed=0)
    assert caught.value.hint == "known values: Milan, UCL, Zurich"


def test_the_scans_of_a_tested_person_are_tested_together() -> None:
    scans = [make_scan("1Ses1", Site="UCL"), make_scan("1Ses2", Site="Milan"), make_scan("2")]
    settings = SplitSettings(test={"Site": ("UCL",)}, group_pattern=r"(.+)Ses\d", validation=0)
    split = split_scans(scans, settings, seed=0)
    assert people(split.test) == {"1Ses1", "1Ses2"}


@given(count=st.integers(3, 20), folds=st.integers(2, 3), seed=st.integers(0, 100))
def test_folds_validate_everyone_once(count: int, folds: int, seed: int) -> None:
    scans = make_scans(count)
    splits = [
        split_scans(scans, SplitSettings(folds=folds, fold=fold), seed=seed)
        for fold in range(1, folds + 1)
    ]
    validated = [scan.path for split in splits for scan in split.validation]
    assert sorted(validated) == sorted(scan.path for scan in scans)
    sizes = [len(split.validation) for split in splits]
    assert all(abs(one - other) <= 1 for one, other in pairwise(sizes))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (SplitSettings(test={"site": ("UCL",)}), "did you mean 'Site'"),
        (SplitSettings(test={"Site": ("UCl",)}), "did you mean 'UCL'"),
        (SplitSettings(group_by="Center"), "known keys: Site"),
        (SplitSettings(group_pattern="(.+"), "group_pattern"),
        (SplitSettings(group_pattern=".+"), "no group in parentheses"),
        (SplitSettings(group_pattern=r"sub-(.+)"), "matches no participant"),
        (SplitSettings(folds=40), "only 12 people"),
        (SplitSettings(validation=1.0), "nobody is left to train on"),
    ],
)
def test_what_cannot_be_split_is_refused_by_name(settings: SplitSettings, named: str) -> None:
    with pytest.raises(UsageError) as caught:
        split_scans(make_scans(12), settings, seed=0)
    assert named in str(caught.value)


def test_a_fold_out_of_range_is_refused() -> None:
    with pytest.raises(UsageError, match="folds = 5 and fold = 6"):
        SplitSettings(folds=5, fold=6)
