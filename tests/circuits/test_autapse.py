"""The autapse latch: its rates in the mean field, and that it holds, sets and resets."""

import math
import warnings
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.circuits.autapse import (
    autapse_latch,
    autapse_rates,
    least_excitation,
    rheobase,
)
from neuroflip.circuits.latch import firing_rate
from neuroflip.units import ms, pA

NEURON = nf.LIF(tau_e=100 * ms)


# ------------------------------------------------------------------ the mean field


def test_the_fixed_points_of_the_notes() -> None:
    """I0 = 100 pA, tau_s = 100 ms: none with 20 pA, 28 and 42 Hz with 30, 10 and 207 with 50."""
    assert autapse_rates(NEURON, 100 * pA, 20 * pA) == ()
    for weight, rates in ((30, (28, 42)), (50, (10, 207))):
        assert tuple(map(round, autapse_rates(NEURON, 100 * pA, weight * pA))) == rates
    assert math.isclose(rheobase(NEURON), 150 * pA)


@pytest.mark.parametrize("weight", [29.8, 32, 80, 300])
@pytest.mark.parametrize("drive", [-50, 100, 149])
def test_fixed_points_are_fixed(drive: float, weight: float) -> None:
    found = autapse_rates(NEURON, drive * pA, weight * pA)
    assert bool(found) == (weight * pA > least_excitation(NEURON, drive * pA))
    for rate in found:
        current = drive * pA + weight * pA * 0.1 * rate
        if rate < 3:  # at rheobase, to the last digit
            assert math.isclose(current, 150 * pA, rel_tol=1e-9)
        else:
            assert math.isclose(firing_rate(NEURON, current), rate, rel_tol=1e-6)
    if found:  # above the line between them, below it beyond
        low, high = found
        assert low < high
        for rate, grows in ((low * 0.9, False), ((low + high) / 2, True), (high * 1.1, False)):
            assert (firing_rate(NEURON, (drive + weight * 0.1 * rate) * pA) > rate) == grows


def test_least_excitation_by_a_fine_grid() -> None:
    for drive in (0.0, 100 * pA, 140 * pA):
        currents = np.linspace(150.01 * pA, 2000 * pA, 20000)
        needed = [(i - drive) / (0.1 * firing_rate(NEURON, i)) for i in currents]
        assert math.isclose(least_excitation(NEURON, drive), min(needed), rel_tol=1e-5)


def rate_after(circuit: nf.Circuit, start: float, stop: float, **inputs: Any) -> float:
    rec = nf.simulate(circuit, inputs, duration=stop)
    return float(np.count_nonzero(rec.spikes["Q"] >= start) / (stop - start))


@pytest.mark.parametrize("drive", [-50, 50, 100])
def test_the_condition_predicts_the_circuit(drive: float) -> None:
    """5 % below the least excitation it falls silent, above it fires at the stable rate."""
    least = least_excitation(NEURON, drive * pA)
    for factor in (0.95, 1.05, 1.3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            circuit = autapse_latch(
                drive=drive * pA, excitation=factor * least, set_pulse=800 * pA, neuron=NEURON
            )
        found = rate_after(circuit, 3.0, 4.0, S=[0.1])
        if factor < 1:
            assert found == 0
        else:
            stable = autapse_rates(NEURON, drive * pA, factor * least)[1]
            assert abs(found / stable - 1) < 0.08


# ------------------------------------------------------------------ the latch


@pytest.mark.parametrize("seed", range(4))
def test_random_pulse_programs(seed: int) -> None:
    """From 150 ms after a pulse until the next the bit is that of the last pulse."""
    rng = np.random.default_rng(seed)
    times = 0.2 + np.cumsum(rng.uniform(0.25, 0.9, 12))
    which = rng.choice(["S", "R"], 12)
    duration = float(np.ceil(times[-1] + 0.5))
    rec = nf.simulate(
        autapse_latch(), {k: times[which == k] for k in ("S", "R")}, duration=duration
    )
    at, bits = rec.bit("Q")
    assert not bits[at < times[0]].any()
    for start, stop, name in zip(times, [*times[1:], duration], which, strict=True):
        held = bits[(at > start + 0.15) & (at < stop)]
        assert held.size and (held == int(name == "S")).all(), (start, name)


def test_ten_seconds_without_input() -> None:
    rec = nf.simulate(autapse_latch(), {"S": [0.1]}, duration=10.0)
    late = rec.spikes["Q"][rec.spikes["Q"] > 2]
    measured = (late.size - 1) / np.ptp(late)
    stable = autapse_rates(nf.LIF(tau_e=0.1, refractory=5 * ms), 50 * pA, 58 * pA)[1]
    assert abs(measured / stable - 1) < 0.05 and late[-1] > 9.98
    assert nf.simulate(autapse_latch(), duration=10.0).spikes["Q"].size == 0


def test_all_engines_agree() -> None:
    given = {"S": [0.02], "R": [0.1]}
    report = nf.compare(autapse_latch(), given, duration=0.15, record=["v", "i_exc"])
    assert report.ok and report.spikes["brian2"] > 3, report


@pytest.mark.slow
def test_all_engines_agree_for_five_seconds() -> None:
    rng = np.random.default_rng(1)
    times = np.sort(rng.choice(50_000, 20, replace=False)) * 1e-4
    report = nf.compare(autapse_latch(), {"S": times[::2], "R": times[1::2]}, duration=5.0)
    assert report.ok, report


# ------------------------------------------------------------------ warnings and refusals


def test_parameters_that_cannot_hold() -> None:
    with pytest.warns(UserWarning, match=r"cannot hold a 1: .* 29\.0 pA .* above 29\.7 pA"):
        autapse_latch(drive=100 * pA, excitation=29 * pA, neuron=NEURON)
    with pytest.warns(UserWarning, match="cannot hold a 0: .* 151 pA .* rheobase is 150 pA") as w:
        circuit = autapse_latch(drive=151 * pA)
    assert w[0].filename == __file__
    assert rate_after(circuit, 0.5, 1.0) > 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        autapse_latch()


@pytest.mark.parametrize("name", ["excitation", "set_pulse", "reset_pulse", "delay"])
def test_negative_parameters_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"^autapse_latch: {name} must be at least 0"):
        autapse_latch(**{name: -1e-12})
    with pytest.raises(TypeError, match="^autapse_latch: neuron must be a nf.LIF"):
        autapse_latch(neuron=nf.DeltaLIF())  # type: ignore[arg-type]
