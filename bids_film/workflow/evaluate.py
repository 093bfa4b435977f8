"""Evaluate level: the label maps in the output folder against what experts drew."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from bids_film.domain.entities import parse_name
from bids_film.domain.errors import ExitCode, InputError, ScanError, UsageError
from bids_film.domain.records import check_key
from bids_film.domain.scan import Scan
from bids_film.domain.segmentation import Segmentation
from bids_film.inputs.tables import NOT_AVAILABLE, find_row, index_rows, read_table
from bids_film.model.header import ModelHeader, hash_file, read_header
from bids_film.models import find_model
from bids_film.training.labels import find_labels
from bids_film.training.recipe import Recipe, holds_recipe, read_recipe, recipe_from_dict
from bids_film.training.selection import keep_present
from bids_film.training.settings import SplitSettings
from bids_film.training.splits import find_value, group_scans
from bids_film.workflow.evaluation_files import write_evaluation
from bids_film.workflow.evaluation_tables import check_names, read_evaluation
from bids_film.workflow.fingerprint import is_of_another_image
from bids_film.workflow.folders import check_folders, read_excluded
from bids_film.workflow.group import choose_segmented, read_segmentations
from bids_film.workflow.measure import (
    Measured,
    load_engine,
    measure_model,
    measure_outputs,
    name_dataset,
    name_person_of,
)
from bids_film.workflow.options import Options
from bids_film.workflow.plan import read_given_metadata
from bids_film.workflow.seen import SeenScans
from bids_film.workflow.state import find_outcome
from bids_film.workflow.tables import Row
from bids_film.workflow.train import find_labelled_scans


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A scan to evaluate.

    Attributes
    ----------
    scan : Scan
    path : str
        Relative to the dataset.
    measure : Callable
        Segments it, or reads its label map, and compares it with its reference.
    """

    scan: Scan
    path: str
    measure: Callable[[], list[Measured]]


def run_evaluate(options: Options) -> ExitCode:
    """Write ``evaluation_seg-<model>.tsv`` with its summary, and print it.

    Raises
    ------
    UsageError
        Where nothing says where the reference labels are, or ``--by`` names no column.
    InputError
        Where there is no prediction of the model, no reference for any of them, or nothing to
        compare with.
    """
    model = find_model(options.model)
    header = read_header(model)
    recipe = _find_recipe(options, header)
    _check_structures(recipe, header)
    check_names(field.name for field in header.encoder.fields)
    other = read_evaluation(options.compare_with) if options.compare_with else []
    find_level = _find_levels(options, header) if options.by else _find_no_level
    seen = SeenScans(header, recipe)

    def describe(scan: Scan) -> Row:
        used = {"used_for": seen.part_of(scan) or "other"}
        who = {**name_person_of(scan, recipe), **name_dataset(scan, options.bids_dir)}
        return {**who, **used, **find_level(scan)}

    if options.part:
        items = list(_list_part(options, model, header, recipe, seen))
    else:
        items = list(_list_outputs(options, model, header, recipe))
    measured, failed = _measure_all(items, describe)
    path = write_evaluation(measured, other, options, header)
    sys.stdout.write(f"{path}: {len(items) - failed} scans, {failed} failed\n")
    return ExitCode.SCANS_FAILED if failed else ExitCode.DONE


def _list_part(
    options: Options, model: Path, header: ModelHeader, recipe: Recipe, seen: SeenScans
) -> Iterator[Item]:
    """List the labelled scans of a part of the model's split, to be segmented in memory."""
    check_folders(options)
    there = replace(recipe, data=keep_present(options.bids_dir, recipe.data))
    labelled, _ = find_labelled_scans(options, there, strict=False)
    if options.participant_label:
        labelled = [scan for scan in labelled if scan.dataset_root == options.bids_dir]
    if options.part == "test":
        known = _find_known(labelled, options, there, seen)
        scans = [scan for scan in labelled if scan.path not in known]
    else:
        scans = [scan for scan in labelled if seen.part_of(scan) == options.part]
    if not scans:
        raise InputError(
            f"none of {len(labelled)} labelled scans in {options.bids_dir} is in the "
            f"{options.part} part of the model {header.name!r}",
            hint="test is every labelled scan of people whom the model was neither trained nor "
            "validated on",
        )
    # Tables given on the command line are about people of the first dataset.
    own = [scan for scan in scans if scan.dataset_root == options.bids_dir]
    given = read_given_metadata(options, header.encoder, own)
    engine = load_engine(model, options)
    for scan in scans:
        told = given.for_scan(scan) if scan.dataset_root == options.bids_dir else ()
        measure = partial(measure_model, engine, scan, recipe, given=told)
        yield Item(scan=scan, path=scan.relative_path, measure=measure)


def _find_known(
    labelled: Sequence[Scan], options: Options, recipe: Recipe, seen: SeenScans
) -> set[Path]:
    """Find the scans of people, or groups, of whom the model has seen a scan: none is for a test.

    What the options leave out counts too: it may be what the model has learned from.
    """
    everything = replace(
        options,
        participant_label=None,
        session_label=None,
        bids_filter_file=None,
        exclude_list=None,
    )
    scans = labelled
    if everything != options:
        scans, _ = find_labelled_scans(everything, recipe, strict=False)
    try:
        groups = group_scans(scans, recipe.split)
    except UsageError:  # another dataset than the model's need not have the column or the names
        groups = group_scans(scans, SplitSettings())
    chosen = {scan.path for scan in labelled}
    own = [members for members in groups.values() if chosen & {scan.path for scan in members}]
    # Images are read whole to know them again: only those of groups that are asked about.
    return {
        scan.path
        for members in own
        if any(seen.part_of(scan) for scan in members)
        for scan in members
    }


