"""Freed memory stays with the process, so that the next step need not ask the kernel for it."""

import subprocess
import sys

SCRIPT = """
import resource, sys
import torch
from bids_film.inference.memory import keep_memory

def count_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

count_faults()
first = count_faults()
assert keep_memory() is True
count_faults()
print(first, count_faults())
"""


def test_kept_memory_is_not_asked_for_again() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True
    )
    given_back, kept = map(int, done.stdout.split())
    assert kept < given_back / 10
