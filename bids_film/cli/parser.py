"""The command's arguments; nothing heavy is imported, so that ``--help`` answers at once."""

from __future__ import annotations

import argparse
import difflib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import bids_film
from bids_film.domain.errors import UsageError
from bids_film.domain.paths import make_absolute
from bids_film.workflow.options import AnalysisLevel

_DESCRIPTION = """\
Segment the scans of a BIDS dataset with a network that reads each scan's metadata.

analysis levels:
  participant   segment each scan; write label maps, volumes and a report per participant
  group         gather all participants' volumes and flags in one table
  train         train a model from a BIDS dataset with labels (recipe: --config-file)
  evaluate      compare the label maps in OUTPUT_DIR with reference labels
  experiment    train a recipe with and without metadata, several seeds, and compare
"""

_EPILOG = """\
exit codes:
  0   all done
  1   at least one scan failed; the others were finished (see OUTPUT_DIR/logs)
  2   usage: an option or a folder that cannot be used
  3   input: not a BIDS dataset, nothing matches the filters, or no such model
  A run that is stopped by a signal ends with 128 + its number (130: Ctrl-C, 143: time limit);
  the same command goes on where it stopped.

examples:
  bids-film /data /out participant --participant-label 01 02 --dry-run
  bids-film /data /out participant --metadata Manufacturer=Siemens
  bids-film /data /out group
"""

_LONGEST_NAME = 255
_ALIASES = {
    "--n-cpus": "--nprocs",
    "--n-procs": "--nprocs",
    "--mem-gb": "--mem",
    "--n-threads": "--omp-nthreads",
}
"""Spellings of other BIDS Apps that are taken as ours."""


class Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        """Raise the usage error that argparse would have printed."""
        hint = f"see {self.prog} --help"
        unknown = re.findall(r"(--[\w-]+)", message) if "unrecognized" in message else []
        near = [near for name in unknown for near in self.nearest(name)]
        if near:
            hint = f"did you mean {' or '.join(near)}?"
        raise UsageError(message, hint=hint)

    def find_option(self, name: str) -> argparse.Action | None:
        """Option of exactly this long name, or None."""
        return self._option_string_actions.get(name)

    def nearest(self, name: str) -> list[str]:
        """Long options that look like a shortened or misspelt one, at most one."""
        known = [option for option in self._option_string_actions if option.startswith("--")]
        longer = [option for option in known if option.startswith(f"{name}-")]
        return longer[:1] or difflib.get_close_matches(name, known, n=1)


def build_parser() -> Parser:
    """Build the parser of all levels; options that are not given are absent from its result."""
    parser = Parser(
        prog="bids-film",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
        add_help=False,
    )
    parser.add_argument("bids_dir", metavar="BIDS_DIR", type=absolute_path, help="BIDS dataset")
    parser.add_argument(
        "output_dir", metavar="OUTPUT_DIR", type=absolute_path, help="where the derivatives go"
    )
    levels = [str(level) for level in AnalysisLevel]
    parser.add_argument("analysis_level", choices=levels, help="what to do (above)")
    _add_selection(parser)
    _add_model(parser)
    _add_output(parser)
    _add_evaluation(parser)
    _add_running(parser)
    _add_other(parser)
    return parser


def normalise_spelling(arguments: Sequence[str]) -> list[str]:
    """Bring ``--participant_label`` and other apps' names to the names used here."""
    return [_normalise_argument(argument) for argument in arguments]


def absolute_path(text: str) -> Path:
    """Read a path so that it stays valid when the process changes its folder."""
    if not text or "\0" in text:
        raise argparse.ArgumentTypeError(f"expected a path, got {text!r}")
    try:
        path = make_absolute(Path(text).expanduser())
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"there is no such user: {text!r}") from error
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in path.parts):
        raise argparse.ArgumentTypeError(f"expected a path, got {text[:40]!r} and so on: too long")
    return path


