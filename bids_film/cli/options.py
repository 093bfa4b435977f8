"""From argv and the configuration file to frozen options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bids_film.cli.config_file import config_arguments, read_config_file
from bids_film.cli.parser import Parser, build_parser, normalise_spelling
from bids_film.domain.errors import UsageError
from bids_film.workflow.options import AnalysisLevel, Options


def read_options(arguments: Sequence[str]) -> Options:
    """Read the command line, and the configuration file that it names; the command line wins.

    Raises
    ------
    UsageError
        For anything that is not an option, or a value that an option does not take.
    """
    parser = build_parser()
    given = vars(parser.parse_args(normalise_spelling(arguments)))
    if "config_file" in given:
        given = _read_file_options(parser, given) | given
    values = {name: _freeze(value) for name, value in given.items()}
    values["analysis_level"] = AnalysisLevel(values["analysis_level"])
    options = Options(**values)
    _check_combinations(options)
    return options


def _read_file_options(parser: Parser, given: dict[str, Any]) -> dict[str, Any]:
    path = given["config_file"]
    from_file = config_arguments(read_config_file(path), path, parser)
    positional = [str(given[name]) for name in ("bids_dir", "output_dir", "analysis_level")]
    try:
        return vars(parser.parse_args([*positional, *from_file]))
    except UsageError as error:
        raise UsageError(f"in {path}: {error.message}", hint=error.hint) from error


def _freeze(value: Any) -> Any:
    return tuple(dict.fromkeys(value)) if isinstance(value, list) else value


def _check_combinations(options: Options) -> None:
    if options.reports_only and options.force:
        raise UsageError(
            "--reports-only segments nothing, and --force segments everything again",
            hint="leave one of the two out",
        )
    if options.use_plugin and options.nprocs:
        raise UsageError(
            "--nprocs and --use-plugin both say how many scans run at the same time",
            hint="set n_procs under plugin_args in the plugin file, and leave --nprocs out",
        )
