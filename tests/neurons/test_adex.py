"""The adaptive exponential neuron: by hand in Brian2, closed forms, firing patterns, extremes."""

import math
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.neurons.adex import AdEx
from neuroflip.units import ms, mV, nA, nS, pA, pF

DT = 1e-4


def run(neuron: AdEx, duration: float, wave: Any = None, dt: float = DT, **options: Any) -> Any:
    """One neuron with an injected current."""
    inputs = [] if wave is None else [nf.CurrentInput("I", "A")]
    circuit = nf.Circuit("one", [nf.Population("A", neuron, **options)], inputs=inputs)
    given = {} if wave is None else {"I": wave}
    return nf.simulate(circuit, given, duration=duration, dt=dt, record=["v", "w"])


def test_refusals_and_defaults() -> None:
    neuron = AdEx()
    assert (neuron.capacitance, neuron.leak) == (281 * pF, 30 * nS)
    tau, resistance = neuron.membrane()
    assert math.isclose(tau, 281e-12 / 30e-9) and math.isclose(resistance, 1 / 30e-9)
    with pytest.raises(ValueError, match="^AdEx.v_threshold must be below v_peak"):
        AdEx(v_peak=-50.4 * mV)
    with pytest.raises(ValueError, match=r"^AdEx.v_reset must be below v_peak \(-40.4 mV\)"):
        AdEx(v_reset=-40.4 * mV)
    assert AdEx(v_reset=-45 * mV).v_reset > AdEx().v_threshold  # for bursts
    with pytest.raises(ValueError, match="^AdEx.slope must be above 0 V"):
        AdEx(slope=0)


