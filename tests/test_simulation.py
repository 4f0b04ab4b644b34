"""`simulate`: refusals, the order of a step, trials, repeatability, agreement of engines."""

# The tables of refusals quote whole messages.
# ruff: noqa: E501

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.units import mV, nA, pA

DT = 1e-4
FAST = ("numba", "torch")
engines = pytest.mark.parametrize("engine", FAST)


def steps(times: Any, dt: float = DT) -> list[int]:
    return np.round(np.asarray(times) / dt).astype(int).tolist()


def relay(
    delay: Any = 0.0, dendritic: Any = 0.0, weight: Any = 1.0, n: int = 1, **parameters: float
) -> nf.Circuit:
    """Input -> A -> B, neurons that fire on one spike and keep nothing."""
    fast = nf.DeltaLIF(**{"refractory": 0.0, "v_threshold": 15 * mV, **parameters})
    return nf.Circuit(
        "relay",
        [nf.Population("A", fast, n), nf.Population("B", fast, n)],
        [
            nf.Projection("in", "A", weight, pattern=nf.OneToOne(), axonal_delay=delay,
                          dendritic_delay=dendritic),
            nf.Projection("A", "B", weight, pattern=nf.OneToOne(), axonal_delay=delay,
                          dendritic_delay=dendritic),
        ],
        [nf.SpikeInput("in", n)],
    )  # fmt: skip


def busy() -> nf.Circuit:
    """A mid-size random circuit of everything the fast engines do."""
    rng = np.random.default_rng(7)
    rule = [
        nf.rules.PairSTDP(w_max=3 * mV, a_plus=0.02),
        nf.rules.PairSTDP(tau_plus=0.013, mu_plus=0.4, mu_minus=1.0, w_max=0.4 * nA),
    ]

    def delays(pre: int, post: int) -> Any:
        drawn = rng.uniform(0, 2e-3, (pre, post))
        return np.where(drawn < 2e-4, 0.0, drawn)

    return nf.Circuit(
        "busy",
        [
            nf.Population("D", nf.DeltaLIF(), 10, {"v": rng.uniform(0, 15 * mV, 10)}),
            nf.Population("E", nf.LIF(drive=120 * pA), 20, {"v": rng.uniform(0, 15 * mV, 20)}),
            nf.Population("F", nf.DeltaLIF(tau_m=0.011, v_rest=2 * mV, refractory=0.0), 3),
            nf.Population("I", nf.LIF(tau_m=0.01, tau_e=0.01, refractory=1e-3), 5),
        ],
        [
            nf.Projection("noise", "D", 4 * mV, pattern=nf.Random(0.4, 1)),
            nf.Projection("noise", "E", rng.uniform(0.1, 0.3, (12, 20)) * nA, "excitatory",
                          axonal_delay=delays(12, 20), dendritic_delay=1.25e-4),
            nf.Projection("E", "I", 0.3 * nA, "excitatory", nf.Random(0.5, 2), 1e-3),
            nf.Projection("I", "E", 0.2 * nA, "inhibitory", axonal_delay=delays(5, 20)),
            nf.Projection("I", "D", -1 * mV, pattern=nf.Random(0.5, 3)),
            nf.Projection("D", "F", 3 * mV, axonal_delay=delays(10, 3)),
            nf.Projection("D", "D", rng.uniform(0, 3 * mV, (10, 10)), axonal_delay=delays(10, 10),
                          dendritic_delay=delays(10, 10), rule=rule[0]),
            nf.Projection("E", "E", rng.uniform(0, 0.4 * nA, (20, 20)), "excitatory",
                          axonal_delay=delays(20, 20), dendritic_delay=delays(20, 20), rule=rule[1]),
            nf.Projection("kick", "D", 1.5 * mV, pattern=nf.Pairs([0, 0, 1], [1, 1, 9]),
                          rule=rule[0], name="kicks"),
        ],
        [
            nf.SpikeInput("kick", 2), nf.PoissonInput("noise", 80.0, 12),
            nf.CurrentInput("all", "E"), nf.CurrentInput("each", "F"), nf.CurrentInput("more", "E"),
        ],
        [nf.Readout("Q", "E", "I")],
    )  # fmt: skip


