"""Train level: from a BIDS dataset with labels to one model file."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from bids_film.derivatives.atomic import check_writable
from bids_film.domain.errors import ExitCode, InputError, UsageError
from bids_film.domain.scan import Scan
from bids_film.inputs.dataset import open_dataset
from bids_film.inputs.filters import read_filter_file
from bids_film.training.labels import find_labelled
from bids_film.training.recipe import Recipe, read_recipe
from bids_film.training.splits import Split, split_scans
from bids_film.workflow.folders import check_folders, run_folder
from bids_film.workflow.options import Options
from bids_film.workflow.resources import divide_resources


def run_train(options: Options) -> ExitCode:
    """Train a model as the recipe (``--config-file``) says; go on where an earlier run stopped.

    Raises
    ------
    UsageError
        Where there is no recipe, or it cannot be followed.
    InputError
        Where no scan has labels, or one of those that have cannot be used.
    """
    if options.config_file is None:
        raise UsageError(
            "train needs a recipe", hint="give a TOML file with [[structures]] by --config-file"
        )
    recipe = read_recipe(options.config_file)
    check_folders(options)
    labelled = find_labelled(list(find_training_scans(options, recipe)), recipe.structures)
    if not labelled.scans:
        raise InputError(
            f"none of {len(labelled.without)} scans in {options.bids_dir} has a label file",
            hint="check the patterns of labels in the recipe's [[structures]]",
        )
    split = split_scans(labelled.scans, recipe.split, seed=recipe.training.seed)
    sys.stdout.writelines(f"{line}\n" for line in describe_split(split, labelled.without))
    if not options.dry_run:
        check_writable(options.output_dir)
        model = _train(split, recipe, options)
        sys.stdout.write(f"the model is in {model}\n")
    return ExitCode.DONE


def find_training_scans(options: Options, recipe: Recipe) -> Iterator[Scan]:
    """Find the scans of all datasets of a recipe, without those that it excludes."""
    chosen = read_filter_file(options.bids_filter_file) if options.bids_filter_file else {}
    roots = [options.bids_dir, *(options.bids_dir / folder for folder in recipe.data.also)]
    for number, root in enumerate(roots):
        # Labels given on the command line are those of the first dataset.
        scans = open_dataset(
            root.resolve(),
            participants=options.participant_label if number == 0 else None,
            sessions=options.session_label if number == 0 else None,
            filters={**recipe.data.images, **chosen},
            database_dir=options.bids_database_dir if number == 0 else None,
            validate=not options.skip_bids_validation,
        )
        yield from (scan for scan in scans if not _is_excluded(scan, recipe.data.exclude))


def describe_split(split: Split, without: Sequence[Scan]) -> Iterator[str]:
    """Describe who is used for what."""
    parts = {"training": split.training, "validation": split.validation, "test": split.test}
    for name, scans in parts.items():
        people = len({(scan.dataset_root, scan.participant) for scan in scans})
        yield f"{name}: {len(scans)} scans of {people} participants"
    if without:
        yield f"not used, for want of labels: {len(without)} scans"


def _train(split: Split, recipe: Recipe, options: Options) -> Path:
    # Torch is imported only once all that can be wrong with recipe and dataset is known.
    from bids_film.inputs.nifti import read_volume  # noqa: PLC0415
    from bids_film.training.examples import ArrayStore, load_examples  # noqa: PLC0415
    from bids_film.training.loop import train  # noqa: PLC0415

    resources = divide_resources(1, omp_nthreads=options.omp_nthreads, mem_gb=options.mem)
    with run_folder(options.work_dir, clean=options.clean_workdir) as folder:
        store = ArrayStore(folder=folder, limit_mb=resources.memory_gb * 1024 / 4)
        return train(
            recipe,
            load_examples(split.training, recipe, read=read_volume, store=store),
            load_examples(split.validation, recipe, read=read_volume, store=store),
            output=options.output_dir,
            device=options.device,
            precision=options.precision,
            threads=resources.threads,
            progress=_print_line,
        )


def _print_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _is_excluded(scan: Scan, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(scan.relative_path, pattern) for pattern in patterns)
