"""What the user sees while a run goes on: one line per scan, with counts and time left."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self, TextIO

from bids_film.domain.words import count_of
from bids_film.workflow.job import ScanOutcome

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_MINUTE_S = 60
_HOUR_S = 3600


class Progress:
    """Prints outcomes as they appear; a moving bar below them in a terminal, none in a log file.

    Parameters
    ----------
    total : int
        Scans that will be segmented.
    stream : TextIO
        Where the lines go.
    """

    def __init__(self, total: int, stream: TextIO) -> None:
        self.total = total
        self.done = 0
        self.failed: list[ScanOutcome] = []
        self._stream = stream
        self._started = time.monotonic()
        self._bar = _make_bar(total, stream) if stream.isatty() and total else None

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, outcome: ScanOutcome) -> None:
        """Print the line of a scan that has ended."""
        self.done += 1
        if outcome.failed:
            self.failed.append(outcome)
        line = f"[{self.done}/{self.total}] {_describe(outcome)}{self._time_left()}"
        if self._bar:
            task = self._bar.task_ids[0]
            self._bar.update(task, completed=self.done, failed=len(self.failed))
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)
            self._bar.refresh()
        else:
            self._stream.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
            self._stream.flush()

    def _time_left(self) -> str:
        remaining = self.total - self.done
        if remaining <= 0:
            return ""
        elapsed_s = time.monotonic() - self._started
        return f", about {format_duration(elapsed_s / self.done * remaining)} left"


def format_duration(duration_s: float) -> str:
    """Write a duration for people: ``8 s``, ``12 min``, ``3 h 05 min``."""
    if duration_s < _MINUTE_S:
        return f"{max(1, round(duration_s))} s"
    if duration_s < _HOUR_S:
        return f"{round(duration_s / _MINUTE_S)} min"
    hours, minutes = divmod(round(duration_s / _MINUTE_S), _MINUTE_S)
    return f"{hours} h {minutes:02d} min"


def _describe(outcome: ScanOutcome) -> str:
    if outcome.failed:
        hint = f" ({outcome.hint})" if outcome.hint else ""
        return f"{outcome.input} FAILED: {outcome.message}{hint}"
    count = len(outcome.flags)
    notes = f", {count_of(count, 'note')} in its report" if count else ""
    return f"{outcome.input} done in {sum(outcome.seconds.values()):.1f} s{notes}"


def _make_bar(total: int, stream: TextIO) -> RichProgress:
    # rich is imported where there is a terminal: a log file needs none of it.
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn  # noqa: PLC0415

    # No refreshing thread: nipype forks its workers from this process, and threads do not fork.
    bar = Progress(
        TextColumn("segmenting"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[failed]} failed"),
        console=Console(file=stream),
        auto_refresh=False,
        transient=True,
    )
    bar.add_task("scans", total=total, failed=0)
    return bar
