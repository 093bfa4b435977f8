"""Inputs that fuzzing kept, and new ones: what reads files of others fails in our words."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.seeds import SEEDS
from benchmarks.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


@pytest.fixture(autouse=True)
def quiet() -> None:
    warnings.simplefilter("ignore")


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_before_is_still_read_or_refused(name: str, tmp_path: Path) -> None:
    kept = sorted((CORPUS / name).iterdir())
    assert kept
    for content in [*(path.read_bytes() for path in kept), *SEEDS[name]()]:
        TARGETS[name](content, tmp_path)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_changed_input_is_read_or_refused(name: str, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(data.draw(st.sampled_from(SEEDS[name]())))
    changes = st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=8)
    for place, value in data.draw(changes):
        content[place] = value
    cut = data.draw(st.integers(0, len(content)))
    TARGETS[name](bytes(content[:cut] if data.draw(st.booleans()) else content), tmp_path)
