"""What the tests of containers and clusters share: tools, images, a dataset and its outputs."""

from __future__ import annotations

import hashlib
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import field
import pytest
from support.bids_factory import make_affine, make_phantom, scan_path, write_dataset, write_image
from support.program import run_program

PARTICIPANTS = ("01", "02", "03", "04")
SHAPE = (48, 56, 48)
_TOOLS = {
    "docker": field.find_docker,
    "compose": field.find_compose,
    "apptainer": field.find_apptainer,
    "slurm": field.find_slurm,
    "datalad": field.find_datalad,
}


def pytest_configure(config: pytest.Config) -> None:
    # A shell that starts us in the background has it ignored: the bound in time would not be heard.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for name in _TOOLS:
        config.addinivalue_line("markers", f"{name}: needs {name}; what is absent is said aloud")


def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in _TOOLS:
        if item.get_closest_marker(name):
            reason = _find(name)[1]
            if reason:
                pytest.skip(f"{name} can't be had: {reason}")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say for each tool what was tested with it, or that nothing was: no skip passes silently."""
    ran = Counter(
        name
        for outcome in ("passed", "failed")
        for report in terminalreporter.stats.get(outcome, [])
        for name in _TOOLS
        if name in report.keywords and report.when == "call"
    )
    parts = []
    for name in _TOOLS:
        version, reason = _find(name) if name in _FOUND else ("", "no test asked for it")
        tested = f"{version}, {ran[name]} tests" if version else f"NOT TESTED ({reason})"
        parts.append(f"{name} {tested}")
    terminalreporter.write_line("containers: " + " · ".join(parts), bold=True)


def pytest_sessionfinish() -> None:
    field.stop_what_we_started()


_FOUND: dict[str, tuple[str, str]] = {}


def _find(name: str) -> tuple[str, str]:
    """Version of a tool, and why it is absent: one of the two is empty."""
    if name not in _FOUND:
        try:
            _FOUND[name] = (_TOOLS[name]().version, "")
        except field.AbsentError as error:
            _FOUND[name] = ("", str(error))
    return _FOUND[name]


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A folder that ordinary users may enter, other than pytest's own."""
    with field.open_place() as folder:
        yield folder


@pytest.fixture(scope="session")
def dataset(place: Path) -> Path:
    root = write_dataset(place / "bids", participants=PARTICIPANTS)
    for number, label in enumerate(PARTICIPANTS):
        image = make_phantom(SHAPE, seed=number).image
        write_image(scan_path(root, label), image, affine=make_affine((3.0, 3.0, 3.0)))
    return root


@pytest.fixture(scope="session")
def reference(place: Path, dataset: Path) -> Path:
    """Outputs of a run without container."""
    done = run_program(dataset, place / "reference", "participant", "--omp-nthreads", 1)
    assert done.code == 0, done.err
    return place / "reference"


@pytest.fixture(scope="session")
def image() -> str:
    field.build_image()
    return field.IMAGE


@pytest.fixture(scope="session")
def sif(image: str, place: Path) -> Path:
    field.make_ordinary_user()
    archive, path = place / "bids-film.tar", place / "bids-film.sif"
    field.check(field.run("docker", "save", "--output", archive, f"{image}:latest"))
    field.build_sif(archive, path)
    archive.unlink()
    return path


@pytest.fixture
def folder(place: Path, request: pytest.FixtureRequest) -> Path:
    """Folder of one test in which every account may write."""
    name = "".join(c if c.isalnum() else "_" for c in request.node.nodeid)
    return field.make_open_folder(place / name)


@pytest.fixture
def outputs(folder: Path) -> Path:
    return field.make_open_folder(folder / "out")


HashOutputs = Callable[[Path], dict[str, str]]


@pytest.fixture(scope="session")
def hash_outputs() -> HashOutputs:
    """Hash of each label map and table, by its path: what no way of running may change."""

    def hash_them(root: Path) -> dict[str, str]:
        return {
            str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(root.glob("sub-*/**/*"))
            if path.name.endswith((".nii.gz", ".tsv"))
        }

    return hash_them
