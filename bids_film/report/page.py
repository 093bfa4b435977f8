"""What a participant's page shows, gathered from a segmentation and its images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from bids_film.domain.labels import LabelTable
from bids_film.domain.segmentation import FailedScan, Segmentation
from bids_film.domain.volume import Volume
from bids_film.images.geometry import reorient
from bids_film.report.checks import (
    Check,
    Verdict,
    check_field_of_view,
    check_geometry,
    check_metadata,
    check_orientation,
    check_presence,
    check_volumes,
)
from bids_film.report.cohort import Spread, check_cohort
from bids_film.report.effect import Difference, picture_differences
from bids_film.report.figures import Figure, Tile, draw_figure, draw_heat
from bids_film.report.quality import (
    check_gaps,
    check_head,
    check_intensity,
    check_quality,
    check_symmetry,
)
from bids_film.report.stack import Stack, pack_stack
from bids_film.report.stage import Stage, set_stage


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanPage:
    """The part of a page that is about one segmented scan.

    Attributes
    ----------
    segmentation : Segmentation
    figure : Figure or None
        None where the image can no longer be read.
    stack : Stack or None
        All slices, for the slider and the viewer.
    heat : tuple[Tile, ...]
        Where the network was least sure; empty where that was not kept.
    differences : tuple[Difference, ...]
        The alternatives that differ most, with pictures.
    checks : tuple[Check, ...]
    cohort : Mapping[str, Spread]
        Volumes of the other scans, by abbreviation; empty before the group level ran.
    """

    segmentation: Segmentation
    figure: Figure | None = None
    stack: Stack | None = None
    heat: tuple[Tile, ...] = ()
    differences: tuple[Difference, ...] = ()
    checks: tuple[Check, ...] = ()
    cohort: Mapping[str, Spread] = field(default_factory=dict)

    @property
    def expects_volumes(self) -> bool:
        """Whether the model says which volumes it was trained on."""
        return any(item.trained_ml for item in self.segmentation.volumes)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on the image and its segmentation, but for what a check says already."""
        said = [check.detail.lower() for check in self.checks]
        return tuple(
            note
            for note in self.segmentation.notes
            if not any(note.lower() in detail for detail in said)
        )

    @property
    def expects_dice(self) -> bool:
        """Whether the network was asked how sure it is."""
        return any(item.expected_dice is not None for item in self.segmentation.volumes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """A scan that could not be segmented, with the text of its crash file."""

    scan: FailedScan
    crash_text: str = ""


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
    failures : tuple[Failure, ...]
    """

    participant: str
    dataset: str = ""
    version: str
    scans: tuple[ScanPage, ...] = ()
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanFiles:
    """What the files of a scan hold.

    Attributes
    ----------
    volume : Volume or None
        The image; None where it is no longer there.
    output : Volume
        The label map: the file is checked, and not what was meant.
    entropy : Volume or None
        None where it is not there.
    read_map : Callable
        Reads a label map of the figures, by its path; None where it is not there.
    cohort : Mapping[str, Spread]
        Volumes of all scans, by abbreviation.
    failed : str
        Why the last run of the scan failed; empty where it did not.
    """

    volume: Volume | None
    output: Volume
    entropy: Volume | None = None
    read_map: Callable[[str], Volume | None] = lambda _: None
    cohort: Mapping[str, Spread] = field(default_factory=dict)
    failed: str = ""


def build_scan_page(segmentation: Segmentation, files: ScanFiles) -> ScanPage:
    """Gather what the page shows of a segmented scan.

    Parameters
    ----------
    segmentation : Segmentation
        As read from the sidecar.
    files : ScanFiles
    """
    table = LabelTable(structures=tuple(item.structure for item in segmentation.volumes))
    checks = _check_outputs(segmentation, files, table)
    if files.volume is None or files.output.data.shape != files.volume.grid.shape:
        # Maps of another shape cannot be laid over the image; the geometry check has said so.
        return ScanPage(segmentation=segmentation, checks=checks, cohort=files.cohort)
    stage = set_stage(files.volume, files.output.data, table)
    entropy = _on_stage(files.entropy, stage)
    return ScanPage(
        segmentation=segmentation,
        figure=draw_figure(stage),
        stack=pack_stack(stage, entropy),
        heat=draw_heat(stage, entropy) if entropy is not None else (),
        differences=tuple(
            picture_differences(
                segmentation, stage, lambda path: _on_stage(files.read_map(path), stage)
            )
        ),
        checks=(
            *checks,
            check_intensity(stage),
            *_present([check_gaps(stage), check_head(stage)]),
        ),
        cohort=files.cohort,
    )


def _check_outputs(
    segmentation: Segmentation, files: ScanFiles, table: LabelTable
) -> tuple[Check, ...]:
    output = files.output
    checks = [
        _check_run(files),
        _compare_grids(files),
        check_orientation(output.grid, table),
        check_presence(segmentation),
        check_field_of_view(
            output.data,
            output.grid,
            table,
            plane=segmentation.model.slice_plane,
        ),
        check_quality(segmentation),
        check_symmetry(segmentation, output),
        check_volumes(segmentation),
        check_cohort(segmentation, files.cohort),
        check_metadata(segmentation),
    ]
    return tuple(_present(checks))


def _check_run(files: ScanFiles) -> Check | None:
    if not files.failed:
        return None
    return Check(
        name="Made by the last run",
        verdict=Verdict.FAILED,
        detail=f"The last run of this scan failed ({files.failed}): this is of an earlier one.",
    )


def _compare_grids(files: ScanFiles) -> Check:
    if files.volume is not None:
        return check_geometry(files.volume.grid, files.output.grid)
    return Check(
        name="Same grid as the image",
        verdict=Verdict.LOOK,
        detail="The image could not be read any more: neither compared nor shown.",
    )


def _on_stage(volume: Volume | None, stage: Stage) -> NDArray[Any] | None:
    if volume is None or reorient(volume.data, stage.plan).shape != stage.labels.shape:
        return None
    return reorient(volume.data, stage.plan)


def _present(checks: Sequence[Check | None]) -> list[Check]:
    return [check for check in checks if check is not None]
