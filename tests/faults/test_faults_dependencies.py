"""The lock of the dependencies: by hash, and the versions that the tests ran with."""

from __future__ import annotations

import re
import tomllib

from fault_lab import ROOT

_PINNED = re.compile(r"^([A-Za-z0-9_.-]+)==([^\s\\;]+)(.*)$")


def read_pins(name: str) -> dict[str, str]:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    found = (match for line in lines if (match := _PINNED.match(line)))
    return {re.sub("[-_.]+", "-", match[1]).lower(): match[2] for match in found}


def test_every_locked_package_has_a_hash_and_the_version_of_the_tests() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE)[1:]
    assert len(entries) > 30
    for entry in entries:
        assert "--hash=sha256:" in entry, entry[:80]
    locked, tested = read_pins("requirements.lock"), read_pins("constraints.txt")
    assert {name: locked[name] for name in locked.keys() & tested.keys()} == {
        name: tested[name] for name in locked.keys() & tested.keys()
    }


def test_every_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split("[<>=!~; ]", entry)[0].lower() for entry in project["dependencies"]}
    assert names <= read_pins("requirements.lock").keys()
