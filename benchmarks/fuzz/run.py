"""Fuzz all that reads files of others, and write how often into docs/reliability.md.

    python -m benchmarks.fuzz.run --runs 1000000 [--seed N] [--target NAME] [--ledger FILE]

needs atheris (``pip install .[fuzz]``). Each target runs in a process of its own, guided by code
that its inputs reach. An input that ends in anything but an error of ours is kept as ``crash-…`` in
the current folder and named; the exit code is then 1. Inputs that reach new code are merged into
``tests/fuzz/corpus``, of which only the smallest are kept. A long run can be divided: a ledger that
is kept is added to, and the table is of all that it holds.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.fuzz.seeds import SEEDS
from benchmarks.pages import write_section
from benchmarks.provenance import describe_run

_CORPUS = Path(__file__).parents[2] / "tests" / "fuzz" / "corpus"
_SHARES = {
    "name": 0.25, "filters": 0.2, "given-metadata": 0.15, "tsv": 0.12, "sidecar": 0.12,
    "own-files": 0.05, "model": 0.03, "plugin": 0.03, "nifti": 0.03, "toml": 0.02,
}  # fmt: skip
"""Of the inputs; the quick ones get more of them."""
_LONGEST = {"nifti": 1024, "model": 4096, "toml": 4096}
_KEPT_FILES, _KEPT_BYTES = 25, 4096


def main() -> None:
    """Fuzz one target or all of them, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=1_000_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", choices=SEEDS)
    parser.add_argument("--ledger", type=Path, help="file to add to")
    options = parser.parse_args()
    names = [options.target] if options.target else list(_SHARES)
    ledger = options.ledger or Path(tempfile.mkdtemp()) / "ledger"
    crashed = 0
    for name in names:
        began = time.monotonic()
        runs = options.runs if options.target else round(options.runs * _SHARES[name])
        done, edges, reason = fuzz_target(name, runs, options.seed)
        crashed += bool(reason)
        with ledger.open("a", encoding="utf-8") as stream:
            stream.write(f"{name}\t{done}\t{edges}\t{reason or 'none'}\n")
        print(
            f"{name}: {done} inputs in {time.monotonic() - began:.0f} s, {reason or 'no crash'}",
            flush=True,
        )
    write_section("reliability.md", "fuzzing", _describe(ledger))
    sys.exit(1 if crashed else 0)


def fuzz_target(name: str, runs: int, seed: int) -> tuple[int, int, str]:
    """Fuzz a target: inputs that were tried, edges that they reached, and what crashed it."""
    memory = Path("/dev/shm")  # noqa: S108 quicker than a disk
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        corpus = Path(folder) / "corpus"
        corpus.mkdir()
        for number, content in enumerate(SEEDS[name]()):
            (corpus / f"seed-{number}").write_bytes(content)
        known = [str(_CORPUS / name)] if (_CORPUS / name).is_dir() else []
        longest = _LONGEST.get(name, 512)
        flags = [f"-runs={runs}", f"-seed={seed}", f"-max_len={longest}", "-timeout=60"]
        command = [sys.executable, "-m", "benchmarks.fuzz.one", name, folder]
        done = subprocess.run(
            [*command, *flags, "-rss_limit_mb=4096", str(corpus), *known],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        _keep(corpus, _CORPUS / name)
    lines = re.findall(r"^#(\d+)\s.*?cov: (\d+)", done.stderr, re.MULTILINE)
    tried, edges = map(int, lines[-1]) if lines else (0, 0)
    if done.returncode == 0:
        return tried, edges, ""
    sys.stderr.write(done.stdout[-3000:] + done.stderr[-3000:])
    return tried, edges, f"exit code {done.returncode}"


def _keep(found: Path, corpus: Path) -> None:
    """Keep the smallest of the inputs that reached new code."""
    corpus.mkdir(parents=True, exist_ok=True)
    files = sorted(found.iterdir(), key=lambda file: (file.stat().st_size, file.name))
    for old in corpus.iterdir():
        old.unlink()
    chosen = [file for file in files if file.stat().st_size <= _KEPT_BYTES]
    step = max(1, len(chosen) // _KEPT_FILES)
    for number, file in enumerate(chosen[::step][:_KEPT_FILES]):
        shutil.copyfile(file, corpus / f"{number:02d}")


def _describe(ledger: Path) -> str:
    runs = [line.split("\t") for line in ledger.read_text(encoding="utf-8").splitlines()]
    rows = []
    for name in _SHARES:
        own = [run for run in runs if run[0] == name]
        done, edges = sum(int(run[1]) for run in own), max((int(run[2]) for run in own), default=0)
        crashes = ", ".join(sorted({run[3] for run in own} - {"none"})) or "none"
        rows.append(f"| `{name}` | {done:,} | {edges:,} | {crashes} |")
    total = sum(int(run[1]) for run in runs)
    lines = [
        "| target | inputs | edges of the code reached | crashes |",
        "| --- | --- | --- | --- |",
        *rows,
        f"| all | {total:,} | | |",
        "",
        describe_run("fuzz/run.py"),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
