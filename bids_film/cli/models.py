"""``bids-film-models``: which models there are, what is known of each, whether a file is whole."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import bids_film
from bids_film.cli.errors import leave_broken_pipe, print_error
from bids_film.cli.parser import Parser
from bids_film.domain.errors import BidsFilmError, ExitCode, ModelFileError
from bids_film.model.header import ModelHeader, hash_file, read_header
from bids_film.models import find_model, list_models

_MEGABYTE = 1e6


def entry_point(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; ``sys.argv`` where not given.

    Returns
    -------
    int
        0, or the exit code of `bids-film` for the same problem.
    """
    try:
        given = build_parser().parse_args(arguments)
        sys.stdout.writelines(f"{line}\n" for line in given.run(given))
    except BidsFilmError as error:
        print_error(error.message, error.hint)
        return int(error.exit_code)
    except BrokenPipeError:
        return leave_broken_pipe()
    return int(ExitCode.DONE)


def build_parser() -> argparse.ArgumentParser:
    """Build the parser of the three commands."""
    parser = Parser(
        prog="bids-film-models",
        description="Models that are installed, and model files.",
        epilog="Folders named in BIDS_FILM_MODELS come before the bundled models.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"bids-film {bids_film.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    command = commands.add_parser("list", help="name, kind, structures, size and licence of each")
    command.set_defaults(run=list_all)
    command = commands.add_parser("show", help="all that a model file says of itself: its card")
    command.add_argument("model", metavar="NAME|FILE")
    command.set_defaults(run=show)
    command = commands.add_parser("verify", help="whether a model file is whole and can be used")
    command.add_argument("model", metavar="NAME|FILE")
    command.add_argument("--sha256", metavar="HEX", default="", help="what its hash should be")
    command.set_defaults(run=verify)
    return parser


def list_all(given: argparse.Namespace) -> Iterator[str]:  # noqa: ARG001 (one call for all commands)
    """List the installed models, one a line."""
    rows: list[tuple[str, ...]] = [
        ("name", "version", "network", "spacing, mm", "structures", "MB", "licence", "segments")
    ]
    for name, path in sorted(list_models().items()):
        try:
            rows.append((name, *_summarise(read_header(path), path)))
        except ModelFileError as error:
            rows.append((name, "", "", "", "", "", "", f"cannot be used: {error.message}"))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]])


def show(given: argparse.Namespace) -> Iterator[str]:
    """Show where a model is, its hash and its card."""
    path = find_model(given.model)
    header = read_header(path)
    yield f"file:    {path}"
    yield f"SHA-256: {hash_file(path)}"
    inputs = ", ".join(f"{key} {value}" for key, value in header.inputs.items())
    yield f"scans:   {inputs or 'any'}"
    yield ""
    yield header.card.rstrip()


def verify(given: argparse.Namespace) -> Iterator[str]:
    """Load a model as a run would, and compare its hash with the one that is expected."""
    from bids_film.model.checkpoint import load_checkpoint  # noqa: PLC0415 imports torch

    path = find_model(given.model)
    header, network = load_checkpoint(path)
    found = hash_file(path)
    if given.sha256 and found != given.sha256.lower():
        raise ModelFileError(
            f"{path} has the SHA-256 {found}, not {given.sha256}",
            hint="it is another version, or was changed: fetch it anew",
        )
    weights = sum(value.numel() for value in network.parameters())
    yield f"{path}: {header.name} {header.version}, {weights:,} weights, whole"
    yield f"SHA-256: {found}"


def _summarise(header: ModelHeader, path: Path) -> tuple[str, ...]:
    spacing = " ".join(
        "own" if size == 0 else f"{size:g}" for size in header.preprocessing.spacing_mm
    )
    about = header.training.get("recipe", {}).get("model", {})
    return (
        header.version,
        f"{header.network.dimensions}-D {header.network.conditioning}",
        spacing,
        str(len(header.labels)),
        f"{path.stat().st_size / _MEGABYTE:.1f}",
        str(about.get("license") or "not stated"),
        header.description,
    )


if __name__ == "__main__":
    sys.exit(entry_point())
