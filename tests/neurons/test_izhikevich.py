"""Izhikevich's neuron: by hand in Brian2, rheobase in closed form, published behaviour."""

import math
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.neurons.izhikevich import Izhikevich
from neuroflip.units import ms, mV, pA

# Izhikevich 2003, Fig. 2: a (1/ms), b, c (mV), d (mV), all with an input of 10
PUBLISHED = {
    "RS": (0.02, 0.2, -65, 8),
    "IB": (0.02, 0.2, -55, 4),
    "CH": (0.02, 0.2, -50, 2),
    "FS": (0.1, 0.2, -65, 2),
    "LTS": (0.02, 0.25, -65, 2),
}


def neuron(kind: str, current: float = 10, **changes: Any) -> Izhikevich:
    """A published neuron with its input in published units."""
    a, b, c, d = PUBLISHED[kind]
    return Izhikevich(a=a / ms, b=b, c=c * mV, d=d * mV, drive=current * 10 * pA, **changes)


def fired(cell: Izhikevich, duration: float, dt: float = 1e-4, **population: Any) -> Any:
    circuit = nf.Circuit("one", [nf.Population("A", cell, **population)])
    return nf.simulate(circuit, duration=duration, dt=dt).spikes["A"]


def test_refusals_and_rest() -> None:
    with pytest.raises(ValueError, match=r"^Izhikevich.c must be below v_peak \(30 mV\)"):
        Izhikevich(c=30 * mV)
    with pytest.raises(ValueError, match="^Izhikevich has no passive membrane"):
        nf.Circuit("n", [nf.Population("A", Izhikevich())], inputs=[nf.NoiseInput("n", "A", 1e-3)])
    circuit = nf.Circuit("one", [nf.Population("A", Izhikevich())])
    rec = nf.simulate(circuit, duration=1.0, record=["v", "u"])
    assert rec.spikes["A"].size == 0
    # 0.04 v^2 + 4.8 v + 140 = 0 and u = 0.2 v
    assert abs(rec.traces["A.v"][-1, 0] + 70 * mV) < 1e-9
    assert abs(rec.traces["A.u"][-1, 0] + 14 * mV) < 1e-9


