from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from bids_film.domain.labels import LabelTable, Structure
from bids_film.metadata.encoder import Encoder
from bids_film.model.config import NetworkConfig
from bids_film.model.prompts import add_prompt, fix_metadata, merge_answers
from bids_film.model.unet import build_network


def make_labels(*, nested: bool) -> LabelTable:
    return LabelTable(
        structures=(
            Structure(index=1, name="cord", abbreviation="SC", color="#ff0000"),
            Structure(
                index=2,
                name="gray",
                abbreviation="GM",
                color="#00ff00",
                part_of="cord" if nested else "",
            ),
        )
    )


def answer(odds: float) -> torch.Tensor:
    """The logits of one voxel that is the structure with these log odds."""
    return torch.tensor([0.0, odds]).reshape(1, 2, 1, 1)


odds = st.floats(-9, 9).filter(lambda value: abs(value) > 0.01)


def test_the_structure_asked_for_is_told_behind_the_metadata_and_always_known() -> None:
    vector, known = add_prompt(torch.ones(2, 3), torch.zeros(2, 1), torch.tensor([1, 0]), 2)
    assert vector.tolist() == [[1, 1, 1, 0, 1], [1, 1, 1, 1, 0]]
    assert known.tolist() == [[0, 1], [0, 1]]


@given(odds, odds)
def test_a_voxel_goes_to_the_likeliest_structure_or_to_none(cord: float, gray: float) -> None:
    merged = merge_answers([answer(cord), answer(gray)], make_labels(nested=False))
    assert merged.shape == (1, 3, 1, 1)
    best = max(cord, gray)
    expected = 0 if best < 0 else 1 + [cord, gray].index(best)
    assert merged.argmax(dim=1).item() == expected


@given(odds, odds)
def test_a_part_is_cut_out_of_its_container_where_it_is_likelier_than_not(
    cord: float, gray: float
) -> None:
    merged = merge_answers([answer(cord), answer(gray)], make_labels(nested=True))
    expected = 2 if gray > 0 else int(cord > 0)
    assert merged.argmax(dim=1).item() == expected


def test_a_prompted_network_gives_a_channel_for_each_structure_of_each_image() -> None:
    torch.manual_seed(0)
    config = NetworkConfig(dimensions=2, channels=(4, 8), out_channels=2, prompts=2)
    network = build_network(config, ()).eval()
    assert network.generator is not None
    for head in network.generator.heads:
        torch.nn.init.normal_(head.weight)
    encoder = Encoder.fit((), [{}])
    images = torch.randn(3, 1, 8, 8)
    segment = fix_metadata(network, encoder.encode({}), make_labels(nested=False))
    whole = segment(images)
    assert whole.shape == (3, 3, 8, 8)
    torch.testing.assert_close(segment(images[1:2]), whole[1:2])
    assert not torch.allclose(whole[:, 1], whole[:, 2])