def test_against_brian2_by_hand() -> None:
    """The equations of Brette & Gerstner 2005 in units, with synapses and injected noise."""
    import brian2 as b2

    rng = np.random.default_rng(0)
    steps = 6000
    wave = 700 * pA + np.repeat(rng.normal(0, 400 * pA, steps // 20), 20)
    trains = {r: np.flatnonzero(rng.random(steps) < 0.01) * DT for r in ("e", "i", "d")}
    circuit = nf.Circuit(
        "one",
        [nf.Population("A", AdEx(refractory=1 * ms))],
        [
            nf.Projection("e", "A", 300 * pA, "excitatory"),
            nf.Projection("i", "A", 200 * pA, "inhibitory"),
            nf.Projection("d", "A", 2 * mV, "delta"),
        ],
        [*map(nf.SpikeInput, "eid"), nf.CurrentInput("I", "A")],
    )
    ours = nf.simulate(
        circuit, {**trains, "I": wave}, duration=steps * DT, record=["v", "w", "i_exc"]
    )

    b2.prefs.codegen.target = "numpy"
    clock = b2.Clock(dt=DT * b2.second)
    current = b2.TimedArray(wave * b2.amp, dt=DT * b2.second)
    cell = b2.NeuronGroup(
        1,
        """
        V = clip(vm, -inf*volt, Vcut) : volt
        dvm/dt = (gL*(EL - V) + gL*DeltaT*exp((V - VT)/DeltaT) + I + ie - ii - w)/C
            : volt (unless refractory)
        dw/dt = (a*(V - EL) - w)/tauw : amp
        die/dt = -ie/taue : amp
        dii/dt = -ii/taui : amp
        I = current(t) : amp (constant over dt)
        """,
        threshold="vm > Vcut",
        reset="vm = Vr; w += b",
        refractory=1 * b2.ms,
        method="rk4",
        clock=clock,
        namespace={
            "C": 281 * b2.pF, "gL": 30 * b2.nS, "EL": -70.6 * b2.mV, "VT": -50.4 * b2.mV,
            "DeltaT": 2 * b2.mV, "Vcut": -40.4 * b2.mV, "Vr": -70.6 * b2.mV, "a": 4 * b2.nS,
            "b": 0.0805 * b2.nA, "tauw": 144 * b2.ms, "taue": 5 * b2.ms, "taui": 20 * b2.ms,
            "current": current,
        },
    )  # fmt: skip
    cell.vm = -70.6 * b2.mV
    indices = np.repeat(np.arange(3), [t.size for t in trains.values()])
    source = b2.SpikeGeneratorGroup(
        3, indices, np.concatenate(list(trains.values())) * b2.second, clock=clock
    )
    synapses = []
    for k, code in enumerate(("ie_post += 300*pA", "ii_post += 200*pA", "vm_post += 2*mV")):
        synapses.append(b2.Synapses(source, cell, on_pre=code, clock=clock))
        synapses[-1].connect(i=k, j=0)
    spikes = b2.SpikeMonitor(cell)
    states = b2.StateMonitor(cell, ["vm", "w", "ie"], record=True, clock=clock)
    b2.Network(cell, source, *synapses, spikes, states).run(steps * DT * b2.second)
    expected = np.round(np.asarray(spikes.t / b2.second) / DT)
    assert expected.size > 5
    assert np.round(ours.spikes["A"] / DT).tolist() == expected.tolist()
    for name, there in (("v", states.vm), ("w", states.w), ("i_exc", states.ie)):
        found, wanted = ours.traces[f"A.{name}"][:, 0], np.asarray(there)[0]
        assert np.abs(found - wanted).max() <= 1e-11 * np.abs(wanted).max()


def test_leak_below_threshold_is_the_passive_membrane() -> None:
    """Far below threshold, a = b = 0: the exponential charging curve."""
    neuron = AdEx(a=0, b=0, v_threshold=0.0, v_peak=10 * mV)
    rec = run(neuron, 0.05, [(0, 1, 300 * pA)])
    t = rec.times
    exact = -70.6 * mV + 300 * pA / (30 * nS) * (1 - np.exp(-t / (281 / 30 * ms)))
    assert np.abs(rec.traces["A.v"][:, 0] - exact).max() < 1e-11


def stays(neuron: AdEx, current: float) -> bool:
    """Whether the neuron, 0.02 mV beside its fixed point (or where that vanishes), stays there."""
    g, a, slope = neuron.leak, neuron.a, neuron.slope

    def total(v: float) -> float:
        rise = g * slope * math.exp((v - neuron.v_threshold) / slope)
        return rise - (g + a) * (v - neuron.v_rest) + current

    low, high = neuron.v_rest - 0.1, neuron.v_threshold + slope * math.log(1 + a / g)
    if total(high) < 0:  # else there is no fixed point
        for _ in range(100):
            middle = (low + high) / 2
            low, high = (middle, high) if total(middle) > 0 else (low, middle)
    start = {"v": high + 0.02 * mV, "w": a * (high - neuron.v_rest)}
    rec = run(neuron, 4.0, [(0, 10, current)], initial=start)
    return rec.spikes["A"].size == 0


@pytest.mark.parametrize(
    "neuron",
    [AdEx(a=0.0), AdEx(a=2 * nS, tau_w=10 * ms), AdEx(), AdEx(a=30 * nS), AdEx(slope=0.5 * mV)],
    ids=["a0", "saddle-node", "default", "hopf", "sharp"],
)
def test_rheobase(neuron: AdEx) -> None:
    """Where rest loses its stability (Touboul & Brette 2008, Biol. Cybern. 99:319), by saddle-node
    where a/leak < tau_m/tau_w and by Andronov-Hopf where not."""
    g, a, slope = neuron.leak, neuron.a, neuron.slope
    span = neuron.v_threshold - neuron.v_rest - slope
    ratio = neuron.membrane()[0] / neuron.tau_w
    if a / g < ratio:
        rheobase = (g + a) * (span + slope * math.log(1 + a / g))
    else:
        rheobase = (g + a) * (span + slope * math.log(1 + ratio)) + g * slope * (a / g - ratio)
    assert not stays(neuron, 1.003 * rheobase)
    assert stays(neuron, 0.997 * rheobase)


def test_a_small_slope_is_a_leaky_integrate_and_fire_neuron() -> None:
    neuron = AdEx(slope=0.002 * mV, v_peak=-50.39 * mV, a=0, b=0, drive=800 * pA)
    lif = nf.LIF(
        tau_m=281 / 30 * ms,
        resistance=1e9 / 30,
        v_rest=-70.6 * mV,
        v_threshold=-50.4 * mV,
        v_reset=-70.6 * mV,
        refractory=0,
    )
    rec = run(neuron, 1.0, dt=2e-5)
    measured = (rec.spikes["A"].size - 1) / np.ptp(rec.spikes["A"])
    assert math.isclose(measured, nf.circuits.firing_rate(lif, 800 * pA), rel_tol=5e-3)


# ------------------------------------------------------------------ firing patterns


def intervals(neuron: AdEx, current: float, duration: float = 1.0) -> Any:
    return np.diff(run(neuron, duration, [(0, 10, current)]).spikes["A"])


def test_regular_spiking_adapts() -> None:
    """The default neuron at 1 nA, as in Brian2's example of the paper: intervals only grow, to the
    stationary one, in which adaptation jumps b and decays to where it was."""
    found = intervals(AdEx(), 1 * nA, 2.0)
    assert found[0] < 0.6 * found[-1] and (np.diff(found) > -2e-4).all()
    assert np.ptp(found[-5:]) <= 2e-4


def test_bursting() -> None:
    """tau_w 20 ms, b 0.5 nA, reset 5 mV above threshold (the paper's bursting set)."""
    found = intervals(AdEx(tau_w=20 * ms, b=0.5 * nA, v_reset=-45.4 * mV), 1 * nA)
    assert found.min() < 6 * ms and found.max() > 20 * ms
    short = found < 10 * ms
    assert short.sum() >= 3 and (~short).sum() >= 3


def test_fast_spiking_does_not_adapt() -> None:
    """a = 2 C/tau_w, b = 0 (the paper's fast-spiking set)."""
    found = intervals(AdEx(a=2 * 281 * pF / (144 * ms), b=0.0), 1 * nA)
    assert found.size > 50 and found[-1] < 1.1 * found[0]


def test_stationary_interval_of_the_default_neuron() -> None:
    """Against forward Euler of the paper's equations to a peak of 0 mV, at a hundredth of the
    step, written out here: the cut-off costs less than 0.06 ms a spike, the grid a step."""
    v, w, t, dt = -70.6, 0.0, 0.0, 1e-3  # mV, pA, ms
    expected: list[float] = []
    while len(expected) < 12:
        slope = (-30 * (v + 70.6) + 60 * math.exp((v + 50.4) / 2) - w + 1000) / 281
        w += dt * (4 * (v + 70.6) - w) / 144
        v += dt * slope
        t += dt
        if v > 0:
            v, w = -70.6, w + 80.5
            expected.append(t)
    found = run(AdEx(drive=1 * nA), 0.5, dt=1e-5).spikes["A"][:12]
    assert np.abs(np.diff(found) - np.diff(expected) * ms).max() < 0.08 * ms


# ------------------------------------------------------------------ numerics


def test_order_of_the_integrator() -> None:
    """On a smooth stretch that climbs into the exponential, without a spike."""
    ends = []
    for dt in (8e-4, 4e-4, 2e-4, 1e-4, 1e-5):
        circuit = nf.Circuit("one", [nf.Population("A", AdEx(drive=800 * pA))])
        rec = nf.simulate(circuit, duration=0.012 + dt, dt=dt, record="v")
        assert rec.spikes["A"].size == 0
        ends.append(rec.traces["A.v"][round(0.012 / dt), 0])
    errors = np.abs(np.array(ends[:-1]) - ends[-1])
    assert ends[-1] > -56 * mV
    assert np.abs(np.log2(errors[:-1] / errors[1:]) - 4).max() < 0.6


@pytest.mark.parametrize("engine", ["numba", "torch", "brian2"])
@pytest.mark.parametrize("dt", [1e-4, 1e-3])
def test_no_input_overflows_it(engine: str, dt: float) -> None:
    """v driven to 10 V by a synapse, a peak far into the exponential, steps of 1 ms."""
    neuron = AdEx(v_peak=20 * mV, slope=0.5 * mV, refractory=2 * ms)
    circuit = nf.Circuit(
        "hit",
        [nf.Population("A", neuron)],
        [nf.Projection("in", "A", 10.0, "delta")],
        [nf.SpikeInput("in")],
    )
    rec = nf.simulate(
        circuit, {"in": [0.0, 0.01]}, duration=0.02, dt=dt, engine=engine, record=["v", "w"]
    )
    assert rec.spikes["A"].round(9).tolist() == [dt, 0.01 + dt]
    assert np.isfinite(rec.traces["A.w"]).all()
    # w has grown by b at each spike and by no upstroke: a (v_peak - v_rest) dt/tau_w at most
    after = rec.traces["A.w"][round(0.002 / dt), 0]
    assert abs(after - 80.5 * pA) < 4 * nS * 91 * mV * 2 * dt / (144 * ms) + 2 * pA


@pytest.mark.parametrize(
    "neuron",
    [
        AdEx(drive=700 * pA),
        AdEx(drive=750 * pA, tau_w=20 * ms, b=0.5 * nA, v_reset=-45.4 * mV, refractory=2 * ms),
    ],
    ids=["regular", "bursting"],
)
def test_all_engines_in_noise(neuron: AdEx) -> None:
    rng = np.random.default_rng(4)
    steps = 500
    circuit = nf.Circuit(
        "noisy",
        [
            nf.Population("A", neuron, 5, {"v": -55 * mV}),
            nf.Population("B", AdEx(a=0, drive=500 * pA), 5),
        ],
        [
            nf.Projection("in", "A", 300 * pA, "excitatory"),
            nf.Projection("A", "B", 800 * pA, "excitatory", axonal_delay=1 * ms),
            nf.Projection("B", "A", 200 * pA, "inhibitory"),
            nf.Projection("in", "B", -1 * mV, "delta"),
        ],
        [nf.SpikeInput("in", 3), nf.NoiseInput("noise", "A", sd=3 * mV)],
    )
    given = {"in": [np.flatnonzero(rng.random(steps) < 0.01) * DT for _ in range(3)]}
    report = nf.compare(circuit, given, duration=steps * DT, record=["v", "w", "i_exc", "i_inh"])
    assert report.ok and report.spike_mismatches == 0, report
    assert report.spikes["brian2"] > 8