@pytest.mark.parametrize("kind", ["RS", "CH"])
def test_against_brian2_by_hand(kind: str) -> None:
    """The equations as Brian2's users write them, in mV and ms."""
    import brian2 as b2

    rng = np.random.default_rng(1)
    dt, steps = 1e-4, 3000
    wave = np.repeat(rng.normal(0, 60 * pA, steps // 10), 10)
    trains = [np.flatnonzero(rng.random(steps) < 0.01) * dt for _ in range(2)]
    circuit = nf.Circuit(
        "one",
        [nf.Population("A", neuron(kind))],
        [nf.Projection("d", "A", 3 * mV, "delta"), nf.Projection("i", "A", 40 * pA, "inhibitory")],
        [nf.SpikeInput("d"), nf.SpikeInput("i"), nf.CurrentInput("I", "A")],
    )
    ours = nf.simulate(
        circuit,
        {"d": trains[0], "i": trains[1], "I": wave},
        duration=steps * dt,
        record=["v", "u"],
    )

    b2.prefs.codegen.target = "numpy"
    clock = b2.Clock(dt=dt * b2.second)
    a, b, c, d = PUBLISHED[kind]
    cell = b2.NeuronGroup(
        1,
        """
        dV/dt = (0.04/ms/mV)*V**2 + (5/ms)*V + 140*mV/ms - U + (I - g)*mV/ms
            : volt (unless refractory)
        dU/dt = a*(b*clip(V, -inf*volt, 30*mV) - U) : volt/second
        dg/dt = -g/(20*ms) : 1
        I = wave(t) : 1 (constant over dt)
        """,
        threshold="V > 30*mV",
        reset="V = c; U += d",
        refractory=0 * b2.ms,
        method="rk4",
        clock=clock,
        namespace={
            "a": a / b2.ms, "b": b / b2.ms, "c": c * b2.mV, "d": d * b2.mV / b2.ms,
            "wave": b2.TimedArray(10 + wave / (10 * pA), dt=dt * b2.second),
        },
    )  # fmt: skip
    cell.V = c * b2.mV
    cell.U = b * c * b2.mV / b2.ms
    source = b2.SpikeGeneratorGroup(
        2,
        np.repeat([0, 1], [t.size for t in trains]),
        np.concatenate(trains) * b2.second,
        clock=clock,
    )
    lift = b2.Synapses(source, cell, on_pre="V_post += 3*mV", clock=clock)
    lift.connect(i=0, j=0)
    inhibit = b2.Synapses(source, cell, on_pre="g_post += 4", clock=clock)
    inhibit.connect(i=1, j=0)
    spikes = b2.SpikeMonitor(cell)
    states = b2.StateMonitor(cell, ["V", "U"], record=True, clock=clock)
    b2.Network(cell, source, lift, inhibit, spikes, states).run(steps * dt * b2.second)
    expected = np.round(np.asarray(spikes.t / b2.second) / dt)
    assert expected.size >= 5
    assert np.round(ours.spikes["A"] / dt).tolist() == expected.tolist()
    assert np.abs(ours.traces["A.v"][:, 0] - np.asarray(states.V)[0]).max() < 1e-8
    assert np.abs(ours.traces["A.u"][:, 0] - np.asarray(states.U)[0] * ms).max() < 1e-9


@pytest.mark.parametrize("kind", ["RS", "LTS", "FS"])
def test_spike_times_of_the_published_equations(kind: str) -> None:
    """Forward Euler of the equations as printed, at 1 us, written out here: no clipping, numbers
    in mV and ms. The two differ by their grids."""
    a, b, c, d = PUBLISHED[kind]
    v, u, h = float(c), b * c, 1e-3
    expected = []
    for k in range(100_000):
        v, u = v + h * (0.04 * v * v + 5 * v + 140 - u + 10), u + h * a * (b * v - u)
        if v > 30:
            v, u = c, u + d
            expected.append((k + 1) * h)
    found = fired(neuron(kind), 0.1, dt=1e-5) / ms
    assert found.size == len(expected) and found.size >= 3
    assert np.abs(found - expected).max() < 0.02 * found.size


@pytest.mark.parametrize("kind", ["RS", "LTS", "FS"])
def test_rheobase(kind: str) -> None:
    """Rest is where 0.04 v^2 + (5 - b) v + 140 + I = 0; it loses its stability where
    0.08 v + 5 = a (Andronov-Hopf), which for these comes before the fold."""
    a, b, *_ = PUBLISHED[kind]
    v = (a - 5) / 0.08
    assert v < -(5 - b) / 0.08  # the fold
    rheobase = -(0.04 * v * v + (5 - b) * v + 140)
    for factor, fires in ((-0.02, False), (0.02, True)):
        current = rheobase + factor
        rest = (-(5 - b) - math.sqrt((5 - b) ** 2 - 0.16 * (140 + current))) / 0.08
        start = {"v": (rest + 0.01) * mV, "u": b * rest * mV}
        spikes = fired(neuron(kind, current), 5.0, initial=start)
        assert (spikes.size > 0) == fires, (kind, current)
    if kind == "RS":
        assert math.isclose(rheobase, 3.7975)


def test_firing_patterns() -> None:
    """RS and IB adapt, CH bursts, FS fires fast and evenly, as in Fig. 2 of the paper."""
    gaps = {kind: np.diff(fired(neuron(kind), 1.0)) / ms for kind in PUBLISHED}
    assert gaps["RS"][0] < 0.75 * gaps["RS"][-1] and np.ptp(gaps["RS"][5:]) < 1
    assert gaps["IB"][0] < 6 < 20 < gaps["IB"][-1]
    assert gaps["CH"].min() < 5 and gaps["CH"].max() > 25
    assert np.ptp(gaps["FS"][5:]) < 0.5
    assert gaps["FS"].size > 2 * gaps["RS"].size


def test_order_of_the_integrator() -> None:
    ends = []
    for dt in (8e-4, 4e-4, 2e-4, 1e-4, 1e-5):
        circuit = nf.Circuit("one", [nf.Population("A", neuron("RS", 3.5, v_peak=1.0))])
        rec = nf.simulate(circuit, duration=0.008 + dt, dt=dt, record="v")
        ends.append(rec.traces["A.v"][round(0.008 / dt), 0])
    errors = np.abs(np.array(ends[:-1]) - ends[-1])
    assert np.abs(np.log2(errors[:-1] / errors[1:]) - 4).max() < 0.6


@pytest.mark.parametrize("dt", [1e-4, 1e-3])
def test_the_last_step_does_not_carry_into_u(dt: float) -> None:
    """v lifted to 5 V by a synapse: one spike, and u grows by d and next to nothing else."""
    circuit = nf.Circuit(
        "hit",
        [nf.Population("A", Izhikevich(refractory=5 * ms))],
        [nf.Projection("in", "A", 5.0, "delta")],
        [nf.SpikeInput("in")],
    )
    rec = nf.simulate(circuit, {"in": [0.0]}, duration=0.005, dt=dt, record=["u"])
    assert rec.spikes["A"].size == 1
    start, after = rec.traces["A.u"][[0, 2], 0]
    assert abs(after - start - 8 * mV) < 20 * 0.3 * 45 * mV * 2 * dt


def test_all_engines_in_noise() -> None:
    rng = np.random.default_rng(6)
    steps = 500
    net = nf.Circuit(
        "noisy",
        [
            nf.Population("A", neuron("CH"), 5),
            nf.Population("B", neuron("FS", 5, refractory=ms), 5),
        ],
        [
            nf.Projection("in", "A", 4 * mV, "delta"),
            nf.Projection("A", "B", 60 * pA, "excitatory", axonal_delay=1 * ms),
            nf.Projection("B", "A", 20 * pA, "inhibitory"),
        ],
        [nf.SpikeInput("in", 3), nf.CurrentInput("I", "A")],
    )
    given: dict[str, Any] = {
        "in": [np.flatnonzero(rng.random(steps) < 0.01) * 1e-4 for _ in range(3)],
        "I": rng.normal(0, 200 * pA, (steps, 5)),
    }
    report = nf.compare(net, given, duration=steps * 1e-4, record=["v", "u", "i_exc", "i_inh"])
    assert report.ok and report.spike_mismatches == 0, report
    assert report.spikes["brian2"] > 8