BUSY: dict[str, Any] = {
    "kick": [[0.001, 0.01, 0.0101], [0.02]],
    "all": [(0.005, 0.03, 50 * pA), (0.02, 1.0, 30 * pA)],
    "each": np.random.default_rng(3).normal(0, 2e-10, (600, 3)),
}


def run_busy(engine: str = "numba", **options: Any) -> nf.Recording:
    options = {
        "duration": 0.06,
        "seed": 5,
        "record": ["v", "i_exc", "D->D", "E->E", "kicks"],
        "record_every": 1e-3,
        **options,
    }
    return nf.simulate(busy(), BUSY, engine=engine, **options)


def same(
    a: nf.Recording, b: nf.Recording, but: tuple[str, ...] = ("engine", "options", "versions")
) -> bool:
    return dataclasses.replace(b, **{name: getattr(a, name) for name in but}) == a


# ------------------------------------------------------------------ refusals

CELL = nf.Circuit(
    "cell",
    [nf.Population("A", nf.LIF()), nf.Population("B", nf.DeltaLIF())],
    [
        nf.Projection("in", "A", 1 * nA, "excitatory"),
        nf.Projection("in", "B", 1 * mV, rule=nf.rules.PairSTDP(), name="plastic"),
    ],
    [nf.SpikeInput("in")],
)

