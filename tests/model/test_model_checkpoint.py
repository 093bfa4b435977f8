from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.disk import largest_file
from support.tiny_models import change_content, make_header

from bids_film.domain.errors import ModelFileError
from bids_film.model.checkpoint import load_checkpoint, save_checkpoint
from bids_film.model.header import HEADER_KEY, header_to_text, read_header
from bids_film.model.unet import FilmUNet, build_network
from bids_film.models import list_models

State = dict[str, torch.Tensor]


def make_network(**settings: Any) -> FilmUNet:
    torch.manual_seed(0)
    header = make_header(**settings)
    network = build_network(header.network, header.encoder.spans)
    with torch.no_grad():
        for value in network.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value))
    return network.eval()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, make_header(), make_network())
    return path


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dimensions": 2},
        {"conditioning": "unconditioned"},
        {"film_at": "bottleneck", "film_form": "sigmoid", "generator": ()},
        {"norm": "instance", "dropout": 0.5},
    ],
    ids=str,
)
def test_a_model_read_back_is_the_same_to_the_bit(tmp_path: Path, settings: dict[str, Any]) -> None:
    header, network = make_header(**settings), make_network(**settings)
    path = tmp_path / "tiny.safetensors"
    save_checkpoint(path, header, network)
    found, restored = load_checkpoint(path)
    assert found == header
    assert not restored.training
    image = torch.rand(2, 1, *[8] * header.network.dimensions)
    inputs = image, torch.rand(2, header.encoder.width), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    assert torch.equal(restored(*inputs), network(*inputs))


def test_half_precision_halves_the_file_and_hardly_changes_the_answer(
    tmp_path: Path, model: Path
) -> None:
    path, network = tmp_path / "half.safetensors", make_network()
    save_checkpoint(path, make_header(), network, half_precision=True)
    assert path.stat().st_size < 0.6 * model.stat().st_size
    _, restored = load_checkpoint(path)
    assert {value.dtype for value in restored.parameters()} == {torch.float32}
    inputs = torch.rand(1, 1, 8, 8, 8), torch.rand(1, 4), torch.ones(1, 2)
    torch.testing.assert_close(restored(*inputs), network(*inputs), rtol=0.01, atol=0.01)


def test_a_number_too_large_for_half_precision_is_kept(tmp_path: Path) -> None:
    path, network = tmp_path / "half.safetensors", make_network()
    variance = network.encoder[0].first.norm.running_var
    variance.fill_(1e6)
    save_checkpoint(path, make_header(), network, half_precision=True)
    _, restored = load_checkpoint(path)
    assert torch.equal(restored.encoder[0].first.norm.running_var, variance)


def test_a_model_file_is_there_whole_or_not_at_all(model: Path) -> None:
    before = model.read_bytes()
    with largest_file(len(before) // 2), pytest.raises(OSError, match="File too large"):
        save_checkpoint(model, make_header(), make_network())
    assert model.read_bytes() == before
    assert [path.name for path in model.parent.iterdir()] == [model.name]


def test_nothing_of_a_file_is_run_or_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    torch.save(make_network().state_dict(), path)
    with pytest.raises(ModelFileError, match="is not a safetensors file"):
        load_checkpoint(path)


def rewrite(path: Path, change: Callable[[State], object]) -> None:
    state = load_file(path)
    change(state)
    save_file(state, path, metadata={HEADER_KEY: header_to_text(make_header())})


def drop_head(state: State) -> None:
    del state["head.weight"]


def add_another(state: State) -> None:
    state["extra"] = torch.zeros(3)


def shrink_head(state: State) -> None:
    state["head.weight"] = state["head.weight"][:2].contiguous()


def spoil(state: State) -> None:
    state["head.weight"][0] = torch.nan


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (drop_head, "head.weight"),
        (add_another, "extra"),
        (shrink_head, "head.weight"),
        (spoil, "NaN in head.weight"),
        (dict.clear, "numbers, got 0"),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    model: Path, change: Callable[[State], object], message: str
) -> None:
    rewrite(model, change)
    with pytest.raises(ModelFileError, match="do not fit the configuration") as caught:
        load_checkpoint(model)
    assert message in caught.value.message
    assert str(model) in caught.value.message


def test_weights_cut_off_at_any_place_are_refused(model: Path) -> None:
    content = model.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    for size in (0, 5, 8, 100, 8 + length, 9 + length, len(content) - 1):
        model.write_bytes(content[:size])
        with pytest.raises(ModelFileError):
            load_checkpoint(model)
    model.write_bytes(content + b"more")
    with pytest.raises(ModelFileError):
        load_checkpoint(model)


def test_a_huge_network_is_refused_before_memory_is_taken_for_it(model: Path) -> None:
    text = change_content(lambda content: content["network"].update(channels=[4096] * 8))
    save_file(load_file(model), model, metadata={HEADER_KEY: text})
    with pytest.raises(ModelFileError, match="expected at least"):
        load_checkpoint(model)


@pytest.mark.parametrize("name", sorted(list_models({})))
def test_bundled_models_can_be_loaded(name: str) -> None:
    path = list_models({})[name]
    header, network = load_checkpoint(path)
    assert header == read_header(path)
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())


def test_a_model_file_may_be_read_by_whom_the_umask_lets(tmp_path: Path) -> None:
    header = make_header()
    network = build_network(header.network, header.encoder.spans)
    before = os.umask(0o022)
    try:
        save_checkpoint(tmp_path / "model.safetensors", header, network)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.safetensors").stat().st_mode) == 0o644
