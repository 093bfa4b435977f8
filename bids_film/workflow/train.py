"""Train level: from a BIDS dataset with labels to one model file."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bids_film.derivatives.atomic import check_writable
from bids_film.domain.errors import ExitCode, InputError, MetadataError, ScanError, UsageError
from bids_film.domain.patterns import find_files
from bids_film.domain.scan import Scan
from bids_film.inputs.dataset import open_dataset
from bids_film.inputs.filters import parse_filters, read_filter_file
from bids_film.inputs.nifti import header_source, read_volume
from bids_film.training.labels import find_labelled, find_labels
from bids_film.training.recipe import Recipe, read_recipe
from bids_film.training.selection import find_roots, leave_out
from bids_film.training.splits import Split, check_balance, find_value, split_scans
from bids_film.workflow.evaluation_tables import check_names
from bids_film.workflow.folders import check_folders, read_excluded, run_folder
from bids_film.workflow.group_tables import COLUMNS, LAST_COLUMNS
from bids_film.workflow.options import Options
from bids_film.workflow.resources import divide_resources

if TYPE_CHECKING:
    from bids_film.training.examples import Example
    from bids_film.training.fit import Machine

_MOST_NOTES = 5


def run_train(options: Options) -> ExitCode:
    """Train a model as the recipe (``--config-file``) says; go on where an earlier run stopped.

    Raises
    ------
    UsageError
        Where there is no recipe, or it cannot be followed.
    InputError
        Where no scan has labels, or one of those that have cannot be used.
    """
    recipe = read_own_recipe(options)
    check_names((field.name for field in recipe.metadata_fields), known={**COLUMNS, **LAST_COLUMNS})
    split = split_labelled(options, recipe)
    check_training(split.training, recipe)
    if not options.dry_run:
        check_writable(options.output_dir)
        with naming_files(options.output_dir):
            model = _train(split, recipe, options)
        print_line(f"the model is in {model}")
    return ExitCode.DONE


def read_own_recipe(options: Options) -> Recipe:
    """Read the recipe that a level cannot do without.

    Raises
    ------
    UsageError
        Where there is none, or it cannot be followed.
    """
    if options.config_file is None:
        raise UsageError(
            f"{options.analysis_level} needs a recipe",
            hint="give a TOML file with [[structures]] by --config-file",
        )
    recipe = read_recipe(options.config_file)
    # Whether scans can be asked for so is better known before the training than after it.
    parse_filters(recipe.model.inputs, origin="[model] inputs")
    return recipe


def split_labelled(options: Options, recipe: Recipe) -> Split:
    """Find the labelled scans of a recipe, split them, and say who is used for what.

    Raises
    ------
    InputError
        Where no scan has labels, or none those of a structure, or a companion.
    """
    check_folders(options)
    scans, unlabelled = find_labelled_scans(options, recipe)
    if recipe.synthesis is None:
        _check_patterns(scans, recipe)
    split = split_scans(scans, recipe.split, seed=recipe.training.seed)
    for line in describe_split(split, unlabelled):
        print_line(line)
    return split


def check_training(scans: Sequence[Scan], recipe: Recipe) -> None:
    """Refuse, before any scan is read, what would be refused once all are.

    Raises
    ------
    UsageError
        Where the training cannot begin with the model that is named, or balance over a column.
    ModelFileError
        Where there is no such model.
    """
    balance, fields = recipe.training.balance, [item.name for item in recipe.metadata_fields]
    if balance and balance not in fields:
        check_balance([find_value(scan, balance) for scan in scans], balance)
    if recipe.training.start_from:
        from bids_film.training.start import load_start  # noqa: PLC0415 imports torch

        load_start(recipe.training.start_from, recipe.network_config)


def _check_patterns(scans: Sequence[Scan], recipe: Recipe) -> None:
    """Refuse to teach what no scan shows."""
    found = {name for scan in scans for name in find_labels(scan, recipe.structures)}
    for target in recipe.structures:
        if target.name not in found:
            raise InputError(
                f"structure {target.name!r}: none of {len(scans)} scans has a file {target.labels}",
                hint="correct its labels in the recipe, or leave the structure out",
            )
    for pattern in recipe.preprocessing.companions:
        if not any(path for scan in scans for path in find_files(scan, [pattern])):
            raise InputError(
                f"[preprocessing] companions: none of {len(scans)} scans has a file {pattern}",
                hint="correct the pattern, or leave it out",
            )


def _find_scans(options: Options, recipe: Recipe, *, strict: bool) -> list[Scan]:
    """Find the scans of all datasets of a recipe, without those that it excludes."""
    chosen = read_filter_file(options.bids_filter_file) if options.bids_filter_file else {}
    images = parse_filters(recipe.data.images, origin="[data] images").wanted
    kind = {"suffix": "dseg"} if recipe.synthesis else {}
    excluded = read_excluded(options)
    scans: list[Scan] = []
    for number, root in enumerate(find_roots(options.bids_dir, recipe.data)):
        # Labels and lists given on the command line are those of the first dataset.
        found = open_dataset(
            root,
            participants=options.participant_label if number == 0 else None,
            sessions=options.session_label if number == 0 else None,
            filters={**kind, **images, **chosen},
            database_dir=options.bids_database_dir if number == 0 else None,
            validate=not options.skip_bids_validation and recipe.synthesis is None,
        )
        scans += [scan for scan in found if number or scan.relative_path not in excluded]
    # Of some participants only, or of another dataset, a pattern may rightly name none.
    kept = leave_out(scans, recipe.data, strict=strict and options.participant_label is None)
    for scan in kept:
        if scan.problem and strict:
            raise MetadataError(scan.problem, hint=scan.hint)
    return kept


def describe_split(split: Split, without: Sequence[Scan]) -> Iterator[str]:
    """Describe who is used for what."""
    parts = {"training": split.training, "validation": split.validation, "test": split.test}
    for name, scans in parts.items():
        people = len({(scan.dataset_root, scan.participant) for scan in scans})
        yield f"{name}: {len(scans)} scans of {people} participants"
    if without:
        yield f"not used, for want of labels: {len(without)} scans"


def find_labelled_scans(
    options: Options, recipe: Recipe, *, strict: bool = True
) -> tuple[list[Scan], list[Scan]]:
    """Find the scans to learn from, with all their metadata, and those without labels.

    Parameters
    ----------
    strict : bool
        Whether a scan that cannot be used, or a pattern that leaves none out, is refused here; such
        a scan says so in its `problem` otherwise.

    Raises
    ------
    InputError
        Where no scan has labels.
    """
    scans = _find_scans(options, recipe, strict=strict)
    if recipe.synthesis is not None:
        return scans, []
    found = find_labelled(scans, recipe.structures)
    if not found.scans:
        raise InputError(
            f"none of {len(found.without)} scans in {options.bids_dir} has a label file",
            hint="check the patterns of labels in the recipe's [[structures]]",
        )
    return [_add_header(scan, strict=strict) for scan in found.scans], list(found.without)


def _add_header(scan: Scan, *, strict: bool) -> Scan:
    """Add what the file's header says."""
    try:
        own = header_source(scan.path, root=scan.dataset_root)
    except ScanError as error:
        if strict:
            raise
        return replace(scan, problem=error.message, hint=error.hint)
    return replace(scan, sources=(*scan.sources, own))