REFUSED: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "engine": ({"engine": "nmuba"}, ValueError, "unknown engine 'nmuba'; did you mean 'numba'?"),
    "engine far": ({"engine": "x"}, ValueError, "unknown engine 'x'; known: numba, torch, brian2."),
    "engine none": ({"engine": None}, ValueError, "unknown engine None; known: numba, torch, brian2."),
    "option": (
        {"thread": 2}, TypeError,
        "simulate() has no argument 'thread', and neither has engine 'numba'; did you mean 'threads'?"),
    "argument": (
        {"durations": 2}, TypeError,
        "simulate() has no argument 'durations', and neither has engine 'numba'; did you mean 'duration'?"),
    "option of another": (
        {"device": "cpu"}, TypeError,
        "simulate() has no argument 'device', and neither has engine 'numba'; "),
    "torch option": (
        {"engine": "torch", "dtypes": 1}, TypeError,
        "simulate() has no argument 'dtypes', and neither has engine 'torch'; did you mean 'dtype'?"),
    "threads 0": ({"threads": 0}, ValueError, "threads must be a whole number, at least 1; got 0."),
    "threads bool": ({"threads": True}, ValueError, "threads must be a whole number, at least 1; got True"),
    "threads float": ({"threads": 2.0}, ValueError, "threads must be a whole number, at least 1; got 2.0"),
    "torch threads": (
        {"engine": "torch", "threads": 0}, ValueError, "threads must be a whole number, at least 1; got 0."),
    "dtype": (
        {"engine": "torch", "dtype": "float46"}, ValueError, "unknown dtype 'float46'; did you mean 'float"),
    "device": ({"engine": "torch", "device": "gpuu"}, ValueError, "unknown device 'gpuu'"),
    "dt 0": ({"dt": 0.0}, ValueError, "dt must be above 0 s; got 0.0."),
    "dt negative": ({"dt": -1e-4}, ValueError, "dt must be above 0 s; got -0.0001."),
    "dt nan": ({"dt": math.nan}, ValueError, "dt must be a finite number in s; got nan."),
    "dt text": ({"dt": "0.1 ms"}, TypeError, "dt must be one number in s; got '0.1 ms'."),
    "dt bool": ({"dt": True}, TypeError, "dt must be one number in s; got True."),
    "duration 0": (
        {"duration": 0.0}, ValueError,
        "duration must be a whole number of steps of 0.0001 s, at least one; got 0.0 s."),
    "duration negative": ({"duration": -0.01}, ValueError, "duration must be a whole number of steps"),
    "duration half": (
        {"duration": 1.5e-4}, ValueError,
        "duration must be a whole number of steps of 0.0001 s, at least one; got 0.00015 s."),
    "duration nearly": ({"duration": 0.010001}, ValueError, "duration must be a whole number of steps"),
    "duration inf": ({"duration": math.inf}, ValueError, "duration must be a finite number in s; got inf."),
    "duration list": ({"duration": [0.01]}, TypeError, "duration must be one number in s; got [0.01]."),
    "every": (
        {"record_every": 1.5e-4}, ValueError,
        "record_every must be a whole number of steps of 0.0001 s, at least one; got 0.00015 s."),
    "every 0": ({"record_every": 0.0}, ValueError, "record_every must be a whole number of steps"),
    "every nan": ({"record_every": math.nan}, ValueError, "record_every must be a finite number in s"),
    "seed": ({"seed": -1}, ValueError, "seed must be a whole number, at least 0; got -1."),
    "seed float": ({"seed": 1.0}, ValueError, "seed must be a whole number, at least 0; got 1.0."),
    "seed bool": ({"seed": True}, ValueError, "seed must be a whole number, at least 0; got True."),
    "seed none": ({"seed": None}, ValueError, "seed must be a whole number, at least 0; got None."),
    "trials 0": ({"trials": 0}, ValueError, "trials must be a whole number, at least 1; got 0."),
    "trials float": ({"trials": 2.0}, ValueError, "trials must be a whole number, at least 1; got 2.0."),
    "trials bool": ({"trials": True}, ValueError, "trials must be a whole number, at least 1; got True."),
    "trials and list": (
        {"inputs": [{}, {}], "trials": 3}, ValueError,
        "inputs must be a dictionary or one a trial; got 2 for 3 trial(s)."),
    "input": ({"inputs": {"im": []}}, ValueError, "circuit 'cell' has no input 'im'; "),
    "record": ({"record": "u"}, ValueError, "record: there is no 'u' to record; "),
    "record near": ({"record": ["A.w"]}, ValueError, "record: there is no 'A.w' to record; did you mean 'A.v'?"),
    "record population": ({"record": "A"}, ValueError, "record: there is no 'A' to record; "),
    "record frozen": (
        {"record": ["in->A"]}, ValueError,
        "record: there is no 'in->A' to record; its weights never change"),
    "record wrong pair": ({"record": "B.i_exc"}, ValueError, "record: there is no 'B.i_exc' to record; "),
    "record number": ({"record": 3}, (TypeError, ValueError), "record"),  # type: ignore[dict-item]
    "record none": ({"record": None}, (TypeError, ValueError), "record"),  # type: ignore[dict-item]
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    arguments, error, message = REFUSED[case]
    with pytest.raises(error) as caught:
        nf.simulate(CELL, **{"duration": 0.01, **arguments})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize("circuit", ["sr_latch", None, nf.circuits.sr_latch, {"name": "x"}])
def test_only_circuits_are_simulated(circuit: Any) -> None:
    with pytest.raises(TypeError, match="^circuit must be a nf.Circuit; got "):
        nf.simulate(circuit, duration=0.01)


def test_duration_is_needed_and_by_name() -> None:
    with pytest.raises(TypeError, match="duration"):
        nf.simulate(CELL)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="positional"):
        nf.simulate(CELL, {}, 0.01)  # type: ignore[misc,call-arg]


@engines
@pytest.mark.parametrize("which", ["axonal", "dendritic"])
@pytest.mark.parametrize("plastic", [False, True])
def test_a_delay_below_one_step_is_refused(which: str, plastic: bool, engine: str) -> None:
    rule = nf.rules.PairSTDP() if plastic else nf.rules.none
    circuit = nf.Circuit(
        "c", [nf.Population("A", nf.DeltaLIF(), 2)],
        [nf.Projection("in", "A", 0.5, rule=rule, **{f"{which}_delay": [[0.0, 9.9e-5]]})],
        [nf.SpikeInput("in")],
    )  # fmt: skip
    with pytest.raises(ValueError) as caught:
        nf.simulate(circuit, duration=0.01, engine=engine)
    message = f"Projection 'in->A': {which}_delay must be 0 or at least one step of 0.0001 s; got "
    assert str(caught.value).startswith(message) and "9.9e-05" in str(caught.value)
    assert nf.simulate(circuit, duration=0.01, dt=5e-5, engine=engine).dt == 5e-5


