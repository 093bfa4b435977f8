"""Signals at random moments: nothing hangs, nothing is half, and the same command goes on."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
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
VICTIMS = ("parent", "pool process", "worker")


def find_victim(victim: str, parent: int) -> int | None:
    for process, command in sorted(list_session(parent)):
        is_worker = "workflow.worker" in command
        if victim == "worker" and is_worker:
            return process
        if victim == "pool process" and not is_worker and process != parent:
            return process
    return parent if victim == "parent" else None


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
    earliest = 0.0 if victim == "parent" else 0.3 * lab.seconds
    struck = 0
    while struck < find_times(3):
        number = SIGNALS[struck % len(SIGNALS)]
        # Every run has all scans before it, so that there is something to disturb.
        with start(lab.command(output, "--nprocs", 2, "--force")) as process:
            time.sleep(rng.uniform(earliest, lab.seconds))
            hit = strike(process, victim, number)
            out, err = process.communicate(timeout=BOUND_S)
        wait_for_the_end(process.pid)
        check_whole(output)
        if not hit:
            assert process.returncode == 0, err
            continue
        struck += 1
        if victim == "parent":
            # Without a code of ours the signal came while Python itself still started.
            assert process.returncode in (0, 128 + number, -number), out + err
        else:
            # The scan that it was at is named; the others go on.
            assert process.returncode == (1 if "FAILED" in out else 0), out + err
        if process.returncode >= 0:
            assert "Traceback" not in out + err
        if number is not signal.SIGKILL:
            assert not list(output.rglob(".bids-film-*.tmp"))
        note(f"{number.name} to the {victim} at a random moment", CHECKED)
    code, _, err = finish(lab.command(output, "--nprocs", 2))
    assert code == 0, err
    assert hash_outputs(output) == lab.expected
