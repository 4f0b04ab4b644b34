"""Conductance synapses: by hand in Brian2, Jahr & Stevens' block, closed forms, saturation."""

import math
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip import rules
from neuroflip.neurons.conductance_lif import ConductanceLIF
from neuroflip.units import ms, mV, nF, nS, pA

DT = 1e-4
RECEPTORS = ("ampa", "gaba", "nmda", "nmda_slow")


def one(neuron: ConductanceLIF, weights: dict[str, float], **initial: float) -> nf.Circuit:
    """One neuron with a spike input, an injected current and one synapse a receptor."""
    return nf.Circuit(
        "one",
        [nf.Population("A", neuron, initial=initial)],
        [nf.Projection(r, "A", w, r) for r, w in weights.items()],
        [*map(nf.SpikeInput, weights), nf.CurrentInput("I", "A")],
    )


def test_refusals_and_defaults() -> None:
    assert ConductanceLIF().membrane() == (0.02, 4e7)
    with pytest.raises(ValueError, match="^ConductanceLIF.v_reset must be below v_threshold"):
        ConductanceLIF(v_reset=-50 * mV)
    with pytest.raises(ValueError, match="^ConductanceLIF.magnesium must be at least 0"):
        ConductanceLIF(magnesium=-1)
    with pytest.raises(ValueError, match="weight"):
        one(ConductanceLIF(), {"gaba": -1 * nS})


def test_against_brian2_by_hand() -> None:
    """The pyramidal cell of Brunel & Wang 2001 in units, with all receptors and noise."""
    import brian2 as b2

    rng = np.random.default_rng(0)
    steps = 3000
    weights = dict(zip(RECEPTORS, (12 * nS, 4 * nS, 6 * nS, 8 * nS), strict=True))
    trains = {r: np.flatnonzero(rng.random(steps) < 0.01) * DT for r in RECEPTORS}
    wave = rng.normal(300 * pA, 800 * pA, steps)
    ours = nf.simulate(
        one(ConductanceLIF(), weights),
        {**trains, "I": wave},
        duration=steps * DT,
        record=["v", "g_nmda", "g_gaba"],
    )

    b2.prefs.codegen.target = "numpy"
    clock = b2.Clock(dt=DT * b2.second)
    cell = b2.NeuronGroup(
        1,
        """
        dV/dt = (-gL*(V - EL) - ga*(V - EE) - gn*(V - EE)/(1 + Mg*exp(-0.062*V/mV)/3.57)
                 - gg*(V - EL) + I)/Cm : volt (unless refractory)
        dga/dt = -ga/(2*ms) : siemens
        dgg/dt = -gg/(5*ms) : siemens
        dgn/dt = -gn/(100*ms) + x/(2*ms) : siemens
        dx/dt = -x/(2*ms) : siemens
        I = wave(t) : amp (constant over dt)
        """,
        threshold="V > -50*mV",
        reset="V = -55*mV",
        refractory=2 * b2.ms,
        method="rk4",
        clock=clock,
        namespace={
            "Cm": 0.5 * b2.nF, "gL": 25 * b2.nS, "EL": -70 * b2.mV, "EE": 0 * b2.mV, "Mg": 1.0,
            "wave": b2.TimedArray(wave * b2.amp, dt=DT * b2.second),
        },
    )  # fmt: skip
    cell.V = -70 * b2.mV
    source = b2.SpikeGeneratorGroup(
        4,
        np.repeat(np.arange(4), [t.size for t in trains.values()]),
        np.concatenate(list(trains.values())) * b2.second,
        clock=clock,
    )
    synapses = []
    for k, (target, weight) in enumerate(zip(("ga", "gg", "gn", "x"), (12, 4, 6, 8), strict=True)):
        code = f"{target}_post += {weight}*nS"
        synapses.append(b2.Synapses(source, cell, on_pre=code, clock=clock))
        synapses[-1].connect(i=k, j=0)
    spikes = b2.SpikeMonitor(cell)
    states = b2.StateMonitor(cell, ["V", "gn", "gg"], record=True, clock=clock)
    b2.Network(cell, source, *synapses, spikes, states).run(steps * DT * b2.second)
    expected = np.round(np.asarray(spikes.t / b2.second) / DT)
    assert expected.size > 5
    assert np.round(ours.spikes["A"] / DT).tolist() == expected.tolist()
    for name, there in (("v", states.V), ("g_nmda", states.gn), ("g_gaba", states.gg)):
        found, wanted = ours.traces[f"A.{name}"][:, 0], np.asarray(there)[0]
        assert np.abs(found - wanted).max() <= 1e-12 * np.abs(wanted).max()


