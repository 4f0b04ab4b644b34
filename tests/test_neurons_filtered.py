"""AdaptiveLIF and FilteredLIF: exact updates, refractoriness, thresholds, agreement."""

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp

import neuroflip as nf
from neuroflip import equations as eq
from neuroflip.neurons import INJECTED, NEURONS, AdaptiveLIF, FilteredLIF, Neuron
from neuroflip.units import ms, mV

DT = 1e-4


def single(neuron: Neuron, weight: float, size: int = 1) -> nf.Circuit:
    return nf.Circuit(
        "single", [nf.Population("A", neuron, size)], [nf.Projection("in", "A", weight)],
        [nf.SpikeInput("in"), nf.CurrentInput("I", "A")],
    )  # fmt: skip


def step(neuron: Neuron, state: dict[str, float], injected: float, dt: float,
         held: bool = False) -> dict[str, float]:  # fmt: skip
    """One step as the fast engines take it; held: v stands still."""
    model = neuron.model()
    values: dict[str, Any] = {**neuron.parameters(), "dt": dt}
    values |= eq.compile_block(model.constants, eq.NUMPY)(values)
    values |= {**state, INJECTED: injected}

    def assign(name: str, value: Any) -> Any:
        return state[name] if held and name in model.held else value

    values |= eq.compile_block(model.update, eq.NUMPY)(values, assign)
    return {name: float(values[name]) for name in model.variables}


# ------------------------------------------------------------------ FilteredLIF: the exact update


def filtered(
    v: float, u: float, end: float, tau_m: float, tau: float, dt: float, held: bool
) -> Any:
    """(v, u) after dt, to 50 digits: the matrix exponential of the equations; v tends to `end`."""
    with mp.workdps(50):
        m, t, h = mpmath.mpf(tau_m), mpmath.mpf(tau), mpmath.mpf(dt)
        rate = 0 if held else 1 / m
        matrix = mp.matrix([[-rate, 0, rate * mpmath.mpf(end)], [1 / t, -1 / t, 0], [0, 0, 0]])
        return mp.expm(matrix * h, method="taylor") * mp.matrix([v, u, 1])


TAUS = [10.0, 10.0 * (1 + 1e-15), 10.0 * (1 + 1e-9), 10.0 * (1 - 1e-4), 9.99, 7.0, 0.5, 400.0]


@pytest.mark.parametrize("held", [False, True])
@pytest.mark.parametrize("tau", TAUS)
@pytest.mark.parametrize("dt", [0.1, 1.0, 0.001])
def test_the_update_is_exact_for_all_time_constants(tau: float, dt: float, held: bool) -> None:
    """Also where the filter's is nearly the membrane's, and while v stands still."""
    neuron = FilteredLIF(tau_m=10 * ms, tau_minus=tau * ms, tau_plus=tau * ms, drive=3e-10)
    end = neuron.v_rest + neuron.resistance * (3e-10 + 2e-10)
    state = {"v": -0.055, "u_minus": -0.071, "u_plus": 0.02}
    after = step(neuron, state, 2e-10, dt * ms, held)
    for name in ("u_minus", "u_plus"):
        v, u, _ = filtered(-0.055, state[name], end, 10 * ms, tau * ms, dt * ms, held)
        assert after["v"] == pytest.approx(float(v), rel=1e-14)
        assert abs(after[name] - float(u)) < 4e-17  # of 70 mV, at most 3 units in the last place


def test_many_steps_of_it_are_exact_too() -> None:
    """Nothing adds up over 10,000 steps."""
    neuron = FilteredLIF(tau_m=10 * ms, tau_minus=10.001 * ms, tau_plus=100 * ms)
    state = {"v": -0.055, "u_minus": -0.071, "u_plus": 0.02}
    after = dict(state)
    for _ in range(1000):
        after = step(neuron, after, 1e-10, DT)
    end = neuron.v_rest + neuron.resistance * 1e-10
    for name, tau in (("u_minus", 10.001), ("u_plus", 100.0)):
        _, u, _ = filtered(-0.055, state[name], end, 10 * ms, tau * ms, 0.1, False)
        assert abs(after[name] - float(u)) < 1e-15


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_a_filtered_neuron_step_by_step(engine: str) -> None:
    """Against the textbook solution, with spikes, refractoriness and what arrives meanwhile."""
    neuron = FilteredLIF(spike_width=1 * ms, refractory=3 * ms)
    rng = np.random.default_rng(0)
    steps = 800
    arrives = rng.random(steps) < 0.1
    current = rng.normal(6e-10, 6e-10, steps)
    inputs = {"in": np.flatnonzero(arrives) * DT, "I": current}
    rec = nf.simulate(single(neuron, 2 * mV), inputs, duration=steps * DT, engine=engine,
                      record=["v", "u_minus", "u_plus"])  # fmt: skip
    tm = neuron.tau_m
    v, last, fired = neuron.v_rest, -(10**9), []
    u = {"u_minus": v, "u_plus": v}
    taus = {"u_minus": neuron.tau_minus, "u_plus": neuron.tau_plus}
    for k in range(steps):
        seen = [rec.traces[f"A.{name}"][k, 0] for name in ("v", "u_minus", "u_plus")]
        assert np.abs(np.array(seen) - [v, *u.values()]).max() < 1e-14
        active = k - last >= 30
        end = neuron.v_rest + neuron.resistance * current[k]
        for name, t in taus.items():
            fall = math.exp(-DT / t)
            if active:
                pull = (v - end) * tm / (tm - t) * (math.exp(-DT / tm) - fall)
                u[name] = end + pull + (u[name] - end) * fall
            else:
                u[name] = v + (u[name] - v) * fall
        if active:
            v = end + (v - end) * math.exp(-DT / tm)
        spike = active and v > neuron.v_threshold
        if spike:
            last = k
            fired.append(k)
        if arrives[k] and k - last >= 30:
            v += 2 * mV
        if spike:
            v = neuron.v_reset
            for name, t in taus.items():
                u[name] = neuron.v_peak + (u[name] - neuron.v_peak) * math.exp(-1 * ms / t)
    assert len(fired) > 5
    assert np.round(rec.spikes["A"] / DT).astype(int).tolist() == fired


