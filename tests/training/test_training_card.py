from __future__ import annotations

from dataclasses import replace

import pytest
from support.tiny_models import make_header

from bids_film.training.card import write_card

TRAINING = {
    "recipe": {"model": {"license": "CC0-1.0", "attribution": "", "limits": ""}},
    "data": {"training": [{}, {}], "validation": [{}]},
    "curve": [{"step": 2.0, "dice": 0.5, "dice cord": 0.5}],
    "best_step": 2,
    "steps": 2,
    "minutes": 0.1,
    "precision": "fp32",
    "machine": {"processor": "one", "threads": 1},
}


@pytest.mark.parametrize(
    ("synthesis", "told"),
    [
        ({}, ["Scans: 2 for training, 1 for validation.", "Dice on the validation scans:"]),
        (
            {"synthesis": {"targets": {}}},
            [
                "Heads from whose label maps synthetic scans were drawn: 2 for training",
                "Dice on synthetic scans of the validation heads:",
            ],
        ),
    ],
)
def test_the_card_says_whether_the_model_saw_real_scans(
    synthesis: dict[str, object], told: list[str]
) -> None:
    recipe = {**TRAINING["recipe"], **synthesis}
    card = write_card(replace(make_header(), training={**TRAINING, "recipe": recipe})).card
    assert all(words in card for words in told)
    assert "1 thread, fp32" in card
