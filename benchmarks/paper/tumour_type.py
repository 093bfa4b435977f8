"""The type of the tumour as metadata, with the controls.

    python -m benchmarks.paper.tumour_type BRISC WORK [--report FILE]

Runs ``bids-film experiment`` on ``tumour_type.toml``; what is trained already is kept.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.running import parse_arguments, run_experiment, write_report

RECIPE = Path(__file__).with_name("tumour_type.toml")


def main() -> None:
    """Run the experiment and print its tables."""
    arguments = parse_arguments(__doc__)
    results = run_experiment(arguments.dataset, arguments.work, RECIPE, threads=arguments.threads)
    write_report(arguments.report, results, script="paper/tumour_type.py")


if __name__ == "__main__":
    main()
