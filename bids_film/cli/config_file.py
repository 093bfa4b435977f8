"""Options from a TOML file, as if they had been typed."""

from __future__ import annotations

import argparse
import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bids_film.cli.parser import Parser, normalise_spelling
from bids_film.domain.errors import UsageError
from bids_film.domain.records import is_table

_RECIPE_TABLES = (
    "model", "data", "structures", "metadata", "preprocessing", "postprocessing", "network",
    "augmentation", "synthesis", "training", "split", "experiment",
)  # fmt: skip
_RECIPE_METADATA = ("fields", "drop_probability", "drop_all_probability")
_NOT_IN_FILE = ("config-file", "help", "version")


def read_config_file(path: Path) -> Mapping[str, Any]:
    """Read the top-level keys of a TOML file; tables are for the training recipe, and left out.

    Raises
    ------
    UsageError
        Where the file cannot be read as TOML.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(
            f"the configuration file cannot be read: {path}: {error.strerror}",
            hint="check the path given to --config-file",
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(
            f"the configuration file is not TOML: {path}: {error}",
            hint='a line looks like this: participant-label = ["01", "02"]',
        ) from error
    _check_tables({key: value for key, value in content.items() if is_table(value)}, path)
    return {key: value for key, value in content.items() if not is_table(value)}


def config_arguments(config: Mapping[str, Any], path: Path, parser: Parser) -> list[str]:
    """Write a configuration as command line arguments, so that one set of checks serves both.

    Raises
    ------
    UsageError
        For a key that is no option, or a value that its option does not take.
    """
    arguments: list[str] = []
    for key, value in config.items():
        action = _find_action(key, path, parser)
        arguments += _format_value(action, key, value, path)
    return arguments


def _check_tables(tables: Mapping[str, Any], path: Path) -> None:
    """Refuse tables that are no part of a recipe: nothing would ever read them."""
    for name in tables:
        if name not in _RECIPE_TABLES:
            near = difflib.get_close_matches(name, _RECIPE_TABLES, n=1)
            raise UsageError(
                f"[{name}] in {path} is neither an option nor a part of a training recipe",
                hint=f"did you mean [{near[0]}]?" if near else "options stand above all tables",
            )
    metadata = tables.get("metadata", {})
    unknown = [key for key in metadata if key not in _RECIPE_METADATA]
    if unknown:
        raise UsageError(
            f"metadata in {path}: {unknown[0]!r} belongs to no recipe",
            hint='the option is written metadata = ["FIELD=VALUE"]',
        )


def _find_action(key: str, path: Path, parser: Parser) -> argparse.Action:
    (option,) = normalise_spelling([f"--{key}"])
    action = parser.find_option(option)
    if action is not None and option.removeprefix("--") not in _NOT_IN_FILE:
        return action
    if action is not None:
        raise UsageError(f"{key!r} in {path} is taken on the command line only")
    near = [name.removeprefix("--") for name in parser.nearest(option)]
    raise UsageError(
        f"{key!r} in {path} is not an option",
        hint=f"did you mean {near[0]!r}?" if near else "keys are the long options without --",
    )


def _format_value(action: argparse.Action, key: str, value: Any, path: Path) -> list[str]:
    option = action.option_strings[-1]
    if action.dest == "verbose" and type(value) is int and 0 <= value <= 2:  # noqa: PLR2004 -vv
        return [option] * value
    if action.dest == "verbose" and type(value) is not bool:
        raise UsageError(f"{key!r} in {path} must be 0, 1, 2, true or false, not {value!r}")
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise UsageError(f"{key!r} in {path} must be true or false, not {value!r}")
        return [option] if value else []
    values = value if isinstance(value, list) and action.nargs == "+" else [value]
    if not values or any(isinstance(item, list | bool) for item in values):
        expected = "a list of values" if action.nargs == "+" else "one value"
        raise UsageError(f"{key!r} in {path} must be {expected}, not {value!r}")
    return [f"{option}={item}" for item in values]
