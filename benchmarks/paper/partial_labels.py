"""Half of the training scans with the anterior label, half with the posterior one.

    python -m benchmarks.paper.partial_labels HIPPOCAMPUS WORK [--report FILE]

Runs ``bids-film experiment`` on ``partial_labels.toml``; what is trained already is kept.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.paper.hippocampus_views import ANTERIOR, POSTERIOR, list_people, make_view
from benchmarks.running import parse_arguments, run_experiment, write_report

RECIPE = Path(__file__).with_name("partial_labels.toml")
TEST = 40


def main() -> None:
    """Make the dataset, run the experiment and print its tables."""
    arguments = parse_arguments(__doc__)
    people = list_people(arguments.dataset, seed=1)
    test, training = people[:TEST], people[TEST:]
    kept = {label: [ANTERIOR if number % 2 else POSTERIOR] for number, label in enumerate(training)}
    view = arguments.work / "view"
    make_view(arguments.dataset, view, kept, test)
    results = run_experiment(view, arguments.work / "results", RECIPE, threads=arguments.threads)
    write_report(arguments.report, results, script="paper/partial_labels.py")


if __name__ == "__main__":
    main()
