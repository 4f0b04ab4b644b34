"""Alpha synapses: the exact update through 0/0, the shape of the current, by hand in Brian2."""

import math
from typing import Any

import mpmath
import numpy as np
import pytest
from mpmath import mp

import neuroflip as nf
from neuroflip import equations as eq
from neuroflip.neurons import INJECTED
from neuroflip.neurons.alpha_lif import AlphaLIF
from neuroflip.units import ms, mV, nA, pA

EPS = 2.0**-52


@pytest.fixture(autouse=True)
def digits() -> Any:
    with mp.workdps(60):
        yield


def step(neuron: AlphaLIF, dt: float, state: dict[str, float], injected: float = 0.0) -> Any:
    """One step of the declared update, in double precision."""
    model = neuron.model()
    values: dict[str, Any] = {**neuron.parameters(), "dt": dt}
    values |= eq.compile_block(model.constants, eq.NUMPY)(values)
    zero = dict.fromkeys(model.variables, 0.0)
    new = eq.compile_block(model.update, eq.NUMPY)(values | zero | state | {INJECTED: injected})
    return {name: float(new[name]) for name in model.variables}


def flow(neuron: AlphaLIF, dt: float, receptor: str) -> Any:
    """The matrix exponential of (v, i, x) for one receptor, in 60 digits, from the equations."""
    m = mpmath.mpf(neuron.tau_m)
    s = mpmath.mpf(neuron.tau_e if receptor == "exc" else neuron.tau_i)
    r = mpmath.mpf(neuron.resistance) * (1 if receptor == "exc" else -1)
    matrix = mp.matrix([[-1 / m, r / m, 0], [0, -1 / s, mp.e / s], [0, 0, -1 / s]])
    return mp.expm(matrix * mpmath.mpf(dt), method="taylor")


RATIOS = [1.0, *(1 + sign * 10.0**-k for k in range(1, 16) for sign in (1, -1) if k > 0)]


@pytest.mark.parametrize("receptor", ["exc", "inh"])
@pytest.mark.parametrize("dt", [1e-5, 1e-4, 1e-3, 0.013])
def test_coupling_where_the_time_constants_meet(receptor: str, dt: float) -> None:
    """From the current and from what is behind it, to a few units in the last place."""
    for ratio in (*RATIOS, 0.01, 0.3, 0.5, 2.0, 7.0, 300.0):
        tau = {"exc": "tau_e", "inh": "tau_i"}[receptor]
        neuron = AlphaLIF(tau_m=0.0173, resistance=1.0, **{tau: 0.0173 * ratio})
        expected = flow(neuron, dt, receptor)
        for column, name in ((1, f"i_{receptor}"), (2, f"x_{receptor}")):
            found = step(neuron, dt, {name: 1.0})
            for row, variable in enumerate(("v", f"i_{receptor}", f"x_{receptor}")):
                exact = expected[row, column]
                if exact == 0:
                    continue
                size = 1 + float(dt / min(neuron.tau_m, 0.0173 * ratio))
                error = abs(mpmath.mpf(found[variable]) - exact) / abs(exact)
                assert error < 30 * EPS * size, (ratio, name, variable)


@pytest.mark.parametrize("tau_m", [1e-5, 3e-4, 0.02, 10.0])
@pytest.mark.parametrize("tau_s", [1e-5, 1e-4, 0.005, 30.0])
def test_extreme_ratios(tau_m: float, tau_s: float) -> None:
    """No overflow, whichever of the two is short: 1000 time constants in a step and more."""
    for dt in (1e-6, 1e-4, 1e-2):
        neuron = AlphaLIF(tau_m=tau_m, tau_e=tau_s, resistance=1.0)
        found = step(neuron, dt, {"x_exc": 1.0})["v"]
        a, b = mpmath.mpf(dt) / tau_m, mpmath.mpf(dt) / tau_s
        exact = a * b * mp.e * mpmath.quad(
            lambda x, a=a, b=b: x * mp.exp(-a * (1 - x) - b * x), mp.linspace(0, 1, 9)
        )  # fmt: skip
        if max(a, b) < 100:  # else the quadrature is not to be trusted
            tolerance = (40 + 4 * float(max(a, b))) * EPS
            assert abs(mpmath.mpf(found) - exact) <= tolerance * exact + mpmath.mpf("1e-300")
        assert math.isfinite(found) and found >= 0


def test_the_current_peaks_at_the_weight_after_tau() -> None:
    neuron = AlphaLIF(v_threshold=1.0)
    circuit = nf.Circuit(
        "psc",
        [nf.Population("A", neuron)],
        [
            nf.Projection("in", "A", 100 * pA, "excitatory"),
            nf.Projection("in", "A", 30 * pA, "inhibitory", name="inhibition"),
        ],
        [nf.SpikeInput("in")],
    )
    rec = nf.simulate(circuit, {"in": [0.0]}, duration=0.06, record=["i_exc", "i_inh"])
    t = rec.times[1:] - 1e-4
    for name, weight, tau in (("i_exc", 100 * pA, 2 * ms), ("i_inh", 30 * pA, 5 * ms)):
        trace = rec.traces[f"A.{name}"][1:, 0]
        assert np.abs(trace - weight * t / tau * np.exp(1 - t / tau)).max() < 1e-12 * weight
        assert math.isclose(trace.max(), weight, rel_tol=1e-12)
        assert np.argmax(trace) == round(tau / 1e-4)
    charge = rec.traces["A.i_exc"].sum() * 1e-4
    assert math.isclose(charge, math.e * 2 * ms * 100 * pA, rel_tol=1e-3)


