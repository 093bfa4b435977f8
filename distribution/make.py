"""Write the files that follow from the command's arguments: Boutiques descriptor, completions.

    python -m distribution.make

A test fails where they are not those of the parser as it is.
"""

from __future__ import annotations

import json
from pathlib import Path

import shtab

from bids_film.cli.parser import Parser, absolute_path, build_parser
from distribution.boutiques_descriptor import describe_tool

FOLDER = Path(__file__).resolve().parent


def make_files() -> dict[Path, str]:
    """Make the content of each file."""
    descriptor = json.dumps(describe_tool(build_parser()), indent=2, ensure_ascii=False) + "\n"
    shells = {"bash": "bids-film", "zsh": "_bids-film"}
    completions = {
        FOLDER / "completion" / shell / name: shtab.complete(
            _complete_paths(build_parser()), shell=shell
        )
        for shell, name in shells.items()
    }
    return {FOLDER / "bids-film.json": descriptor} | {
        path: text.rstrip() + "\n" for path, text in completions.items()
    }


def _complete_paths(parser: Parser) -> Parser:
    for action in parser._actions:  # noqa: SLF001 argparse has no other way to them
        if action.type is absolute_path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # where shtab looks for it
    return parser


def main() -> None:
    """Write them."""
    for path, text in make_files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
