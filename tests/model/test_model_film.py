from __future__ import annotations

import pytest
import torch
from torch import nn

from bids_film.model.config import NetworkConfig
from bids_film.model.film import Generator, modulate
from bids_film.model.unet import FilmUNet, build_network

SPANS = [(0, 3), (3, 5)]


def make_network(**settings: object) -> FilmUNet:
    torch.manual_seed(0)
    config = NetworkConfig(
        **{"dimensions": 2, "channels": (8, 16, 16), "out_channels": 3} | settings
    )
    return build_network(config, SPANS)


def excite(network: FilmUNet) -> FilmUNet:
    """Give the FiLM heads weights, so that metadata matter."""
    assert network.generator is not None
    for head in network.generator.heads:
        nn.init.normal_(head.weight, std=0.5)
        nn.init.normal_(head.bias, std=0.5)
    return network


def test_modulation_equals_the_plain_formula_for_every_scan_and_channel() -> None:
    torch.manual_seed(0)
    features, scale, shift = torch.randn(3, 4, 5, 6, 7), torch.randn(3, 4), torch.randn(3, 4)
    result = modulate(features, (scale, shift))
    for scan in range(3):
        for channel in range(4):
            plain = scale[scan, channel] * features[scan, channel] + shift[scan, channel]
            torch.testing.assert_close(result[scan, channel], plain)


def test_the_gradients_of_scale_and_shift_are_right() -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 3, 4, 4, dtype=torch.double, requires_grad=True)
    scale = torch.randn(2, 3, dtype=torch.double, requires_grad=True)
    shift = torch.randn(2, 3, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x, g, b: modulate(x, (g, b)), (features, scale, shift))


def test_one_condition_for_a_batch_of_two_is_an_error_and_does_not_broadcast() -> None:
    with pytest.raises(ValueError, match="one metadata vector for each scan"):
        modulate(torch.zeros(2, 3, 4, 4), (torch.ones(1, 3), torch.zeros(1, 3)))
    with pytest.raises(ValueError, match="one metadata vector for each scan"):
        make_network()(torch.zeros(2, 1, 8, 8), torch.zeros(1, 5), torch.ones(1, 2))


def test_at_the_start_the_affine_form_is_the_identity_and_the_sigmoid_form_halves() -> None:
    condition = torch.randn(2, 5), torch.ones(2, 2)
    affine = Generator(SPANS, (64, 16), (8, 16), "affine")(*condition)
    assert all(bool((scale == 1).all() and (shift == 0).all()) for scale, shift in affine)
    sigmoid = Generator(SPANS, (64, 16), (8, 16), "sigmoid")(*condition)
    assert all(bool((scale == 0.5).all() and (shift == 0.5).all()) for scale, shift in sigmoid)


def test_the_affine_form_is_one_plus_gamma_and_the_sigmoid_form_is_bounded() -> None:
    torch.manual_seed(0)
    vector, known = torch.randn(4, 5), torch.ones(4, 2)
    for form in ("affine", "sigmoid"):
        generator = Generator(SPANS, (64, 16), (8,), form)
        nn.init.normal_(generator.heads[0].weight, std=3.0)
        gamma, beta = generator.heads[0](generator.shared(vector)).chunk(2, dim=1)
        scale, shift = generator(vector, known)[0]
        if form == "affine":
            torch.testing.assert_close(scale, 1 + gamma)
            torch.testing.assert_close(shift, beta)
        else:
            torch.testing.assert_close(scale, gamma.sigmoid())
            torch.testing.assert_close(shift, beta.sigmoid())


def test_an_unknown_field_hides_its_value_and_uses_a_learned_embedding() -> None:
    network = excite(make_network())
    assert network.generator is not None
    nn.init.normal_(network.generator.unknown)
    known = torch.tensor([[1.0, 0.0]])
    one, other = torch.randn(1, 5), torch.randn(1, 5)
    other[:, :3] = one[:, :3]
    same = [network.modulations(vector, known) for vector in (one, other)]
    torch.testing.assert_close(same[0], same[1])
    network.modulations(one, known)[0][0].sum().backward()
    gradient = network.generator.unknown.grad
    assert gradient is not None
    assert bool((gradient[:3] == 0).all())
    assert bool((gradient[3:] != 0).any())


def test_each_scan_of_a_batch_is_segmented_as_if_it_were_alone() -> None:
    network = excite(make_network()).eval()
    image, vector = torch.randn(3, 1, 16, 16), torch.randn(3, 5)
    known = torch.tensor([[1.0, 1.0], [0.0, 1.0], [0.0, 0.0]])
    together = network(image, vector, known)
    for scan in range(3):
        part = slice(scan, scan + 1)
        alone = network(image[part], vector[part], known[part])
        torch.testing.assert_close(together[part], alone, rtol=1e-4, atol=1e-5)


def test_constant_and_unconditioned_networks_do_not_see_the_metadata() -> None:
    image = torch.randn(1, 1, 16, 16)
    for conditioning in ("constant", "unconditioned"):
        network = make_network(conditioning=conditioning).eval()
        if conditioning == "constant":
            excite(network)
        results = [network(image, torch.randn(1, 5), torch.ones(1, 2)) for _ in range(2)]
        torch.testing.assert_close(results[0], results[1])
    assert make_network(conditioning="unconditioned").generator is None


@pytest.mark.parametrize("place", ["all", "encoder", "bottleneck", "decoder"])
def test_film_follows_the_units_that_the_setting_names(place: str) -> None:
    network = make_network(film_at=place)
    assert network.generator is not None
    encoder, decoder = [8, 8, 16, 16, 16, 16], [16, 16, 8, 8]
    expected = {
        "all": encoder + decoder,
        "encoder": encoder,
        "bottleneck": [16, 16],
        "decoder": decoder,
    }
    assert list(network.generator.channels) == expected[place]
    assert network(torch.zeros(1, 1, 8, 8), torch.zeros(1, 5), torch.ones(1, 2)).shape == (
        1,
        3,
        8,
        8,
    )


@pytest.mark.parametrize("dimensions", [2, 3])
def test_gradients_reach_every_parameter(dimensions: int) -> None:
    network = excite(make_network(dimensions=dimensions))
    image = torch.randn(2, 1, *[16] * dimensions)
    network(
        image, torch.randn(2, 5), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    ).square().mean().backward()
    without = [name for name, value in network.named_parameters() if value.grad is None]
    assert without == []


def test_the_transposed_convolution_contains_upsampling_and_convolving() -> None:
    """Nearest upsampling and a 3-voxel convolution are one kernel-4 stride-2 transposed one."""
    torch.manual_seed(0)
    image, kernel = torch.randn(1, 1, 8, dtype=torch.double), torch.randn(3, dtype=torch.double)
    upsampled = image.repeat_interleave(2, dim=2)
    plain = nn.functional.conv1d(upsampled, kernel.view(1, 1, 3), padding=1)
    # an even output sees k0 of the voxel before and k1 + k2 of its own; an odd one k0 + k1 and k2
    merged = torch.stack([kernel[2], kernel[1] + kernel[2], kernel[0] + kernel[1], kernel[0]])
    transposed = nn.functional.conv_transpose1d(image, merged.view(1, 1, 4), stride=2, padding=1)
    torch.testing.assert_close(transposed, plain)
