from __future__ import annotations

import io

import pytest

from bids_film.workflow.job import Result, ScanOutcome
from bids_film.workflow.progress import Progress, format_duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def make_outcome(result: Result = Result.DONE) -> ScanOutcome:
    return ScanOutcome(
        result=result,
        entities={"sub": "01"},
        input="sub-01/anat/sub-01_T1w.nii.gz",
        message="broken [bold]" if result is Result.FAILED else "",
        hint="copy it anew",
        seconds={"read": 1.0, "predict": 2.25},
    )


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_each_scan_gets_a_line_with_its_count(stream: io.StringIO) -> None:
    with Progress(2, stream) as progress:
        progress.show(make_outcome())
        progress.show(make_outcome(Result.FAILED))
    text = stream.getvalue()
    assert "[1/2] sub-01/anat/sub-01_T1w.nii.gz done in 3.2 s" in text
    assert "[2/2] sub-01/anat/sub-01_T1w.nii.gz FAILED: broken [bold] (copy it anew)" in text
    assert len(progress.failed) == 1


def test_time_left_is_told_until_the_last_scan() -> None:
    stream = io.StringIO()
    progress = Progress(2, stream)
    progress.show(make_outcome())
    progress.show(make_outcome())
    first, last = stream.getvalue().splitlines()
    assert first.endswith(" left")
    assert "left" not in last


def test_lines_in_a_log_begin_with_the_time_and_hold_no_control_characters() -> None:
    stream = io.StringIO()
    Progress(1, stream).show(make_outcome())
    assert stream.getvalue()[:4].isdecimal()
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1, "1 s"), (8.4, "8 s"), (90, "2 min"), (3600, "1 h 00 min"), (11_130, "3 h 06 min")],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text