def test_the_magnesium_block() -> None:
    """Half blocked at 1 mM at -20.5 mV (-ln 3.57/0.062); open without magnesium."""
    assert math.isclose(ConductanceLIF().block(math.log(1 / 3.57) / 62), 0.5)
    assert ConductanceLIF(magnesium=0).block(-0.08) == 1.0
    for v in (-90, -60, 30):
        expected = 1 / (1 + 2 / 3.57 * math.exp(-0.062 * v))
        assert math.isclose(ConductanceLIF(magnesium=2).block(v * mV), expected, rel_tol=1e-12)


@pytest.mark.parametrize("magnesium", [0.0, 1.0, 3.0])
def test_potential_at_which_nmda_and_leak_balance(magnesium: float) -> None:
    """With the conductance kept up, v settles where leak (v - E) = g B(v) (0 - v)."""
    neuron = ConductanceLIF(magnesium=magnesium, tau_nmda=1e6, v_threshold=10 * mV)
    for g in (5 * nS, 20 * nS):
        rec = nf.simulate(one(neuron, {}, g_nmda=g), duration=0.6, record="v")
        v = rec.traces["A.v"][-1, 0]
        opened = 1 / (1 + magnesium / 3.57 * math.exp(-0.062 * v / mV))
        assert abs(25 * nS * (v + 70 * mV) + g * opened * v) < 1e-14


def test_conductances_in_closed_form() -> None:
    """Jumps of the weight, decays, and the rise and decay of the slow NMDA receptor."""
    weights = dict(zip(RECEPTORS, (3 * nS, 2 * nS, 0.0, 4 * nS), strict=True))
    neuron = ConductanceLIF(drive=-100 * pA)
    rec = nf.simulate(
        one(neuron, weights),
        {r: [0.0] for r in RECEPTORS},
        duration=0.3,
        record=["g_ampa", "g_gaba", "g_nmda"],
    )
    t = rec.times[1:] - DT  # a weight that arrives in step 0 is in the sample of step 1
    slow = 4 * nS * 100 / 98 * (np.exp(-t / 0.1) - np.exp(-t / 0.002))
    for name, exact in (
        ("g_ampa", 3 * nS * np.exp(-t / 0.002)),
        ("g_gaba", 2 * nS * np.exp(-t / 0.005)),
        ("g_nmda", slow),
    ):
        assert np.abs(rec.traces[f"A.{name}"][1:, 0] - exact).max() < 2e-7 * exact.max(), name


@pytest.mark.parametrize("engine", ["numba", "torch"])
def test_without_conductances_it_is_a_leaky_integrate_and_fire_neuron(engine: str) -> None:
    """Also with refractory 0: the spikes of the LIF neuron with the same membrane."""
    for refractory in (0.0, 2 * ms):
        neuron = ConductanceLIF(drive=600 * pA, refractory=refractory)
        lif = nf.LIF(
            tau_m=0.02, resistance=4e7, v_rest=-70 * mV, v_threshold=-50 * mV, v_reset=-55 * mV,
            drive=600 * pA, refractory=refractory,
        )  # fmt: skip
        both = nf.Circuit("two", [nf.Population("A", neuron), nf.Population("B", lif)])
        rec = nf.simulate(both, duration=0.15, record="v", engine=engine)
        assert rec.spikes["A"].size > 3
        assert rec.spikes["A"].tolist() == rec.spikes["B"].tolist()
        assert np.abs(rec.traces["A.v"] - rec.traces["B.v"]).max() < 1e-12


def test_a_shunt_at_the_reversal_potential_only_divides() -> None:
    """g_gaba kept up at e_inh = v_rest: the membrane of the summed conductance."""
    neuron = ConductanceLIF(tau_gaba=1e6, drive=400 * pA)
    rec = nf.simulate(one(neuron, {}, g_gaba=15 * nS), duration=0.1, record="v")
    exact = -70 * mV + 400 * pA / (40 * nS) * (1 - np.exp(-rec.times * 40 * nS / (0.5 * nF)))
    assert np.abs(rec.traces["A.v"][:, 0] - exact).max() < 1e-8  # g falls by 1e-7 in 0.1 s


def test_conductances_go_on_while_the_potential_is_held() -> None:
    neuron = ConductanceLIF(refractory=10 * ms, drive=2000 * pA)
    rec = nf.simulate(
        one(neuron, {"ampa": 5 * nS}), {"ampa": [0.0]}, duration=0.05, record=["v", "g_ampa"]
    )
    spike = round(rec.spikes["A"][0] / DT)
    held = rec.traces["A.v"][spike + 1 : spike + 101, 0]
    assert (held == -55 * mV).all() and rec.traces["A.v"][spike + 101, 0] != -55 * mV
    g = rec.traces["A.g_ampa"][:, 0]
    assert np.allclose(g[2:] / g[1:-1], math.exp(-DT / 0.002), rtol=1e-7)


# ------------------------------------------------------------------ saturation


