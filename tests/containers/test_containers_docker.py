from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

import pytest
from conftest import HashOutputs
from field import ROOT, check, compose, run
from support.bids_factory import write_dataset

import bids_film
from bids_film.domain.paths import TEMPORARY_PATTERN

pytestmark = pytest.mark.docker

HARDENED = (
    "docker", "run", "--rm", "--network", "none", "--read-only", "--tmpfs", "/tmp:size=64m",
    "--user", "1234:1234", "--cap-drop", "ALL", "--memory",
)  # fmt: skip


def mount(dataset: Path, outputs: Path) -> list[str]:
    return ["--volume", f"{dataset}:/bids:ro", "--volume", f"{outputs}:/out"]


def test_a_locked_down_container_gives_the_very_same_outputs(
    image: str, dataset: Path, reference: Path, outputs: Path, hash_outputs: HashOutputs
) -> None:
    check(run(*HARDENED, "2g", *mount(dataset, outputs), image, "/bids", "/out", "participant"))
    assert hash_outputs(outputs) == hash_outputs(reference)
    assert {path.stat().st_uid for path in outputs.rglob("*")} == {1234}
    check(run(*HARDENED, "1g", *mount(dataset, outputs), image, "/bids", "/out", "group"))
    assert len((outputs / "group_seg-brain.tsv").read_text().splitlines()) == 5
    description = json.loads((outputs / "dataset_description.json").read_text())
    tag = description["GeneratedBy"][0]["Container"]["Tag"]
    assert tag == f"bids-film:{bids_film.__version__}"


def test_the_line_in_the_readme_is_right(
    image: str, dataset: Path, reference: Path, folder: Path, hash_outputs: HashOutputs
) -> None:
    (line,) = re.findall(r"^docker run .+$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert f" {image} " in line
    (folder / "bids").symlink_to(dataset)
    (folder / "out").mkdir()
    check(run("bash", "-c", line, cwd=folder))
    assert hash_outputs(folder / "out") == hash_outputs(reference)


@pytest.mark.parametrize("home", ["HOME=", "HOME=/nonexistent", "HOME=/"])
def test_no_home_is_needed(image: str, dataset: Path, outputs: Path, home: str) -> None:
    command = [*HARDENED, "2g", "--env", home, *mount(dataset, outputs), image, "/bids", "/out"]
    check(run(*command, "participant", "--participant-label", "01"))


def test_too_little_memory_fails_the_scan_and_says_so(
    image: str, dataset: Path, outputs: Path
) -> None:
    command = [*HARDENED, "300m", *mount(dataset, outputs), image, "/bids", "/out", "participant"]
    done = run(*command, "--participant-label", "01")
    assert done.returncode == 1
    assert "memory" in done.stderr
    assert "memory" in (outputs / "sub-01.html").read_text()


def test_a_stopped_container_leaves_no_halves_and_is_gone_on_with(
    image: str, dataset: Path, reference: Path, outputs: Path, hash_outputs: HashOutputs
) -> None:
    mounts = mount(dataset, outputs)
    tail = [*mounts, image, "/bids", "/out", "participant", "--nprocs", "1"]
    command = ["docker", "run", "--detach", "--network", "none", "--user", "1234:1234", *tail]
    container = check(run(*command)).strip()
    try:
        _wait_for(outputs, "sub-01/anat/*_dseg.json")
        check(run("docker", "stop", "--time", "30", container))
        code = check(run("docker", "wait", container)).strip()
        said = run("docker", "logs", container).stderr
    finally:
        run("docker", "rm", "--force", container)
    assert code == "143"
    assert "the same command goes on where it stopped" in said
    assert not list(outputs.rglob(TEMPORARY_PATTERN))
    assert len(hash_outputs(outputs)) < len(hash_outputs(reference))
    again = check(run(*HARDENED, "2g", *tail))
    assert "up to date" in again
    assert hash_outputs(outputs) == hash_outputs(reference)


def test_all_levels_work_in_the_image(image: str, folder: Path, outputs: Path) -> None:
    dataset = write_dataset(
        folder / "bids", participants=tuple("abcdef"), shape=(24, 24, 6), labels=True
    )
    recipe = (ROOT / "tests" / "containers" / "recipe.toml").read_text()
    (outputs / "recipe.toml").write_text(recipe)
    start = [*HARDENED, "2g", *mount(dataset, outputs), image, "/bids"]
    config = ["--config-file", "/out/recipe.toml"]
    check(run(*start, "/out/model", "train", *config))
    model = ["--model", "/out/model/phantom.safetensors"]
    check(run(*start, "/out/derivatives", "participant", *model))
    check(run(*start, "/out/derivatives", "evaluate", *model, *config))


def test_the_image_is_small_and_has_no_tools_to_build_with(image: str) -> None:
    inspected = json.loads(check(run("docker", "image", "inspect", image)))[0]
    labels = inspected["Config"]["Labels"]
    assert inspected["Size"] <= 1.3e9
    assert labels["org.opencontainers.image.version"] == bids_film.__version__
    assert inspected["Config"]["User"] == "1000:1000"
    shell = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c"]
    for program in ("gcc", "cc", "g++", "ld", "pip", "curl", "git"):
        assert run(*shell, f"command -v {program}").returncode, program
    assert check(run(*shell, "bids-film --version")).split()[1] == bids_film.__version__


def test_every_locked_version_is_the_one_in_the_image(image: str) -> None:
    program = (
        "import importlib.metadata as m\n"
        "for d in m.distributions(): print(d.name.lower().replace('_', '-'), d.version)"
    )
    start = ["docker", "run", "--rm", "--network", "none", "--entrypoint", "python3"]
    listed = check(run(*start, image, "-c", program)).splitlines()
    installed = dict(line.split() for line in listed)
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    locked = {n.lower().replace("_", "-"): v for n, _, v in (ln.partition("==") for ln in lines)}
    assert set(installed) - set(locked) == {"bids-film"}
    for name in set(installed) & set(locked):
        assert installed[name].partition("+")[0] == locked[name], name


def test_the_wrapper_runs_the_image_with_the_users_own_folders(
    image: str, dataset: Path, reference: Path, folder: Path, hash_outputs: HashOutputs
) -> None:
    script = ROOT / "docker" / "bids_film_docker.py"
    out = folder / "an output folder"
    command = [sys.executable, script, "--memory", "2g", dataset, out]
    done = run(*command, "participant", "--work-dir", folder / "work")
    check(done)
    assert done.stderr.startswith("+ docker run ")
    assert hash_outputs(out) == hash_outputs(reference)


@pytest.mark.compose
def test_the_line_for_compose_in_the_docs_is_right(
    image: str, dataset: Path, reference: Path, folder: Path, hash_outputs: HashOutputs
) -> None:
    page = (ROOT / "docs" / "containers.md").read_text()
    (line,) = re.findall(r"^ {4}(BIDS_DIR=.+ docker compose .+)$", page, re.MULTILINE)
    (folder / "bids").symlink_to(dataset)
    (folder / "docker").symlink_to(ROOT / "docker")
    (folder / "out").mkdir()
    check(run("bash", "-c", line.replace("docker compose", " ".join(compose())), cwd=folder))
    assert hash_outputs(folder / "out") == hash_outputs(reference)
    (owner,) = {path.stat().st_uid for path in (folder / "out").rglob("*")}
    assert owner == os.getuid()


def _wait_for(folder: Path, pattern: str, timeout_s: float = 240) -> None:
    end = time.monotonic() + timeout_s
    while not list(folder.glob(pattern)):
        assert time.monotonic() < end, f"no {pattern} in {folder}"
        time.sleep(0.1)