# ------------------------------------------------------------------ latency and order


@engines
@pytest.mark.parametrize("d", [0, 1, 2, 7, 30])
@pytest.mark.parametrize("k", [0, 1, 13])
def test_a_hop_takes_its_delay_and_one_step(k: int, d: int, engine: str) -> None:
    """A spike of step k reaches threshold d + 1 steps later, and is stamped with that step."""
    rec = nf.simulate(relay(d * DT), {"in": [k * DT]}, duration=0.01, engine=engine)
    assert rec.spikes["A"].tolist() == [(k + d + 1) * DT]
    assert rec.spikes["B"].tolist() == [(k + 2 * (d + 1)) * DT]


@engines
def test_delays_are_rounded_half_up_each_for_itself(engine: str) -> None:
    ratios = np.array([1.0, 1.4999, 1.5, 1.6, 2.4999, 2.5, 3.0])
    rounded = np.array([1, 1, 2, 2, 2, 3, 3])
    circuit = relay(ratios * DT, ratios[::-1] * DT, n=7)
    rec = nf.simulate(circuit, {"in": [[0.0]] * 7}, duration=0.01, engine=engine)
    arrival = rounded + rounded[::-1] + 1
    assert [steps(t) for t in rec.trains("A")] == [[k] for k in arrival]


@engines
def test_spikes_still_under_way_at_the_end_are_lost(engine: str) -> None:
    rec = nf.simulate(relay(5 * DT), {"in": [0.0, 1e-4]}, duration=7 * DT, engine=engine)
    assert steps(rec.spikes["A"]) == [6] and rec.spikes["B"].size == 0


@engines
def test_input_of_the_step_of_a_spike_is_erased_by_the_reset(engine: str) -> None:
    """Semantics notes 5.1: [0, 0, 2, 0, 0] with an input in the spike step. Input of step 2 makes
    the neuron fire in step 3, and input of step 3 is gone; that of step 4 is not."""
    circuit = relay(tau_m=1e9, v_threshold=1.0)
    circuit = dataclasses.replace(circuit, projections=[nf.Projection("in", "A", 2.0)])
    for second, fired in ((3, [3]), (4, [3, 5])):
        rec = nf.simulate(
            circuit, {"in": [2 * DT, second * DT]}, duration=1e-3, engine=engine, record="A.v"
        )
        assert steps(rec.spikes["A"]) == fired
        assert rec.traces["A.v"][4, 0] == 0.0


@engines
def test_a_sample_is_the_state_before_its_step(engine: str) -> None:
    circuit = relay(tau_m=1e9, weight=1 * mV)
    rec = nf.simulate(circuit, {"in": [2 * DT]}, duration=6 * DT, engine=engine, record="A.v")
    assert np.allclose(rec.traces["A.v"][:, 0], [0, 0, 0, 1 * mV, 1 * mV, 1 * mV], rtol=1e-9)
    assert rec.times.tolist() == [k * DT for k in range(6)]


@engines
def test_simultaneous_spikes_add_up(engine: str) -> None:
    """Of several sources, of several synapses between one pair, of neurons and of inputs."""
    circuit = nf.Circuit(
        "sum", [nf.Population("A", nf.DeltaLIF(tau_m=1e9, v_threshold=1.0))],
        [
            nf.Projection("x", "A", [0.0625, 0.125, 0.125], pattern=nf.Pairs([0, 1, 1], [0, 0, 0])),
            nf.Projection("y", "A", 0.25),
            nf.Projection("x", "A", -0.03125, name="again"),
        ],
        [nf.SpikeInput("x", 2), nf.SpikeInput("y")],
    )  # fmt: skip
    rec = nf.simulate(
        circuit, {"x": [[0.0], [0.0]], "y": [0.0]}, duration=3e-4, engine=engine, record="v"
    )
    assert np.allclose(rec.traces["A.v"][:, 0], [0, 0.5, 0.5], rtol=1e-9)


