"""A scan's volumes among those of the other scans: medians, robust z, and the check of both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_film.domain.segmentation import Segmentation
from bids_film.report.checks import Check, Verdict

FAR = 3.5
"""Robust z beyond which a volume is an outlier (Iglewicz & Hoaglin, 1993)."""
FEWEST_SCANS = 8
"""Of fewer, nobody can say what is usual."""
COHORT_CHECK = "Volumes as in the other scans"
_NORMAL = 1.4826


@dataclass(frozen=True, kw_only=True, slots=True)
class Spread:
    """How the volumes of one structure spread over scans.

    Attributes
    ----------
    scans : int
    median : float
    deviation : float
        Median absolute deviation, scaled to the standard deviation of a normal distribution.
    """

    scans: int
    median: float
    deviation: float

    def rate(self, volume: float) -> float | None:
        """Robust z of a volume; None where the scans are too few or all alike."""
        if self.scans < FEWEST_SCANS or self.deviation <= 0:
            return None
        return (volume - self.median) / self.deviation


def measure_spread(volumes: Sequence[float]) -> Spread:
    """Measure how volumes spread.

    Parameters
    ----------
    volumes : Sequence[float]
        At least one.
    """
    values = np.asarray(volumes, dtype=np.float64)
    median = float(np.median(values))
    deviation = _NORMAL * float(np.median(np.abs(values - median)))
    return Spread(scans=len(values), median=median, deviation=deviation)


def check_cohort(segmentation: Segmentation, cohort: Mapping[str, Spread]) -> Check:
    """Look for volumes that are far from those of the other scans.

    Parameters
    ----------
    segmentation : Segmentation
    cohort : Mapping[str, Spread]
        By abbreviation of the structure; empty before the group level ran.
    """
    rated = {
        item.structure.name: (item.volume_ml, spread, z)
        for item in segmentation.volumes
        if (spread := cohort.get(item.structure.abbreviation))
        if (z := spread.rate(item.volume_ml)) is not None
    }
    if not rated:
        enough = any(spread.scans >= FEWEST_SCANS for spread in cohort.values())
        detail = (
            f"Needs at least {FEWEST_SCANS} scans whose volumes differ: half of those of the group "
            "level, or more, have the same."
            if enough
            else f"Needs the group level, run before this report, with at least {FEWEST_SCANS} "
            "scans."
        )
        return Check(name=COHORT_CHECK, verdict=Verdict.NOT_DONE, detail=detail)
    far = [
        f"{structure} {volume:.3g} mL (median {spread.median:.3g} mL, robust z {z:+.1f})"
        for structure, (volume, spread, z) in rated.items()
        if abs(z) > FAR
    ]
    if far:
        return Check(name=COHORT_CHECK, verdict=Verdict.LOOK, detail=f"Far off: {'; '.join(far)}.")
    scans = max(spread.scans for _, spread, _ in rated.values())
    detail = f"Every robust z lies within ±{FAR}, over {scans} scans."
    return Check(name=COHORT_CHECK, verdict=Verdict.PASSED, detail=detail)
