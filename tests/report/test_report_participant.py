from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from report_scenes import make_cord, make_grid, make_segmentation, make_volume

from bids_film.domain.segmentation import (
    FailedScan,
    ModelIdentity,
    RecordedValue,
    Segmentation,
    StructureVolume,
)
from bids_film.domain.volume import Volume
from bids_film.report.checks import Check, Verdict
from bids_film.report.page import (
    Failure,
    ParticipantPage,
    ScanFiles,
    ScanPage,
    build_scan_page,
)
from bids_film.report.participant import (
    format_value,
    format_volume,
    name_anchor,
    render_participant,
    title_scan,
)

_VOID = {"meta", "input", "br", "img", "link"}
HOSTILE = "\"><script>alert('x')</script>"


class Outline(HTMLParser):
    """Elements of a page, with a check that each is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def make_scan_page(*values: RecordedValue, notes: tuple[str, ...] = ()) -> ScanPage:
    labels, grid = make_cord(), make_grid((40, 30, 20))
    segmentation = make_segmentation(labels, grid, *values, notes=notes)
    return build_scan_page(
        segmentation,
        ScanFiles(volume=make_volume(labels, grid), output=Volume(data=labels, grid=grid)),
    )


def render(*scans: ScanPage, failures: tuple[Failure, ...] = ()) -> str:
    return render_participant(
        ParticipantPage(
            participant="01", dataset="Cords", version="0.1.0", scans=scans, failures=failures
        )
    )


def test_the_page_is_well_formed_and_needs_nothing_else() -> None:
    page = Outline(render(make_scan_page()))
    assert not {"link", "iframe", "object", "img"} & {tag for tag, _ in page.elements}
    assert [a for a in page.all("script") if "src" in a] == []
    for tag, attributes in page.elements:
        for name, value in attributes.items():
            if name in {"src", "href"} and tag != "a":
                assert value is not None
                assert value.startswith(("data:", "#"))
    assert "url(" not in render(make_scan_page())
    assert "@import" not in render(make_scan_page())


def test_the_browser_is_told_to_run_the_pages_own_script_and_to_fetch_nothing() -> None:
    text = render(make_scan_page())
    policy = next(
        meta["content"]
        for meta in Outline(text).all("meta")
        if meta.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None
    script = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
    assert len(script) == 1
    digest = base64.b64encode(hashlib.sha256(script[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}' blob:" in policy
    assert "default-src 'none'" in policy
    assert "http" not in policy


def test_volumes_stand_beside_those_of_the_training_data_where_the_model_gives_them() -> None:
    scan = make_scan_page()
    assert "Trained on" not in Outline(render(scan)).text
    cord, gray = scan.segmentation.volumes
    ranges = [(0.5 * cord.volume_ml, 2 * cord.volume_ml), (0.0, gray.volume_ml / 2)]
    told = tuple(
        replace(item, trained_ml=limits) for item, limits in zip((cord, gray), ranges, strict=True)
    )
    page = Outline(render(replace(scan, segmentation=replace(scan.segmentation, volumes=told))))
    assert "Trained on" in page.text
    low, high = (format_volume(value) for value in ranges[0])
    assert f"{format_volume(cord.volume_ml)} {low}–{high}" in page.text
    assert page.text.count("outside") == 1


def test_the_same_outputs_give_the_same_page() -> None:
    assert render(make_scan_page()) == render(make_scan_page())


def test_every_picture_is_described_in_words() -> None:
    drawn = Outline(render(make_scan_page())).all("svg")
    # The lamps of the traffic light say nothing that the words beside them do not.
    pictures = [picture for picture in drawn if picture.get("aria-hidden") != "true"]
    assert pictures
    for picture in pictures:
        assert picture["role"] == "img"
        label = picture["aria-label"]
        assert label is not None
        assert re.search(r"slice \d+, .*outlines of", label)


def test_outlines_can_be_told_apart_by_structure() -> None:
    paths = Outline(render(make_scan_page())).all("path")
    assert {path["data-structure"] for path in paths} == {"SC", "GM"}
    assert {path["style"] for path in paths} == {"--color:#4fb3ff", "--color:#ff6b57"}


def test_each_outline_is_drawn_once_more_below_itself_as_its_halo() -> None:
    page = Outline(render(make_scan_page(), make_scan_page()))
    drawn = [f"#{group['id']}" for group in page.all("g") if "id" in group]
    halos = [use["href"] for use in page.all("use")]
    assert halos == drawn
    assert len(set(drawn)) == len(drawn) > 0


def test_metadata_are_shown_with_value_status_origin_and_training() -> None:
    text = Outline(
        render(
            make_scan_page(
                RecordedValue(
                    field="EchoTime",
                    status="implausible",
                    raw="30",
                    file="T1w.json",
                    key="EchoTime",
                    note="30 ms would be 0.03",
                    trained_on="0.002 to 0.1 s",
                ),
                RecordedValue(
                    field="MagneticFieldStrength",
                    value=3.0,
                    unit="T",
                    status="used",
                    file="participants.tsv",
                    key="Field Strength [T]",
                ),
                RecordedValue(field="sex", status="missing"),
            )
        )
    ).text
    for words in (
        "implausible, not used",
        "30 ms would be 0.03",
        "T1w.json",
        "0.002 to 0.1 s",
        "3 T",
        "as “Field Strength [T]”",
        "not given",
        "nowhere",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("value", "stands_out"),
    [
        (RecordedValue(field="EchoTime", value=0.03, status="used"), False),
        (RecordedValue(field="EchoTime", value=9.0, status="used", outside_range=True), True),
        (RecordedValue(field="EchoTime", value=0.03, status="converted"), True),
        (RecordedValue(field="EchoTime", status="missing"), True),
        (RecordedValue(field="EchoTime", status="implausible", raw="30"), True),
    ],
)
def test_metadata_that_are_not_used_as_they_are_stand_out(
    value: RecordedValue, *, stands_out: bool
) -> None:
    rows = [row["class"] for row in Outline(render(make_scan_page(value))).all("tr") if row]
    assert rows == (["attention"] if stands_out else ["used"])


def test_the_expected_dice_is_called_a_guess_and_what_is_below_the_usual_is_marked() -> None:
    scan = make_scan_page()
    assert "own guess" not in render(scan)
    sure, unsure = (
        replace(item, expected_dice=0.9, reached_dice=reached)
        for item, reached in zip(scan.segmentation.volumes, (0.8, 0.95), strict=True)
    )
    changed = replace(scan.segmentation, volumes=(sure, unsure))
    text = Outline(render(replace(scan, segmentation=changed))).text
    assert "own guess. It is higher than the real one" in text
    assert text.count("usual") == 1
    assert "0.900 ▲ usual 0.950" in text


def test_a_failed_scan_is_told_with_its_reason_and_remedy() -> None:
    failure = FailedScan(
        scan="sub-01/anat/sub-01_T2w.nii.gz",
        message="ends early",
        hint="copy it again",
        crash_file="logs/crash.txt",
    )
    text = Outline(render(failures=(Failure(scan=failure, crash_text="Traceback"),))).text
    for words in (
        "1 scan could not be segmented",
        "ends early",
        "copy it again",
        "crash.txt",
        "Traceback",
    ):
        assert words in text


def test_notes_on_the_image_are_shown() -> None:
    assert "12 voxels were NaN" in render(make_scan_page(notes=("12 voxels were NaN",)))


def test_a_note_that_a_check_says_already_is_not_said_again() -> None:
    scan = make_scan_page(notes=("not found: gray matter", "12 voxels were NaN"))
    missing = Check(
        name="Every structure found", verdict=Verdict.LOOK, detail="Not found: gray matter."
    )
    assert scan.notes == ("not found: gray matter", "12 voxels were NaN")
    scan = replace(scan, checks=(missing,))
    assert scan.notes == ("12 voxels were NaN",)
    text = Outline(render(scan)).text
    assert "not found: gray matter" not in text
    assert "12 voxels were NaN" in text


def test_hostile_text_stays_text() -> None:
    scan = make_scan_page(
        RecordedValue(
            field=HOSTILE,
            value=HOSTILE,
            unit=HOSTILE,
            status=HOSTILE,
            origin=HOSTILE,
            file=HOSTILE,
            key=HOSTILE,
            note=HOSTILE,
            trained_on=HOSTILE,
        ),
        notes=(HOSTILE,),
    )
    segmentation = replace(
        scan.segmentation,
        scan=f"sub-01/anat/{HOSTILE}.nii.gz",
        labels_file=f"sub-01/anat/{HOSTILE}_dseg.nii.gz",
        model=ModelIdentity(name=HOSTILE, version=HOSTILE, sha256=HOSTILE, description=HOSTILE),
        software={HOSTILE: HOSTILE},
        settings={HOSTILE: HOSTILE},
    )
    failure = FailedScan(scan=HOSTILE, message=HOSTILE, hint=HOSTILE, crash_file=HOSTILE)
    text = render_participant(
        ParticipantPage(
            participant=HOSTILE,
            dataset=HOSTILE,
            version=HOSTILE,
            scans=(replace(scan, segmentation=segmentation), scan),
            failures=(Failure(scan=failure, crash_text=HOSTILE),),
        )
    )
    plain = render(scan, scan, failures=())
    assert len(Outline(text).all("script")) == len(Outline(plain).all("script"))
    assert "<script>alert" not in text


def test_a_models_colour_cannot_bring_in_styles() -> None:
    scan = make_scan_page()
    (first, *rest) = scan.segmentation.volumes
    bad = replace(first.structure, color="red;background:url(//example.org)")
    volumes = (StructureVolume(structure=bad, voxels=1, volume_ml=1.0), *rest)
    page = render(replace(scan, segmentation=replace(scan.segmentation, volumes=volumes)))
    assert "example.org" not in page


def test_an_image_that_is_gone_leaves_a_page_without_picture() -> None:
    labels, grid = make_cord(), make_grid((40, 30, 20))
    scan = build_scan_page(
        make_segmentation(labels, grid),
        ScanFiles(volume=None, output=Volume(data=labels, grid=grid)),
    )
    page = Outline(render(scan))
    assert page.all("image") == []
    assert "could not be read any more" in page.text


def test_a_label_map_of_another_shape_fails_the_check_and_is_not_drawn() -> None:
    labels, grid = make_cord(), make_grid((40, 30, 20))
    image = make_volume(make_cord((40, 30, 22)), make_grid((40, 30, 22)))
    scan = build_scan_page(
        make_segmentation(labels, grid),
        ScanFiles(volume=image, output=Volume(data=labels, grid=grid)),
    )
    text = Outline(render(scan)).text
    assert scan.figure is None
    assert "Do not use as it is" in text
    assert "shape (40, 30, 20) in place of (40, 30, 22)" in text


def test_several_scans_are_listed_with_links_that_lead_somewhere() -> None:
    first = make_scan_page()
    second = replace(
        first,
        segmentation=replace(
            first.segmentation,
            scan="sub-01/anat/sub-01_run-2_T2starw.nii.gz",
            labels_file="sub-01/anat/sub-01_run-2_space-T2starw_seg-cord_dseg.nii.gz",
        ),
    )
    page = Outline(render(first, second))
    targets = {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    links = [str(link["href"]) for link in page.all("a") if str(link["href"]).startswith("#")]
    assert len(links) == 2
    assert all(link[1:] in targets for link in links)
    assert "run-2" in page.text


@pytest.mark.parametrize(
    ("conditioning", "cited"), [("film", True), ("unconditioned", False), ("constant", False)]
)
def test_the_methods_claim_metadata_only_where_they_were_used(
    conditioning: str, *, cited: bool
) -> None:
    scan = make_scan_page(RecordedValue(field="sex", value="F", status="used"))
    model = replace(scan.segmentation.model, conditioning=conditioning)
    text = Outline(render(replace(scan, segmentation=replace(scan.segmentation, model=model)))).text
    assert ("Perez et al., 2018" in text) is cited
    assert ("Lemay A, Gros C" in text) is cited
    assert "Ronneberger O, Fischer P" in text
    assert "abababababab" in text


def test_a_whole_brain_makes_a_page_under_four_megabytes() -> None:
    rng = np.random.default_rng(0)
    shape = (160, 192, 160)
    coarse = rng.integers(0, 3, size=(40, 48, 40)).astype(np.int32)
    labels = coarse.repeat(4, axis=0).repeat(4, axis=1).repeat(4, axis=2)
    grid = make_grid(shape)
    image = Volume(data=rng.normal(100, 30, size=shape).astype(np.float32), grid=grid)
    scan = build_scan_page(
        make_segmentation(labels, grid),
        ScanFiles(volume=image, output=Volume(data=labels, grid=grid)),
    )
    assert len(render(scan).encode()) < 4_000_000


def test_scans_are_titled_by_what_tells_them_apart() -> None:
    assert title_scan("sub-01/ses-a/anat/sub-01_ses-a_run-1_T1w.nii.gz") == "T1w · ses-a · run-1"
    assert title_scan("odd name.nii.gz") == "odd name.nii.gz"
    assert name_anchor("sub-01/anat/sub-01 'T1w'.nii.gz") == "sub-01--T1w-"


@pytest.mark.parametrize(
    ("volume_ml", "words"),
    [(0, "0"), (0.00412, "0.0041"), (0.68, "0.68"), (4.85, "4.8"), (697.2, "697"), (1234, "1,234")],
)
def test_volumes_are_written_with_the_digits_that_matter(volume_ml: float, words: str) -> None:
    assert format_volume(volume_ml) == words


def test_a_value_that_was_not_used_is_shown_as_it_was_found() -> None:
    assert format_value(RecordedValue(field="a", status="invalid", raw="3 Tesla")) == "3 Tesla"
    assert format_value(RecordedValue(field="a", status="missing")) == "—"
    assert format_value(RecordedValue(field="a", status="used", value="GE")) == "GE"


def test_a_page_of_nothing_is_a_page() -> None:
    assert "Participant 01" in render()


def test_one_methods_paragraph_stands_for_each_model() -> None:
    scan = make_scan_page()

    def with_model(name: str) -> Segmentation:
        model = replace(scan.segmentation.model, name=name)
        return replace(scan.segmentation, model=model)

    scans = [replace(scan, segmentation=with_model(name)) for name in ("cord", "brain", "cord")]
    assert render(*scans).count("Scans organised as a BIDS dataset") == 2


def test_the_methods_say_what_was_done_to_the_labels_and_in_how_many_passes() -> None:
    scan = make_scan_page()
    plain = render(scan)
    assert "most probable structure. The program" in plain
    model = replace(scan.segmentation.model, postprocessing="holes were filled")
    settings = {**scan.segmentation.settings, "ensemble": "mean of 8 passes (augment)"}
    told = replace(scan.segmentation, model=model, settings=settings)
    page = render(replace(scan, segmentation=told))
    assert "most probable structure; holes were filled. Probabilities are the mean of 8" in page
