"""Look the locked dependencies up among the known vulnerabilities, or say that this did not run.

Exit code 1 where a dependency has a known vulnerability; 0 where none has, and where nobody could
be asked: that is printed in capitals, for it is no result.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"


def main() -> None:
    """Audit, in an environment of its own."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        installed = run(python, "-m", "pip", "install", "--quiet", "pip-audit")
        if installed.returncode:
            give_up("pip-audit could not be installed")
        done = run(
            python, "-m", "pip_audit", "--requirement", LOCK, "--require-hashes", "--disable-pip",
            "--format", "json", "--progress-spinner", "off", "--timeout", "20",
        )  # fmt: skip
    try:
        entries = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        give_up((done.stderr.strip().splitlines() or ["no answer"])[-1])
    asked = [entry for entry in entries if "skip_reason" not in entry]
    if not asked:
        give_up("the database of vulnerabilities knows none of the packages here")
    found = [entry for entry in asked if entry["vulns"]]
    for entry in found:
        names = ", ".join(one["id"] for one in entry["vulns"])
        print(f"{entry['name']} {entry['version']}: {names}")
    print(f"audit: {len(asked)} of {len(entries)} packages looked up, {len(found)} vulnerable")
    sys.exit(1 if found else 0)


def run(*command: object) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False
    )


def give_up(reason: str) -> None:
    """Say that nothing was looked up."""
    print(f"AUDIT DID NOT RUN: {reason}")
    sys.exit(0)


if __name__ == "__main__":
    main()
