from __future__ import annotations

import pytest

from bids_film.domain.errors import UsageError
from bids_film.evaluation.summary import summarise
from bids_film.workflow.evaluation_tables import check_names, describe_summaries


def describe(dice_of: dict[str, float]) -> str:
    rows = [
        {"participant_id": who, "scan": who, "structure": "cord", "dice": dice, "hd95_mm": 1.0}
        for who, dice in dice_of.items()
    ]
    (line,) = describe_summaries(summarise(rows))
    return line


@pytest.mark.parametrize(
    ("dice_of", "told"),
    [
        ({"sub-01": 0.8}, "cord (1 scans of 1): dice 0.800 (one participant: no interval)"),
        ({"sub-01": 0.8, "sub-02": 0.6}, "cord (2 scans of 2): dice 0.700 (95 % 0.600 to 0.800)"),
    ],
)
def test_the_mean_of_one_participant_has_no_interval(dice_of: dict[str, float], told: str) -> None:
    assert describe(dice_of).startswith(told)


def test_metadata_never_take_the_place_of_a_measure() -> None:
    check_names(["part", "suffix", "arm"])
    with pytest.raises(UsageError, match="'dataset'"):
        check_names(["suffix", "dataset"])
    with pytest.raises(UsageError, match="'arm'"):
        check_names(["arm"], known=["arm"])
