from __future__ import annotations

import pytest

from bids_film.report.plots import Plot, Tick


@pytest.mark.parametrize(
    ("labels", "slanted"),
    [(["Siemens", "GE"], False), (["joint-marginal", "joint-unmasked"], True), (["alone"], False)],
)
def test_labels_that_would_run_into_each_other_are_slanted(
    labels: list[str], *, slanted: bool
) -> None:
    ticks = tuple(Tick(place=60.0 * (number + 1), label=text) for number, text in enumerate(labels))
    plot = Plot(
        title="", x_title="", y_title="", description="", dots=(), lines=(), x_ticks=ticks,
        y_ticks=(),
    )  # fmt: skip
    assert plot.slanted is slanted