@engines
def test_a_neuron_may_drive_itself(engine: str) -> None:
    circuit = nf.Circuit(
        "loop", [nf.Population("A", nf.DeltaLIF(refractory=0.0))],
        [nf.Projection("A", "A", 1.0, axonal_delay=4 * DT), nf.Projection("in", "A", 1.0)],
        [nf.SpikeInput("in")],
    )  # fmt: skip
    rec = nf.simulate(circuit, {"in": [0.0]}, duration=5e-3, engine=engine)
    assert steps(rec.spikes["A"]) == [1 + 5 * i for i in range(10)]
    with_zero = dataclasses.replace(circuit.projections[0], axonal_delay=0.0)
    circuit = dataclasses.replace(circuit, projections=[with_zero, circuit.projections[1]])
    rec = nf.simulate(circuit, {"in": [0.0]}, duration=5e-3, engine=engine)
    assert steps(rec.spikes["A"]) == [1]  # its own spike comes back in its step, and is erased


# ------------------------------------------------------------------ engines agree


@pytest.fixture(scope="module")
def runs() -> dict[str, nf.Recording]:
    return {engine: run_busy(engine, trials=2) for engine in FAST}


def test_numba_and_torch_agree_on_a_busy_circuit(runs: dict[str, nf.Recording]) -> None:
    a, b = runs["numba"], runs["torch"]
    assert {p: t.size > 20 for p, t in a.spikes.items()} == dict.fromkeys("DEFI", True)
    for population in "DEFI":
        assert a.spikes[population].tolist() == b.spikes[population].tolist()
        assert a.neurons[population].tolist() == b.neurons[population].tolist()
        assert a.trials[population].tolist() == b.trials[population].tolist()
    assert set(a.traces) == {"D.v", "E.v", "F.v", "I.v", "E.i_exc", "I.i_exc"}
    for kind in ("traces", "weights", "weight_history"):
        assert getattr(a, kind).keys() == getattr(b, kind).keys()
        for name, values in getattr(a, kind).items():
            others = getattr(b, kind)[name]
            assert values.shape == others.shape and values.dtype == others.dtype
            assert np.abs(values - others).max() <= 1e-12 * np.abs(values).max(), name
    assert math.isclose(a.threshold_margin, b.threshold_margin, rel_tol=1e-6)
    for name, change in a.weights.items():
        assert np.abs(change - a.weight_history[name][:, 0]).max() > 0, f"{name} learnt nothing"


def test_shapes_of_results(runs: dict[str, nf.Recording]) -> None:
    for rec in runs.values():
        assert rec.times.tolist() == [k * 10 * DT for k in range(60)]
        assert rec.traces["E.v"].shape == (2, 60, 20) and rec.traces["F.v"].shape == (2, 60, 3)
        assert rec.weights["D->D"].shape == (2, 100) and rec.weights["kicks"].shape == (2, 3)
        assert rec.weight_history["E->E"].shape == (2, 60, 400)
        initial = rec.circuit.synapses(rec.circuit.projections[6]).weight
        assert rec.weight_history["D->D"][:, 0].tolist() == [initial.tolist()] * 2
        for population, times in rec.spikes.items():
            order = np.lexsort((rec.neurons[population], times, rec.trials[population]))
            assert order.tolist() == list(range(times.size))
            assert set(times.tolist()) <= {k * DT for k in range(600)}


@engines
def test_a_batch_is_its_single_runs(engine: str, runs: dict[str, nf.Recording]) -> None:
    """Exactly, and whatever else is in the batch."""
    both = runs[engine]
    for trial, given in enumerate(both.inputs):
        alone = run_busy_given(engine, given)
        for population in "DEFI":
            for mine, theirs in zip(
                both.trains(population, trial), alone.trains(population), strict=True
            ):
                assert mine.tolist() == theirs.tolist()
        for kind in ("traces", "weights", "weight_history"):
            for name, values in getattr(both, kind).items():
                assert np.array_equal(values[trial], getattr(alone, kind)[name]), (kind, name)
    assert (
        both.spikes["D"][both.trials["D"] == 0].tolist()
        != both.spikes["D"][both.trials["D"] == 1].tolist()
    )


