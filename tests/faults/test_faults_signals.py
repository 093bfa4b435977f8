"""Signals at random moments: nothing hangs, nothing is half, and the same command goes on."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from fault_lab import (
    BOUND_S,
    Lab,
    check_whole,
    find_times,
    finish,
    hash_outputs,
    list_session,
    note,
    start,
    wait_for_the_end,
)

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
CHECKED = (
    "it ended in time and left no process; no half file; the same command went on, and its outputs "
    "are those of an undisturbed run to the bit"
)
VICTIMS = ("parent", "pool process", "nursery", "keeper", "worker")


def find_victim(victim: str, parent: int) -> int | None:
    if victim == "parent":
        return parent
    members = sorted(list_session(parent))
    from_nursery = {one.process for one in members if "workflow.nursery" in one.command}
    for process, its_parent, _ in members:
        if process not in from_nursery:
            kind = "" if process == parent else "pool process"
        elif its_parent == parent:
            kind = "nursery"
        else:
            # A worker's parent is its keeper; the keeper's is the nursery.
            grandparents = {one.parent for one in members if one.process == its_parent}
            kind = "worker" if grandparents & from_nursery else "keeper"
        if kind == victim:
            return process
    return None


def strike(process: subprocess.Popen[str], victim: str, number: signal.Signals) -> bool:
    """Send a signal; whether there still was a process to send it to."""
    found = find_victim(victim, process.pid)
    if found is None or process.poll() is not None:
        return False
    with suppress(ProcessLookupError):
        os.kill(found, number)
        return True
    return False


@pytest.mark.parametrize("victim", VICTIMS)
def test_a_signal_at_any_moment_costs_no_output(lab: Lab, output: Path, victim: str) -> None:
    rng = random.Random(victim)
    numbers = itertools.cycle(SIGNALS)
    # All scans are before every run: by turns nothing is there yet, and all is made anew.
    turns = itertools.cycle(((), ("--force",)))
    struck = 0
    while struck < find_times(3):
        options = next(turns)
        if not options:
            shutil.rmtree(output, ignore_errors=True)
        process = start(lab.command(output, "--nprocs", 2, *options))
        sent, out, err = disturb(process, victim, numbers, lambda: rng.uniform(0, lab.seconds / 2))
        wait_for_the_end(process.pid)
        check_whole(output)
        struck += len(sent)
        check_code(process.returncode, victim, sent, out + err)
        # Python itself reports a Ctrl-C that comes within a callback of its imports, and goes on.
        if process.returncode >= 0 and "Exception ignored in" not in err:
            assert "Traceback" not in out + err
        if signal.SIGKILL not in sent:
            assert not list(output.rglob(".bids-film-*.tmp"))
        code, _, err = finish(lab.command(output, "--nprocs", 2))
        assert code == 0, err
        assert hash_outputs(output) == lab.expected
        for number in sent:
            note(f"{number.name} to the {victim} at a random moment", CHECKED)


def disturb(
    process: subprocess.Popen[str],
    victim: str,
    numbers: Iterator[signal.Signals],
    draw_pause_s: Callable[[], float],
) -> tuple[list[signal.Signals], str, str]:
    """Send signals at random moments until a run has ended; those sent, and what it printed."""
    sent: list[signal.Signals] = []
    with process:
        while process.poll() is None and not (sent and victim == "parent"):
            with suppress(subprocess.TimeoutExpired):
                process.wait(draw_pause_s())
            number = next(numbers)
            sent += [number] if strike(process, victim, number) else []
        out, err = process.communicate(timeout=BOUND_S)
    return sent, out, err


def check_code(code: int, victim: str, sent: list[signal.Signals], printed: str) -> None:
    """Fail where an exit code does not tell what happened."""
    if victim == "parent" and sent:
        # Without a code of ours the signal came while Python itself still started.
        assert code in (0, 128 + sent[0], -sent[0]), printed
    else:
        # The scans that were struck are named; the others go on.
        failed = "FAILED" in printed or "a report failed" in printed
        assert code == (1 if failed else 0), printed
