"""Few labels of one structure, twelve of the other: alone, or together with it by FiLM.

    python -m benchmarks.paper.few_labels HIPPOCAMPUS WORK [--report FILE]

For each number of scans and each repeat (other scans, another seed) it makes a dataset and runs
``bids-film experiment`` with three arms: alone, by FiLM, and by FiLM with scans of both structures
drawn equally often. What is trained already is kept. The anterior hippocampus is the structure with
few labels.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from benchmarks.paper.hippocampus_views import (
    ANTERIOR,
    POSTERIOR,
    list_people,
    make_view,
)
from benchmarks.running import parse_arguments, run_experiment, write_report
from bids_film.evaluation.statistics import adjust_holm, bootstrap_mean, compare_pairs
from bids_film.report.experiment import describe_interval

RECIPE = Path(__file__).with_name("few_labels.toml")
TEST = 40
COUNTS = (2, 4, 6, 8, 12)
REPEATS = (1, 2, 3, 4, 5)
OTHERS = 12
STRUCTURE = "anterior hippocampus"
ALONE = "single"
FILM = {"film": "FiLM with the other structure", "film-balanced": "the same, drawn equally often"}
NOTE = (
    f"Dice on {TEST} test scans, each the mean of {len(REPEATS)} repeats; in brackets the 95 % "
    "interval from resampling participants. Wilcoxon signed-rank test over participants, adjusted "
    "for all comparisons (Holm)."
)


def main() -> None:
    """Run what is missing and print the table."""
    arguments = parse_arguments(__doc__)
    people = list_people(arguments.dataset, seed=1)
    test, training = people[:TEST], people[TEST:]
    tables = []
    for count in COUNTS:
        for repeat in REPEATS:
            folder = arguments.work / f"n-{count}_repeat-{repeat}"
            drawn = [p for p in list_people(arguments.dataset, seed=100 + repeat) if p in training]
            kept = dict.fromkeys(drawn[:count], (ANTERIOR,))
            kept |= dict.fromkeys(drawn[count : count + OTHERS], (POSTERIOR,))
            make_view(arguments.dataset, folder / "view", kept, test)
            recipe = folder / "recipe.toml"
            recipe.write_text(f"{RECIPE.read_text(encoding='utf-8')}\nseeds = [{repeat}]\n")
            run_experiment(folder / "view", folder / "results", recipe, threads=arguments.threads)
            table = pd.read_csv(folder / "results" / "experiment.tsv", sep="\t")
            own = table[(table["structure"] == STRUCTURE) & (table["condition"] == "as found")]
            tables.append(own.assign(count=count, repeat=repeat))
    write_report(arguments.report, describe(pd.concat(tables)), script="paper/few_labels.py")


def describe(rows: pd.DataFrame) -> str:
    """Write the table: Dice of all arms for each number of scans, over repeats and people."""
    means = rows.pivot_table("dice", ["count", "participant_id"], "arm")
    tests = {
        (count, arm): compare_pairs(
            own[ALONE].tolist(), own[arm].tolist(), own.index.get_level_values(1).tolist()
        )
        for count, own in means.groupby("count")
        for arm in FILM
    }
    adjusted = dict(zip(tests, adjust_holm([test.p for test in tests.values()]), strict=True))
    titles = " | ".join(f"{title} | gain | p, Holm" for title in FILM.values())
    lines = [
        f"# Few labels of the {STRUCTURE}",
        "",
        NOTE,
        "",
        f"| scans with the label | alone | {titles} |",
        f"| --- | --- |{' --- |' * 3 * len(FILM)}",
    ]
    for count in sorted(rows["count"].unique()):
        own = means.loc[count]
        cells = [_describe_mean(own[ALONE])]
        for arm in FILM:
            gain = describe_interval(tests[count, arm].difference, sign="+")
            cells += [_describe_mean(own[arm]), gain, f"{adjusted[count, arm]:.2g}"]
        lines.append(f"| {count} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _describe_mean(values: pd.Series) -> str:
    return describe_interval(bootstrap_mean(values.tolist(), [str(n) for n in values.index]))


if __name__ == "__main__":
    main()
