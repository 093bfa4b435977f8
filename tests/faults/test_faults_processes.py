"""Memory that runs out, several runs at once, models and devices that cannot be used."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fault_lab import BOUND_S, Lab, check_whole, find_times, finish, hash_outputs, note, start
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from support.bids_factory import make_affine, scan_path, write_dataset, write_image
from support.tiny_models import write_tiny_model

from bids_film.derivatives.nifti import write_labels
from bids_film.domain.errors import ScanError
from bids_film.domain.volume import Grid
from bids_film.inference.engine import Engine
from bids_film.inputs.nifti import read_grid
from bids_film.model.header import HEADER_KEY, header_to_text, read_header
from bids_film.workflow import scan
from bids_film.workflow.job import EngineSettings, ScanJob

MANY_TIMES = 60
"""How often signals come in the runs of the fault table, which may take long."""


def test_one_scan_of_ten_that_needs_too_much_memory_is_named(tmp_path: Path) -> None:
    bids = write_dataset(tmp_path / "bids", participants=[f"{n}" for n in range(10)])
    rng = np.random.default_rng(0)
    write_image(scan_path(bids, "4"), rng.integers(0, 99, (420, 420, 420), dtype=np.uint8))
    write_tiny_model(tmp_path / "tiny.safetensors")
    lab = Lab(folder=tmp_path)
    code, out, err = finish(lab.command(tmp_path / "out", "--nprocs", 1, "--mem", 1.2))
    assert code == 1, out + err
    assert "9 scans done, 1 failed" in out
    assert "sub-4_T1w.nii.gz: not enough memory for this scan" in err
    assert "--mem" in out
    assert len(list((tmp_path / "out").rglob("*_dseg.nii.gz"))) == 9
    note("memory runs out in one scan of ten", "nine done, the tenth named with its reason, exit 1")


@pytest.mark.parametrize("gigabytes", [0.001, 0.2])
def test_too_little_memory_for_the_model_ends_the_run(
    lab: Lab, output: Path, gigabytes: float
) -> None:
    code, _, err = finish(lab.command(output, "--nprocs", 1, "--mem", gigabytes))
    assert code in (2, 3)
    assert "not enough memory to load the model" in err
    assert "Traceback" not in err
    note("too little memory for the model", "the run ends at once with that reason")


@pytest.mark.parametrize("runs", [2, 8][: find_times(1)])
def test_runs_at_once_on_one_output_folder(lab: Lab, output: Path, runs: int) -> None:
    began = [start(lab.command(output, "--nprocs", 1, "--force")) for _ in range(runs)]
    for process in began:
        out, err = process.communicate(timeout=BOUND_S * runs)
        assert process.returncode == 0, out + err
    check_whole(output)
    assert hash_outputs(output) == lab.expected
    code, out, err = finish(lab.command(output))
    assert (code, out) == (0, "6 of 6 scans are up to date\n"), err
    note(f"{runs} runs at once on one output folder", "each ends well; outputs the same to the bit")


def damage_model(path: Path, damage: str) -> None:
    state = load_file(path)
    header = read_header(path)
    name = min(state)
    if damage == "NaN":
        state[name].view(-1)[0] = float("nan")
    elif damage == "missing":
        del state[name]
    elif damage == "shape":
        state[name] = torch.zeros(3, 5)
    elif damage == "extra":
        state["one.too.many"] = torch.zeros(2)
    save_file(state, path, metadata={HEADER_KEY: header_to_text(header)})


@pytest.mark.parametrize("damage", ["NaN", "missing", "shape", "extra"])
def test_a_model_that_cannot_be_used_ends_the_run_at_once(
    lab: Lab, output: Path, tmp_path: Path, damage: str
) -> None:
    model = tmp_path / "tiny.safetensors"
    shutil.copyfile(lab.folder / "tiny.safetensors", model)
    damage_model(model, damage)
    code, out, err = finish([*lab.command(output, "--nprocs", 2), "--model", str(model)])
    assert code == 3, out + err
    assert out == ""
    assert err.count("error:") == 1
    assert "the weights do not fit" in err
    # No scan is to blame, and none counts as failed.
    assert not list(output.glob("*.html"))
    assert not list((output / "logs").glob("crash*"))
    assert finish(lab.command(output, level="group"))[0] == 3
    note(f"weights of a model: {damage}", "the run ends at once with one message, exit code 3")


def test_a_device_that_is_not_there_ends_the_run_at_once(lab: Lab, output: Path) -> None:
    assert finish(lab.command(output))[0] == 0
    known = {path: path.read_bytes() for path in (output / "logs").rglob("sub-*.*")}
    number = torch.cuda.device_count()
    # Asked for other results, so that the scans have to be segmented again.
    options = ("--device", f"cuda:{number}", "--save-probabilities")
    code, out, err = finish(lab.command(output, *options))
    assert code == 2, out + err
    assert out == ""
    # No scan is to blame: what is known of each stays.
    assert {path: path.read_bytes() for path in (output / "logs").rglob("sub-*.*")} == known
    assert err.startswith(f"error: --device cuda:{number}: this machine has {number} CUDA devices")
    note("--device cuda without a card", "the run ends at once with one message, exit code 2")


def test_without_a_network_nothing_is_different(lab: Lab, output: Path) -> None:
    before = ["unshare", "-r", "-n"]
    probe = [*before, "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/9"]
    assert subprocess.run(probe, capture_output=True, check=False).returncode != 0
    code, _, err = finish(lab.command(output, "--nprocs", 2), before=before)
    assert code == 0, err
    assert hash_outputs(output) == lab.expected
    note("no network (unshare -n)", "same outputs to the bit")


def test_nothing_but_local_sockets_is_ever_asked_for(
    lab: Lab, output: Path, tmp_path: Path
) -> None:
    # Each process of the run reports a connection before it is made.
    hook = tmp_path / "sitecustomize.py"
    report = tmp_path / "connections"
    hook.write_text(
        "import sys\n"
        "def see(event, arguments):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo', 'urllib.Request'):\n"
        f"        open({str(report)!r}, 'a').write(f'{{event}} {{arguments}}\\n')\n"
        "sys.addaudithook(see)\n"
        f"open({str(tmp_path / 'loaded')!r}, 'a').write('x')\n"
    )
    root = Path(__file__).parents[2]
    paths = {"PYTHONPATH": f"{tmp_path}:{root}"}
    # What would be seen is seen, be there a network or not.
    call = "import socket; socket.socket().connect_ex(('127.0.0.1', 9))"
    assert finish([sys.executable, "-c", call], environment=paths)[0] == 0
    assert "socket.connect" in report.read_text()
    report.unlink()
    (tmp_path / "loaded").unlink()
    assert finish(lab.command(output, "--nprocs", 2), environment=paths)[0] == 0
    assert finish(lab.command(output, level="group"), environment=paths)[0] == 0
    # The command, what its workers are forked from, and the group.
    assert len((tmp_path / "loaded").read_text()) >= 3
    assert not report.exists(), report.read_text()
    note("a call home", "none is made by any process")


def test_one_bad_scan_of_many_costs_one_line(tmp_path: Path) -> None:
    # A thousand take minutes; `benchmarks.faults.thousand` has a thousand real ones.
    scans = 1000 if find_times(1) >= MANY_TIMES else 20
    bids = write_dataset(tmp_path / "bids", participants=[f"{n:04d}" for n in range(scans)])
    scan_path(bids, "0010").write_bytes(b"\x1f\x8b damaged")
    write_tiny_model(tmp_path / "tiny.safetensors")
    with start(Lab(folder=tmp_path).command(tmp_path / "out", "--nprocs", 2)) as process:
        out, err = process.communicate(timeout=1800)
    assert process.returncode == 1
    assert f"{scans - 1} scans done, 1 failed" in out
    assert len([line for line in err.splitlines() if "sub-0010" in line]) == 1
    assert out.count("FAILED") == 1
    note(f"one bad scan of {scans}", "the others are done, one line names it")


def segment_moved(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Segment a scan while all label maps are written a voxel away from where they belong."""

    def write_moved(path: Path, labels: NDArray[Any], grid: Grid) -> None:
        moved = grid.affine @ [[1, 0, 0, 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
        write_labels(path, labels, replace(grid, affine=moved, qform=moved, sform=moved))

    bids = write_dataset(folder / "bids", participants=("01",))
    model = write_tiny_model(folder / "tiny.safetensors")
    job = ScanJob(
        path=scan_path(bids, "01"),
        dataset_root=bids,
        entities={"sub": "01"},
        suffix="T1w",
        datatype="anat",
        output_dir=folder / "out",
        state_file=folder / "state.json",
        metadata_effect="none",
        engine=EngineSettings(model=model),
        fingerprint={"model": {"sha256": ""}},
    )
    monkeypatch.setattr(scan, "write_labels", write_moved)
    scan.process_scan(job, Engine.load(model, threads=1))


def test_an_output_that_lies_elsewhere_than_its_scan_is_never_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = write_image(tmp_path / "a.nii.gz", affine=make_affine())
    for shift in (np.diag([1, 1, 1.1, 1]), np.diag([-1.0, 1, 1, 1])):
        moved = write_image(tmp_path / "b.nii.gz", affine=make_affine() @ shift)
        with pytest.raises(ScanError, match="would lie elsewhere than the scan"):
            scan._check_grid(moved, read_grid(image).grid)
        assert not moved.exists()
        note("label map moved off its scan", "refused with both affines; the file is removed")
    with pytest.raises(ScanError, match="would lie elsewhere than the scan"):
        segment_moved(tmp_path, monkeypatch)
    assert not list((tmp_path / "out").rglob("*_dseg.*"))
    same = shutil.copyfile(image, tmp_path / "same.nii.gz")
    scan._check_grid(same, read_grid(image).grid)
