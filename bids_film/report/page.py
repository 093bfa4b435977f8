"""What a participant's page shows, gathered from a segmentation and its two images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bids_film.domain.labels import LabelTable
from bids_film.domain.segmentation import FailedScan, Segmentation
from bids_film.domain.volume import Volume
from bids_film.report.checks import (
    Check,
    Verdict,
    check_field_of_view,
    check_geometry,
    check_metadata,
    check_presence,
)
from bids_film.report.figures import Figure, draw_figure


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanPage:
    """The part of a page that is about one segmented scan.

    Attributes
    ----------
    segmentation : Segmentation
    figure : Figure or None
        None where the image can no longer be read.
    checks : tuple[Check, ...]
    """

    segmentation: Segmentation
    figure: Figure | None = None
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ParticipantPage:
    """A participant's page.

    Attributes
    ----------
    participant : str
        Label without ``sub-``.
    dataset : str
        Name of the input dataset; may be empty.
    version : str
        Of this program.
    scans : tuple[ScanPage, ...]
    failures : tuple[FailedScan, ...]
    """

    participant: str
    dataset: str = ""
    version: str
    scans: tuple[ScanPage, ...] = ()
    failures: tuple[FailedScan, ...] = ()


def build_scan_page(segmentation: Segmentation, volume: Volume | None, output: Volume) -> ScanPage:
    """Gather what the page shows of a segmented scan.

    Parameters
    ----------
    segmentation : Segmentation
        As read from the sidecar.
    volume : Volume or None
        The image, read from its file; None where it is no longer there.
    output : Volume
        The label map, read from its file: the file is checked, and not what was meant.
    """
    table = LabelTable(structures=tuple(item.structure for item in segmentation.volumes))
    checks = [
        check_presence(segmentation),
        check_field_of_view(
            output.data,
            output.grid,
            table,
            in_slices=segmentation.model.dimensions == 2,  # noqa: PLR2004 (slices)
        ),
        check_metadata(segmentation),
    ]
    if volume is None:
        missing = Check(
            name="Same grid as the image",
            verdict=Verdict.LOOK,
            detail="The image could not be read any more: neither compared nor shown.",
        )
        return _scan_page(segmentation, None, [missing, *checks])
    geometry = check_geometry(volume.grid, output.grid)
    figure = _draw_where_possible(volume, output.data, table)
    return _scan_page(segmentation, figure, [geometry, *checks])


def _draw_where_possible(
    volume: Volume, labels: NDArray[np.integer[Any]], table: LabelTable
) -> Figure | None:
    # Maps of different shapes cannot be laid over each other; the geometry check has said so.
    return draw_figure(volume, labels, table) if labels.shape == volume.grid.shape else None


def _scan_page(
    segmentation: Segmentation, figure: Figure | None, checks: Sequence[Check | None]
) -> ScanPage:
    found = tuple(check for check in checks if check is not None)
    return ScanPage(segmentation=segmentation, figure=figure, checks=found)
