"""Experiment level: arms of one recipe trained, evaluated on the same scans, and compared."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bids_film
from bids_film.derivatives.atomic import check_writable, write_text_atomically
from bids_film.domain.errors import ExitCode, InputError, UsageError
from bids_film.domain.scan import Scan
from bids_film.evaluation.experiment import compare_arms, summarise_arms
from bids_film.evaluation.rows import identify_scan
from bids_film.inputs.nifti import read_volume
from bids_film.inputs.tables import read_table
from bids_film.metadata.resolve import resolve
from bids_film.model.header import hash_file, read_header
from bids_film.report.experiment import ExperimentPage, render_experiment, write_markdown
from bids_film.training.experiment_settings import ArmSettings
from bids_film.training.labels import find_labels, hash_scan
from bids_film.training.recipe import Recipe, describe_training, recipe_from_dict
from bids_film.training.splits import Split, find_value
from bids_film.workflow.evaluation_tables import (
    COMPARISON_COLUMNS,
    SUMMARY_COLUMNS,
    check_names,
    comparison_row,
    find_columns,
    summary_row,
)
from bids_film.workflow.folders import run_folder
from bids_film.workflow.measure import (
    Condition,
    find_conditions,
    load_engine,
    measure_model,
    name_dataset,
    name_person_of,
    read_measured,
)
from bids_film.workflow.options import Options
from bids_film.workflow.pages import read_dataset_name
from bids_film.workflow.tables import Column, Row, write_table
from bids_film.workflow.train import (
    check_training,
    find_memory_mb,
    make_machine,
    naming_files,
    print_line,
    read_own_recipe,
    split_labelled,
)

if TYPE_CHECKING:
    from bids_film.training.examples import ArrayStore, Example

_OWN_COLUMNS = {
    "arm": Column(description="Side of the experiment"),
    "seed": Column(description="Seed of its training"),
    "condition": Column(description="What the network was told of the scan"),
    "model": Column(description="SHA-256 of the model file"),
    "content": Column(description="SHA-256 over the scan's images, labels and metadata"),
}
_SEED_SD = {"seed_sd": Column(description="Standard deviation of the means of the single seeds")}


def run_experiment(options: Options) -> ExitCode:
    """Train each arm of a recipe with each seed, and write how they compare.

    What is trained already, by the same recipe, is not trained again.

    Raises
    ------
    UsageError
        Where there is no recipe, or it cannot be followed.
    InputError
        Where no scan has labels, or none is left to evaluate on.
    """
    recipe = read_own_recipe(options)
    if recipe.synthesis is not None:
        raise UsageError("experiment compares trainings on labelled scans, not on synthetic ones")
    arms = {arm.name: _derive(recipe, arm) for arm in recipe.experiment.arms}
    for own in (recipe, *arms.values()):
        check_names((field.name for field in own.metadata_fields), known=_OWN_COLUMNS)
    split = split_labelled(options, recipe)
    check_training(split.training, recipe)
    part = "test" if split.test else "validation"
    evaluated = split.test or split.validation
    if not evaluated:
        raise InputError(
            "no scan is left to evaluate on",
            hint="keep some by test or validation in the recipe's [split]",
        )
    _check_by(recipe, evaluated)
    print_line(
        f"{len(arms)} arms, {len(recipe.experiment.seeds)} seeds; evaluated on the {part} scans"
    )
    if not options.dry_run:
        check_writable(options.output_dir)
        check_evaluated(evaluated, recipe)
        with naming_files(options.output_dir):
            rows = _run_arms(arms, split, evaluated, recipe, options)
        path = _write_results(rows, recipe, options, part=part)
        print_line(f"the results are in {path}")
    return ExitCode.DONE


def _check_by(recipe: Recipe, scans: Sequence[Scan]) -> None:
    by, fields = recipe.experiment.by, [field.name for field in recipe.metadata_fields]
    check_names([by], known=_OWN_COLUMNS)
    if by and by not in fields and not any(find_value(scan, by) for scan in scans):
        raise UsageError(
            f"[experiment] by: none of {len(scans)} scans has a value of {by!r}",
            hint="name a column of participants.tsv or another metadata key, or one of "
            f"{', '.join(fields) or 'no fields'}",
        )


def _derive(recipe: Recipe, arm: ArmSettings) -> Recipe:
    content = arm.change(describe_training(recipe))
    return recipe_from_dict(content, where=f"[[experiment.arms]] {arm.name}")


def _run_arms(
    arms: dict[str, Recipe],
    split: Split,
    evaluated: Sequence[Scan],
    recipe: Recipe,
    options: Options,
) -> list[Row]:
    used = "other" if split.test else "validation"
    levels = {
        _identify(scan, options): _find_level(scan, [recipe, *arms.values()]) for scan in evaluated
    }
    people = {_identify(scan, options): name_person_of(scan, recipe) for scan in evaluated}
    rows: list[Row] = []
    for arm, own in arms.items():
        contents = {_identify(scan, options): hash_measured(scan, own) for scan in evaluated}
        with run_folder(options.work_dir, clean=options.clean_workdir) as folder:
            for seed, model in _train_arm(arm, own, split, recipe, options, folder):
                for row in _evaluate(model, evaluated, contents, recipe, options):
                    who = identify_scan(row)
                    told = {**people[who], "used_for": used, **levels[who]}
                    rows.append({"arm": arm, "seed": seed, **row, **told})
    return rows


def _find_level(scan: Scan, recipes: Sequence[Recipe]) -> Row:
    """Look up by what a scan is divided: in all arms alike, whatever their networks are told."""
    by = recipes[0].experiment.by
    if not by:
        return {}
    field = next((f for own in recipes for f in own.metadata_fields if f.name == by), None)
    return {by: resolve([field], scan.sources)[0].value if field else find_value(scan, by)}


def hash_measured(scan: Scan, recipe: Recipe) -> str:
    """Identify all that the measures of a scan depend on, but the model: its files and metadata."""
    from bids_film.training.examples import resolve_values  # noqa: PLC0415 imports torch

    values = resolve_values(scan, recipe.metadata_fields)
    files = hash_scan(scan, recipe.structures, companions=recipe.preprocessing.companions)
    return hashlib.sha256(f"{files} {json.dumps(values, sort_keys=True)}".encode()).hexdigest()


def check_evaluated(scans: Sequence[Scan], recipe: Recipe) -> None:
    """Read what will be measured before anything is trained: a damaged file would end the run."""
    for scan in scans:
        read_measured(scan, recipe, recipe.preprocessing.companions)


def _train_arm(
    arm: str, own: Recipe, split: Split, recipe: Recipe, options: Options, folder: Path
) -> list[tuple[int, Path]]:
    """Train an arm with each seed, unless it has been; give the models."""
    wanted: list[tuple[int, Path, Recipe]] = []
    for seed in recipe.experiment.seeds:
        seeded = replace(own, training=replace(own.training, seed=seed))
        model = options.output_dir / arm / f"seed-{seed}" / f"{own.model.name}.safetensors"
        wanted.append((seed, model, seeded))
    listed: dict[str, list[dict[str, Any]]] = {}
    if any(model.exists() for _, model, _ in wanted):
        listed["training"] = _list_labelled(split.training, own)
        listed["validation"] = _list_labelled(split.validation, own)
    missing = [entry for entry in wanted if not _is_trained(entry[1], entry[2], listed)]
    if missing:
        from bids_film.training.examples import ArrayStore  # noqa: PLC0415 imports torch
        from bids_film.training.fit import fit_to_examples  # noqa: PLC0415

        store = ArrayStore(folder=folder, limit_mb=find_memory_mb(options) / 4)
        training = _load(split.training, own, store)
        validation = _load(split.validation, own, store)
        for seed, model, seeded in missing:
            print_line(f"{arm}, seed {seed}:")
            fit_to_examples(seeded, training, validation, make_machine(options, model.parent))
    return [(seed, model) for seed, model, _ in wanted]


def _is_trained(model: Path, recipe: Recipe, listed: Mapping[str, list[dict[str, Any]]]) -> bool:
    """Whether a model is there that this recipe, on these scans, has trained."""
    if not model.exists():
        return False
    training = read_header(model).training
    # Read as a recipe: one of an older version may lack keys that have a default now.
    own = recipe_from_dict(training["recipe"], where=str(model))
    if describe_training(own) != describe_training(recipe):
        return False
    # Models of older versions do not list the hash of the image by itself.
    keys = ("scan", "dataset", "values", "sha256")
    return all(
        [[entry.get(key) for key in keys] for entry in training["data"][part]]
        == [[entry[key] for key in keys] for entry in entries]
        for part, entries in listed.items()
    )


def _list_labelled(scans: Sequence[Scan], recipe: Recipe) -> list[dict[str, Any]]:
    """List an arm's scans, as they are now, like the record in a model's file."""
    from bids_film.training.examples import resolve_values  # noqa: PLC0415 imports torch
    from bids_film.training.record import describe_scan  # noqa: PLC0415

    return [
        describe_scan(scan, resolve_values(scan, recipe.metadata_fields), recipe)
        for scan in _keep_labelled(scans, recipe)
    ]


def _keep_labelled(scans: Sequence[Scan], recipe: Recipe) -> list[Scan]:
    """Leave out scans without labels for this arm: it may look for others than the recipe."""
    return [scan for scan in scans if find_labels(scan, recipe.structures)]


def _load(scans: Sequence[Scan], recipe: Recipe, store: ArrayStore) -> list[Example]:
    from bids_film.training.examples import load_examples  # noqa: PLC0415 imports torch

    return load_examples(_keep_labelled(scans, recipe), recipe, read=read_volume, store=store)


def _evaluate(
    model: Path,
    scans: Sequence[Scan],
    contents: Mapping[tuple[str, str], str],
    recipe: Recipe,
    options: Options,
) -> list[dict[str, Any]]:
    """Measure a model on the scans, or read what was measured of the same model before."""
    conditions = find_conditions(read_header(model), by=recipe.experiment.by)
    path = model.with_name("evaluation.tsv")
    digest = hash_file(model)
    rows = _read_rows(path) if path.exists() else []
    if _are_of(rows, digest, contents, conditions):
        return rows
    # What is kept must not depend on how often a run asks for each scan.
    engine = load_engine(model, replace(options, ensemble="none"))
    measured = [
        {
            **entry.row,
            **name_dataset(scan, options.bids_dir),
            "condition": entry.condition,
            "model": digest,
            "content": contents[_identify(scan, options)],
        }
        for scan in scans
        for entry in measure_model(engine, scan, recipe, conditions=conditions)
    ]
    known = {key: _OWN_COLUMNS[key] for key in ("condition", "model", "content")}
    write_table(path, known | find_columns(measured, known=known), measured)
    # Read back, so that a run in parts rounds like one in a piece.
    return _read_rows(path)


def _read_rows(path: Path) -> list[dict[str, Any]]:
    return [dict(row.values) for row in read_table(path, required="scan").rows]


def _identify(scan: Scan, options: Options) -> tuple[str, str]:
    return identify_scan({"scan": scan.relative_path, **name_dataset(scan, options.bids_dir)})


def _are_of(
    rows: Sequence[Mapping[str, Any]],
    digest: str,
    contents: Mapping[tuple[str, str], str],
    conditions: Sequence[Condition],
) -> bool:
    """Whether rows are of this model, on these scans as they are, under these conditions."""
    return (
        {row.get("model") for row in rows} == {digest}
        and {identify_scan(row): row.get("content") for row in rows} == contents
        and {row.get("condition") for row in rows} == {condition.name for condition in conditions}
    )


def _write_results(rows: Sequence[Row], recipe: Recipe, options: Options, *, part: str) -> Path:
    path = options.output_dir / "experiment.tsv"
    write_table(path, _OWN_COLUMNS | find_columns(rows, known=_OWN_COLUMNS), rows)
    summaries = summarise_arms(rows)
    divided = summarise_arms(rows, by=recipe.experiment.by) if recipe.experiment.by else []
    comparisons = compare_arms(rows)
    own = {key: _OWN_COLUMNS[key] for key in ("arm", "condition")}
    write_table(
        path.with_name("experiment_summary.tsv"),
        own | SUMMARY_COLUMNS | _SEED_SD,
        [
            {
                "arm": line.arm,
                "condition": line.condition,
                **summary_row(line.summary),
                "seed_sd": line.seed_sd,
            }
            for line in (*summaries, *divided)
        ],
    )
    write_table(
        path.with_name("experiment_comparison.tsv"),
        {"arm": Column(description="Arm that the first arm is compared with")} | COMPARISON_COLUMNS,
        [{"arm": line.arm, **comparison_row(line.comparison)} for line in comparisons],
    )
    page = ExperimentPage(
        name=recipe.model.name,
        dataset=read_dataset_name(options.bids_dir),
        version=bids_film.__version__,
        part=part,
        seeds=recipe.experiment.seeds,
        by=recipe.experiment.by,
        summaries=summaries,
        divided=divided,
        comparisons=comparisons,
        rows=rows,
    )
    text = write_markdown(page)
    write_text_atomically(path.with_suffix(".md"), text)
    write_text_atomically(path.with_suffix(".html"), render_experiment(page))
    sys.stdout.write(text)
    return path.with_suffix(".html")
