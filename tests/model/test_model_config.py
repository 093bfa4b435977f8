from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest

from bids_film.domain.errors import UsageError
from bids_film.domain.records import from_mapping
from bids_film.model.config import NetworkConfig, Postprocessing, Preprocessing


@pytest.mark.parametrize(
    "record",
    [
        NetworkConfig(),
        NetworkConfig(
            dimensions=2, channels=(8, 16, 16), generator=(), dropout=0.3, norm="instance"
        ),
        Preprocessing(spacing_mm=(0.5, 0.5, 0.0), plane="thickest", patch=(64, 64)),
        Postprocessing(keep_largest=("cord",)),
    ],
)
def test_settings_survive_the_way_through_plain_values(record: Any) -> None:
    assert from_mapping(type(record), asdict(record), where="here") == record


@pytest.mark.parametrize(("levels", "stride"), [(2, 2), (4, 8), (5, 16)])
def test_every_level_below_the_first_halves_the_resolution(levels: int, stride: int) -> None:
    assert NetworkConfig(channels=(4,) * levels).stride == stride


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dimensions": 4}, "dimensions 2 or 3, got 4"),
        ({"channels": ()}, "channel counts of 2 to 8 levels"),
        ({"channels": (8,)}, "channel counts of 2 to 8 levels"),
        ({"channels": (8, 0)}, "each from 1 to 4096"),
        ({"channels": (8, 10**9)}, "each from 1 to 4096"),
        ({"channels": (4,) * 100}, "channel counts of 2 to 8 levels"),
        ({"generator": (16, -1)}, "generator layers"),
        ({"in_channels": 0}, "input channels, got 0"),
        ({"out_channels": 1}, "output channels, got 1"),
        ({"dropout": float("nan")}, "dropout from 0 to below 1, got nan"),
        ({"dropout": 1.0}, "dropout from 0 to below 1"),
    ],
)
def test_a_network_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        NetworkConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"spacing_mm": (1.0, float("nan"), 1.0)}, "spacing_mm of positive numbers"),
        ({"spacing_mm": (1.0, float("inf"), 1.0)}, "spacing_mm of positive numbers"),
        ({"spacing_mm": (1.0, -1.0, 1.0)}, "spacing_mm of positive numbers"),
        ({"patch": (16,)}, "two or three positive sizes"),
        ({"patch": (16, 0, 16)}, "two or three positive sizes"),
        ({"percentiles": (99.0, 1.0)}, "the lower one first"),
        ({"percentiles": (0.0, 101.0)}, "from 0 to 100"),
        ({"percentiles": (float("nan"), 99.0)}, "from 0 to 100"),
    ],
)
def test_a_preprocessing_that_cannot_be_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Preprocessing(**settings)
