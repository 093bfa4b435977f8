"""What the checks of a participant's page found, kept for the table of all scans."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bids_film.derivatives.atomic import hold_folder, write_text_atomically
from bids_film.derivatives.names import name_checks
from bids_film.domain.segmentation import Segmentation

if TYPE_CHECKING:
    from bids_film.report.checks import Check


def write_checks(output: Path, segmentation: Segmentation, checks: Sequence[Check]) -> None:
    """Write the checks of a scan beside what else its page shows.

    They go when the scan is segmented again: what is there is about the label map that is there.
    """
    content = [
        {"Name": check.name, "Verdict": check.verdict.value, "Detail": check.detail}
        for check in checks
    ]
    path = name_checks(output / segmentation.labels_file)
    with hold_folder((output / segmentation.labels_file).parent):
        write_text_atomically(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_checks(labels: Path) -> tuple[Check, ...]:
    """Read the checks of a label map; none where no page was written, or by another version."""
    from bids_film.report.checks import Check, Verdict  # noqa: PLC0415 as in write_page

    path = name_checks(labels)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return tuple(
            Check(
                name=str(entry["Name"]),
                verdict=Verdict(entry["Verdict"]),
                detail=str(entry["Detail"]),
            )
            for entry in content
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ()


def count_lights(labels: Iterable[Path]) -> str:
    """Count the label maps by the colour of their light: ``3 green, 1 amber, 1 red``."""
    from bids_film.report.checks import Verdict, find_light  # noqa: PLC0415 as in write_page

    colors = {Verdict.PASSED: "green", Verdict.LOOK: "amber", Verdict.FAILED: "red"}
    lights = Counter(find_light(found) for path in labels if (found := read_checks(path)))
    return ", ".join(f"{lights[light]} {color}" for light, color in colors.items() if lights[light])