def positive_int(text: str) -> int:
    """Read a count that is at least one."""
    if not re.fullmatch(r"\d{1,6}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def positive_gigabytes(text: str) -> float:
    """Read an amount of memory in gigabytes; ``8``, ``7.5`` and ``8G`` are taken."""
    match = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*(?:gb?)?", text.strip(), re.IGNORECASE)
    if match is None or float(match[1]) <= 0:
        raise argparse.ArgumentTypeError(f"expected gigabytes such as 8, got {text!r}")
    return float(match[1])


def device_name(text: str) -> str:
    """Read the name of a computing device."""
    if not re.fullmatch(r"auto|cpu|cuda(:\d{1,3})?", text):
        raise argparse.ArgumentTypeError(f"expected auto, cpu, cuda or cuda:N, got {text!r}")
    return text


def assignment(text: str) -> str:
    """Read ``FIELD=VALUE``; what it means is for the metadata room to say."""
    field, equals, _ = text.partition("=")
    if not equals or not field.strip():
        raise argparse.ArgumentTypeError(f"expected FIELD=VALUE, got {text!r}")
    return text


def _normalise_argument(argument: str) -> str:
    if not argument.startswith("--"):
        return argument
    name, equals, value = argument.partition("=")
    name = name.replace("_", "-")
    return _ALIASES.get(name, name) + equals + value


def _label(prefix: str) -> Any:
    def read(text: str) -> str:
        label = text.removeprefix(prefix)
        if not re.fullmatch(r"[a-zA-Z0-9+]{1,200}", label):
            raise argparse.ArgumentTypeError(f"expected letters and digits, got {text[:60]!r}")
        return label

    return read


def _add_selection(parser: Parser) -> None:
    group = parser.add_argument_group("which scans")
    group.add_argument(
        "--participant-label",
        action="extend",
        nargs="+",
        metavar="LABEL",
        type=_label("sub-"),
        help="participants, with or without sub- (default: all)",
    )
    group.add_argument(
        "--session-label",
        action="extend",
        nargs="+",
        metavar="LABEL",
        type=_label("ses-"),
        help="sessions, with or without ses- (default: all)",
    )
    group.add_argument(
        "--bids-filter-file",
        metavar="FILE",
        type=absolute_path,
        help="JSON of BIDS entities that a scan must have; null: absent, *: any",
    )
    group.add_argument(
        "--skip-bids-validation",
        action="store_true",
        help="do not check dataset_description.json and that there are participants",
    )
    group.add_argument(
        "--exclude-list",
        metavar="FILE",
        type=absolute_path,
        help="TSV or JSON of a review: its rejected scans are left out (group, evaluate, train)",
    )
    group.add_argument(
        "--bids-database-dir",
        metavar="DIR",
        type=absolute_path,
        help="folder of a pybids index to reuse; made where it does not exist",
    )


def _add_model(parser: Parser) -> None:
    group = parser.add_argument_group("model and metadata")
    group.add_argument(
        "--model", metavar="NAME|FILE", help="bundled model or model file (default: brain)"
    )
    group.add_argument(
        "--metadata",
        action="extend",
        nargs="+",
        metavar="FIELD=VALUE",
        type=assignment,
        help="values for all scans, before anything found in the dataset",
    )
    group.add_argument(
        "--metadata-file",
        metavar="TSV",
        type=absolute_path,
        help="values per participant_id (and session_id), before those of the dataset",
    )
    group.add_argument(
        "--ensemble",
        choices=["none", "augment", "dropout"],
        help="mean of several passes: over changed copies, or with the dropout of training",
    )
    group.add_argument(
        "--passes", type=positive_int, metavar="N", help="passes of --ensemble (default: 8)"
    )
    group.add_argument(
        "--on-missing-metadata",
        choices=["use-unknown", "error"],
        help="a field without a usable value: take the learned unknown (default), or fail the scan",
    )


def _add_output(parser: Parser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--save-probabilities", action="store_true", help="write a probability map per structure"
    )
    group.add_argument(
        "--metadata-effect",
        choices=["all", "withheld", "none"],
        help="for the report, segment again without any metadata (withheld, default), with each "
        "other level of them as well (all), or not at all (none, fastest)",
    )
    group.add_argument(
        "--reports-only", action="store_true", help="write the reports anew, segment nothing"
    )
    group.add_argument(
        "--dry-run",
        action="store_true",
        help="print what would run and the metadata found for each scan, and end (participant, "
        "train, experiment)",
    )
    group.add_argument(
        "--force", action="store_true", help="segment again what is already done and unchanged"
    )


def _add_evaluation(parser: Parser) -> None:
    group = parser.add_argument_group("evaluation")
    group.add_argument(
        "--part",
        choices=["test", "validation", "training"],
        help="run the model on this part of its split, instead of reading OUTPUT_DIR's label maps",
    )
    group.add_argument(
        "--by",
        metavar="FIELD",
        help="summarise per value of a metadata field or a column of participants.tsv",
    )
    group.add_argument(
        "--compare-with",
        metavar="TSV",
        type=absolute_path,
        help="table of another run on the same scans (evaluate, group)",
    )


def _add_running(parser: Parser) -> None:
    group = parser.add_argument_group("running")
    group.add_argument(
        "--device", type=device_name, metavar="DEVICE", help="auto (default), cpu, cuda or cuda:N"
    )
    group.add_argument(
        "--precision", choices=["auto", "fp32", "bf16"], help="of the network (default: auto)"
    )
    group.add_argument(
        "--nprocs", type=positive_int, metavar="N", help="scans segmented at the same time"
    )
    group.add_argument(
        "--omp-nthreads", type=positive_int, metavar="N", help="threads that one scan may use"
    )
    group.add_argument(
        "--mem", type=positive_gigabytes, metavar="GB", help="memory for all scans together"
    )
    group.add_argument(
        "-w",
        "--work-dir",
        metavar="DIR",
        type=absolute_path,
        help="folder for nipype's files (default: a temporary one)",
    )
    group.add_argument(
        "--clean-workdir", action="store_true", help="leave nothing of the run in the work folder"
    )
    group.add_argument(
        "--use-plugin",
        metavar="FILE",
        type=absolute_path,
        help="YAML with nipype's plugin and plugin_args, for clusters",
    )
    group.add_argument(
        "--stop-on-first-crash", action="store_true", help="end at the first scan that fails"
    )
    group.add_argument(
        "--write-graph", action="store_true", help="write the workflow's graph to OUTPUT_DIR/logs"
    )
    group.add_argument(
        "--resource-monitor", action="store_true", help="have nipype log memory and CPU use"
    )


def _add_other(parser: Parser) -> None:
    group = parser.add_argument_group("other")
    group.add_argument(
        "--config-file",
        metavar="TOML",
        type=absolute_path,
        help="options by their long names (the command line wins), "
        "and the recipe of train, evaluate and experiment",
    )
    group.add_argument(
        "-v",
        "--verbose",
        action="count",
        help="say more; -vv also shows where in the code an error arose",
    )
    group.add_argument("--version", action="version", version=f"bids-film {bids_film.__version__}")
    group.add_argument("-h", "--help", action="help", help="show this text and end")
