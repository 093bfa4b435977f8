"""What a labelled scan of one's own site gains a network that never saw the site.

    python -m benchmarks.spinalcord.fine_tune GM_CHALLENGE WORK [--report FILE]

Of the sites of the dataset, two have two labelled scans, both of one person; no other has more than
one. So each of the two scans in turn is what the site has labelled, and the other one is segmented:
by the network that was trained on the other sites, and after it went on from there with that scan.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pandas as pd

from benchmarks.running import parse_arguments, write_report
from benchmarks.spinalcord.leave_one_site_out import SITE_COLUMN, make_recipe, measure, train

SETTINGS = {"batch_size": 4, "patch": 96, "learning_rate": 2e-3, "steps": 1400}
"""Of the first training: those of the published leave-one-site-out table."""
STEPS, LEARNING_RATE = 200, 3e-4


def main() -> None:
    """Train, go on, segment and compare."""
    arguments = parse_arguments(__doc__)
    participants = pd.read_csv(arguments.dataset / "participants.tsv", sep="\t", dtype=str)
    rows = [
        row
        for site, group in participants.groupby(SITE_COLUMN)
        if len(group) > 1
        for row in compare_site(arguments, str(site), list(group["participant_id"]))
    ]
    write_report(arguments.report, describe(pd.concat(rows)), script="spinalcord/fine_tune.py")


def compare_site(
    arguments: argparse.Namespace, site: str, participants: list[str]
) -> list[pd.DataFrame]:
    """Measure a site's scans, each with and without the other one in training."""
    folder = arguments.work / site
    recipe = make_recipe(site, "film", argparse.Namespace(**SETTINGS))
    first = train(arguments, folder / "without", recipe)
    tables = []
    for tested in participants:
        others = [name for name in participants if name != tested]
        own = train(arguments, folder / f"for-{tested}", go_on(recipe, first), others)
        for way, model in (("without", first), ("with", own)):
            measured = measure(arguments, folder / f"{way}-{tested}", model, [tested])
            tables.append(measured.assign(site=site, way=way))
    return tables


def go_on(recipe: str, model: Path) -> str:
    """Change a recipe into one that goes on from a model, with the scans of its dataset alone."""
    recipe = re.sub(r"(?m)^(also|test) = .*\n", "", recipe)
    recipe = re.sub(r"(?m)^(steps|validate_every) = \d+$", rf"\1 = {STEPS}", recipe)
    recipe = re.sub(r"(?m)^learning_rate = .*$", f"learning_rate = {LEARNING_RATE}", recipe)
    recipe = re.sub(r"(?m)^freeze_norm_from = .*$", "freeze_norm_from = 0.0", recipe)
    recipe = re.sub(r"(?m)^warm_up = \d+$", "warm_up = 20", recipe)
    return recipe.replace("[training]\n", f'[training]\nstart_from = "{model}"\n')


def describe(rows: pd.DataFrame) -> str:
    """Write a line per scan and structure."""
    about = (
        "Dice of the site's other scan: without the site in training, and after "
        f"{STEPS} more steps on the one scan. Both are of one person, so what is shown is a gain "
        "for the site's scanner and its volunteer, not for its next patient."
    )
    lines = [
        "# The spinalcord network and one labelled scan of one's own site",
        "",
        about,
        "",
        "| site | scan | structure | without | with |",
        "| --- | --- | --- | --- | --- |",
    ]
    dice = rows.pivot_table(
        index=["site", "participant_id", "structure"], columns="way", values="dice", sort=False
    )
    for (site, scan, structure), row in dice.iterrows():
        lines.append(
            f"| {site} | {scan} | {structure} | {row['without']:.3f} | {row['with']:.3f} |"
        )
    for structure, part in dice.groupby("structure", sort=False):
        means = part.mean()
        lines.append(
            f"| mean | {len(part)} scans | {structure} | {means['without']:.3f} | "
            f"{means['with']:.3f} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
