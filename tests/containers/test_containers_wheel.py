"""Wheel and source archive, installed where nothing of ours is."""

from __future__ import annotations

import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from conftest import HashOutputs
from field import ROOT, check, run


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    check(run(sys.executable, "-m", "build", "--outdir", folder, ROOT))
    return folder


def test_wheel_and_source_hold_models_licence_and_completions(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("brain", "spinalcord", "hippocampus", "tumor"):
        assert f"bids_film/models/{name}/model.safetensors" in names
        assert f"bids_film/models/{name}/card.md" in names
    assert any(name.endswith("bash-completion/completions/bids-film") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not any(name.startswith(("tests/", "benchmarks/", "docker/")) for name in names)
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    for name in ("Dockerfile", "constraints.txt", "singularity/bids_film.def", "docs/hpc.md"):
        assert name in inside


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment that is filled once, by the first of the archives."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    return folder


@pytest.fixture(params=[".whl", ".tar.gz"])
def program(built: Path, environment: Path, request: pytest.FixtureRequest) -> Path:
    """The program as it was installed from the wheel or from the source."""
    (archive,) = built.glob(f"*{request.param}")
    pip = [environment / "bin" / "python", "-m", "pip"]
    run(*pip, "uninstall", "--quiet", "--yes", "bids-film")
    install = ["nice", *pip, "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    check(run(*install, archive, cwd=built))
    return environment / "bin" / "bids-film"


def test_the_archive_alone_segments_and_reports(
    program: Path, dataset: Path, reference: Path, tmp_path: Path, hash_outputs: HashOutputs
) -> None:
    command = [program, dataset, tmp_path / "out", "participant"]
    check(run(*command, cwd=tmp_path, PYTHONPATH="", PATH="/usr/bin:/bin"))
    assert hash_outputs(tmp_path / "out") == hash_outputs(reference)
    assert (tmp_path / "out" / "sub-01.html").stat().st_size > 10_000


def test_the_docker_wrapper_is_a_package_of_its_own(tmp_path: Path) -> None:
    venv.create(tmp_path / "empty", with_pip=True)
    programs = tmp_path / "empty" / "bin"
    check(run(programs / "python", "-m", "pip", "install", "--quiet", ROOT / "docker"))
    (tmp_path / "bids").mkdir()
    command = [programs / "bids-film-docker", "--print-only", "bids", "out", "group"]
    assert run(*command, cwd=tmp_path).stderr.startswith("+ docker run ")
