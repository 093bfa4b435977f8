"""Intervals and paired tests over participants, who are what a study samples."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

_RESAMPLES = 10_000
_SEED = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A mean with its 95 % confidence interval.

    Attributes
    ----------
    mean, low, high : float
        NaN where there is nothing to average; the interval also where there is one participant.
    participants, scans : int
        That have a value.
    """

    mean: float
    low: float
    high: float
    participants: int
    scans: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PairedTest:
    """What a Wilcoxon signed-rank test says of two models on the same participants.

    Attributes
    ----------
    pairs : int
        Participants that both models have.
    difference : Interval
        Second minus first.
    p : float
        Two-sided, exact where it can be; 1 where no pair differs, NaN without pairs.
    effect : float
        Matched-pairs rank-biserial correlation: 1 where the second is larger in every pair, -1
        where the first is; 0 where no pair differs, NaN without pairs.
    """

    pairs: int
    difference: Interval
    p: float
    effect: float


def bootstrap_mean(values: Sequence[float], participants: Sequence[str]) -> Interval:
    """Average over scans, with a 95 % percentile interval from resampling participants.

    Scans of a participant are drawn together, as they are not independent (cluster bootstrap;
    Field & Welsh, J. R. Stat. Soc. B 2007). NaN is left out. The same values give the same
    interval.

    Parameters
    ----------
    values : Sequence[float]
        One per scan.
    participants : Sequence[str]
        Whose scan each is.

    Raises
    ------
    ValueError
        Where the two are not of the same length.
    """
    sums, counts = _gather(values, participants)
    if not counts.size:
        nothing = math.nan
        return Interval(mean=nothing, low=nothing, high=nothing, participants=0, scans=0)
    low = high = math.nan
    if counts.size > 1:
        rng = np.random.default_rng(_SEED)
        drawn = rng.integers(counts.size, size=(_RESAMPLES, counts.size))
        means = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
        low, high = (float(value) for value in np.percentile(means, [2.5, 97.5]))
    return Interval(
        mean=float(sums.sum() / counts.sum()),
        low=low,
        high=high,
        participants=int(counts.size),
        scans=int(counts.sum()),
    )


def compare_pairs(
    first: Sequence[float], second: Sequence[float], participants: Sequence[str]
) -> PairedTest:
    """Test whether two models differ; several scans of a participant are averaged first.

    Wilcoxon signed-rank test without the pairs that do not differ (Wilcoxon, 1945), and the
    matched-pairs rank-biserial correlation (Kerby, Comprehensive Psychology 2014).

    Parameters
    ----------
    first, second : Sequence[float]
        The same measure of the same scans; a scan of which either is NaN is left out.
    participants : Sequence[str]

    Raises
    ------
    ValueError
        Where they are not of the same length.
    """
    differences = np.subtract(np.asarray(second, float), np.asarray(first, float))
    sums, counts = _gather(differences.tolist(), participants)
    means = sums / counts
    differing = means[means != 0]
    p, effect = (1.0, 0.0) if counts.size else (math.nan, math.nan)
    if differing.size:
        p = float(stats.wilcoxon(differing).pvalue)
        ranks = stats.rankdata(np.abs(differing))
        effect = float((ranks * np.sign(differing)).sum() / ranks.sum())
    return PairedTest(
        pairs=int(counts.size),
        difference=bootstrap_mean(differences.tolist(), participants),
        p=p,
        effect=effect,
    )


def adjust_holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p values of several tests (Holm, Scandinavian Journal of Statistics 1979).

    NaN stays NaN, and does not count as a test.
    """
    given = sorted((p, index) for index, p in enumerate(p_values) if not math.isnan(p))
    adjusted = [math.nan] * len(p_values)
    highest = 0.0
    for done, (p, index) in enumerate(given):
        highest = max(highest, min(1.0, (len(given) - done) * p))
        adjusted[index] = highest
    return adjusted


def _gather(
    values: Sequence[float], participants: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of the values and their number for each participant who has one."""
    own: dict[str, list[float]] = {}
    for value, participant in zip(values, participants, strict=True):
        if not math.isnan(value):
            own.setdefault(participant, []).append(value)
    sums = np.array([math.fsum(part) for part in own.values()], dtype=np.float64)
    return sums, np.array([len(part) for part in own.values()], dtype=np.float64)