def run_busy_given(engine: str, given: Any) -> nf.Recording:
    return nf.simulate(
        busy(), given, engine=engine, duration=0.06, seed=99, record_every=1e-3,
        record=["v", "i_exc", "D->D", "E->E", "kicks"],
    )  # fmt: skip


@engines
def test_running_again_from_what_was_drawn(
    engine: str, runs: dict[str, nf.Recording], tmp_path: Path
) -> None:
    """Saved, loaded, and run from `rec.inputs`: equal in all but the seed that is not used."""
    runs[engine].save(tmp_path / "rec.npz")
    rec = nf.Recording.load(tmp_path / "rec.npz")
    again = nf.simulate(
        rec.circuit, rec.inputs, duration=rec.duration, dt=rec.dt, engine=rec.engine, seed=123,
        record=["v", "i_exc", "D->D", "E->E", "kicks"], record_every=1e-3,
    )  # fmt: skip
    assert same(rec, again, ("seed",))


def test_threads_change_nothing(runs: dict[str, nf.Recording]) -> None:
    assert same(runs["numba"], run_busy(trials=2, threads=2))
    many = nf.simulate(busy(), BUSY, duration=0.06, trials=7, threads=3)
    assert same(many, nf.simulate(busy(), BUSY, duration=0.06, trials=7))


def test_torch_threads_are_put_back() -> None:
    import torch

    before = torch.get_num_threads()
    one = nf.simulate(CELL, {"in": [0.0]}, duration=0.01, engine="torch", threads=2)
    assert torch.get_num_threads() == before
    assert same(one, nf.simulate(CELL, {"in": [0.0]}, duration=0.01, engine="torch"))


@engines
@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_the_same_seed_gives_the_same_file(engine: str, suffix: str, tmp_path: Path) -> None:
    for name in ("a", "b"):
        nf.simulate(
            busy(), {}, duration=0.03, seed=11, engine=engine, record=["v"], record_every=0.01
        ).save(tmp_path / f"{name}{suffix}")  # fmt: skip
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_another_seed_or_none_given() -> None:
    first, second = (nf.simulate(busy(), BUSY, duration=0.06, seed=s) for s in (0, 1))
    assert first == nf.simulate(busy(), BUSY, duration=0.06)
    assert first == nf.simulate(busy(), BUSY, duration=0.06, seed=np.int64(0))
    assert (
        first.drives != second.drives and first.spikes["D"].tolist() != second.spikes["D"].tolist()
    )


def test_single_precision_is_close_and_in_double() -> None:
    """Without spikes of its own, rounding is all that differs."""
    circuit = nf.Circuit(
        "quiet", [nf.Population("A", nf.LIF(v_threshold=1.0), 5)],
        [nf.Projection("p", "A", 0.1 * nA, "excitatory", axonal_delay=1e-3)], [nf.PoissonInput("p", 200.0, 4)],
    )  # fmt: skip
    double, single = (
        nf.simulate(circuit, duration=0.05, engine="torch", dtype=d, record="v").traces["A.v"]
        for d in ("float64", "float32")
    )
    assert single.dtype == np.float64
    assert 0 < np.abs(single - double).max() < 1e-5 * np.abs(double).max()


# ------------------------------------------------------------------ recording over time


