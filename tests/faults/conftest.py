from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fault_lab import Lab, finish, hash_outputs
from support.bids_factory import write_dataset
from support.tiny_models import write_tiny_model

PARTICIPANTS = tuple(f"{number:02d}" for number in range(1, 7))


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Six scans and a model of random weights, and what comes of them."""
    folder = tmp_path_factory.mktemp("lab")
    write_dataset(folder / "bids", participants=PARTICIPANTS, shape=(40, 36, 32))
    torch.manual_seed(0)
    write_tiny_model(folder / "tiny.safetensors")
    lab = Lab(folder=folder)
    began = time.monotonic()
    code, _, err = finish(lab.command(folder / "undisturbed", "--nprocs", 2))
    assert code == 0, err
    expected = hash_outputs(folder / "undisturbed")
    before = hash_outputs(folder / "bids")
    yield replace(lab, expected=expected, seconds=time.monotonic() - began)
    assert hash_outputs(folder / "bids") == before, "the input was written to"


@pytest.fixture
def output(lab: Lab, tmp_path: Path) -> Path:
    # As deep as that of the undisturbed run: dataset_description.json holds a relative link.
    return lab.folder / f"out-{tmp_path.name}"
