from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny_models import ENCODER, ROWS, make_header
from support.tiny_training import disturb

from bids_film.model.unet import FilmUNet, build_network
from bids_film.training.widen import widen

CHANNELS = (6, 12, 16)


@pytest.fixture(
    params=[
        {},
        {"dimensions": 2},
        {"film_form": "sigmoid"},
        {"film_at": "decoder", "norm": "instance"},
        {"conditioning": "unconditioned"},
        {"deep_supervision": 1},
        {"out_channels": 2, "prompts": 2},
    ],
    ids=str,
)
def narrow(request: pytest.FixtureRequest) -> FilmUNet:
    torch.manual_seed(3)
    settings: dict[str, Any] = {"channels": (4, 8, 16), **request.param}
    return disturb(build_network(make_header(**settings).network, ENCODER.spans))


def supervise(network: FilmUNet) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(1, 1, *[8] * network.config.dimensions, generator=generator)
    encoded = ENCODER.encode(ROWS[0])
    prompts = torch.eye(max(network.config.prompts, 1))[:1, : network.config.prompts]
    vector = torch.cat([torch.from_numpy(encoded.vector)[None], prompts], dim=1)
    known = torch.cat(
        [torch.from_numpy(encoded.known)[None], torch.ones(1, bool(network.config.prompts))], dim=1
    )
    return network.supervise(image, network.modulations(vector, known))


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_a_widened_network_computes_the_same(narrow: FilmUNet, mode: str) -> None:
    wide = widen(narrow, CHANNELS, ENCODER.spans)
    assert wide.config.channels == CHANNELS
    getattr(wide, mode)()
    getattr(narrow, mode)()
    found, expected = supervise(wide), supervise(narrow)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_what_is_taken_from_new_channels_can_be_learned(narrow: FilmUNet) -> None:
    wide = widen(narrow, CHANNELS, ENCODER.spans).train()
    sum(output.square().sum() for output in supervise(wide)).backward()  # type: ignore[union-attr]
    gradient = dict(wide.named_parameters())["head.weight"].grad
    assert gradient is not None
    assert bool((gradient[:, 4:].flatten(1).norm(dim=0) > 0).all())


def test_the_narrow_network_stays_as_it_is(narrow: FilmUNet) -> None:
    before = {name: value.clone() for name, value in narrow.state_dict().items()}
    widen(narrow, CHANNELS, ENCODER.spans)
    assert all(torch.equal(before[name], value) for name, value in narrow.state_dict().items())
