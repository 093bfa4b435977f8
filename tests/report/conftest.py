from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser
from support.chromium import start_chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with start_chromium() as started:
        yield started
