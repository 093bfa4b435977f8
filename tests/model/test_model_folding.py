from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from bids_film.domain.labels import LabelTable, Structure
from bids_film.metadata.encoder import Encoded
from bids_film.model.config import NetworkConfig
from bids_film.model.folding import FoldedUNet, can_fold
from bids_film.model.prompts import fix_metadata
from bids_film.model.rounding import EmulatedConvolutions
from bids_film.model.unet import FilmUNet, build_network

SPANS = ((0, 2), (2, 5))


def make_trained(**settings: object) -> FilmUNet:
    """A network of which no weight and no statistic is what it began with."""
    torch.manual_seed(0)
    chosen = {"dimensions": 2, "channels": (8, 12, 16), "out_channels": 3, **settings}
    network = build_network(NetworkConfig(**chosen), SPANS)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.uniform_(module.weight, -1.5, 1.5)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.2, 3)
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.3)
            nn.init.normal_(module.bias, std=0.3)
    return network.eval()


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("film_at", ["all", "encoder", "bottleneck", "decoder"])
@pytest.mark.parametrize("film_form", ["affine", "sigmoid"])
def test_a_folded_network_gives_the_same_logits(
    dimensions: int, film_at: str, film_form: str
) -> None:
    network = make_trained(dimensions=dimensions, film_at=film_at, film_form=film_form)
    check_same(network)


@pytest.mark.parametrize(
    "settings",
    [
        {"conditioning": "unconditioned"},
        {"conditioning": "constant"},
        {"channels": (4, 8)},
        {"in_channels": 6, "out_channels": 5},
        {"deep_supervision": 1, "dropout": 0.5},
        {"prompts": 3, "out_channels": 2},
    ],
    ids=str,
)
def test_every_architecture_with_batch_normalisation_folds(settings: dict[str, object]) -> None:
    check_same(make_trained(**settings))


def make_labels() -> LabelTable:
    return LabelTable(
        structures=tuple(
            Structure(index=i, name=f"s{i}", abbreviation=f"S{i}", color="#ff0000") for i in (1, 2)
        )
    )


@torch.no_grad()
def check_same(network: FilmUNet) -> None:
    width = 5 + network.config.prompts
    torch.manual_seed(1)
    images = torch.randn(3, network.config.in_channels, *[16] * network.config.dimensions)
    vector, known = torch.randn(1, width), torch.ones(1, 2 + (network.config.prompts > 0))
    expected = network(images, vector.expand(3, -1), known.expand(3, -1))
    found = FoldedUNet(network, network.modulations(vector, known))(images)
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-4


def test_folding_leaves_the_network_as_it_is() -> None:
    network = make_trained()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.randn(1, 1, 16, 16)
    FoldedUNet(network, network.modulations(torch.randn(1, 5), torch.ones(1, 2)))(images)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_what_cannot_be_folded_runs_as_it_is() -> None:
    instance = make_trained(norm="instance")
    assert not can_fold(instance)
    assert not can_fold(make_trained().train())
    labels = make_labels()
    images = torch.randn(2, 1, 16, 16)
    vector, known = torch.randn(1, 5), torch.ones(1, 2)
    segment = fix_metadata(
        instance, Encoded(vector=vector[0].numpy(), known=known[0].numpy()), labels
    )
    expected = instance(images, vector.expand(2, -1), known.expand(2, -1))
    torch.testing.assert_close(segment(images), expected)


@torch.inference_mode()
@pytest.mark.parametrize("dimensions", [2, 3])
def test_in_bfloat16_the_ends_stay_in_float32(dimensions: int) -> None:
    network = make_trained(dimensions=dimensions)
    modulations = network.modulations(torch.rand(1, 5), torch.ones(1, 2))
    image = torch.randn(1, 1, *[16] * dimensions)
    plain = FoldedUNet(network, modulations)(image)
    lowered = FoldedUNet(network, modulations, bfloat16=True)
    with EmulatedConvolutions():
        found = lowered(image)
    assert found.dtype == torch.float32
    assert not torch.equal(found, found.bfloat16().float())
    assert 0 < float((found - plain).abs().max() / plain.abs().max()) < 2**-5


@torch.inference_mode()
@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_bfloat16_is_emulated_as_it_is_computed(norm: str) -> None:
    network = make_trained(norm=norm)
    encoded = Encoded(vector=np.ones(5, dtype=np.float32), known=np.ones(2, dtype=np.float32))
    labels = make_labels()
    segment = fix_metadata(network, encoded, labels, bfloat16=True)
    image = torch.randn(1, 1, 16, 16)
    plain = fix_metadata(network, encoded, labels)(image)
    with EmulatedConvolutions():
        emulated = segment(image)
    # Sums of products are rounded in another order, which now and then is felt as one step.
    spread = float(plain.std())
    assert float((segment(image).float() - emulated.float()).abs().max()) < spread / 10
    assert 0 < float((emulated.float() - plain).abs().max()) < spread / 5
