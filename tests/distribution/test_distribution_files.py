from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from boutiques import bosh

from bids_film.cli.parser import build_parser
from bids_film.workflow.plugin_file import read_plugin_file
from distribution.make import FOLDER, make_files

DESCRIPTOR = FOLDER / "bids-film.json"
COMPLETION = FOLDER / "completion" / "bash" / "bids-film"


@pytest.mark.parametrize("path", make_files(), ids=lambda path: str(path.relative_to(FOLDER)))
def test_the_files_are_those_of_the_parser_as_it_is(path: Path) -> None:
    advice = "run: python -m distribution.make"
    assert path.read_text(encoding="utf-8") == make_files()[path], advice


def test_boutiques_takes_the_descriptor_and_it_names_every_option() -> None:
    bosh(["validate", str(DESCRIPTOR)])
    inputs = json.loads(DESCRIPTOR.read_text(encoding="utf-8"))["inputs"]
    flags = {entry.get("command-line-flag") for entry in inputs} - {None}
    options = {max(a.option_strings, key=len) for a in build_parser()._actions[3:]}
    assert flags == options - {"--help", "--version"}


def test_boutiques_builds_the_command_line_from_values(tmp_path: Path) -> None:
    values = {
        "bids_dir": str(tmp_path), "output_dir": "out", "analysis_level": "participant",
        "participant_label": ["01", "02"], "nprocs": 2, "mem": 7.5, "force": True,
    }  # fmt: skip
    invocation = tmp_path / "invocation.json"
    invocation.write_text(json.dumps(values), encoding="utf-8")
    said = str(bosh(["exec", "simulate", "-i", str(invocation), str(DESCRIPTOR)]))
    words = " ".join(said.split())
    assert f"bids-film {tmp_path} out participant --participant-label 01 02" in words
    for option in ("--nprocs 2", "--mem 7.5", "--force"):
        assert option in words


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("bids-film data out par", "participant"),
        ("bids-film data out participant --prec", "--precision"),
        ("bids-film data out participant --precision b", "bf16"),
        ("bids-film folder-of-m", "folder-of-mine"),
    ],
)
def test_bash_completes_levels_options_values_and_paths(
    typed: str, offered: str, tmp_path: Path
) -> None:
    (tmp_path / "folder-of-mine").mkdir()
    words = typed.split()
    quoted = " ".join(f"'{word}'" for word in words)
    script = (
        f"source '{COMPLETION}'\nCOMP_WORDS=({quoted})\nCOMP_CWORD={len(words) - 1}\n"
        f"function=$(complete -p bids-film | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n"
        f"$function bids-film '{words[-1]}' '{words[-2]}' 2>/dev/null\n"
        'printf "%s\\n" "${COMPREPLY[@]}"\n'
    )
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert offered in done.stdout.split(), done.stdout + done.stderr


def test_the_lock_for_cuda_is_that_of_the_program_and_what_torch_needs_besides() -> None:
    def read_versions(name: str) -> dict[str, str]:
        text = (FOLDER.parent / name).read_text(encoding="utf-8")
        pairs = re.findall(r"^([\w.-]+)={2,3}([^\s;]+)", text, re.MULTILINE)
        return {re.sub(r"[._]", "-", name.lower()): version for name, version in pairs}

    cuda, locked = read_versions("docker/constraints-cuda.txt"), read_versions("requirements.lock")
    everywhere = read_versions("constraints.txt")
    assert cuda.items() <= locked.items(), "run: make lock"
    assert locked.keys() - everywhere.keys() <= cuda.keys(), "run: make lock"
    assert cuda.keys() & everywhere.keys() == {"torch"}
    assert cuda["torch"] == everywhere["torch"]


@pytest.mark.parametrize("name", ["slurm", "pbs", "sge"])
def test_each_plugin_file_is_one_that_the_program_takes(name: str) -> None:
    plugin, arguments = read_plugin_file(FOLDER.parent / "singularity" / "plugins" / f"{name}.yml")
    assert plugin == name.upper()
    assert arguments["max_jobs"]