def test_without_width_a_spike_leaves_the_filters() -> None:
    neuron = FilteredLIF(spike_width=0, refractory=1.0)
    rec = nf.simulate(single(neuron, 0.1), {"in": [0.0]}, duration=0.2, record=["v", "u_plus"])
    u = rec.traces["A.u_plus"][:, 0]
    assert rec.spikes["A"].size == 1 and u.max() < neuron.v_reset + 1e-9
    assert u[-1] == pytest.approx(neuron.v_reset, abs=1e-12)  # v stands still at the reset


# ------------------------------------------------------------------ AdaptiveLIF


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_an_adaptive_neuron_step_by_step(engine: str) -> None:
    neuron = AdaptiveLIF(tau_theta=30 * ms, beta=3 * mV)
    rng = np.random.default_rng(1)
    steps = 1500
    arrives = rng.random(steps) < 0.1
    current = rng.normal(2e-10, 1e-10, steps)
    rec = nf.simulate(single(neuron, 3 * mV), {"in": np.flatnonzero(arrives) * DT, "I": current},
                      duration=steps * DT, engine=engine, record=["v", "theta"])  # fmt: skip
    v = theta = 0.0
    last, fired = -(10**9), []
    for k in range(steps):
        assert abs(rec.traces["A.v"][k, 0] - v) < 1e-14
        assert abs(rec.traces["A.theta"][k, 0] - theta) < 1e-14
        active = k - last >= 20
        end = neuron.resistance * current[k]
        v = end + (v - end) * math.exp(-DT / 0.02) if active else v
        theta *= math.exp(-DT / 0.03)
        spike = active and v > 0.015 + theta
        if spike:
            last = k
            fired.append(k)
        if arrives[k] and k - last >= 20:
            v += 3 * mV
        if spike:
            v, theta = 0.0, theta + 3 * mV
    assert len(fired) > 10
    assert np.round(rec.spikes["A"] / DT).astype(int).tolist() == fired


def test_without_beta_it_is_the_delta_neuron_and_with_it_the_rate_adapts() -> None:
    common = {"drive": 250e-12, "tau_m": 20 * ms}
    run = {}
    for name, neuron in {
        "plain": nf.DeltaLIF(**common),
        "zero": AdaptiveLIF(beta=0.0, **common),
        "adapting": AdaptiveLIF(beta=1 * mV, tau_theta=100 * ms, **common),
    }.items():
        run[name] = nf.simulate(single(neuron, 1 * mV), duration=2.0).spikes["A"]
    assert np.array_equal(run["plain"], run["zero"])
    intervals = np.diff(run["adapting"])
    assert (np.diff(intervals[:4]) > 0).all() and intervals[-1] > intervals[0] * 1.2
    # steady state: the interval T at which the adaptation after a spike, beta/(1 - exp(-T/tau)),
    # has decayed to the distance of v from the threshold
    t = intervals[-1] - 2 * ms
    theta = 1e-3 / (math.exp(intervals[-1] / 0.1) - 1)
    assert 0.025 * (1 - math.exp(-t / 0.02)) == pytest.approx(0.015 + theta, abs=2e-4)


# ------------------------------------------------------------------ both


@pytest.mark.parametrize(
    "neuron",
    [
        AdaptiveLIF(tau_theta=20 * ms),
        FilteredLIF(),
        FilteredLIF(tau_m=10 * ms, tau_minus=10 * ms * (1 + 1e-9), tau_plus=5.0, refractory=0.0),
    ],
    ids=["adaptive", "filtered", "nearly equal"],
)
def test_all_engines_agree(neuron: Any) -> None:
    rng = np.random.default_rng(2)
    steps = 400
    inputs = {"in": np.flatnonzero(rng.random(steps) < 0.1) * DT,
              "I": rng.normal(6e-10, 5e-10, (steps, 3))}  # fmt: skip
    variables = list(neuron.model().variables)
    report = nf.compare(single(neuron, 3 * mV, 3), inputs, duration=steps * DT, record=variables)
    assert report.ok and report.spikes["brian2"] > 5, report


def test_parameters_are_checked() -> None:
    for kind, names in (
        (AdaptiveLIF, ("tau_m", "tau_theta", "resistance")),
        (FilteredLIF, ("tau_m", "tau_minus", "tau_plus", "resistance")),
    ):
        assert NEURONS[kind.__name__] is kind
        for name in names:
            with pytest.raises(ValueError, match=rf"^{kind.__name__}.{name} must be above 0 "):
                kind(**{name: 0.0})
        with pytest.raises(ValueError, match=rf"^{kind.__name__}.v_reset must be below v_thresh"):
            kind(v_reset=1.0)
        assert kind.model().held == {"v"}
    with pytest.raises(ValueError, match=r"^AdaptiveLIF.beta must be at least 0 V"):
        AdaptiveLIF(beta=-1e-3)
    with pytest.raises(ValueError, match=r"^FilteredLIF.spike_width must be at least 0 s"):
        FilteredLIF(spike_width=-1e-3)
