"""Sequences as scanners run them: times and angles drawn from what protocols use."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from bids_film.training.signal import TISSUE_TIMES, Sequence
from bids_film.training.spatial import draw_log

_FIELDS_T, _FIELD_SHARES = (0.55, 1.0, 1.5, 3.0, 7.0), (0.03, 0.02, 0.35, 0.5, 0.1)
_CYCLE_IS_TOLD = 0.6
"""How often the sidecar of an MPRAGE gives the time between inversions as RepetitionTime; else it
is that between two echoes of the readout, as some vendors have it."""
_VOLUMETRIC_PROBABILITY, _EQUIVALENT_ECHO = 0.35, (3.5, 5.0)
"""Volumetric turbo spin echoes with variable flip angles have the contrast of a spin echo with an
echo time that is several times shorter than the nominal one (Mugler, Journal of Magnetic Resonance
Imaging 2014)."""


def draw_sequence(suffix: str, rng: np.random.Generator) -> Sequence:
    """Draw a sequence whose scans bear a BIDS suffix.

    Parameters
    ----------
    suffix : str
        One of `SEQUENCES`.
    rng : numpy.random.Generator
    """
    field_t = float(rng.choice(_FIELDS_T, p=_FIELD_SHARES))
    return SEQUENCES[suffix](field_t, rng)


def _draw_t1w(field_t: float, rng: np.random.Generator) -> Sequence:
    kind = rng.random()
    if kind < 0.55:  # noqa: PLR2004 - the commonest of three
        return _draw_mprage(field_t, rng)
    if kind < 0.85:  # noqa: PLR2004 - the next
        return Sequence(
            kind="spoiled gradient echo",
            suffix="T1w",
            field_t=field_t,
            repetition_s=draw_log(rng, (0.006, 0.035)),
            echo_s=draw_log(rng, (0.0015, 0.008)),
            flip_deg=float(rng.uniform(10, 30)),
        )
    return Sequence(
        kind="spin echo",
        suffix="T1w",
        field_t=field_t,
        repetition_s=float(rng.uniform(0.35, 0.8)),
        echo_s=draw_log(rng, (0.007, 0.02)),
        flip_deg=float(rng.uniform(70, 90)),
    )


def _draw_mprage(field_t: float, rng: np.random.Generator) -> Sequence:
    longer = max(1.0, field_t / 3.0) ** 0.3
    cycle_s, echo_s = float(rng.uniform(1.6, 2.8)) * longer, draw_log(rng, (0.0016, 0.005))
    inversion_s, flip_deg = float(rng.uniform(0.75, 1.15)) * longer, float(rng.uniform(6, 13))
    readout_s = echo_s * float(rng.uniform(2.0, 3.0))
    told_s = cycle_s if rng.random() < _CYCLE_IS_TOLD else readout_s
    return Sequence(
        kind="inversion gradient echo",
        suffix="T1w",
        field_t=field_t,
        repetition_s=cycle_s,
        echo_s=echo_s,
        inversion_s=inversion_s,
        flip_deg=flip_deg,
        told={"RepetitionTime": told_s},
    )


def _draw_t2w(field_t: float, rng: np.random.Generator) -> Sequence:
    echo_s = float(rng.uniform(0.07, 0.13))
    return Sequence(
        kind="spin echo",
        suffix="T2w",
        field_t=field_t,
        repetition_s=draw_log(rng, (2.2, 9.0)),
        echo_s=echo_s,
        flip_deg=float(rng.uniform(90, 180)),
        told={"EchoTime": _tell_echo(echo_s, rng)},
    )


def _draw_pdw(field_t: float, rng: np.random.Generator) -> Sequence:
    return Sequence(
        kind="spin echo",
        suffix="PDw",
        field_t=field_t,
        repetition_s=draw_log(rng, (2.0, 6.0)),
        echo_s=draw_log(rng, (0.008, 0.03)),
        flip_deg=float(rng.uniform(90, 180)),
    )


def _draw_flair(field_t: float, rng: np.random.Generator) -> Sequence:
    """Draw an inversion time at which fluid is nearly gone, within 6 %."""
    repetition_s, echo_s = float(rng.uniform(4.8, 11.0)), float(rng.uniform(0.08, 0.15))
    t1_s = TISSUE_TIMES["fluid"].at(field_t).t1_s
    nulling_s = t1_s * math.log(2 / (1 + math.exp(-repetition_s / t1_s)))
    return Sequence(
        kind="spin echo",
        suffix="FLAIR",
        field_t=field_t,
        repetition_s=repetition_s,
        echo_s=echo_s,
        inversion_s=nulling_s * float(rng.uniform(0.94, 1.06)),
        flip_deg=float(rng.uniform(90, 180)),
        told={"EchoTime": _tell_echo(echo_s, rng)},
    )


def _draw_t2starw(field_t: float, rng: np.random.Generator) -> Sequence:
    shorter = min(1.0, (1.5 / field_t) ** 0.4)
    return Sequence(
        kind="spoiled gradient echo",
        suffix="T2starw",
        field_t=field_t,
        repetition_s=draw_log(rng, (0.025, 0.9)),
        echo_s=draw_log(rng, (0.015, 0.045)) * shorter,
        flip_deg=draw_log(rng, (8, 40)),
    )


def _tell_echo(echo_s: float, rng: np.random.Generator) -> float:
    volumetric = rng.random() < _VOLUMETRIC_PROBABILITY
    return echo_s * float(rng.uniform(*_EQUIVALENT_ECHO)) if volumetric else echo_s


SEQUENCES: Mapping[str, Callable[[float, np.random.Generator], Sequence]] = MappingProxyType(
    {
        "T1w": _draw_t1w,
        "T2w": _draw_t2w,
        "FLAIR": _draw_flair,
        "PDw": _draw_pdw,
        "T2starw": _draw_t2starw,
    }
)
"""BIDS suffix to what draws its sequences."""
