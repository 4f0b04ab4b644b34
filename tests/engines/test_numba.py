"""The compiled engine: what it keeps once for many synapses, batches of trials, memory."""

import math
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip import rules
from neuroflip.engines import arrays
from neuroflip.engines import numba as engine
from neuroflip.engines.arrays import Shared
from neuroflip.engines.job import Job
from neuroflip.engines.parts import whole as in_one
from neuroflip.engines.plan import make_plan
from neuroflip.inputs import Drive
from neuroflip.units import ms, mV, nA, pA

DT = 0.1 * ms


def by_hand(rule: rules.PairSTDP, pre: list[int], post: list[int], w: float) -> float:
    """Multiplicative pair STDP, one spike after the other; in one step pre comes first."""
    span, x, y, at_x, at_y = rule.w_max - rule.w_min, 0.0, 0.0, 0, 0
    for k, is_post in sorted([(k, False) for k in pre] + [(k, True) for k in post]):
        fallen_x = x * math.exp(-(k - at_x) * DT / rule.tau_plus)
        fallen_y = y * math.exp(-(k - at_y) * DT / rule.tau_minus)
        if is_post:
            w += rule.a_plus * span * ((rule.w_max - w) / span) * fallen_x
            y, at_y = fallen_y + 1, k
        else:
            w -= rule.a_minus * span * ((w - rule.w_min) / span) * fallen_y
            x, at_x = fallen_x + 1, k
        w = min(max(w, rule.w_min), rule.w_max)
    return w


def test_postsynaptic_spikes_wait_for_a_silent_synapse_however_many_they_are() -> None:
    """More of them than an owner can write down, and silences that no table holds."""
    rule = rules.PairSTDP(
        tau_plus=300 * ms, tau_minus=200 * ms, a_plus=0.02, a_minus=0.03, mu_plus=1, mu_minus=1,
        w_max=1 * mV,
    )  # fmt: skip
    circuit = nf.Circuit(
        "silent",
        [nf.Population("A", nf.DeltaLIF(refractory=1 * ms), size=2)],
        [
            nf.Projection("in", "A", 0.3 * mV, rule=rule),
            nf.Projection("kick", "A", 40 * mV, pattern=nf.OneToOne()),
        ],
        [nf.SpikeInput("in", 2), nf.SpikeInput("kick", 2)],
    )
    inputs = {
        "in": [[1 * ms, 905 * ms], [300 * ms, 310 * ms, 311 * ms]],
        "kick": [np.arange(100, 700, 2.5) * ms, [0.2, 0.9]],
    }
    recorded = nf.simulate(circuit, inputs, duration=1.0, record="in->A", record_every=50 * ms)
    plain = nf.simulate(circuit, inputs, duration=1.0)
    post = [np.rint(train / DT).astype(int).tolist() for train in plain.trains("A")]
    assert len(post[0]) == 240 > 3 * arrays._EVENTS[1]
    pre = [np.rint(np.array(train) / DT).astype(int).tolist() for train in inputs["in"]]
    expected = np.array([[by_hand(rule, a, b, 0.3 * mV) for b in post] for a in pre])
    assert np.abs(expected - 0.3 * mV).min() > 1e-3 * mV
    for rec in (plain, recorded):
        np.testing.assert_allclose(rec.weights["in->A"], expected.ravel(), rtol=1e-12)
    for row, time in zip(recorded.weight_history["in->A"], recorded.times, strict=True):
        k = round(time / DT)
        now = [
            by_hand(rule, [s for s in a if s < k], [s for s in b if s < k], 0.3 * mV)
            for a in pre
            for b in post
        ]
        np.testing.assert_allclose(row, now, rtol=1e-12)


def learner(trials: int = 7) -> dict[str, Any]:
    circuit = nf.Circuit(
        "learner",
        [nf.Population("A", nf.DeltaLIF(), size=3), nf.Population("B", nf.LIF(), size=2)],
        [
            nf.Projection("in", "A", 3 * mV, rule=rules.TripletSTDP(w_max=6 * mV)),
            nf.Projection("A", "B", 300e-12, "excitatory", axonal_delay=1 * ms),
        ],
        [nf.PoissonInput("in", rate=200, size=5), nf.NoiseInput("noise", "B", sd=3 * mV)],
    )
    return {"circuit": circuit, "duration": 0.2, "trials": trials, "seed": 3}


@pytest.mark.parametrize(("neurons", "threads"), [(1, 1), (10, 1), (20, 2)])
def test_batches_of_any_size_give_the_same(monkeypatch: Any, neurons: int, threads: int) -> None:
    whole = nf.simulate(**learner())
    monkeypatch.setattr(engine, "_NEURONS", neurons)
    parts = nf.simulate(**learner(), threads=threads)
    assert whole.spikes["A"].size > 50 and whole.spikes["B"].size > 10
    for name in "AB":
        assert np.array_equal(whole.spikes[name], parts.spikes[name])
        assert np.array_equal(whole.neurons[name], parts.neurons[name])
        assert np.array_equal(whole.trials[name], parts.trials[name])
    assert np.array_equal(whole.weights["in->A"], parts.weights["in->A"])
    assert whole.threshold_margin == parts.threshold_margin


def _bytes_a_synapse(arrays: Any, synapses: int) -> float:
    kept = [v for v in arrays if isinstance(v, np.ndarray) and v.size >= synapses]
    return sum(v.nbytes for v in kept) / synapses