@engines
def test_record_every_takes_every_nth_sample(engine: str) -> None:
    circuit = dataclasses.replace(busy(), projections=busy().projections[6:7])
    options: dict[str, Any] = {"duration": 0.04, "engine": engine, "record": ["v", "D->D"]}
    full = nf.simulate(circuit, **options)
    assert full.times.tolist() == [k * DT for k in range(400)] and np.ptp(full.traces["D.v"]) > 0
    for every in (7, 399, 400, 5000) if engine == "numba" else (7, 5000):
        thin = nf.simulate(circuit, **options, record_every=every * DT)
        assert np.array_equal(thin.times, full.times[::every])
        for name in ("D.v", "E.v", "F.v", "I.v"):
            assert np.array_equal(thin.traces[name], full.traces[name][::every])
        assert np.array_equal(thin.weight_history["D->D"], full.weight_history["D->D"][::every])
        assert np.array_equal(thin.weights["D->D"], full.weights["D->D"])


@pytest.mark.parametrize(
    ("record", "traces", "histories"),
    [
        ((), [], []),
        ("v", ["A.v", "B.v"], []),
        ("A.v", ["A.v"], []),
        (["B.v", "A.v"], ["B.v", "A.v"], []),
        (["v", "A.v", "v"], ["A.v", "B.v"], []),
        ("i_inh", ["A.i_inh"], []),
        (("plastic", "i_exc"), ["A.i_exc"], ["plastic"]),
        ("plastic", [], ["plastic"]),
    ],
)
def test_record_names(record: Any, traces: list[str], histories: list[str]) -> None:
    rec = nf.simulate(CELL, duration=0.01, record=record)
    assert list(rec.traces) == traces and list(rec.weight_history) == histories
    assert list(rec.weights) == ["plastic"]


def test_a_long_run_with_many_spikes() -> None:
    """Beyond one chunk of the compiled loop and beyond its first list of spikes: every neuron
    fires in every step, and the samples go on."""
    n, count = 40, 45_000
    circuit = nf.Circuit(
        "dense", [nf.Population("A", nf.DeltaLIF(refractory=0.0, drive=1.0, v_threshold=1e-3), n),
                  nf.Population("B", nf.DeltaLIF(drive=100 * pA, tau_m=1.0))],
    )  # fmt: skip
    rec = nf.simulate(circuit, duration=count * DT, record="B.v", record_every=700 * DT)
    assert rec.spikes["A"].size == n * count
    assert np.array_equal(rec.neurons["A"].reshape(count, n), np.tile(np.arange(n), (count, 1)))
    assert np.array_equal(rec.spikes["A"].reshape(count, n)[:, 0], np.arange(count) * DT)
    expected = 0.01 * -np.expm1(-rec.times / 1.0)
    assert rec.times.size == 65 and np.allclose(
        rec.traces["B.v"][:, 0], expected, rtol=1e-9, atol=0
    )


@engines
def test_spikes_far_apart_and_long_delays(engine: str) -> None:
    """A delay longer than any ring a careless engine would keep."""
    rec = nf.simulate(relay(0.12), {"in": [0.0, 0.05]}, duration=0.3, engine=engine)
    assert steps(rec.spikes["A"]) == [1201, 1701] and steps(rec.spikes["B"]) == [2402, 2902]


@engines
def test_progress_changes_nothing(engine: str, capfd: Any) -> None:
    quiet = nf.simulate(CELL, {"in": [0.0]}, duration=0.11, engine=engine)
    assert capfd.readouterr() == ("", "")
    shown = nf.simulate(CELL, {"in": [0.0]}, duration=0.11, engine=engine, progress=True)
    assert f"cell on {engine}" in capfd.readouterr().err
    assert shown == quiet


@engines
def test_what_is_recorded_about_the_run(engine: str) -> None:
    rec = nf.simulate(CELL, duration=0.01, dt=2e-4, engine=engine, seed=3, threads=2)
    assert (rec.duration, rec.dt, rec.engine, rec.seed) == (0.01, 2e-4, engine, 3)
    assert rec.options == {"threads": 2} and rec.circuit == CELL
    assert set(rec.versions) == {"python", "neuroflip", "numpy", engine}
    assert rec.times.size == 50 and rec.traces == {}


