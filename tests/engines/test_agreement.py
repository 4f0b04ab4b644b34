"""Every engine gives the same spikes, states and weights, on random circuits."""

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, seed, settings
from hypothesis import strategies as st

import neuroflip as nf
from neuroflip import rules
from neuroflip.units import ms, mV, nA, pA

STEPS = 250


@st.composite
def neurons(draw):
    """A neuron of either model; often with equal or nearly equal time constants."""
    tau_m = draw(st.sampled_from([5 * ms, 10 * ms, 20 * ms, 31.7 * ms]))
    shared = {
        "tau_m": tau_m,
        "refractory": draw(st.sampled_from([0.0, 0.5 * ms, 1 * ms, 2.3 * ms])),
        "v_rest": draw(st.sampled_from([0.0, -70 * mV])),
        "drive": draw(st.sampled_from([0.0, 120 * pA, 250 * pA])),
    }
    shared["v_threshold"] = shared["v_rest"] + draw(st.sampled_from([10 * mV, 15 * mV]))
    shared["v_reset"] = shared["v_rest"] - draw(st.sampled_from([0.0, 5 * mV]))
    if draw(st.booleans()):
        return nf.DeltaLIF(**shared)
    near = st.sampled_from([1.0, 1 + 1e-9, 1 - 1e-4, 0.25, 3.0])
    return nf.LIF(tau_e=tau_m * draw(near), tau_i=tau_m * draw(near), **shared)


@st.composite
def circuits(draw):
    """1 to 20 neurons in up to 4 populations, random synapses, delays, rules and inputs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    dt = draw(st.sampled_from([0.1 * ms, 0.5 * ms]))
    populations = [
        nf.Population(
            f"P{i}",
            draw(neurons()),
            size=draw(st.integers(1, 5)),
        )
        for i in range(draw(st.integers(1, 4)))
    ]
    inputs = [nf.SpikeInput("in", size=draw(st.integers(1, 4))), nf.CurrentInput("I", "P0")]
    sizes = {p.name: p.size for p in populations} | {"in": inputs[0].size}
    projections = [_projection(draw, rng, "in", populations[0], sizes, dt, "first")]
    for number in range(draw(st.integers(0, 4))):
        pre = draw(st.sampled_from(sorted(sizes)))
        post = draw(st.sampled_from(populations))
        projections.append(_projection(draw, rng, pre, post, sizes, dt, f"p{number}"))
    trains = []
    density = draw(st.sampled_from([0.02, 0.1, 0.5]))
    shared = rng.random(STEPS) < density  # sources often fire together
    for _ in range(inputs[0].size):
        own = rng.random(STEPS) < density
        trains.append(np.flatnonzero(shared | own if rng.random() < 0.5 else own) * dt)
    wave = rng.normal(100 * pA, 100 * pA, STEPS)
    circuit = nf.Circuit("random", populations, projections, inputs)
    return circuit, {"in": trains, "I": wave}, dt


def _projection(draw, rng, pre, post, sizes, dt, name):
    n_pre, n_post = sizes[pre], post.size
    delta = isinstance(post.neuron, nf.DeltaLIF)
    scale = 6 * mV if delta else 1 * nA
    patterns = [nf.Dense(), nf.Random(0.5, seed=int(rng.integers(1000)))]
    patterns.append(nf.Pairs(rng.integers(0, n_pre, 4), rng.integers(0, n_post, 4)))
    if n_pre == n_post:
        patterns.append(nf.OneToOne())
    pattern = draw(st.sampled_from(patterns))
    synapses = pattern.pairs(n_pre, n_post)[0].size
    rule = rules.none
    weight = rng.random(synapses) * scale
    if draw(st.booleans()):
        rule = rules.PairSTDP(
            tau_plus=draw(st.sampled_from([2 * ms, 20 * ms])),
            tau_minus=draw(st.sampled_from([3 * ms, 20 * ms])),
            a_plus=draw(st.sampled_from([0.01, 0.3])),
            a_minus=draw(st.sampled_from([0.0105, 0.4])),
            mu_plus=draw(st.sampled_from([0.0, 0.4, 1.0])),
            mu_minus=draw(st.sampled_from([0.0, 0.4, 1.0])),
            base_plus=draw(st.sampled_from(["room", "weight"])),
            w_max=scale,
        )
        weight[: synapses // 3] = scale  # some start at a bound
    elif delta:
        weight -= scale / 3
    return nf.Projection(
        pre,
        post.name,
        weight=weight,
        receptor=None if delta else draw(st.sampled_from(["excitatory", "inhibitory"])),
        pattern=pattern,
        axonal_delay=draw(
            st.sampled_from([0.0, 1 * ms]) | st.just(rng.integers(0, 8, synapses) * dt)
        ),
        dendritic_delay=draw(
            st.sampled_from([0.0, 1 * ms]) | st.just(rng.integers(0, 5, synapses) * dt)
        ),
        rule=rule,
        name=name,
    )


def agree(case) -> None:
    circuit, inputs, dt = case
    plastic = [p.name for p in circuit.projections if p.rule.plastic]
    report = nf.compare(
        circuit,
        inputs,
        duration=STEPS * dt,
        dt=dt,
        record=["v", *plastic],
    )
    assume(report.threshold_margin > 1e-13)  # a tie may fall either way
    assert report.spike_mismatches == 0, report
    assert report.ok, report


def agree_on(examples: int, draws: int | None = None) -> None:
    """As many circuits, of one seed where draws is given."""
    settled = settings(
        max_examples=examples,
        deadline=None,
        database=None if draws is not None else settings.default.database,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    test = settled(given(circuits())(agree))
    (test if draws is None else seed(draws)(test))()


@pytest.mark.parametrize("draws", range(10))
def test_random_circuits_agree(draws) -> None:
    agree_on(20, draws)


@pytest.mark.slow
def test_many_random_circuits_agree() -> None:
    agree_on(2000)