def nmda_of(train: Any, rule: rules.Rule, receptor: str, duration: float) -> Any:
    """g_nmda per weight of one synapse that is given a spike train."""
    circuit = nf.Circuit(
        "gate",
        [nf.Population("A", ConductanceLIF(drive=-200 * pA))],
        [nf.Projection("in", "A", 2 * nS, receptor, rule=rule)],
        [nf.SpikeInput("in")],
    )
    rec = nf.simulate(circuit, {"in": train}, duration=duration, record="g_nmda")
    return rec.traces["A.g_nmda"][:, 0] / (2 * nS)


@pytest.mark.parametrize("rate", [5, 40, 200])
def test_a_depressing_synapse_is_a_saturating_gate(rate: float) -> None:
    """ShortTerm with tau_rec = tau_nmda sends exactly the jumps U (1 - s) of the gate s, whose
    recursion is written out here; g_nmda = weight s."""
    rng = np.random.default_rng(rate)
    steps, u = 5000, 1 - math.exp(-1)
    fires = rng.random(steps) < rate * DT
    gate = rules.ShortTerm(utilization=u, tau_rec=100 * ms)
    found = nmda_of(np.flatnonzero(fires) * DT, gate, "nmda", steps * DT)
    s, expected = 0.0, []
    for k in range(steps):
        expected.append(s)
        s *= math.exp(-DT / 0.1)  # over the step, then what arrives in it
        s += u * (1 - s) if fires[k] else 0.0
    assert fires.sum() >= 2 and max(expected) <= 1
    assert np.abs(found - expected).max() < 1e-12
    if rate == 200:
        assert max(expected) > 0.95  # one without saturation would be near 12


def test_the_gate_of_wang_with_its_rise() -> None:
    """ds/dt = -s/tau + alpha x (1 - s), dx/dt = -x/tau_rise, x += 1 (Wang 2002), by fine Euler:
    the jump of the depressing synapse is off by the rise time alone, a few per cent."""
    rng = np.random.default_rng(8)
    steps = 10000
    fires = np.flatnonzero(rng.random(steps) < 40 * DT)
    gate = rules.ShortTerm(utilization=1 - math.exp(-0.5 * 2), tau_rec=100 * ms)
    found = nmda_of(fires * DT, gate, "nmda", steps * DT)
    s = x = 0.0
    expected = np.zeros(steps)
    arrives = set(fires.tolist())
    for k in range(steps):
        expected[k] = s
        for _ in range(10):
            s += 1e-5 * (-s / 0.1 + 500 * x * (1 - s))
            x -= 1e-5 * x / 0.002
        x += k in arrives
    assert abs(found[2000:].mean() / expected[2000:].mean() - 1) < 0.03
    # at the end of each long pause the two are the same to that, too
    quiet = fires[:-1][np.diff(fires) > 200] + 190
    assert np.abs(found[quiet] / expected[quiet] - 1).max() < 0.06


# ------------------------------------------------------------------ engines


def test_order_of_the_integrator() -> None:
    ends = []
    for dt in (2e-3, 1e-3, 5e-4, 5e-5):
        start = {"g_nmda": 40 * nS, "g_ampa": 30 * nS, "g_gaba": 60 * nS}
        rec = nf.simulate(one(ConductanceLIF(tau_ampa=6 * ms), {}, **start), duration=0.02 + dt,
                          dt=dt, record="v")  # fmt: skip
        assert rec.spikes["A"].size == 0
        ends.append(rec.traces["A.v"][round(0.02 / dt), 0])
    errors = np.abs(np.array(ends[:-1]) - ends[-1])
    assert np.abs(np.log2(errors[:-1] / errors[1:]) - 4).max() < 0.6


def test_all_engines_in_noise() -> None:
    rng = np.random.default_rng(7)
    steps = 500
    interneuron = ConductanceLIF(capacitance=0.2 * nF, leak=20 * nS, refractory=0)
    net = nf.Circuit(
        "noisy",
        [nf.Population("A", ConductanceLIF(drive=450 * pA), 5), nf.Population("B", interneuron, 5)],
        [
            *(nf.Projection("in", "A", 5 * nS, r, name=f"to {r}") for r in RECEPTORS),
            nf.Projection("A", "B", 4 * nS, "ampa", axonal_delay=0.5 * ms),
            nf.Projection("B", "A", 2 * nS, "gaba", axonal_delay=0.5 * ms),
            nf.Projection(
                "A", "A", 2 * nS, "nmda", rule=rules.ShortTerm(utilization=0.6, tau_rec=100 * ms)
            ),
        ],
        [nf.SpikeInput("in", 3), nf.NoiseInput("n", "A", sd=3 * mV)],
    )
    given = {"in": [np.flatnonzero(rng.random(steps) < 0.01) * DT for _ in range(3)]}
    report = nf.compare(
        net, given, duration=steps * DT, record=["v", "g_ampa", "g_gaba", "g_nmda", "x_nmda"]
    )
    assert report.ok and report.spike_mismatches == 0, report
    assert report.spikes["brian2"] > 10