def test_brian2_quantities_in_every_argument() -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brian2 import ms, mV

    plain = nf.simulate(
        CELL, {"in": [0.005]}, duration=0.02, dt=5e-4, record="v", record_every=1e-3
    )
    theirs = nf.simulate(
        CELL, {"in": [5] * ms}, duration=20 * ms, dt=0.5 * ms, record="v", record_every=1 * ms
    )
    assert plain == theirs
    with pytest.raises(ValueError, match="^duration must be in s; got the Brian2 quantity"):
        nf.simulate(CELL, duration=20 * mV)
    with pytest.raises(ValueError, match="^dt must be in s; got the Brian2 quantity"):
        nf.simulate(CELL, duration=20 * ms, dt=1 / ms)


# ------------------------------------------------------------------ the step


def test_halving_the_step_halves_the_error() -> None:
    """An input spike takes effect at the end of its step: first order, with the exact limit."""
    neuron = nf.LIF(tau_e=0.005, v_threshold=1.0)
    circuit = nf.Circuit(
        "psp", [nf.Population("A", neuron)],
        [nf.Projection("in", "A", 1 * nA, "excitatory", axonal_delay=2e-3)], [nf.SpikeInput("in")],
    )  # fmt: skip
    since = 0.030 - 0.012
    exact = 1e8 * nA * 0.005 / (0.005 - 0.02) * (math.exp(-since / 0.005) - math.exp(-since / 0.02))
    errors = []
    for dt in (4e-4, 2e-4, 1e-4, 5e-5, 2.5e-5):
        rec = nf.simulate(circuit, {"in": [0.010]}, duration=0.032, dt=dt, record="v")
        errors.append(rec.traces["A.v"][round(0.030 / dt), 0] - exact)
    ratios = np.array(errors[:-1]) / np.array(errors[1:])
    assert np.abs(ratios - 2).max() < 0.06 and abs(errors[-1]) < 2e-3 * exact
    # exactly the response to a spike one step later
    shifted = since - 2.5e-5
    expected = (
        1e8 * nA * 0.005 / (0.005 - 0.02) * (math.exp(-shifted / 0.005) - math.exp(-shifted / 0.02))
    )
    assert math.isclose(errors[-1] + exact, expected, rel_tol=1e-11)


def test_spike_times_converge_with_the_step() -> None:
    """Of a driven latch pair without input: every spike moves by less than its number of steps."""
    circuit = nf.circuits.sr_latch()
    times = [
        nf.simulate(circuit, duration=0.2, dt=dt).spikes["Qbar"] for dt in (1e-4, 5e-5, 2.5e-5)
    ]
    assert times[0].size == times[1].size == times[2].size > 8
    first, second = np.abs(times[0] - times[1]), np.abs(times[1] - times[2])
    count = np.arange(1, times[0].size + 1)
    assert (first <= 2 * count * 1e-4).all() and (second <= 2 * count * 5e-5).all()
    assert second.sum() < first.sum()


# ------------------------------------------------------------------ empty parts


@engines
def test_a_projection_without_synapses(engine: str) -> None:
    circuit = nf.Circuit(
        "none", [nf.Population("A", nf.DeltaLIF(), 2)],
        [
            nf.Projection("in", "A", 0.5, pattern=nf.Random(0.0, 1), rule=nf.rules.PairSTDP()),
            nf.Projection("in", "A", 1.0, pattern=nf.Pairs([], []), name="static"),
        ],
        [nf.SpikeInput("in")],
    )  # fmt: skip
    rec = nf.simulate(circuit, {"in": [0.0]}, duration=1e-3, engine=engine, record=["v", "in->A"])
    assert rec.weights["in->A"].shape == (0,) and rec.weight_history["in->A"].shape == (10, 0)
    assert rec.spikes["A"].size == 0 and not rec.traces["A.v"].any()


@engines
def test_neurons_alone(engine: str) -> None:
    rec = nf.simulate(
        nf.Circuit("alone", [nf.Population("A", nf.LIF(), 3)]),
        duration=1e-3,
        engine=engine,
        trials=2,
    )
    assert rec.spikes["A"].size == 0 and rec.inputs == [{}, {}]
    assert rec.spikes["A"].dtype == np.float64 and rec.neurons["A"].dtype == np.int64
