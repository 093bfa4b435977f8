"""The lines for DataLad in docs/hpc.md, run as they are printed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import HashOutputs
from field import ROOT, check, run

pytestmark = [pytest.mark.docker, pytest.mark.apptainer, pytest.mark.datalad]

_SOMEONE = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "Someone"), ("EMAIL", "someone@example.org"))
}


@pytest.fixture(scope="module")
def lines() -> str:
    text = (ROOT / "docs" / "hpc.md").read_text()
    (block,) = re.findall(
        r"^    datalad create analysis\n.+?(?=\n\n)", text, re.MULTILINE | re.DOTALL
    )
    return str(block)


@pytest.fixture(scope="module")
def analysis(lines: str, sif: Path, dataset: Path, place: Path) -> Path:
    """Dataset in which the lines were run, beside an input whose files are all in the annex."""
    folder = place / "a study"
    shutil.copytree(dataset, folder / "bids")
    check(run("datalad", "create", "--force", "bids", cwd=folder, **_SOMEONE))
    check(run("datalad", "save", "--dataset", "bids", cwd=folder, **_SOMEONE))
    assert (folder / "bids" / "participants.tsv").is_symlink()
    (folder / "bids-film.sif").hardlink_to(sif)
    check(run("bash", "-ec", lines, cwd=folder, **_SOMEONE))
    return folder / "analysis"


def test_the_lines_make_the_very_same_outputs_and_a_record_of_them(
    analysis: Path, reference: Path, hash_outputs: HashOutputs
) -> None:
    expected = {path: it for path, it in hash_outputs(reference).items() if "sub-01" in path}
    assert hash_outputs(analysis / "outputs") == expected
    assert not check(run("git", "status", "--porcelain", cwd=analysis))
    message = check(run("git", "log", "-1", "--format=%B", cwd=analysis))
    record = json.loads(message.split("below ===")[1].split("^^^")[0])
    assert record["extra_inputs"] == [".datalad/environments/bids-film/image"]
    assert "inputs/raw/sub-01" in record["inputs"]
    assert record["exit"] == 0


def test_rerun_segments_again_and_changes_nothing_but_logs(
    analysis: Path, hash_outputs: HashOutputs
) -> None:
    before = hash_outputs(analysis / "outputs")
    check(run("datalad", "rerun", cwd=analysis, **_SOMEONE))
    assert hash_outputs(analysis / "outputs") == before
    changed = check(run("git", "diff", "--name-only", "HEAD~1", cwd=analysis)).split()
    assert "outputs/logs/seg-brain/sub-01/anat/sub-01_T1w.json" in changed
    assert all(path.startswith("outputs/logs/") for path in changed)


def test_an_input_that_was_not_named_is_not_fetched_and_the_message_says_how(
    analysis: Path, lines: str
) -> None:
    line = lines[lines.index("datalad containers-run") :]
    unnamed = re.sub(r"--input \S+sub-01\S* ", "", line).replace("-label 01", "-label 02")
    done = run("bash", "-ec", unnamed, cwd=analysis, **_SOMEONE)
    assert done.returncode == 1
    assert "datalad get sub-02/anat/sub-02_T1w" in done.stdout, done.stdout
    # As the page says; the dataset is clean for another run.
    check(run("datalad", "save", cwd=analysis, **_SOMEONE))
    assert not check(run("git", "status", "--porcelain", cwd=analysis))
