"""The command's entry: the one place where errors become exit codes."""

from __future__ import annotations

import importlib
import io
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bids_film.cli.errors import leave_broken_pipe, print_error
from bids_film.cli.options import read_options
from bids_film.domain.errors import BidsFilmError, ExitCode
from bids_film.workflow.options import AnalysisLevel, Options
from bids_film.workflow.processes import Terminated, terminable

_LEVELS = {
    AnalysisLevel.PARTICIPANT: ("bids_film.workflow.participant", "run_participant"),
    AnalysisLevel.GROUP: ("bids_film.workflow.group", "run_group"),
    AnalysisLevel.TRAIN: ("bids_film.workflow.train", "run_train"),
    AnalysisLevel.EVALUATE: ("bids_film.workflow.evaluate", "run_evaluate"),
    AnalysisLevel.EXPERIMENT: ("bids_film.workflow.experiment", "run_experiment"),
}


def entry_point(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; ``sys.argv`` where not given.

    Returns
    -------
    int
        The process's exit code, as ``--help`` documents it.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a sign that the locale lacks ends no run
            stream.reconfigure(errors="backslashreplace")
    verbose = _wants_traceback(arguments)
    try:
        options = read_options(arguments)
        verbose = verbose or options.verbose > 1
        with terminable(), _workers_meanwhile(options):
            return int(_find_level(options)(options))
    except BidsFilmError as error:
        print_error(error.message, error.hint, show_traceback=verbose)
        return int(error.exit_code)
    except KeyboardInterrupt:
        print_error("stopped by Ctrl-C", "the same command goes on where it stopped")
        return 128 + signal.SIGINT
    except Terminated:
        print_error("stopped by SIGTERM", "the same command goes on where it stopped")
        return 128 + signal.SIGTERM
    except BrokenPipeError:
        return leave_broken_pipe()
    except Exception as error:  # noqa: BLE001 whatever it is, the user gets a message and a code
        message = f"unexpected {type(error).__name__}: {error}"
        hint = "this is a defect of bids-film: please report it, with what -vv prints"
        print_error(message, hint, show_traceback=verbose)
        return int(ExitCode.SCANS_FAILED)


def _find_level(options: Options) -> Callable[[Options], int]:
    module, function = _LEVELS[options.analysis_level]
    level: Callable[[Options], int] = getattr(importlib.import_module(module), function)
    return level


@contextmanager
def _workers_meanwhile(options: Options) -> Iterator[None]:
    """Have PyTorch imported for the workers from the first moment on: nothing takes longer."""
    if not options.segments_here:
        yield
        return
    from bids_film.workflow.segment import close_nursery, start_nursery  # noqa: PLC0415

    start_nursery()
    try:
        yield
    finally:
        close_nursery()


def _wants_traceback(arguments: Sequence[str]) -> bool:
    # Errors of the parser itself come before there are options to ask.
    return sum(a.count("v") for a in arguments if a and set(a) <= {"-", "v"} and a[0] == "-") > 1
