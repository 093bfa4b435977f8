"""Fuzz one target in this process; libFuzzer ends it.

    python -m benchmarks.fuzz.one TARGET FOLDER [flags and folders of libFuzzer]

Nothing of the package may be imported before atheris sees to it: it would not be guided by it.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import atheris


def main() -> None:
    """Fuzz with the flags that libFuzzer takes."""
    name, folder, *flags = sys.argv[1:]
    with atheris.instrument_imports(include=["bids_film", "nibabel", "tomllib", "json"]):
        from benchmarks.fuzz.targets import TARGETS  # noqa: PLC0415

    logging.disable(logging.WARNING)
    target, place = TARGETS[name], Path(folder)
    atheris.Setup([sys.argv[0], *flags], lambda data: target(data, place))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
