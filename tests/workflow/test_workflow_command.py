from __future__ import annotations

from pathlib import Path

from bids_film.cli.options import read_options
from bids_film.workflow.command import describe_command


def describe(*more: str) -> str:
    options = read_options(["/data/secret", "/out/secret", "participant", *more])
    return describe_command(options, "01")


def test_the_command_names_the_participant_and_what_the_outputs_depend_on() -> None:
    command = describe("--model", "spinalcord", "--metadata", "Manufacturer=GE MEDICAL", "age=3")
    assert command == (
        "bids-film BIDS_DIR OUTPUT_DIR participant --participant-label 01 --model spinalcord "
        "--metadata 'Manufacturer=GE MEDICAL' age=3"
    )


def test_it_leaves_out_what_changes_nothing_and_where_files_lie() -> None:
    command = describe("--nprocs", "4", "--model", "/home/me/own.safetensors", "-w", "/scratch")
    assert "secret" not in command
    assert "scratch" not in command
    assert "nprocs" not in command
    assert command.endswith("--model own.safetensors")


def test_the_command_can_be_read_back() -> None:
    given = [
        "--save-probabilities",
        "--skip-bids-validation",
        "--metadata-effect",
        "none",
        "--precision",
        "fp32",
    ]
    words = describe(*given).split()[1:]
    again = read_options([str(Path("/") / words[0]), str(Path("/") / words[1]), *words[2:]])
    assert again.participant_label == ("01",)
    assert again.skip_bids_validation
    assert (again.save_probabilities, again.metadata_effect, again.precision) == (
        True,
        "none",
        "fp32",
    )
