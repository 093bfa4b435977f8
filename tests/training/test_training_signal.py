from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bids_film.training.contrasts import TISSUES
from bids_film.training.sequences import SEQUENCES, draw_sequence
from bids_film.training.signal import (
    FIELDS_T,
    SIGNALS,
    TISSUE_TIMES,
    Relaxation,
    Sequence,
    compute_signals,
    draw_relaxation,
    inversion_gradient_echo,
    spin_echo,
    spoiled_gradient_echo,
)

GRAY = TISSUE_TIMES["gray"].at(3.0)
tissues = st.builds(
    Relaxation,
    t1_s=st.floats(0.2, 4.5),
    t2_s=st.floats(0.03, 2.0),
    t2star_s=st.floats(0.01, 0.5),
    density=st.floats(0.5, 1.0),
)


def make_sequence(**times: float) -> Sequence:
    chosen = {"repetition_s": 0.02, "echo_s": 0.005, "flip_deg": 20.0, **times}
    return Sequence(kind="spin echo", suffix="T1w", field_t=3.0, **chosen)


def repeat(tissue: Relaxation, sequence: Sequence, *, inverted: bool) -> float:
    """Follow the longitudinal magnetisation from pulse to pulse until it no longer changes."""
    magnetisation, flip = 1.0, math.radians(sequence.flip_deg)
    at_readout = 0.0

    def relax(value: float, time_s: float) -> float:
        return 1 - (1 - value) * math.exp(-time_s / tissue.t1_s)

    for _ in range(3000):
        if inverted:
            at_readout = relax(-magnetisation, sequence.inversion_s)
            magnetisation = relax(at_readout, sequence.repetition_s - sequence.inversion_s)
        else:
            at_readout = magnetisation
            magnetisation = relax(magnetisation * math.cos(flip), sequence.repetition_s)
    return (
        tissue.density
        * math.sin(flip)
        * abs(at_readout)
        * math.exp(-sequence.echo_s / tissue.t2star_s)
    )


@settings(max_examples=25)
@given(tissues, st.floats(0.02, 0.5), st.floats(3, 60))
def test_the_spoiled_gradient_echo_is_where_its_pulses_settle(
    tissue: Relaxation, repetition_s: float, flip_deg: float
) -> None:
    sequence = make_sequence(repetition_s=repetition_s, flip_deg=flip_deg)
    expected = repeat(tissue, sequence, inverted=False)
    assert spoiled_gradient_echo(tissue, sequence) == pytest.approx(expected, rel=1e-6)


@settings(max_examples=25)
@given(tissues, st.floats(1.5, 4.0), st.floats(0.3, 1.4))
def test_the_inversion_gradient_echo_is_where_its_pulses_settle(
    tissue: Relaxation, repetition_s: float, inversion_s: float
) -> None:
    sequence = make_sequence(repetition_s=repetition_s, inversion_s=inversion_s, flip_deg=9.0)
    expected = repeat(tissue, sequence, inverted=True)
    assert inversion_gradient_echo(tissue, sequence) == pytest.approx(expected, rel=1e-6)


def test_a_spin_echo_recovers_with_t1_and_fades_with_t2() -> None:
    long = make_sequence(repetition_s=100.0, echo_s=0.0)
    assert spin_echo(GRAY, long) == pytest.approx(GRAY.density)
    later = replace(long, echo_s=GRAY.t2_s)
    assert spin_echo(GRAY, later) == pytest.approx(GRAY.density / math.e)
    brief = replace(long, repetition_s=GRAY.t1_s)
    assert spin_echo(GRAY, brief) == pytest.approx(GRAY.density * (1 - 1 / math.e))


def test_an_inversion_time_can_take_a_tissue_away() -> None:
    nulling_s = GRAY.t1_s * math.log(2 / (1 + math.exp(-8.0 / GRAY.t1_s)))
    sequence = make_sequence(repetition_s=8.0, echo_s=0.1, inversion_s=nulling_s)
    assert spin_echo(GRAY, sequence) == pytest.approx(0, abs=1e-9)


@given(st.floats(0.2, 12.0))
def test_times_between_the_fields_of_the_table_lie_between_its_times(field_t: float) -> None:
    for tissue in TISSUE_TIMES.values():
        found = tissue.at(field_t)
        assert min(tissue.t1_s) <= found.t1_s * (1 + 1e-9)
        assert found.t2star_s <= max(tissue.t2star_s) * (1 + 1e-9)
    at_table = [TISSUE_TIMES["white"].at(field).t1_s for field in FIELDS_T]
    assert at_table == pytest.approx(TISSUE_TIMES["white"].t1_s)


@pytest.mark.parametrize("name", list(TISSUE_TIMES))
def test_every_tissue_obeys_physics(name: str) -> None:
    tissue = TISSUE_TIMES[name]
    assert name in TISSUES
    assert list(tissue.t1_s) == sorted(tissue.t1_s), "T1 grows with the field"
    assert list(tissue.t2star_s) == sorted(tissue.t2star_s, reverse=True)
    for t1, t2, t2star in zip(tissue.t1_s, tissue.t2_s, tissue.t2star_s, strict=True):
        assert t1 > t2 >= t2star
    rng = np.random.default_rng(1)
    for _ in range(20):
        drawn = draw_relaxation(tissue, 3.0, rng, spread=0.2)
        assert drawn.t2star_s <= drawn.t2_s
        assert 0 < drawn.density <= 1


ORDERS = {
    "T1w": ("white", "gray", "fluid"),
    "T2w": ("fluid", "gray", "white"),
    "PDw": ("gray", "white"),
    "FLAIR": ("lesion", "white", "fluid"),
    "T2starw": ("gray", "pallidum"),
}


@pytest.mark.parametrize("suffix", ORDERS)
def test_contrasts_look_as_radiologists_know_them(suffix: str) -> None:
    rng = np.random.default_rng(2)
    kept = 0
    for _ in range(200):
        found = compute_signals(draw_sequence(suffix, rng), rng, spread=0.05)
        kept += all(
            found[a] > found[b] for a, b in zip(ORDERS[suffix], ORDERS[suffix][1:], strict=False)
        )
    assert kept > 0.85 * 200


@pytest.mark.parametrize("suffix", SEQUENCES)
def test_signals_are_relative_to_the_brightest_of_the_brain_and_air_has_none(suffix: str) -> None:
    rng = np.random.default_rng(3)
    for _ in range(50):
        sequence = draw_sequence(suffix, rng)
        found = compute_signals(sequence, rng, spread=0.08)
        assert set(found) == set(TISSUES)
        assert found["air"] == 0
        assert max(found[name] for name in ("white", "gray", "fluid")) == pytest.approx(1)
        assert all(math.isfinite(value) and value >= 0 for value in found.values())
        assert sequence.kind in SIGNALS
        assert sequence.metadata["suffix"] == suffix


def test_a_sidecar_says_the_times_unless_its_vendor_means_others() -> None:
    sequence = make_sequence(inversion_s=0.9)
    assert sequence.metadata["InversionTime"] == 0.9
    assert "InversionTime" not in make_sequence().metadata
    assert replace(sequence, told={"RepetitionTime": 2.3}).metadata["RepetitionTime"] == 2.3
