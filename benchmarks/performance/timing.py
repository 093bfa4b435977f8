"""Times as rows of a table: this program first, the others as multiples of it."""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from benchmarks.pages import write_section
from benchmarks.provenance import describe_run

PAGE = "performance.md"
REPEATS = 2


@dataclass(frozen=True, kw_only=True)
class Row:
    """One way to do a task.

    Attributes
    ----------
    way : str
    seconds : float
    memory_mb : float or None
        Peak of the process that did it.
    note : str
    """

    way: str
    seconds: float
    memory_mb: float | None = None
    note: str = ""


def make_parser(about: str | None, *, peers: bool = False) -> argparse.ArgumentParser:
    """Take what the benchmarks have in common, and where peers are that are not installed."""
    parser = argparse.ArgumentParser(description=(about or "").splitlines()[0])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--write", action="store_true", help=f"put the tables into docs/{PAGE}")
    if peers:
        parser.add_argument("--peers", help="folder of peers that are not installed, for imports")
    return parser


def parse_arguments(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the arguments, give torch as many threads as they say, and find the peers."""
    arguments = parser.parse_args()
    sys.path += [peers] if (peers := getattr(arguments, "peers", None)) else []
    torch.set_num_threads(arguments.threads)
    return arguments


def try_peer(way: str, measure_peer: Callable[[], Row]) -> Iterator[Row]:
    """Time a peer; where it is not installed, say so and leave the row out."""
    try:
        yield measure_peer()
    except ImportError as problem:
        print(f"{way}: not measured, {problem}")


def take_best(call: Callable[[], object], *, repeats: int = REPEATS) -> float:
    """Seconds of the fastest of some calls, after one that does not count."""
    call()
    return min(_take_once(call) for _ in range(repeats))


def _take_once(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


class Run(NamedTuple):
    """What a command took.

    Attributes
    ----------
    seconds : float
    processor_s : float
        Of all its processes.
    memory_mb : float
        Peak of the largest of them.
    """

    seconds: float
    processor_s: float
    memory_mb: float


def run_command(command: Sequence[str], *, repeats: int = 1) -> Run:
    """Run a command, and give what the fastest of its runs took.

    It is started from a small process, whose only children are those of the command.
    """
    runs = []
    for _ in range(repeats):
        starter = [sys.executable, "-c", _STARTER, *command]
        done = subprocess.run(starter, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr[-2000:]}")
        seconds, processor_s, kilobytes = map(float, done.stdout.split())
        runs.append(Run(seconds, processor_s, kilobytes / 1024))
    return min(runs)


_STARTER = """
import resource, subprocess, sys, time
started = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(done.returncode)
"""


def find_peak_mb() -> float:
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def describe(rows: Sequence[Row]) -> str:
    """Write rows as a table; the first one is what the others are compared with."""
    with_memory = any(row.memory_mb for row in rows)
    head = ["way", "seconds", "ratio", *(["peak memory"] if with_memory else []), "note"]
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    for row in rows:
        memory = [f"{row.memory_mb:,.0f} MB" if row.memory_mb else ""] if with_memory else []
        ratio = f"{row.seconds / rows[0].seconds:.2f}"
        lines.append(" | ".join([row.way, f"{row.seconds:.3g}", ratio, *memory, row.note]))
    return "\n".join(f"| {line} |" for line in lines)


def publish(
    name: str,
    tables: Mapping[str, Sequence[Row]],
    arguments: argparse.Namespace,
    *models: str,
    section: str = "",
    remark: str = "",
) -> None:
    """Print the tables, and put them into the page's section where that was asked for."""
    parts = [f"{title}:\n\n{describe(rows)}" for title, rows in tables.items()]
    run = f"{describe_run(f'performance/{name}.py', *models)} {arguments.threads} threads."
    text = "\n\n".join([*parts, *([remark] if remark else []), run])
    print(text)
    if arguments.write:
        write_section(PAGE, section or name, text)
