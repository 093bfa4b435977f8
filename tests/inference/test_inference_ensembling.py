from __future__ import annotations

import pytest
import torch
from torch import nn

from bids_film.domain.errors import UsageError
from bids_film.inference.ensembling import ONCE, Ensemble, check_ensemble, mirror, predict_mean

NO_DROPOUT = nn.Conv3d(1, 2, 1)


class Dropping(nn.Module):
    """A network whose answer is its dropout."""

    def __init__(self, probability: float = 0.5) -> None:
        super().__init__()
        self.dropout = nn.Dropout3d(probability)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.dropout(image.expand(4, 8, -1, -1, -1))[:, 0]


def draw_image() -> torch.Tensor:
    return torch.rand((1, 16, 18, 14), generator=torch.Generator().manual_seed(0))


def test_once_is_the_network_as_it_is() -> None:
    image = draw_image()
    assert torch.equal(predict_mean(torch.sqrt, image, NO_DROPOUT, ONCE), image.sqrt())
    assert ONCE.description == ""


def test_a_network_that_minds_neither_contrast_nor_place_gives_the_same_in_every_pass() -> None:
    """Voxels are averaged with themselves, also those that a pass pushes out of the image."""
    image = torch.zeros(1, 16, 18, 3)
    image[:, 6:10, :5, 1] = 1
    image[:, -2:, -4:, -1] = 1
    found = predict_mean(lambda x: x, image, NO_DROPOUT, Ensemble(kind="augment", passes=6))
    torch.testing.assert_close(found, image)


@pytest.mark.parametrize("size", [(1, 1, 1), (2, 9, 1), (9, 2, 3), (4, 9, 2)])
def test_an_image_may_be_smaller_than_a_shift(size: tuple[int, int, int]) -> None:
    image = torch.zeros(1, *size)
    image[:, :1] = 1
    found = predict_mean(lambda x: x, image, NO_DROPOUT, Ensemble(kind="augment", passes=40))
    torch.testing.assert_close(found, image)


def test_passes_over_changed_copies_differ_and_the_first_is_the_scan_as_it_is() -> None:
    seen: list[torch.Tensor] = []

    def predict(image: torch.Tensor) -> torch.Tensor:
        seen.append(image.clone())
        return image

    image = draw_image()
    predict_mean(predict, image, NO_DROPOUT, Ensemble(kind="augment", passes=5))
    assert len(seen) == 5
    assert torch.equal(seen[0], image)
    assert all(not torch.equal(one, image) for one in seen[1:])


def test_mirror_images_are_answered_alike_with_their_sides_exchanged() -> None:
    opposites = (0, 2, 1, 3)
    network = nn.Sequential(nn.Conv3d(1, 4, 3, padding=1), nn.Softmax(dim=1))
    image = draw_image()
    with torch.no_grad():
        predict = mirror(lambda x: network(x[None])[0], opposites)
        found, mirrored = predict(image), predict(image.flip(1))
        plain = network(image[None])[0]
    torch.testing.assert_close(mirrored, found[list(opposites)].flip(1))
    torch.testing.assert_close(found.sum(dim=0), torch.ones(image.shape[1:]))
    assert not torch.allclose(found, plain)


@pytest.mark.parametrize("kind", ["augment", "dropout"])
def test_the_same_scan_always_gives_the_same(kind: str) -> None:
    network = Dropping().eval()
    ensemble = Ensemble(kind=kind, passes=4)  # type: ignore[arg-type]
    one, other = (predict_mean(network, draw_image(), network, ensemble) for _ in range(2))
    assert torch.equal(one, other)


def test_dropout_works_in_its_passes_only() -> None:
    network = Dropping().eval()
    image = draw_image()
    state = torch.get_rng_state()
    found = predict_mean(network, image, network, Ensemble(kind="dropout", passes=400))
    assert not network.dropout.training
    assert torch.equal(torch.get_rng_state(), state), "chance of others is touched"
    single = predict_mean(network, image, network, Ensemble(kind="dropout", passes=1))
    assert not torch.equal(single, network(image))
    # Over many passes channels are dropped as often as they are doubled.
    torch.testing.assert_close(found.mean(), network(image).mean(), rtol=0.1, atol=0)


def test_dropout_of_a_network_that_was_trained_without_is_refused() -> None:
    for network in (NO_DROPOUT, Dropping(0.0)):
        with pytest.raises(UsageError, match="trained without dropout"):
            check_ensemble(Ensemble(kind="dropout", passes=2), network)


def test_no_pass_at_all_is_refused() -> None:
    with pytest.raises(UsageError, match="at least one pass"):
        Ensemble(kind="augment", passes=0)
