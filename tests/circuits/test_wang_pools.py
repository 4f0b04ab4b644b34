"""Pools with slow NMDA and common inhibition: the mean field, and that they hold, set and reset."""

import warnings
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.circuits.wang_pools import wang_pools, wang_rates
from neuroflip.units import ms, nS

DEFAULTS = (120 * nS, 26 * nS, 52 * nS, 520 * nS, 2400.0)


def rates(rec: nf.Recording, start: float, stop: float) -> list[float]:
    """Mean rates (Hz) of the neurons of Q, Qbar and I in an interval."""
    return [
        np.count_nonzero((rec.spikes[p] >= start) & (rec.spikes[p] < stop))
        / (stop - start)
        / rec.circuit.population(p).size
        for p in ("Q", "Qbar", "I")
    ]


@pytest.mark.parametrize("seed", range(2))
def test_random_pulse_programs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    times = 0.3 + np.cumsum(rng.uniform(0.3, 1.0, 8))
    which = rng.choice(["S", "R"], 8)
    duration = float(np.ceil(times[-1] + 0.5))
    given = {k: times[which == k] for k in ("S", "R")}
    rec = nf.simulate(wang_pools(), given, duration=duration, seed=seed)
    at, bits = rec.bit("Q")
    assert not bits[at < times[0]].any()
    for start, stop, name in zip(times, [*times[1:], duration], which, strict=True):
        held = bits[(at > start + 0.2) & (at < stop)]
        assert held.size and (held == int(name == "S")).all(), (start, name)


@pytest.mark.parametrize("size", [20, 40])
def test_it_holds_for_seconds_at_the_rates_of_the_mean_field(size: int) -> None:
    """4 s after a cue, then 2 s after the other."""
    rec = nf.simulate(wang_pools(size), {"S": [0.3], "R": [4.3]}, duration=6.3)
    at, bits = rec.bit("Q")
    assert bits[(at > 0.5) & (at < 4.3)].all() and not bits[at > 4.5].any()
    expected = wang_rates(*DEFAULTS)
    for start, stop, order in ((1.0, 4.3, (0, 1, 2)), (4.8, 6.3, (1, 0, 2))):
        found = [rates(rec, start, stop)[i] for i in order]
        assert abs(found[0] / expected[0] - 1) < 0.4 and found[1] < 1 and expected[1] < 1
        assert abs(found[2] / expected[2] - 1) < 0.5


@pytest.mark.parametrize(
    ("recurrent", "holds"), [(60, False), (85, False), (110, True), (125, True)]
)
def test_the_condition_predicts_the_circuit(recurrent: float, holds: bool) -> None:
    """The least recurrent conductance of the mean field is 98 nS."""
    winner = wang_rates(recurrent * nS, *DEFAULTS[1:])[0]
    assert (winner > 10) == holds
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        circuit = wang_pools(recurrent=recurrent * nS)
    rec = nf.simulate(circuit, {"S": [0.1]}, duration=3.0)
    found = rates(rec, 2.0, 3.0)[0]
    assert (found > 10) == holds
    if holds:
        assert abs(found / winner - 1) < 0.3


def test_too_strong_recurrence_lets_both_pools_fire() -> None:
    both = wang_rates(160 * nS, *DEFAULTS[1:], start=(100.0, 95.0))
    assert min(both) > 10 and abs(both[0] - both[1]) < 1
    with pytest.warns(UserWarning, match="both pools keep firing together") as caught:
        circuit = wang_pools(recurrent=160 * nS)
    assert caught[0].filename == __file__
    rec = nf.simulate(circuit, {"S": [0.3]}, duration=1.5)
    q, qbar, _ = rates(rec, 1.0, 1.5)
    assert min(q, qbar) > 30


def test_warning_and_refusals() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wang_pools()
        wang_pools(10)
    with pytest.warns(UserWarning, match="^wang_pools cannot hold a bit: .* does not keep firing"):
        wang_pools(recurrent=80 * nS)
    with pytest.raises(ValueError, match="^wang_pools: size must be even; got 5"):
        wang_pools(5)
    with pytest.raises(ValueError, match="^wang_pools: size must be a whole number, at least 2"):
        wang_pools(0)
    for name in ("recurrent", "cross", "feedback", "inhibition", "cue", "rate"):
        with pytest.raises(ValueError, match=f"^wang_pools: {name} must be at least 0"):
            wang_pools(**{name: -1e-12})


def test_weights_are_divided_by_the_size() -> None:
    for size in (10, 40):
        circuit = wang_pools(size)
        totals: dict[str, Any] = {
            p.name: circuit.synapses(p).weight.sum() / circuit.population(p.post).size
            for p in circuit.projections
        }
        assert abs(totals["Q->Q"] / (120 * nS) - 1) < 1e-12
        assert abs(totals["I->Q"] / (520 * nS) - 1) < 1e-12
        assert abs(totals["I->I"] / (400 * nS) - 1) < 1e-12


def test_all_engines_agree() -> None:
    report = nf.compare(wang_pools(8), {"S": [0.01], "R": [0.04]}, duration=0.06)
    assert report.ok and report.spikes["brian2"] > 10, report


@pytest.mark.slow
def test_all_engines_agree_for_five_seconds() -> None:
    report = nf.compare(
        wang_pools(), {"S": [0.5, 3.1], "R": [1.9, 4.2]}, duration=5.0, record_every=1 * ms
    )
    assert report.ok, report
