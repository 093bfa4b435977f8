"""Where and from what a figure was made, for the last lines of a result."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

from bids_film.model.header import hash_file, read_header
from bids_film.models import find_model


def describe_run(script: str, *models: str) -> str:
    """Name script, commit and machine, and the models with their hash and seed."""
    changed = _run_git("status", "--porcelain", "--", "bids_film", "benchmarks")
    commit = _run_git("rev-parse", "--short", "HEAD") or "unknown"
    state = " with changes that are not in it" if changed else ""
    lines = [f"Made by `benchmarks/{script}`, commit {commit}{state}, on {_name_processor()}."]
    for model in models:
        path = find_model(model)
        header = read_header(path)
        seed = header.training.get("recipe", {}).get("training", {}).get("seed", "unknown")
        lines.append(
            f"Model {header.name} {header.version}, SHA-256 {hash_file(path)[:12]}, seed {seed}."
        )
    return "\n".join(lines)


def _run_git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)  # noqa: S607
    return done.stdout.strip()


def _name_processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