@pytest.mark.parametrize("tau", [2 * ms, 20 * ms, 20 * ms * (1 + 1e-9), 45 * ms])
def test_the_postsynaptic_potential(tau: float) -> None:
    """The convolution of current and membrane, by quadrature in many digits."""
    neuron = AlphaLIF(tau_e=tau, v_threshold=1.0)
    circuit = nf.Circuit(
        "psp",
        [nf.Population("A", neuron)],
        [nf.Projection("in", "A", 100 * pA, "excitatory")],
        [nf.SpikeInput("in")],
    )
    rec = nf.simulate(circuit, {"in": [0.0]}, duration=0.1, record="v")
    for k in (1, 7, 50, 400, 999):
        t = mpmath.mpf(k - 1) * mpmath.mpf(1e-4)
        exact = mpmath.quad(
            lambda x, t=t: 1e8 * 100e-12 / 0.02 * (x / tau) * mp.exp(1 - x / tau - (t - x) / 0.02),
            mp.linspace(0, t, 5),
        )
        assert abs(rec.traces["A.v"][k, 0] - exact) < 1e-14


def test_against_brian2_by_hand() -> None:
    """Alpha currents as a user writes them, in units, by Runge-Kutta at the same step."""
    import brian2 as b2

    rng = np.random.default_rng(0)
    dt, steps = 1e-4, 1500
    trains = {r: np.flatnonzero(rng.random(steps) < 0.03) * dt for r in "ei"}
    circuit = nf.Circuit(
        "one",
        [nf.Population("A", AlphaLIF(drive=140 * pA))],
        [nf.Projection("e", "A", 150 * pA, "excitatory"),
         nf.Projection("i", "A", 40 * pA, "inhibitory")],
        [nf.SpikeInput("e"), nf.SpikeInput("i")],
    )  # fmt: skip
    ours = nf.simulate(circuit, trains, duration=steps * dt, record="v")

    b2.prefs.codegen.target = "numpy"
    clock = b2.Clock(dt=dt * b2.second)
    cell = b2.NeuronGroup(
        1,
        """
        dV/dt = (-V + 100*Mohm*(Ie - Ii + 140*pA))/(20*ms) : volt (unless refractory)
        dIe/dt = (xe - Ie)/(2*ms) : amp
        dxe/dt = -xe/(2*ms) : amp
        dIi/dt = (yi - Ii)/(5*ms) : amp
        dyi/dt = -yi/(5*ms) : amp
        """,
        threshold="V > 15*mV",
        reset="V = 0*mV",
        refractory=2 * b2.ms,
        method="rk4",
        clock=clock,
    )
    source = b2.SpikeGeneratorGroup(
        2,
        np.repeat([0, 1], [t.size for t in trains.values()]),
        np.concatenate(list(trains.values())) * b2.second,
        clock=clock,
    )
    excite = b2.Synapses(source, cell, on_pre="xe_post += exp(1)*150*pA", clock=clock)
    excite.connect(i=0, j=0)
    inhibit = b2.Synapses(source, cell, on_pre="yi_post += exp(1)*40*pA", clock=clock)
    inhibit.connect(i=1, j=0)
    spikes, states = b2.SpikeMonitor(cell), b2.StateMonitor(cell, "V", record=True, clock=clock)
    b2.Network(cell, source, excite, inhibit, spikes, states).run(steps * dt * b2.second)
    expected = np.round(np.asarray(spikes.t / b2.second) / dt)
    assert expected.size > 3
    assert np.round(ours.spikes["A"] / dt).tolist() == expected.tolist()
    # rk4's own error: (dt/tau)^4/120 of the current's share
    assert np.abs(ours.traces["A.v"][:, 0] - np.asarray(states.V)[0]).max() < 1e-8


@pytest.mark.parametrize("ratio", [0.25, 1.0, 1 - 1e-4])
def test_all_engines(ratio: float) -> None:
    """Where tau_e meets tau_m, too, on random inputs and noise."""
    rng = np.random.default_rng(3)
    steps = 400
    net = nf.Circuit(
        "noisy",
        [
            nf.Population("A", AlphaLIF(tau_e=20 * ms * ratio, drive=140 * pA), 4),
            nf.Population("B", AlphaLIF(tau_m=5 * ms, refractory=0, drive=100 * pA), 4),
        ],
        [
            nf.Projection("in", "A", 40 * pA, "excitatory"),
            nf.Projection("A", "B", 1 * nA, "excitatory", axonal_delay=1 * ms),
            nf.Projection("B", "A", 20 * pA, "inhibitory"),
        ],
        [nf.SpikeInput("in", 3), nf.NoiseInput("n", "A", sd=3 * mV)],
    )
    given = {"in": [np.flatnonzero(rng.random(steps) < 0.01) * 1e-4 for _ in range(3)]}
    names = list(AlphaLIF.model().variables)
    report = nf.compare(net, given, duration=steps * 1e-4, record=names)
    assert report.ok and report.spike_mismatches == 0, report
    assert report.spikes["brian2"] > 5
