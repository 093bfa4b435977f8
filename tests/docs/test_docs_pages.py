"""What the documentation says of commands, columns and files is what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bids_film.cli.parser import build_parser
from bids_film.derivatives import dataset
from bids_film.domain.errors import ExitCode
from bids_film.domain.patterns import PLACEHOLDERS
from bids_film.domain.scan import SourceKind
from bids_film.metadata.parse import Status
from bids_film.training.recipe import read_recipe
from bids_film.workflow import evaluation_tables, group_tables

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [*ROOT.glob("docs/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
)
EXAMPLES = sorted(ROOT.glob("docs/examples/*.toml"))
LINK = re.compile(r"""(?:\]\(|src=")([^)"#]+)(?:#[^)"]*)?[)"]""")


def read_page(name: str) -> str:
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def first_cells(text: str) -> set[str]:
    """Code in the first cells of all tables."""
    cells = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")]
    return {code for cell in cells for code in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_the_example_recipes_can_be_read(path: Path) -> None:
    assert read_recipe(path).label_table.structures


def test_every_example_is_listed() -> None:
    for path in EXAMPLES:
        assert f"(examples/{path.name})" in read_page("training.md")


def test_there_are_example_recipes_for_the_three_conventions() -> None:
    patterns = {target.labels for path in EXAMPLES for target in read_recipe(path).structures}
    for ending in ("_seg-manual.nii.gz", "_dseg.nii.gz", "_mask.nii.gz"):
        assert any(pattern.endswith(ending) for pattern in patterns)


def test_every_option_is_documented_and_none_that_does_not_exist() -> None:
    parser = build_parser()
    options = {max(action.option_strings, key=len) for action in parser._actions[3:]}
    named = {name.split()[0] for name in first_cells(read_page("usage.md")) if name[:2] == "--"}
    assert named == options


def test_every_exit_code_is_documented() -> None:
    rows = re.findall(r"(?m)^\| (\d+) \| `?([A-Z_]+)", read_page("usage.md"))
    assert dict(rows) == {str(int(code)): code.name for code in ExitCode}


def test_the_sources_of_metadata_are_documented_in_their_order() -> None:
    rows = re.findall(r"(?m)^\d\. \*\*(.+?)\*\*", read_page("metadata.md"))
    assert rows == [str(kind) for kind in SourceKind]


def test_every_status_of_a_metadata_value_is_documented() -> None:
    assert {str(status) for status in Status} <= first_cells(read_page("metadata.md"))


def test_every_placeholder_that_is_no_entity_is_documented() -> None:
    wanted = {f"{{{name}}}" for name in PLACEHOLDERS[:4]}
    assert wanted <= first_cells(read_page("training.md"))


@pytest.mark.parametrize(
    "columns",
    [
        {**group_tables.COLUMNS, **group_tables.LAST_COLUMNS},
        group_tables.COMPARISON_COLUMNS,
        evaluation_tables.COLUMNS,
        evaluation_tables.SUMMARY_COLUMNS,
        evaluation_tables.COMPARISON_COLUMNS,
    ],
    ids=["group", "group comparison", "evaluation", "summary", "comparison"],
)
def test_the_columns_of_a_table_over_all_participants_are_documented(columns: dict) -> None:
    assert set(columns) <= first_cells(read_page("outputs.md"))


def test_the_files_that_validators_leave_out_are_documented() -> None:
    text = read_page("outputs.md")
    assert all(f"`{pattern}`" in text for pattern in dataset.IGNORED)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_between_the_pages_lead_somewhere(page: Path) -> None:
    targets = LINK.findall(page.read_text(encoding="utf-8"))
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (page.parent / target).exists()] == []