def _train(split: Split, recipe: Recipe, options: Options) -> Path:
    # Torch is imported only once all that can be wrong with recipe and dataset is known.
    from bids_film.training.examples import ArrayStore, load_examples  # noqa: PLC0415
    from bids_film.training.fit import fit_to_examples, fit_to_label_maps  # noqa: PLC0415
    from bids_film.training.label_maps import load_label_maps  # noqa: PLC0415

    machine = make_machine(options, options.output_dir)
    if recipe.synthesis is not None:
        load = partial(load_label_maps, brain_below=recipe.synthesis.brain_below, read=read_volume)
        return fit_to_label_maps(recipe, load(split.training), load(split.validation), machine)
    with run_folder(options.work_dir, clean=options.clean_workdir) as folder:
        store = ArrayStore(folder=folder, limit_mb=find_memory_mb(options) / 4)
        scans = [*split.training, *split.validation]
        examples = load_examples(scans, recipe, read=read_volume, store=store)
        for line in _describe_notes(examples):
            print_line(line)
        training, validation = examples[: len(split.training)], examples[len(split.training) :]
        return fit_to_examples(recipe, training, validation, machine)


def _describe_notes(examples: Sequence[Example]) -> Iterator[str]:
    """Say what was noticed of the files, of the first few scans in full."""
    noticed = [
        f"{example.scan.relative_path}: {note}" for example in examples for note in example.notes
    ]
    yield from (f"note: {note}" for note in noticed[:_MOST_NOTES])
    if len(noticed) > _MOST_NOTES:
        yield f"note: {len(noticed) - _MOST_NOTES} more of this kind"


@contextmanager
def naming_files(output: Path) -> Iterator[None]:
    """Turn a disk that is full, or a folder that went away, into a message that names it.

    Raises
    ------
    UsageError
    """
    try:
        yield
    except OSError as problem:
        raise UsageError(
            f"{problem.filename or output}: {problem.strerror or problem}",
            hint="check that the disk has space left; the same command goes on where it stopped",
        ) from problem


def make_machine(options: Options, output: Path) -> Machine:
    """Set the machine up for one training as the options ask."""
    from bids_film.training.fit import Machine  # noqa: PLC0415 imports torch

    threads = divide_resources(1, omp_nthreads=options.omp_nthreads).threads
    return Machine(
        output=output,
        device=options.device,
        precision=options.precision,
        threads=threads,
        workers=max(1, threads // 2),
        report=print_line,
    )


def find_memory_mb(options: Options) -> float:
    """Memory that a training may use."""
    return divide_resources(1, mem_gb=options.mem).memory_gb * 1024


def print_line(line: str) -> None:
    """Print a line of progress at once."""
    # Of the processes that torchrun started, the first one speaks.
    if os.environ.get("RANK", "0") == "0":
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