@pytest.mark.parametrize(
    ("rule", "most"),
    [(rules.PairSTDP(w_max=2e-12), 17), (rules.FroemkeDanSTDP(w_max=2e-12), 17),
     (rules.ClopathSTDP(w_max=2e-12), 24)],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_memory_of_a_synapse(rule: Any, most: int) -> None:
    """24 bytes at most for a plastic one with a delay of its own, 12 for a static one with a
    common delay."""
    delay = np.random.default_rng(0).integers(1, 6, (400, 600)) * ms
    circuit = nf.Circuit(
        "many",
        [nf.Population("A", nf.LIF(), size=400), nf.Population("B", nf.FilteredLIF(), size=600)],
        [
            nf.Projection("A", "B", 1e-12, axonal_delay=delay, rule=rule),
            nf.Projection("B", "A", 1e-12, "inhibitory", axonal_delay=1 * ms),
        ],
    )  # fmt: skip
    job = Job(circuit, [Drive({}, {}, {})], 1, DT, (), (), 1)
    shared = Shared(in_one(make_plan(circuit, DT)), job)
    [plastic] = shared.plastic
    kept = [*vars(plastic).values(), *plastic.arguments([{}], [], np.zeros((1, 0)))]
    unique = {id(v): v for v in kept}.values()
    assert _bytes_a_synapse(unique, 240_000) <= most
    assert _bytes_a_synapse(shared.groups[0].static, 240_000) <= 12


def test_a_delay_of_too_many_steps_is_refused() -> None:
    cells = [nf.Population("A", nf.DeltaLIF())]
    loop = nf.Projection("A", "A", 1 * mV, axonal_delay=3e5)
    with pytest.raises(ValueError, match=r"axonal_delay must be below 2\*\*31 steps"):
        nf.simulate(nf.Circuit("late", cells, [loop]), duration=1 * ms)


def _noisy_and_plastic() -> nf.Circuit:
    cells = [
        nf.Population("A", nf.LIF(drive=250 * pA), size=20),
        nf.Population("B", nf.FilteredLIF(drive=180 * pA), size=15),
    ]
    projections = [
        nf.Projection("in", "A", 0.4 * nA, "excitatory"),
        nf.Projection("A", "B", 1 * mV, axonal_delay=1 * ms, rule=rules.PairSTDP(w_max=2 * mV)),
        nf.Projection("B", "A", 0.2 * nA, "inhibitory", dendritic_delay=2 * ms),
        nf.Projection("A", "B", 0.5 * mV, name="slow", rule=rules.ClopathSTDP(w_max=1 * mV)),
    ]
    inputs = [nf.PoissonInput("in", 30.0, size=10), nf.NoiseInput("noise", "A", 1 * mV)]
    return nf.Circuit("noisy", cells, projections, inputs)


def test_single_precision_agrees_to_its_digits() -> None:
    """Until spikes differ by a step, seven digits less what accumulates."""
    circuit, options = _noisy_and_plastic(), {"duration": 100 * ms, "trials": 2}
    record = ["v", "A->B"]
    double = nf.simulate(circuit, record=record, **options)
    single = nf.simulate(circuit, record=record, dtype="float32", **options)
    for name in double.spikes:
        assert double.spikes[name].size > 50
        np.testing.assert_array_equal(single.spikes[name], double.spikes[name])
    for name, trace in double.traces.items():
        scale = np.abs(trace).max()
        assert 1e-9 < np.abs(single.traces[name] - trace).max() / scale < 1e-5
    for name, weights in double.weights.items():
        np.testing.assert_allclose(single.weights[name], weights, rtol=1e-5, atol=1e-9)


def test_single_precision_takes_half_the_memory() -> None:
    circuit = _noisy_and_plastic()
    job = Job(circuit, [Drive({}, {}, {})], 1, DT, (), (), 1)
    plan = make_plan(circuit, DT)

    def real(kind: type) -> int:
        parts = [p for p in Shared(in_one(plan), job, kind).plastic]
        return sum(a.nbytes for p in parts for a in vars(p).values()
                   if isinstance(a, np.ndarray) and a.dtype == kind)  # fmt: skip

    assert 2 * real(np.float32) == real(np.float64)


def test_an_unknown_dtype_is_named() -> None:
    with pytest.raises(ValueError, match="unknown dtype 'float23'; did you mean 'float32'"):
        nf.simulate(_noisy_and_plastic(), duration=1 * ms, dtype="float23")


def test_waves_may_lie_in_memory_in_any_order() -> None:
    cells = [nf.Population("A", nf.LIF(), size=3)]
    rule = rules.RewardSTDP(w_max=1 * nA)
    circuit = nf.Circuit(
        "waves", cells, [nf.Projection("in", "A", 0.5 * nA, "excitatory", rule=rule)],
        [nf.SpikeInput("in"), nf.CurrentInput("I", "A"), nf.SignalInput("reward")],
    )  # fmt: skip
    rng = np.random.default_rng(0)
    wave, reward = rng.normal(250 * pA, 50 * pA, (500, 3)), rng.normal(size=(500, 3))

    def run(order: str) -> nf.Recording:
        given = {"I": np.array(wave, order=order), "reward": np.array(reward, order=order)}
        return nf.simulate(circuit, given | {"in": [0.01, 0.02]}, duration=50 * ms)

    rows, columns = run("C"), run("F")
    assert rows.spikes["A"].size > 3
    np.testing.assert_array_equal(columns.spikes["A"], rows.spikes["A"])
    np.testing.assert_array_equal(columns.weights["in->A"], rows.weights["in->A"])
    level = nf.simulate(
        circuit, {"I": np.broadcast_to(wave[0], (500, 3)), "in": []}, duration=50 * ms
    )
    held = nf.simulate(circuit, {"I": np.tile(wave[0], (500, 1)), "in": []}, duration=50 * ms)
    np.testing.assert_array_equal(level.spikes["A"], held.spikes["A"])
