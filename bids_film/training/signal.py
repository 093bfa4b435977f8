r"""What tissues look like on a scan with given times and angles: relaxation and signal equations.

Relaxation times are about those of

- Rooney et al., Magnetic Resonance in Medicine 2007: T1 of white, gray and deep gray matter and
  of cerebrospinal fluid from 0.2 to 7 T
- Wansapura et al., Journal of Magnetic Resonance Imaging 1999, and Stanisz et al., Magnetic
  Resonance in Medicine 2005: T1 and T2 of brain, blood and muscle at 1.5 and 3 T
- Marques et al., NeuroImage 2010: T1 of the brain at 3 and 7 T
- Peters et al., Magnetic Resonance Imaging 2007: T2* at 1.5, 3 and 7 T
- de Bazelaire et al., Radiology 2004: fat and marrow at 1.5 and 3 T

Authors differ by 10 % and more, and so do people: times are drawn about these values, not taken as
they are. What no one has measured (dura, the choroid plexus, lesions) is set between its likes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

FIELDS_T = (1.5, 3.0, 7.0)
"""Field strengths of the tables, in tesla."""

Times = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tissue:
    """Relaxation times in seconds at `FIELDS_T`, and proton density relative to water.

    Attributes
    ----------
    t1_s, t2_s, t2star_s : tuple[float, float, float]
    density : float
    """

    t1_s: Times
    t2_s: Times
    t2star_s: Times
    density: float

    def at(self, field_t: float) -> Relaxation:
        """Interpolate the logarithms of the times; beyond the table its end goes on."""
        place = np.log(field_t), np.log(FIELDS_T)
        t1, t2, t2star = (
            float(np.exp(np.interp(*place, np.log(times))))
            for times in (self.t1_s, self.t2_s, self.t2star_s)
        )
        return Relaxation(t1_s=t1, t2_s=t2, t2star_s=t2star, density=self.density)


@dataclass(frozen=True, kw_only=True, slots=True)
class Relaxation:
    """Relaxation times in seconds at one field strength, and proton density."""

    t1_s: float
    t2_s: float
    t2star_s: float
    density: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Sequence:
    """How a scan was acquired.

    Attributes
    ----------
    kind : str
        One of `SIGNALS`.
    suffix : str
        BIDS suffix.
    field_t : float
    repetition_s, echo_s, inversion_s : float
        The inversion time is 0 where nothing is inverted. The echo time is the one that makes the
        contrast.
    flip_deg : float
    told : Mapping[str, float]
        What a sidecar says instead, by BIDS key: vendors mean different things by some keys.
    """

    kind: str
    suffix: str
    field_t: float
    repetition_s: float
    echo_s: float
    inversion_s: float = 0.0
    flip_deg: float
    told: Mapping[str, float] = field(default_factory=dict)

    @property
    def metadata(self) -> dict[str, str | float]:
        """What name and sidecar of such a scan say, by BIDS key."""
        inversion = {"InversionTime": self.inversion_s} if self.inversion_s else {}
        return {
            "suffix": self.suffix,
            "MagneticFieldStrength": self.field_t,
            "RepetitionTime": self.repetition_s,
            "EchoTime": self.echo_s,
            "FlipAngle": self.flip_deg,
            **inversion,
            **self.told,
        }


TISSUE_TIMES: Mapping[str, Tissue] = MappingProxyType(
    {
        "white": Tissue(
            t1_s=(0.65, 0.84, 1.20),
            t2_s=(0.075, 0.072, 0.048),
            t2star_s=(0.066, 0.053, 0.027),
            density=0.70,
        ),
        "cerebellar white": Tissue(
            t1_s=(0.66, 0.86, 1.22),
            t2_s=(0.078, 0.074, 0.050),
            t2star_s=(0.064, 0.050, 0.026),
            density=0.71,
        ),
        "brainstem": Tissue(
            t1_s=(0.74, 0.95, 1.32),
            t2_s=(0.080, 0.076, 0.050),
            t2star_s=(0.062, 0.049, 0.025),
            density=0.73,
        ),
        "gray": Tissue(
            t1_s=(1.15, 1.38, 2.00),
            t2_s=(0.095, 0.093, 0.060),
            t2star_s=(0.084, 0.066, 0.033),
            density=0.82,
        ),
        "cerebellar gray": Tissue(
            t1_s=(1.10, 1.32, 1.92),
            t2_s=(0.095, 0.092, 0.059),
            t2star_s=(0.076, 0.060, 0.030),
            density=0.82,
        ),
        "striatum": Tissue(
            t1_s=(1.05, 1.28, 1.72),
            t2_s=(0.084, 0.078, 0.048),
            t2star_s=(0.057, 0.037, 0.018),
            density=0.81,
        ),
        "thalamus": Tissue(
            t1_s=(0.90, 1.10, 1.52),
            t2_s=(0.084, 0.079, 0.050),
            t2star_s=(0.060, 0.047, 0.024),
            density=0.77,
        ),
        "pallidum": Tissue(
            t1_s=(0.80, 0.97, 1.28),
            t2_s=(0.066, 0.058, 0.034),
            t2star_s=(0.040, 0.026, 0.013),
            density=0.75,
        ),
        "fluid": Tissue(
            t1_s=(4.2, 4.3, 4.4),
            t2_s=(2.0, 1.8, 1.0),
            t2star_s=(0.9, 0.6, 0.3),
            density=1.0,
        ),
        "choroid plexus": Tissue(
            t1_s=(1.5, 1.7, 2.3),
            t2_s=(0.18, 0.16, 0.10),
            t2star_s=(0.08, 0.06, 0.03),
            density=0.9,
        ),
        "lesion": Tissue(
            t1_s=(1.10, 1.35, 1.80),
            t2_s=(0.16, 0.15, 0.10),
            t2star_s=(0.11, 0.09, 0.05),
            density=0.86,
        ),
        "vessel": Tissue(
            t1_s=(1.44, 1.70, 2.20),
            t2_s=(0.25, 0.15, 0.06),
            t2star_s=(0.15, 0.06, 0.02),
            density=0.85,
        ),
        "sinus": Tissue(
            t1_s=(1.0, 1.2, 1.6),
            t2_s=(0.06, 0.055, 0.04),
            t2star_s=(0.03, 0.025, 0.015),
            density=0.6,
        ),
        "fat": Tissue(
            t1_s=(0.30, 0.38, 0.45),
            t2_s=(0.080, 0.075, 0.055),
            t2star_s=(0.045, 0.035, 0.018),
            density=0.9,
        ),
        "soft": Tissue(
            t1_s=(1.0, 1.4, 1.75),
            t2_s=(0.046, 0.042, 0.032),
            t2star_s=(0.033, 0.027, 0.015),
            density=0.78,
        ),
        "bone": Tissue(
            t1_s=(0.30, 0.35, 0.40),
            t2_s=(0.001, 0.001, 0.001),
            t2star_s=(0.0005, 0.0005, 0.0004),
            density=0.25,
        ),
        "marrow": Tissue(
            t1_s=(0.35, 0.42, 0.50),
            t2_s=(0.065, 0.060, 0.045),
            t2star_s=(0.018, 0.014, 0.008),
            density=0.75,
        ),
    }
)
"""Tissues by the names of `bids_film.training.contrasts.TISSUES`; air gives no signal."""


def spoiled_gradient_echo(tissue: Relaxation, sequence: Sequence) -> float:
    r"""Signal of a spoiled gradient echo in its steady state (Ernst & Anderson, 1966).

    :math:`PD \sin α (1 - E) / (1 - E \cos α) · e^{-TE / T2^*}` with :math:`E = e^{-TR / T1}`.
    """
    flip, decay = math.radians(sequence.flip_deg), math.exp(-sequence.repetition_s / tissue.t1_s)
    steady = math.sin(flip) * (1 - decay) / (1 - decay * math.cos(flip))
    return tissue.density * steady * math.exp(-sequence.echo_s / tissue.t2star_s)


def inversion_gradient_echo(tissue: Relaxation, sequence: Sequence) -> float:
    r"""Signal of an MPRAGE with small flip angles, at the middle of its readout.

    :math:`PD \sin α |1 - 2 e^{-TI / T1} / (1 + e^{-TR / T1})| · e^{-TE / T2^*}`: what the readout
    takes from the magnetisation is left out (Deichmann et al., NeuroImage 2000). The repetition
    time is that of the inversions.
    """
    recovered = 1 - 2 * math.exp(-sequence.inversion_s / tissue.t1_s) / (
        1 + math.exp(-sequence.repetition_s / tissue.t1_s)
    )
    turned = math.sin(math.radians(sequence.flip_deg)) * abs(recovered)
    return tissue.density * turned * math.exp(-sequence.echo_s / tissue.t2star_s)


def spin_echo(tissue: Relaxation, sequence: Sequence) -> float:
    r"""Signal of a spin echo, with or without an inversion before it (FLAIR).

    :math:`PD |1 - 2 e^{-TI / T1} + e^{-TR / T1}| · e^{-TE / T2}`, and
    :math:`PD (1 - e^{-TR / T1}) e^{-TE / T2}` without inversion; echo times are short against
    repetition times.
    """
    decay = math.exp(-sequence.repetition_s / tissue.t1_s)
    recovered = 1 - decay
    if sequence.inversion_s > 0:
        recovered = abs(1 - 2 * math.exp(-sequence.inversion_s / tissue.t1_s) + decay)
    return tissue.density * recovered * math.exp(-sequence.echo_s / tissue.t2_s)


Signal = Callable[[Relaxation, Sequence], float]

SIGNALS: Mapping[str, Signal] = MappingProxyType(
    {
        "spoiled gradient echo": spoiled_gradient_echo,
        "inversion gradient echo": inversion_gradient_echo,
        "spin echo": spin_echo,
    }
)
"""Signal equation of each kind of sequence."""


def draw_relaxation(
    tissue: Tissue, field_t: float, rng: np.random.Generator, *, spread: float
) -> Relaxation:
    """Draw times and density of a person's tissue about those of the table.

    Parameters
    ----------
    tissue : Tissue
    field_t : float
    rng : numpy.random.Generator
    spread : float
        Standard deviation of the times' logarithms; that of the density is a quarter of it.
    """
    middle, factors = tissue.at(field_t), np.exp(rng.normal(0, spread, 3))
    return Relaxation(
        t1_s=middle.t1_s * float(factors[0]),
        t2_s=middle.t2_s * float(factors[1]),
        # T2* can't be longer than T2.
        t2star_s=min(middle.t2star_s * float(factors[2]), middle.t2_s * float(factors[1])),
        density=min(1.0, middle.density * float(np.exp(rng.normal(0, spread / 4)))),
    )


def compute_signals(
    sequence: Sequence, rng: np.random.Generator, *, spread: float
) -> dict[str, float]:
    """Compute how bright each tissue of a random person is, relative to the brightest of the brain.

    Parameters
    ----------
    sequence : Sequence
    rng : numpy.random.Generator
    spread : float
        As for `draw_relaxation`.
    """
    signal = SIGNALS[sequence.kind]
    found = {
        name: signal(draw_relaxation(tissue, sequence.field_t, rng, spread=spread), sequence)
        for name, tissue in TISSUE_TIMES.items()
    }
    brightest = max(found[name] for name in ("white", "gray", "fluid"))
    return {name: value / brightest for name, value in found.items()} | {"air": 0.0}
