"""Run bids-film in its Docker image, with the folders as they are called on this machine.

    bids-film-docker BIDS_DIR OUTPUT_DIR LEVEL [options of bids-film]

Options of this script stand before BIDS_DIR; --help lists them. Standard library only.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path

__version__ = "0.1.0"

IMAGE = "bids-film"
FILES = (
    "--bids-filter-file",
    "--metadata-file",
    "--config-file",
    "--compare-with",
    "--exclude-list",
    "--model",
    "--use-plugin",
)
"""Options of bids-film that name a file which is read (--model only where there is one)."""
LEVELS = ("participant", "group", "train", "evaluate", "experiment")
FOLDERS = ("--work-dir", "-w", "--bids-database-dir")
"""Options of bids-film that name a folder which is written to."""


class SetupError(Exception):
    """What the user asked for cannot be run; the message says why, and what to do."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the docker command, run it, and give its exit code."""
    own, rest = build_parser().parse_known_args(arguments)
    try:
        command = build_command(own, rest)
    except SetupError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stderr.write(f"+ {shlex.join(command)}\n")
    if own.print_only:
        return 0
    try:
        # In place of this process: signals then reach docker, and its exit code is ours.
        os.execvp(command[0], command)  # noqa: S606 the command that was printed
    except FileNotFoundError:
        sys.stderr.write(f"error: there is no program {own.docker!r} on this machine\n")
        return 2


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of this script's own options."""
    parser = argparse.ArgumentParser(
        prog="bids-film-docker",
        description="Run bids-film in its Docker image. All other options are those of bids-film.",
        allow_abbrev=False,
    )
    parser.add_argument("bids_dir", metavar="BIDS_DIR", help="BIDS dataset; mounted read-only")
    parser.add_argument("output_dir", metavar="OUTPUT_DIR", help="made where it does not exist")
    parser.add_argument("level", choices=LEVELS)
    parser.add_argument("--image", default=IMAGE, help=f"image to run (default: {IMAGE})")
    parser.add_argument("--docker", default="docker", help="docker, podman or the like")
    parser.add_argument("--user", default=f"{os.getuid()}:{os.getgid()}", help="default: you")
    parser.add_argument("--gpus", metavar="WHICH", help="as docker's: all, device=0 …")
    parser.add_argument("--memory", metavar="SIZE", help="as docker's: 8g …")
    parser.add_argument("--network", default="none", help="default: none, as none is needed")
    parser.add_argument("--print-only", action="store_true", help="print the command and end")
    return parser


def build_command(own: argparse.Namespace, rest: Sequence[str]) -> list[str]:
    """Build the docker command.

    Raises
    ------
    SetupError
        Where a folder or a file is not there.
    """
    dataset = _existing(own.bids_dir, "the dataset")
    if not dataset.is_dir():
        raise SetupError(f"BIDS_DIR is a folder, and {dataset} is none")
    output = _made(own.output_dir)
    # Folders keep their names: messages, links and plugin files then mean the same on both sides.
    mounts = {dataset: "ro", output: "rw"} | _find_mounts(rest)
    command = [own.docker, "run", "--rm", "--read-only", "--tmpfs", "/tmp", "--init"]  # noqa: S108
    command += ["--network", own.network, "--user", own.user]
    command += ["--gpus", own.gpus] if own.gpus else []
    command += ["--memory", own.memory] if own.memory else []
    for folder, mode in mounts.items():
        # --mount and not --volume, whose parts a colon in a folder's name would shift.
        mount = f"type=bind,source={folder},target={folder}"
        command += ["--mount", mount + (",readonly" if mode == "ro" else "")]
    inner = _with_absolute_paths(rest)
    return [*command, own.image, str(dataset), str(output), own.level, *inner]


def _find_mounts(rest: Sequence[str]) -> dict[Path, str]:
    mounts = {}
    for option, value in _options_with_values(rest):
        if option in FOLDERS:
            mounts[_made(value)] = "rw"
        elif _names_file(option, value):
            mounts[_existing(value, f"the file of {option}")] = "ro"
    return mounts


def _with_absolute_paths(rest: Sequence[str]) -> list[str]:
    """Write the paths among the options as they are called in the container."""
    changed = list(rest)
    for place, (option, value) in enumerate(_options_with_values(rest)):
        if option in FOLDERS or _names_file(option, value):
            name, equals, _ = rest[place].partition("=")
            if equals:
                changed[place] = f"{name}={_absolute(value)}"
            else:
                changed[place + 1] = str(_absolute(value))
    return changed


def _options_with_values(rest: Sequence[str]) -> list[tuple[str, str]]:
    """Pair each word with its value, which follows or is joined by ``=``; no option, no value."""
    pairs = []
    for argument, following in zip_longest(rest, rest[1:], fillvalue=""):
        name, equals, value = argument.partition("=")
        option = "--" + name[2:].replace("_", "-") if name.startswith("--") else name
        is_option = name.startswith("-")
        pairs.append((option if is_option else "", value if equals else following))
    return pairs


def _existing(text: str, what: str) -> Path:
    path = _absolute(text)
    if not path.exists():
        raise SetupError(f"{what} is not there: {path}")
    return _mountable(path)


def _made(text: str) -> Path:
    # Docker would make a missing folder, and make it root's.
    path = _absolute(text)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SetupError(f"the folder {path} cannot be made: {error.strerror}") from error
    return _mountable(path)


def _mountable(path: Path) -> Path:
    if "," in str(path):
        raise SetupError(f"docker cannot mount a path with a comma: {path}")
    return path


def _absolute(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _names_file(option: str, value: str) -> bool:
    # --model takes a name as well.
    return option in FILES and (option != "--model" or _absolute(value).is_file())


if __name__ == "__main__":
    sys.exit(main())
