"""One trial in several threads: the same bits as in one."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip import rules
from neuroflip.engines import numba as engine
from neuroflip.engines.parts import split, work
from neuroflip.engines.plan import Plan, make_plan
from neuroflip.units import ms, mV, nA, pA

DT = 0.1 * ms


def network(seed: int, least: int = 1) -> nf.Circuit:
    """Three populations of unlike sizes and models, one of a single neuron; delays of least steps
    and more; rules whose variables are kept by neuron and by synapse, read the neuron, or a
    signal; noise."""
    rng = np.random.default_rng(seed)
    sizes = {"A": int(rng.integers(8, 20)), "B": int(rng.integers(5, 12)), "C": 1, "in": 6}
    cells = [
        nf.Population("A", nf.LIF(drive=260 * pA, refractory=1 * ms), size=sizes["A"]),
        nf.Population("B", nf.FilteredLIF(drive=200 * pA), size=sizes["B"]),
        nf.Population("C", nf.DeltaLIF(), size=1),
    ]

    def projection(pre: str, post: str, weight: float, name: str, **more: Any) -> nf.Projection:
        pattern = nf.Random(0.6, seed=int(rng.integers(1000)))
        synapses = pattern.pairs(sizes[pre], sizes[post])[0].size
        first = 0 if pre == "in" else least
        return nf.Projection(
            pre, post, weight * rng.random(synapses), pattern=pattern, name=name,
            axonal_delay=rng.integers(first, first + 6, synapses) * DT, **more,
        )  # fmt: skip

    pair, weak = rules.PairSTDP(w_max=0.5 * nA), 0.3 * nA
    projections = [
        projection("in", "A", 1 * nA, "in", receptor="excitatory"),
        projection("A", "A", 0.5 * nA, "pair", receptor="excitatory", rule=pair,
                   dendritic_delay=0.3 * ms),
        projection("A", "B", 1 * mV, "clopath", rule=rules.ClopathSTDP(w_max=1 * mV)),
        projection("B", "A", weak, "inhibition", receptor="inhibitory"),
        projection("A", "C", 9 * mV, "reward", rule=rules.RewardSTDP(w_max=10 * mV)),
        projection("C", "B", 1 * mV, "back"),
    ]  # fmt: skip
    inputs: list[Any] = [nf.PoissonInput("in", 40.0, size=6), nf.NoiseInput("noise", "B", 1 * mV)]
    inputs += [nf.SignalInput("reward"), nf.CurrentInput("wave", "A")]
    return nf.Circuit("network", cells, projections, inputs)


def run(circuit: nf.Circuit, threads: int, **options: Any) -> nf.Recording:
    rng = np.random.default_rng(5)
    given = {"reward": rng.normal(size=3000), "wave": rng.normal(0, 50 * pA, 3000)}
    record = ["v", "pair", "clopath"]
    return nf.simulate(
        circuit, given, duration=300 * ms, record=record, record_every=0.7 * ms, seed=2,
        threads=threads, **options,
    )  # fmt: skip


def assert_same(a: nf.Recording, b: nf.Recording) -> None:
    for field in ("spikes", "neurons", "traces", "weights", "weight_history"):
        one, other = getattr(a, field), getattr(b, field)
        assert one.keys() == other.keys()
        for name in one:
            np.testing.assert_array_equal(np.asarray(one[name]), np.asarray(other[name]), name)
    assert a.threshold_margin == b.threshold_margin


@pytest.fixture
def parts_of_any_size(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Also little work is shared out. Returns how many parts each batch has had."""
    monkeypatch.setattr(engine, "_WORK", 1e-9)
    monkeypatch.setattr(engine, "_CUT", 0)
    counts: list[int] = []
    batch = engine._batch

    def counted(source: Any, parts: Any, *rest: Any) -> None:
        counts.append(len(parts))
        batch(source, parts, *rest)

    monkeypatch.setattr(engine, "_batch", counted)
    return counts


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threads", [2, 5])
def test_parts_give_the_same_bits(seed: int, threads: int, parts_of_any_size: list[int]) -> None:
    circuit = network(seed, least=seed % 3)
    one = run(circuit, 1)
    assert all(one.spikes[name].size > 5 for name in "ABC")
    assert_same(one, run(circuit, threads))
    assert parts_of_any_size == [1, threads]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parts_to_a_file(dtype: str, parts_of_any_size: list[int], tmp_path: Any) -> None:
    circuit = network(3)
    streamed = run(circuit, 2, dtype=dtype, save=tmp_path / "run.h5")
    assert_same(run(circuit, 1, dtype=dtype), streamed)
    assert parts_of_any_size == [2, 1]


