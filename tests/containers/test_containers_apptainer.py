from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import HashOutputs
from field import ORDINARY_USER, ROOT, check, run

import bids_film

pytestmark = [pytest.mark.docker, pytest.mark.apptainer]


def test_an_ordinary_user_without_anything_gets_the_very_same_outputs(
    sif: Path, dataset: Path, reference: Path, outputs: Path, hash_outputs: HashOutputs
) -> None:
    alone = ["--containall", "--cleanenv", "--net", "--network", "none"]
    binds = ["--bind", f"{dataset}:/bids:ro", "--bind", f"{outputs}:/out"]
    command = ["apptainer", "run", *alone, *binds, sif, "/bids", "/out", "participant"]
    check(run(*command, user=ORDINARY_USER, cwd=outputs))
    assert hash_outputs(outputs) == hash_outputs(reference)


def test_the_line_in_the_readme_is_right(
    sif: Path, dataset: Path, reference: Path, folder: Path, hash_outputs: HashOutputs
) -> None:
    (line,) = re.findall(r"^apptainer run .+$", (ROOT / "README.md").read_text(), re.MULTILINE)
    (folder / "bids").symlink_to(dataset)
    (folder / "bids-film.sif").symlink_to(sif)
    (folder / "out").mkdir(mode=0o777)
    (folder / "out").chmod(0o777)
    check(run("bash", "-c", line, cwd=folder, user=ORDINARY_USER))
    assert hash_outputs(folder / "out") == hash_outputs(reference)


def test_the_image_tests_itself_and_says_what_it_is(sif: Path, folder: Path) -> None:
    said = check(run("apptainer", "test", "--containall", sif, user=ORDINARY_USER, cwd=folder))
    assert bids_film.__version__ in said
    said = check(run("apptainer", "run-help", sif, user=ORDINARY_USER, cwd=folder))
    assert "apptainer run --containall" in said
    labels = check(run("apptainer", "inspect", sif, user=ORDINARY_USER, cwd=folder))
    assert f"org.opencontainers.image.version: {bids_film.__version__}" in labels
