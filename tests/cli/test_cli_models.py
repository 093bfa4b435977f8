from __future__ import annotations

from pathlib import Path

import pytest

from bids_film.cli.models import entry_point
from bids_film.model.header import hash_file
from bids_film.models import find_model, list_models


def test_every_installed_model_is_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert entry_point(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    names = [line.split()[0] for line in lines[1:]]
    assert names == sorted(list_models())
    assert len({line.index("network") for line in lines[:1]}) == 1


def test_a_model_that_cannot_be_used_is_listed_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    monkeypatch.setenv("BIDS_FILM_MODELS", str(tmp_path))
    assert entry_point(["list"]) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("broken")]
    assert "cannot be used" in line


@pytest.mark.parametrize("name", ["brain", "spinalcord", "hippocampus"])
def test_a_model_is_shown_with_its_hash_and_its_card(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert entry_point(["show", name]) == 0
    shown = capsys.readouterr().out
    assert hash_file(find_model(name)) in shown
    assert "Licence of the weights" in shown
    assert "Not a medical device" in shown


def test_a_whole_model_is_verified_and_another_hash_is_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    digest = hash_file(find_model("hippocampus"))
    assert entry_point(["verify", "hippocampus", "--sha256", digest.upper()]) == 0
    assert "whole" in capsys.readouterr().out
    assert entry_point(["verify", "hippocampus", "--sha256", "0" * 64]) == 3
    assert "fetch it anew" in capsys.readouterr().err


def test_a_truncated_model_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = find_model("hippocampus").read_bytes()
    path = tmp_path / "cut.safetensors"
    path.write_bytes(whole[: len(whole) // 2])
    assert entry_point(["verify", str(path)]) == 3
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["lst"], ["show"], ["show", "brian"]], ids=str)
def test_what_cannot_be_done_is_said_in_one_message(
    capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert entry_point(arguments) in (2, 3)
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert "Traceback" not in error
