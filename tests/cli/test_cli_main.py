from __future__ import annotations

import os
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from bids_film.cli import main
from bids_film.domain.errors import ExitCode, InputError, ScanError, UsageError
from bids_film.workflow.options import Options
from bids_film.workflow.processes import Terminated

LEVEL = ["/in", "/out", "participant"]
HEAVY = ("torch", "nipype", "bids", "numpy", "pandas", "nibabel", "scipy", "rich")
Run = Callable[[Options], int]


@pytest.fixture
def level(monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    def use(run: Run) -> None:
        module = types.SimpleNamespace(run_participant=run)
        monkeypatch.setattr(main.importlib, "import_module", lambda name: module)

    return use


def fail_with(error: BaseException) -> Run:
    def run(options: Options) -> int:
        raise error

    return run


def find_children() -> set[str]:
    folder = Path("/proc/self/task")
    return {
        child
        for task in folder.iterdir()
        for child in (task / "children").read_text(encoding="ascii").split()
    }


def test_pytorch_is_imported_for_the_workers_meanwhile_and_by_nobody_afterwards(
    level: Callable[[Run], None],
) -> None:
    before, meanwhile = find_children(), set[str]()

    def run(options: Options) -> int:
        meanwhile.update(find_children() - before)
        raise InputError("nothing to segment")

    level(run)
    assert main.entry_point(LEVEL) == ExitCode.INPUT
    assert len(meanwhile) == 1
    assert not find_children() - before


@pytest.mark.parametrize(
    "option", ["--dry-run", "--reports-only", "--resource-monitor", "--use-plugin=slurm.yml"]
)
def test_nothing_is_imported_where_this_process_segments_nothing(
    level: Callable[[Run], None], option: str
) -> None:
    before, meanwhile = find_children(), set[str]()

    def run(options: Options) -> int:
        meanwhile.update(find_children() - before)
        return 0

    level(run)
    assert main.entry_point([*LEVEL, option]) == ExitCode.DONE
    assert not meanwhile


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("no"), 2),
        (InputError("no"), 3),
        (ScanError("no"), 1),
        (ValueError("no"), 1),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
    ],
)
def test_each_error_has_its_exit_code(
    level: Callable[[Run], None], error: BaseException, code: int
) -> None:
    level(fail_with(error))
    assert main.entry_point(LEVEL) == code


def test_what_a_level_returns_is_the_exit_code(level: Callable[[Run], None]) -> None:
    level(lambda options: ExitCode.SCANS_FAILED)
    assert main.entry_point(LEVEL) == 1


def test_an_error_is_one_message_with_its_hint_on_standard_error(
    level: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    level(fail_with(InputError("not a dataset", hint="look again")))
    main.entry_point(LEVEL)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "error: not a dataset\n  hint: look again\n"


@pytest.mark.parametrize("flag", [["-vv"], ["-v", "-v"], ["--verbose", "--verbose"]])
def test_a_traceback_is_shown_only_when_asked_for(
    level: Callable[[Run], None], capsys: pytest.CaptureFixture[str], flag: list[str]
) -> None:
    level(fail_with(ValueError("strange")))
    main.entry_point(LEVEL)
    assert "Traceback" not in capsys.readouterr().err
    main.entry_point([*LEVEL, *flag])
    assert "Traceback" in capsys.readouterr().err


def test_an_unexpected_error_asks_for_a_report(
    level: Callable[[Run], None], capsys: pytest.CaptureFixture[str]
) -> None:
    level(fail_with(ZeroDivisionError("division by zero")))
    main.entry_point(LEVEL)
    printed = capsys.readouterr().err
    assert "ZeroDivisionError: division by zero" in printed
    assert "report it" in printed


def test_a_wrong_command_line_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.entry_point(["/in"]) == 2
    assert "OUTPUT_DIR" in capsys.readouterr().err


def test_help_documents_all_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main.entry_point(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert "exit codes:" in printed
    assert all(f"  {code:d}   " in printed for code in ExitCode)


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_import_nothing_heavy(flag: str) -> None:
    program = (
        "import sys\nfrom bids_film.cli.main import entry_point\n"
        f"try:\n    entry_point([{flag!r}])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    root = str(Path(main.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": root},
    )
    assert done.stderr.strip() == "[]"
    assert "bids-film" in done.stdout


def test_the_package_runs_as_a_module() -> None:
    root = Path(main.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "bids_film", "--version"],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
    )
    assert done.stdout.startswith("bids-film ")