def _list_outputs(
    options: Options, model: Path, header: ModelHeader, recipe: Recipe
) -> Iterator[Item]:
    """List the label maps in the output folder that have a reference."""
    digest, others = hash_file(model), 0
    participants = choose_segmented(options.output_dir, options.participant_label)
    found = False
    excluded = read_excluded(options)
    for segmentation in read_segmentations(options.output_dir, participants):
        if segmentation.scan in excluded:
            continue
        scan = find_scan(segmentation, options.bids_dir)
        if segmentation.model.name == header.name and find_labels(scan, recipe.structures):
            found = True
            others += segmentation.model.sha256 != digest
            measure = partial(
                _measure_current, segmentation, scan, options.output_dir, header, recipe
            )
            yield Item(scan=scan, path=segmentation.scan, measure=measure)
    if others:
        sys.stderr.write(
            f"note: {others} label maps were made by another model file of the name "
            f"{header.name!r}; what is said of its training scans may not be true of them\n"
        )
    if not found:
        raise InputError(
            f"no label map of the model {header.name!r} in {options.output_dir} has a reference in "
            f"{options.bids_dir}",
            hint="run the participant level first, or give --part test to run the model here; and "
            "check the patterns of labels in the recipe",
        )


def _measure_current(
    segmentation: Segmentation, scan: Scan, output: Path, header: ModelHeader, recipe: Recipe
) -> list[Measured]:
    """Measure a label map of the scan as it is now.

    Raises
    ------
    ScanError
        Also where it is of an earlier run, or of another image.
    """
    outcome = find_outcome(output, segmentation)
    problem = ""
    if outcome and outcome.failed:
        problem = f"the label map is of an earlier run, the last one failed: {outcome.message}"
    elif outcome and is_of_another_image(outcome, scan):
        problem = "the image is not the one that was segmented"
    if problem:
        raise ScanError(
            problem, hint="run the participant level again, or leave the scan out by --exclude-list"
        )
    return measure_outputs(segmentation, scan, output, header, recipe)


def _measure_all(
    items: Sequence[Item], describe: Callable[[Scan], Row]
) -> tuple[list[Measured], int]:
    result: list[Measured] = []
    failed = 0
    for number, item in enumerate(items, start=1):
        try:
            found = item.measure()
        except ScanError as error:
            failed += 1
            sys.stderr.write(f"error: {item.path}: {error}\n")
            continue
        notes = dict.fromkeys(note for entry in found for note in entry.notes)
        sys.stderr.writelines(f"note: {item.path}: {note}\n" for note in notes)
        told = describe(item.scan)
        result += [replace(entry, row={**entry.row, **told}) for entry in found]
        dice = ", ".join(f"{entry.row['structure']} {entry.row['dice']:.3f}" for entry in found)
        part = told["used_for"]
        used = "" if part == "other" else f" (used for {part} of the model)"
        sys.stdout.write(f"[{number}/{len(items)}] {item.path} Dice: {dice}{used}\n")
    return result, failed


def _find_no_level(_scan: Scan) -> Row:
    return {}


def _find_levels(options: Options, header: ModelHeader) -> Callable[[Scan], Row]:
    """Read the column of ``--by`` from ``participants.tsv``; the model's fields are known anyway.

    Raises
    ------
    UsageError
        Where it is neither.
    """
    fields = [field.name for field in header.encoder.fields]
    if options.by in fields:
        return _find_no_level
    path = options.bids_dir / "participants.tsv"
    table = read_table(path, required="participant_id") if path.exists() else None
    columns = table.columns if table else ()
    check_key(options.by, [*fields, *columns], where=f"--by, for {header.name} and {path}")
    check_names([options.by])
    keys = [("participant_id", "sub-"), ("session_id", "ses-")]
    present = [key for key in keys if key[0] in columns]
    rows = index_rows(table, present) if table else {}

    def find_level(scan: Scan) -> Row:
        if scan.dataset_root != options.bids_dir:
            return {options.by: find_value(scan, options.by)}
        person = (scan.participant, scan.entities.get("ses", NOT_AVAILABLE))
        row = find_row(rows, person[: len(present)])
        return {options.by: row.values[options.by]} if row else {}

    return find_level


def _find_recipe(options: Options, header: ModelHeader) -> Recipe:
    if options.config_file and holds_recipe(options.config_file):
        return read_recipe(options.config_file)
    record = header.training.get("recipe")
    if record is None or record.get("synthesis"):
        raise UsageError(
            "evaluate needs to know where the reference labels are: the model has learned from "
            "label maps alone",
            hint="give a recipe with [[structures]] and their labels by --config-file",
        )
    return recipe_from_dict(record, where=f"recipe of the model {header.name}")


def _check_structures(recipe: Recipe, header: ModelHeader) -> None:
    wanted = [target.name for target in recipe.structures]
    known = [structure.name for structure in header.labels]
    if not set(wanted) & set(known):
        check_key(wanted[0], known, where=f"[[structures]] name, for the model {header.name}")


def find_scan(segmentation: Segmentation, bids_dir: Path) -> Scan:
    """Find the scan of a segmentation in its dataset.

    Raises
    ------
    InputError
        Where its sidecar names no file that could be a scan.
    """
    path = PurePosixPath(segmentation.scan)
    name = parse_name(path.name)
    if name is None:
        raise InputError(f"{segmentation.scan} is not the BIDS name of a scan")
    return Scan(
        path=bids_dir / path,
        dataset_root=bids_dir,
        entities=name.entities,
        suffix=name.suffix,
        datatype=path.parent.name,
    )
