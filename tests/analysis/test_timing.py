"""Levels, widths and the windows of widths, against single runs."""

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.analysis.timing import _pulses, _ranges, pulse_width_curve, timing_diagram
from neuroflip.circuits import (
    edge_triggered_d,
    edge_triggered_jk,
    edge_triggered_t,
    jk_flip_flop,
    level,
    spike_interval,
    sr_latch,
    t_flip_flop,
)
from neuroflip.units import ms

D = 4 * ms
INTERVAL = spike_interval(D)


def test_levels_of_spike_trains() -> None:
    times = np.array([10.0, 11, 12, 20, 21, 40])
    assert _pulses(times, 1.0, 100.0) == ((10, 13), (20, 22), (40, 41))
    assert _pulses(times, 1.0, 40.5)[-1] == (40, 40.5)
    assert _pulses(times, 10.0, 100.0) == ((10, 31), (40, 50))
    assert _pulses(times[:0], 1.0, 100.0) == ()


def test_an_input_is_as_wide_as_it_was_given() -> None:
    given = level(INTERVAL, (80 * ms, 80 * ms + 3 * D), (160 * ms, 160 * ms + 6 * D))
    rec = nf.simulate(jk_flip_flop(), {"J": given[:15], "K": given[15:]}, duration=0.3)
    found = timing_diagram(rec, neurons=["Q", "Qbar"])
    assert [s.name for s in found.signals] == ["J", "K", "Q", "Qbar", "Q"]
    assert np.array(found["J"].widths) / D == pytest.approx([3], abs=0.1)
    assert np.array(found["K"].widths) / D == pytest.approx([6], abs=0.1)
    # the bit, step for step
    times, bit = rec.bit("Q")
    (signal,) = (s for s in found.signals if s.kind == "bit")
    shown = np.zeros(times.size, int)
    for start, stop in signal.pulses:
        shown[round(start / rec.dt) : round(stop / rec.dt)] = 1
    assert np.array_equal(shown, bit) and bit.any()
    assert "element delays" in str(found)


def test_other_circuits() -> None:
    rec = nf.simulate(sr_latch(), {"S": [50 * ms]}, duration=0.5)
    found = timing_diagram(rec)
    assert found.delay is None
    assert found["S"].pulses == ((pytest.approx(0.05), pytest.approx(0.1)),)
    ((start, stop),) = found["Q"].pulses
    assert 0.07 < start < 0.15 and stop == 0.5
    assert timing_diagram(rec, interval=10 * ms)["S"].widths == [pytest.approx(0.01)]
    with pytest.raises(ValueError, match="no population 'P'"):
        timing_diagram(rec, neurons=["P"])
    with pytest.raises(ValueError, match="trial must be 0 to 0"):
        timing_diagram(rec, trial=1)
    with pytest.raises(KeyError, match="no signal 'R2'; did you mean 'R'"):
        found["R2"]


def toggles(build, width: float) -> bool:
    """Whether a pulse at T of this width (element delays) flips the bit, and it stays so."""
    begin = 0.1
    given = level(INTERVAL, (begin, begin + width * D))
    rec = nf.simulate(build(), {"T": given}, duration=round((begin + (width + 16) * D) / D) * D)
    bit = rec.bit("Q")[1]
    return bool(np.all(bit[round((begin + (width + 8) * D) / rec.dt) :] == 1))


@pytest.mark.parametrize("build", [t_flip_flop, edge_triggered_t])
def test_widths_are_those_of_single_runs(build) -> None:
    widths = np.arange(0.5, 13, 0.75)
    found = pulse_width_curve(build(), widths)
    (from_zero,) = (r for (state, _), r in zip(found.cases, found.right, strict=True) if not state)
    assert from_zero.tolist() == [toggles(build, width) for width in widths]


def test_the_race_around_of_the_jk_flip_flop() -> None:
    widths = np.arange(0.5, 9.01, 0.5)
    found = pulse_width_curve(jk_flip_flop(), widths)
    assert found.varied == ("J", "K") and found.delay == pytest.approx(D)
    low, high = found.window()
    assert low <= 2 and 4 <= high <= 5
    by_case = dict(zip([(s, *r.values()) for s, r in found.cases], found.right, strict=True))
    assert len(by_case) == 6
    # long pulses at one input are harmless, at both they are not
    assert by_case[0, 1, 0][widths >= 2].all() and by_case[1, 0, 1][widths >= 2].all()
    assert not by_case[0, 1, 1][(widths >= 5.5) & (widths <= 8)].any()


@pytest.mark.parametrize("build", [edge_triggered_t, edge_triggered_jk, edge_triggered_d])
def test_edge_triggered_ones_take_every_width(build) -> None:
    found = pulse_width_curve(build(), [2, 3, 4, 5, 7, 8, 11, 16, 21, 33, 50])
    assert found.all_right.all()
    assert found.window() == (2, 50)
    assert found.varied == ({edge_triggered_t: "T"}.get(build, "C"),)


@pytest.mark.slow
@pytest.mark.parametrize("build", [edge_triggered_t, edge_triggered_jk, edge_triggered_d])
def test_every_width_from_2_to_50(build) -> None:
    found = pulse_width_curve(build(), np.arange(2, 50.01, 0.25))
    assert found.all_right.all()


def test_text_of_ranges() -> None:
    widths = np.array([1.0, 2, 3, 4, 5])
    assert _ranges(widths, [False, True, True, False, True]) == "2 to 3, 5"
    assert _ranges(widths, [False] * 5) == "none"


def test_refusals() -> None:
    with pytest.raises(ValueError, match="not made of logic neurons"):
        pulse_width_curve(sr_latch(), [1])
    with pytest.raises(ValueError, match="widths must be a list of element delays above 0"):
        pulse_width_curve(jk_flip_flop(), [0, 1])
    with pytest.raises(ValueError, match="varied: there is no input 'L'"):
        pulse_width_curve(jk_flip_flop(), [1], varied=["L"])
