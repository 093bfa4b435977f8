"""Train, segment, tabulate and evaluate a small generated dataset, as a lab would its own."""

from __future__ import annotations

import csv
import gzip
import hashlib
import html
import json
import re
import shlex
import shutil
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.bids_factory import (
    make_affine,
    scan_path,
    write_dataset,
    write_image,
    write_json,
    write_tsv,
)
from support.chromium import start_chromium, visit
from support.phantom_recipe import DATA
from support.program import Run, find_bids_errors, run_program

RECIPE = f"""
[model]
name = "phantom"
description = "An ellipsoid in an ellipsoid"

{DATA}
[metadata]
fields = ["MagneticFieldStrength", "Manufacturer", "age"]

[preprocessing]
spacing_mm = [1.0, 1.0, 0.0]
patch = [32, 32]

[network]
dimensions = 2
channels = [8, 16, 16]

[augmentation]
preset = "light"

[training]
batch_size = 8
steps = 120
warm_up = 10
learning_rate = 0.005
validate_every = 40
freeze_norm_from = 0.5
"""

PARTICIPANTS = ("01", "02", "0050", "4", "five", "06")


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a dataset, a trained model and its outputs."""
    folder = tmp_path_factory.mktemp("lab")
    write_dataset(folder / "bids", participants=PARTICIPANTS, shape=(32, 30, 8), labels=True)
    # One participant was scanned obliquely, and has no labels: it is only segmented.
    oblique = make_affine((1.2, 0.9, 2.0), axes="LPS", oblique_deg=17)
    write_image(scan_path(folder / "bids", "07"), _read(folder / "bids", "01"), affine=oblique)
    (folder / "train.toml").write_text(RECIPE, encoding="utf-8")
    trained = run_program(
        folder / "bids", folder / "model", "train", "--config-file", folder / "train.toml"
    )
    assert trained.code == 0, trained.err
    run = segment(folder)
    assert run.code == 0, run.err
    return folder


def segment(lab: Path, *options: object) -> Run:
    model = lab / "model" / "phantom.safetensors"
    return run_program(
        lab / "bids", lab / "out", "participant", "--model", model, "-w", lab / "work",
        "--metadata-effect", "all", *options,
    )  # fmt: skip


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def _read(bids: Path, participant: str) -> np.ndarray:
    return np.asarray(nib.load(scan_path(bids, participant)).dataobj)


def _labels(output: Path, participant: str) -> Path:
    name = f"sub-{participant}_space-T1w_seg-phantom_dseg.nii.gz"
    return output / f"sub-{participant}" / "anat" / name


def test_training_leaves_a_model_its_card_and_its_curve(lab: Path) -> None:
    names = {path.name for path in (lab / "model").iterdir()}
    assert {"phantom.safetensors", "phantom.card.md", "phantom.curve.tsv"} <= names
    curve = read_table(lab / "model" / "phantom.curve.tsv")
    assert [float(row["step"]) for row in curve] == [40, 80, 120]
    assert float(curve[-1]["dice body"]) > 0.7


def test_every_scan_has_a_label_map_on_exactly_its_grid(lab: Path) -> None:
    for participant in (*PARTICIPANTS, "07"):
        scan = nib.load(scan_path(lab / "bids", participant))
        labels = nib.load(_labels(lab / "out", participant))
        assert labels.shape == scan.shape
        for find in (nib.Nifti1Image.get_qform, nib.Nifti1Image.get_sform):
            (ours, our_code), (theirs, their_code) = find(labels, True), find(scan, True)
            assert our_code == their_code
            np.testing.assert_allclose(ours, theirs, atol=1e-6)
        assert set(np.unique(labels.dataobj)) <= {0, 3, 7}
        assert (np.asarray(labels.dataobj) > 0).any()


def test_the_outputs_are_a_valid_bids_derivative(lab: Path) -> None:
    assert find_bids_errors(lab / "out") == []


def test_the_sidecar_names_source_model_and_every_metadata_value_with_its_origin(lab: Path) -> None:
    path = _labels(lab / "out", "0050")
    sidecar = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    text = json.dumps(sidecar)
    assert "bids:raw:sub-0050/anat/sub-0050_T1w.nii.gz" in text
    digest = hashlib.sha256((lab / "model" / "phantom.safetensors").read_bytes()).hexdigest()
    assert digest in text
    assert "participants.tsv" in text
    assert "sub-0050/anat/sub-0050_T1w.json" in text
    assert str(lab) not in text


def test_one_page_per_participant_that_needs_nothing_else(lab: Path) -> None:
    for participant in (*PARTICIPANTS, "07"):
        page = (lab / "out" / f"sub-{participant}.html").read_text(encoding="utf-8")
        assert "Segmentation report" in page
        for request in ('src="http', "url(http", "<link", "<script src", "@import"):
            assert request not in page


def test_the_sidecar_tells_what_other_metadata_would_have_given_and_the_page_shows_it(
    lab: Path,
) -> None:
    path = _labels(lab / "out", "01")
    sidecar = json.loads(path.with_name(path.name.replace(".nii.gz", ".json")).read_text())
    told = {(a["Field"], a["Value"]) for a in sidecar["MetadataEffect"]["Alternatives"]}
    assert ("", "") in told
    assert len({value for field, value in told if field == "Manufacturer"}) >= 1
    for alternative in sidecar["MetadataEffect"]["Alternatives"]:
        other = nib.load(lab / "out" / alternative["LabelsFile"])
        np.testing.assert_allclose(other.affine, nib.load(path).affine)
        assert {change["Name"] for change in alternative["Changes"]} == {"body", "core"}
    page = (lab / "out" / "sub-01.html").read_text(encoding="utf-8")
    assert "What the metadata did" in page
    assert "no metadata" in page
    assert {p.suffix for p in (lab / "out/logs").glob("CITATION_seg-phantom.*")} == {
        ".md",
        ".html",
        ".bib",
    }


def test_the_command_on_the_page_makes_the_same_outputs(lab: Path, tmp_path: Path) -> None:
    page = (lab / "out" / "sub-0050.html").read_text(encoding="utf-8")
    (told,) = re.findall("<code>(bids-film BIDS_DIR .*)</code>", page)
    places = {
        "BIDS_DIR": lab / "bids",
        "OUTPUT_DIR": tmp_path / "again",
        "phantom.safetensors": lab / "model" / "phantom.safetensors",
    }
    program, *words = shlex.split(html.unescape(told))
    assert program == "bids-film"
    run = run_program(*(places.get(word, word) for word in words))
    assert run.code == 0, run.err
    folder = "sub-0050/anat"
    made = {path.name: path.read_bytes() for path in (tmp_path / "again" / folder).glob("*.*")}
    assert len(made) == 3
    for name, content in made.items():
        assert content == (lab / "out" / folder / name).read_bytes(), name


@pytest.mark.browser
def test_markup_in_a_table_of_the_dataset_runs_nothing_on_any_page(
    lab: Path, tmp_path: Path
) -> None:
    hostile = "<script>window.hacked=1</script><img src=x onerror=window.hacked=1>"
    bids = tmp_path / "bids"
    shutil.copytree(lab / "bids", bids)
    rows = read_table(bids / "participants.tsv")
    write_tsv(bids / "participants.tsv", [{**row, "age": hostile, "site": hostile} for row in rows])
    sidecar = bids / "sub-01/anat/sub-01_T1w.json"
    write_json(sidecar, json.loads(sidecar.read_text()) | {"Manufacturer": hostile})
    model, output = lab / "model" / "phantom.safetensors", tmp_path / "out"
    for words in (["participant", "--model", model], ["group"]):
        run = run_program(bids, output, *words)
        assert run.code == 0, run.err
    with start_chromium() as browser:
        for name in ("sub-01.html", "group_seg-phantom.html"):
            with visit(browser, output / name) as seen:
                seen.page.wait_for_timeout(500)
                assert "window.hacked" in seen.page.content(), "it is there as text"
                assert seen.page.evaluate("window.hacked") is None
                assert seen.errors == []


def test_without_the_metadata_effect_no_scan_is_segmented_twice(lab: Path, tmp_path: Path) -> None:
    run = run_program(
        lab / "bids", tmp_path / "out", "participant", "--model", lab / "model/phantom.safetensors",
        "--participant-label", "01", "--metadata-effect", "none", "-w", tmp_path / "work",
    )  # fmt: skip
    assert run.code == 0, run.err
    assert list((tmp_path / "out").rglob("*_other-*")) == []
    assert len(list((tmp_path / "out").rglob("*_entropy.nii.gz"))) == 1
    page = (tmp_path / "out" / "sub-01.html").read_text(encoding="utf-8")
    assert "Not measured" in page


def test_what_a_review_rejects_is_left_out_of_evaluation_and_training(
    lab: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "review.tsv"
    listed.write_text("scan\nsub-01/anat/sub-01_T1w.nii.gz\n")
    model = lab / "model" / "phantom.safetensors"
    run = run_program(
        lab / "bids", lab / "out", "evaluate", "--model", model, "--exclude-list", listed
    )
    assert run.code == 0, run.err
    rows = read_table(lab / "out" / "evaluation_seg-phantom.tsv")
    assert "sub-01" not in {row["participant_id"] for row in rows}
    run = run_program(
        lab / "bids", tmp_path / "model", "train", "--config-file", lab / "train.toml",
        "--exclude-list", listed, "--dry-run",
    )  # fmt: skip
    assert run.code == 0, run.err
    counts = [int(line.split(": ")[1].split()[0]) for line in run.out.splitlines()[:3]]
    assert sum(counts) == len(PARTICIPANTS) - 1


def test_the_resource_monitor_writes_into_the_logs_alone(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model = lab / "model" / "phantom.safetensors"
    run = run_program(
        lab / "bids", "out", "participant", "--model", model, "--participant-label", "01",
        "--resource-monitor",
    )  # fmt: skip
    assert run.code == 0, run.err
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    (measured,) = (tmp_path / "out" / "logs").glob("*.resources.json")
    assert max(json.loads(measured.read_text(encoding="utf-8"))["rss_GiB"]) > 0


def test_a_run_that_starts_again_segments_nothing_anew(lab: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in (lab / "out").rglob("*_dseg.nii.gz")}
    again = segment(lab)
    assert again.code == 0
    assert {p: p.stat().st_mtime_ns for p in (lab / "out").rglob("*_dseg.nii.gz")} == before


def test_forced_or_with_other_metadata_it_segments_again_and_force_gives_the_same_bytes(
    lab: Path,
) -> None:
    path = _labels(lab / "out", "02")
    first, changed = path.read_bytes(), path.stat().st_mtime_ns
    assert segment(lab, "--force", "--participant-label", "sub-02").code == 0
    assert path.stat().st_mtime_ns > changed
    assert path.read_bytes() == first
    changed = path.stat().st_mtime_ns
    assert segment(lab, "--metadata", "age=21.5", "--participant-label", "02").code == 0
    assert path.stat().st_mtime_ns > changed


def test_group_writes_one_row_per_scan_with_volumes(lab: Path) -> None:
    run = run_program(lab / "bids", lab / "out", "group")
    assert run.code == 0, run.err
    rows = read_table(lab / "out" / "group_seg-phantom.tsv")
    assert {row["participant_id"] for row in rows} == {f"sub-{p}" for p in (*PARTICIPANTS, "07")}
    assert (lab / "out" / "group_seg-phantom.json").exists()
    for row in rows:
        if row["status"] == "done":
            page = (lab / "out" / f"{row['participant_id']}.html").read_text(encoding="utf-8")
            assert f'<div class="light {row["verdict"]}">' in page


def test_evaluate_measures_every_labelled_scan(lab: Path) -> None:
    model = lab / "model" / "phantom.safetensors"
    run = run_program(lab / "bids", lab / "out", "evaluate", "--model", model)
    assert run.code == 0, run.err
    rows = read_table(lab / "out" / "evaluation_seg-phantom.tsv")
    assert {(row["participant_id"], row["structure"]) for row in rows} == {
        (f"sub-{p}", s) for p in PARTICIPANTS for s in ("body", "core")
    }
    dice = [float(row["dice"]) for row in rows if row["structure"] == "body"]
    assert np.mean(dice) > 0.8


def test_evaluate_counts_the_labels_of_one_person_as_one(lab: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "train.toml"
    split = "[split]\ngroup_pattern = '(0).+'\n"
    recipe.write_text(f'[model]\nname = "phantom"\n{DATA}{split}', encoding="utf-8")
    options = ("--model", lab / "model" / "phantom.safetensors", "--part", "training")
    run = run_program(lab / "bids", tmp_path, "evaluate", *options, "--config-file", recipe)
    assert run.code == 0, run.err
    rows = read_table(tmp_path / "evaluation_seg-phantom.tsv")
    people = {row["person"] for row in rows}
    assert "0" in people
    assert len({row["participant_id"] for row in rows}) > len(people)
    assert f"scans of {len(people)}): dice" in run.out


def test_evaluate_runs_the_model_on_what_it_has_not_seen(lab: Path, tmp_path: Path) -> None:
    """What is left by the split is known by content: a copy elsewhere is the same scan."""
    model = lab / "model" / "phantom.safetensors"
    run = run_program(lab / "bids", tmp_path, "evaluate", "--model", model, "--part", "test")
    assert run.code == 3
    assert "neither trained nor validated on" in run.err
    run = run_program(lab / "bids", tmp_path, "evaluate", "--model", model, "--part", "validation")
    assert run.code == 0, run.err
    rows = read_table(tmp_path / "evaluation_seg-phantom.tsv")
    assert {row["used_for"] for row in rows} == {"validation"}
    assert len({row["participant_id"] for row in rows}) == 1
    assert all(0 <= float(row["ece"]) < 0.5 for row in rows)
    bins = read_table(tmp_path / "evaluation_seg-phantom_calibration.tsv")
    assert {row["structure"] for row in bins} == {"body", "core"}
    page = (tmp_path / "evaluation_seg-phantom.html").read_text(encoding="utf-8")
    assert "Do probabilities come true?" in page


def test_the_test_part_is_of_people_of_whom_no_scan_was_seen(lab: Path, tmp_path: Path) -> None:
    bids = tmp_path / "renamed"
    shutil.copytree(lab / "bids", bids)
    for number, (person, stem) in enumerate([("01", "sub-01_run-2"), ("99", "sub-99")], start=1):
        image = scan_path(bids, person).with_name(f"{stem}_T1w.nii.gz")
        write_image(image, _read(lab / "bids", "01") + number)
        folder = bids / "derivatives" / "labels"
        for old in (folder / "sub-01").rglob("*_T1w_*seg-manual.nii.gz"):
            new = str(old.relative_to(folder)).replace("sub-01/", f"sub-{person}/")
            target = folder / new.replace("sub-01_T1w", f"{stem}_T1w")
            target.parent.mkdir(parents=True, exist_ok=True)
            turned = nib.Nifti1Image.from_filename(old).as_reoriented([[0, -1], [1, 1], [2, 1]])
            nib.save(turned, target)
    options = ("--model", lab / "model" / "phantom.safetensors", "--part", "test")
    run = run_program(bids, tmp_path / "out", "evaluate", *options)
    assert run.code == 0, run.err
    assert "note: sub-99/anat/sub-99_T1w.nii.gz: sub-99_T1w" in run.err
    rows = read_table(tmp_path / "out" / "evaluation_seg-phantom.tsv")
    assert {row["participant_id"] for row in rows} == {"sub-99"}


def test_scans_that_a_model_has_seen_stay_seen_with_other_labels(lab: Path, tmp_path: Path) -> None:
    only, _ = DATA.rsplit("[[structures]]", 1)
    (tmp_path / "second.toml").write_text(f'[model]\nname = "phantom"\n{only}', encoding="utf-8")
    options = ("--model", lab / "model" / "phantom.safetensors", "--part", "test")
    for more in ((), ("--config-file", tmp_path / "second.toml")):
        run = run_program(lab / "bids", tmp_path / "out", "evaluate", *options, *more)
        assert run.code == 3, run.out
        assert "neither trained nor validated on" in run.err


def test_a_file_of_options_is_no_recipe_and_one_of_strangers_is_refused(
    lab: Path, tmp_path: Path
) -> None:
    (tmp_path / "options.toml").write_text("omp-nthreads = 1\n", encoding="utf-8")
    stale = tmp_path / "evaluation_seg-phantom_comparison.tsv"
    stale.write_text("structure\n")
    options = ("--model", lab / "model" / "phantom.safetensors", "--part", "validation")
    file = tmp_path / "options.toml"
    run = run_program(lab / "bids", tmp_path, "evaluate", *options, "--config-file", file)
    assert run.code == 0, run.err
    assert not stale.exists(), "it is about the rows of an earlier run"
    file.write_text(f'[model]\nname = "phantom"\n{DATA.replace("body", "bodi")}', encoding="utf-8")
    file.write_text(file.read_text("utf-8").replace('"core"', '"cone"'), encoding="utf-8")
    run = run_program(lab / "bids", tmp_path, "evaluate", *options, "--config-file", file)
    assert run.code == 2
    assert "did you mean 'body'" in run.err


def test_a_structure_that_no_scan_shows_is_not_trained(lab: Path, tmp_path: Path) -> None:
    (tmp_path / "train.toml").write_text(RECIPE.replace("_gmseg-", "_gmesg-"), encoding="utf-8")
    run = run_program(
        lab / "bids", tmp_path / "model", "train", "--config-file", tmp_path / "train.toml"
    )
    assert run.code == 3
    assert "structure 'core': none of" in run.err


def test_evaluate_takes_the_mean_of_passes_that_was_asked_for(lab: Path, tmp_path: Path) -> None:
    options = ("--model", lab / "model" / "phantom.safetensors", "--part", "validation")
    tables = []
    for passes in ((), ("--ensemble", "augment", "--passes", "3")):
        run = run_program(lab / "bids", tmp_path, "evaluate", *options, *passes)
        assert run.code == 0, run.err
        tables.append(read_table(tmp_path / "evaluation_seg-phantom.tsv"))
    assert tables[0] != tables[1]
    run = run_program(lab / "bids", tmp_path, "evaluate", *options, "--ensemble", "dropout")
    assert run.code == 2
    assert "trained without dropout" in run.err


def test_the_model_in_memory_and_its_label_maps_are_measured_alike(
    lab: Path, tmp_path: Path
) -> None:
    model = lab / "model" / "phantom.safetensors"
    assert run_program(lab / "bids", lab / "out", "evaluate", "--model", model).code == 0
    options = ("--model", model, "--part", "training")
    assert run_program(lab / "bids", tmp_path, "evaluate", *options).code == 0
    of_files = {
        (row["scan"], row["structure"]): row
        for row in read_table(lab / "out" / "evaluation_seg-phantom.tsv")
    }
    in_memory = read_table(tmp_path / "evaluation_seg-phantom.tsv")
    assert len(in_memory) == 2 * (len(PARTICIPANTS) - 1)
    for row in in_memory:
        if row["participant_id"] == "sub-02":
            continue  # another test segments this one with another age
        other = of_files[row["scan"], row["structure"]]
        assert {**row, "ece": ""} == {**other, "ece": ""}


def test_an_experiment_tells_what_metadata_are_worth(lab: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "experiment.toml"
    short = RECIPE.replace("steps = 120", "steps = 20").replace("= 40", "= 20")
    arms = '[[experiment.arms]]\nname = "film"\n[[experiment.arms]]\nname = "none"\n'
    arms += 'network = { conditioning = "unconditioned" }\nmetadata = { fields = [] }\n'
    section = f'[experiment]\nseeds = [1, 2]\nby = "Manufacturer"\n{arms}'
    recipe.write_text(f"{short}\n{section}", encoding="utf-8")
    command = (lab / "bids", tmp_path / "out", "experiment", "--config-file", recipe)
    run = run_program(*command)
    assert run.code == 0, run.err
    rows = read_table(tmp_path / "out" / "experiment.tsv")
    assert {row["used_for"] for row in rows} == {"validation"}
    keys = {(row["arm"], row["seed"], row["condition"]) for row in rows}
    makers = ("GE", "Philips", "Siemens")
    told = {"as found", "withheld", *(f"Manufacturer={maker}" for maker in makers)}
    assert keys == {("film", seed, condition) for seed in "12" for condition in told} | {
        ("none", seed, "as found") for seed in "12"
    }
    assert "film against the others" in run.out
    page = (tmp_path / "out" / "experiment.html").read_text(encoding="utf-8")
    assert '<canvas id="chart-0"' in page
    models = list((tmp_path / "out").glob("*/seed-*/phantom.safetensors"))
    before = {model: model.stat().st_mtime_ns for model in models}
    assert len(before) == 4
    assert run_program(*command).code == 0
    assert {model: model.stat().st_mtime_ns for model in models} == before, "trained again"
    copy = tmp_path / "bids"
    shutil.copytree(lab / "bids", copy)
    assert run_program(copy, *command[1:]).code == 0
    assert {model: model.stat().st_mtime_ns for model in models} == before, "trained again"
    labels = next(copy.glob("derivatives/**/*.nii.gz"))
    labels.write_bytes(gzip.compress(gzip.decompress(labels.read_bytes()), mtime=7))
    run = run_program(copy, *command[1:])
    assert run.code != 0
    assert "other data" in run.err, "results of labels that are not there any more"


def test_evaluate_divides_by_a_column_and_compares_with_another_table(
    lab: Path, tmp_path: Path
) -> None:
    model = lab / "model" / "phantom.safetensors"
    evaluate = (lab / "bids", lab / "out", "evaluate", "--model", model)
    assert run_program(*evaluate).code == 0
    other = tmp_path / "other.tsv"
    other.write_bytes((lab / "out/evaluation_seg-phantom.tsv").read_bytes())
    run = run_program(*evaluate, "--by", "age", "--compare-with", other)
    assert run.code == 0, run.err
    assert "difference 0.000" in run.out
    rows = read_table(lab / "out" / "evaluation_seg-phantom_comparison.tsv")
    assert {row["p"] for row in rows} <= {"1", "n/a"}
    summary = read_table(lab / "out" / "evaluation_seg-phantom_summary.tsv")
    assert len({row["level"] for row in summary}) > 1
    assert find_bids_errors(lab / "out") == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--by", "agee"), "did you mean 'age'"),
        (("--by", "dice"), "'dice' is named like a column"),
        (("--compare-with", "nowhere.tsv"), "nowhere.tsv"),
    ],
)
def test_an_evaluation_that_cannot_be_divided_or_compared_says_why(
    lab: Path, tmp_path: Path, options: tuple[str, str], said: str
) -> None:
    model = lab / "model" / "phantom.safetensors"
    bids = lab / "bids"
    if options[1] == "dice":
        bids = shutil.copytree(bids, tmp_path / "bids")
        write_tsv(bids / "participants.tsv", [{"participant_id": "sub-01", "dice": "0.1"}])
    run = run_program(bids, lab / "out", "evaluate", "--model", model, *options)
    assert run.code in (2, 3)
    assert said in run.err


@pytest.mark.parametrize("content", [b"damaged", b"of another scan, which is longer"])
def test_a_label_map_that_is_not_of_the_scan_as_it_is_now_is_not_evaluated(
    lab: Path, tmp_path: Path, content: bytes
) -> None:
    bids = shutil.copytree(lab / "bids", tmp_path / "bids")
    model, output = lab / "model" / "phantom.safetensors", tmp_path / "100% out"
    options = ("--model", model, "--participant-label", "01", "02")
    assert run_program(bids, output, "participant", *options).code == 0
    scan_path(bids, "02").write_bytes(content)
    said = "is not the one that was segmented"
    if content == b"damaged":
        assert run_program(bids, output, "participant", *options).code == 1
        said = "is of an earlier run, the last one failed"
        assert said.partition(",")[0] not in (output / "sub-01.html").read_text(encoding="utf-8")
        page = (output / "sub-02.html").read_text(encoding="utf-8")
        assert "this is of an earlier one" in page
        assert '<div class="light failed">' in page
    run = run_program(bids, output, "evaluate", *options)
    assert run.code == 1
    assert "1 scans, 1 failed" in run.out
    assert said in run.err
    rows = read_table(output / "evaluation_seg-phantom_selected.tsv")
    assert {row["participant_id"] for row in rows} == {"sub-01"}


def test_one_bad_scan_does_not_stop_the_others_and_is_named(lab: Path, tmp_path: Path) -> None:
    bids = tmp_path / "bids"
    write_dataset(bids, participants=("01", "02", "03"), shape=(32, 30, 8))
    bad = scan_path(bids, "02")
    bad.write_bytes(bad.read_bytes()[:400])
    model = lab / "model" / "phantom.safetensors"
    run = run_program(bids, tmp_path / "out", "participant", "--model", model, "-w", tmp_path / "w")
    assert run.code == 1
    assert "sub-02_T1w.nii.gz" in run.out + run.err
    assert _labels(tmp_path / "out", "01").exists()
    assert _labels(tmp_path / "out", "03").exists()
    assert not _labels(tmp_path / "out", "02").exists()
    assert "truncated" in (tmp_path / "out" / "sub-02.html").read_text(encoding="utf-8").lower()


def test_the_dry_run_tells_values_and_origins_and_writes_nothing(lab: Path, tmp_path: Path) -> None:
    model = lab / "model" / "phantom.safetensors"
    run = run_program(
        lab / "bids", tmp_path / "out", "participant", "--model", model, "--dry-run",
        "--metadata", "age=95",
    )  # fmt: skip
    assert run.code == 0
    assert "sub-0050/anat/sub-0050_T1w.json" in run.out
    assert "outside training range" in run.out
    assert not (tmp_path / "out").exists()
