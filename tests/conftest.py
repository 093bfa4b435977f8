"""What every test may ask for."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

# Before any test imports torch or numpy: their threads are of no use to small tests, and wait for
# each other on a busy machine. Programs that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says nothing on a busy machine.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

_DATA_VARIABLE = "BIDS_FILM_TEST_DATA"
_DEFAULT_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def pytest_configure(config: pytest.Config) -> None:
    # A shell's background job ignores Ctrl-C, and so would the programs that the tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "realdata: needs the real datasets; skipped without them")
    config.addinivalue_line("markers", "browser: needs Chromium; fails without it")


def _find_data() -> Path:
    return Path(os.environ.get(_DATA_VARIABLE, _DEFAULT_DATA))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if _find_data().is_dir():
        return
    absent = pytest.mark.skip(reason=f"no real data at {_find_data()}; set {_DATA_VARIABLE}")
    for item in items:
        if item.get_closest_marker("realdata"):
            item.add_marker(absent)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real datasets."""
    if not _find_data().is_dir():
        pytest.skip(f"no real data at {_find_data()}; set {_DATA_VARIABLE}")
    return _find_data()
