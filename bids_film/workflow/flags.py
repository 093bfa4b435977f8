"""What somebody should look at: the same for the line of a scan and for the group's table."""

from __future__ import annotations

from collections.abc import Iterator

from bids_film.domain.segmentation import RecordedValue, Segmentation

_WITHOUT_A_WORD = ("used", "converted", "missing")


def find_flags(segmentation: Segmentation) -> tuple[str, ...]:
    """List what is unusual in a scan's file, metadata and segmentation."""
    values = (flag for value in segmentation.values for flag in _flag_value(value))
    unsure = [item.structure.name for item in segmentation.volumes if item.is_unsure]
    quality = (f"less sure than usual of {', '.join(unsure)}",) if unsure else ()
    return (*segmentation.notes, *values, *quality)


def _flag_value(value: RecordedValue) -> Iterator[str]:
    if value.status not in _WITHOUT_A_WORD:
        yield f"{value.field}: {value.status}: {value.note or value.raw}"
    elif value.outside_range:
        yield f"{value.field} = {value.value} lies outside the training range"
    elif value.status == "used" and value.note:
        yield f"{value.field}: {value.note}"