def test_more_spikes_than_there_was_room_for(parts_of_any_size: list[int]) -> None:
    """Parts make room at different steps."""
    cells = [nf.Population("A", nf.LIF(drive=900 * pA, refractory=0.1 * ms), size=3),
             nf.Population("B", nf.LIF(drive=300 * pA), size=3)]  # fmt: skip
    circuit = nf.Circuit(
        "busy", cells, [nf.Projection("A", "B", 20 * pA, "excitatory", axonal_delay=5.0)]
    )
    one, two = (nf.simulate(circuit, duration=8.0, threads=n) for n in (1, 2))
    assert one.spikes["A"].size > 3 * (16 * 6 + 1024) / 2
    assert_same(one, two)
    assert parts_of_any_size == [1, 2]


def test_a_part_that_fails_leaves_no_other_waiting(
    parts_of_any_size: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those who wait for it, in the kernel or for a thread, would wait for ever."""
    advance = engine._Lane.advance

    def failing(lane: Any, start: int, stop: int) -> None:
        if lane.shared.groups[0].group.start > 0:
            lane._call = lambda: 1 / 0
            lane._call.give = lambda **_: None
        advance(lane, start, stop)

    monkeypatch.setattr(engine._Lane, "advance", failing)
    with pytest.raises(ZeroDivisionError):
        run(network(0), 2)
    assert parts_of_any_size == [2]


def test_a_part_that_gets_no_thread_leaves_no_other_waiting(
    parts_of_any_size: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Pool(ThreadPoolExecutor):
        def submit(self, *given: Any, **more: Any) -> Any:
            if self._work_queue.qsize() or self._threads:
                raise RuntimeError("can't start new thread")
            return super().submit(*given, **more)

    monkeypatch.setattr(engine, "ThreadPoolExecutor", Pool)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        run(network(0), 3)
    assert parts_of_any_size == [3]


def test_a_neuron_alone_is_one_part(parts_of_any_size: list[int]) -> None:
    feed = nf.Projection("in", "A", 0.4 * nA, "excitatory")
    circuit = nf.Circuit(
        "one", [nf.Population("A", nf.LIF())], [feed], [nf.PoissonInput("in", 100.0, size=20)]
    )
    one, two = (nf.simulate(circuit, duration=1.0, seed=1, threads=n) for n in (1, 2))
    assert one.spikes["A"].size > 20
    assert_same(one, two)
    assert parts_of_any_size == [1, 1]


@pytest.mark.parametrize(("name", "least"), [("_WORK", 1e6), ("_CUT", 1e6)])
def test_with_little_to_do_a_network_is_one_part(
    name: str, least: float, parts_of_any_size: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a step, or in the run for each synapse."""
    monkeypatch.setattr(engine, name, least)
    run(network(0), 2)
    assert parts_of_any_size == [1]


def synapses_of(plan: Plan) -> list[tuple[Any, ...]]:
    """All of them: where from and to, weight, delays."""
    static = plan.static
    rows = list(zip(static.pre, static.slot, static.weight, static.delay, strict=True))
    for number, p in enumerate(plan.plastic):
        columns = (p.pre, p.post, p.slot, p.weight, p.axonal, p.dendritic)
        rows += [(number, *row) for row in zip(*columns, strict=True)]
    return sorted(rows)


@pytest.mark.parametrize("number", [1, 2, 4])
def test_every_neuron_and_synapse_is_in_one_part(number: int) -> None:
    plan = make_plan(network(1), DT)
    parts = list(split(plan, work(plan), number))
    assert sorted(row for part in parts for row in synapses_of(part.plan)) == synapses_of(plan)
    for g, group in enumerate(plan.groups):
        members = [range(p.plan.groups[g].start, p.plan.groups[g].start + p.plan.groups[g].size)
                   for p in parts]  # fmt: skip
        assert [n for m in members for n in m] == list(range(group.start, group.start + group.size))
    for name, (r, all_) in plan.plastic_at.items():
        found = [np.arange(all_.stop - all_.start)[part.synapses[name]] for part in parts]
        assert sorted(np.concatenate(found)) == list(range(all_.stop - all_.start))
        for part, here in zip(parts, found, strict=True):
            mine = part.plan.plastic[r].weight[part.plan.plastic_at[name][1]]
            np.testing.assert_array_equal(mine, plan.plastic[r].weight[all_][here])


def test_parts_have_about_equal_work() -> None:
    """Though synapses come to the last neurons alone."""
    pairs = nf.Pairs(np.repeat(np.arange(400), 50), np.tile(np.arange(350, 400), 400))
    cells = nf.Population("A", nf.LIF(), size=400)
    circuit = nf.Circuit("uneven", [cells], [
        nf.Projection("A", "A", 1 * pA, "excitatory", pattern=pairs, axonal_delay=1 * ms)
    ])  # fmt: skip
    plan = make_plan(circuit, DT)
    cost = work(plan)
    assert cost.sum() == 400 * 100 + 20_000
    parts = [part.plan for part in split(plan, cost, 3)]
    shares = [100 * p.groups[0].size + p.static.pre.size for p in parts]
    assert max(shares) - min(shares) <= 2 * (100 + 400)
