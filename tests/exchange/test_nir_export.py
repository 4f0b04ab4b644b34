"""Circuits as NIR graphs: what the nodes say, that a graph gives the circuit back, files."""

import copy
import re
import warnings
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neuroflip as nf
from neuroflip import rules
from neuroflip.circuits import CIRCUITS
from neuroflip.exchange import from_nir, to_nir
from neuroflip.neurons import SoftLIF
from neuroflip.spiking import inputs_of, spikes_of
from neuroflip.units import Mohm, ms, mV, pA

pytestmark = pytest.mark.filterwarnings("ignore:other tools will not see:UserWarning")

Arrays = np.ndarray[Any, Any]


def nodes_of(graph: nir.NIRGraph, kind: type) -> list[str]:
    return [name for name, node in graph.nodes.items() if type(node) is kind]


# ------------------------------------------------------------------ round trips


@pytest.mark.parametrize("name", sorted(CIRCUITS))
def test_every_circuit_of_the_library_comes_back(name: str, tmp_path: Path) -> None:
    circuit = CIRCUITS[name]()
    path = tmp_path / "circuit.nir"
    to_nir(circuit, path=path)
    assert from_nir(path) == circuit
    assert [p.name for p in tmp_path.iterdir()] == ["circuit.nir"]


names = st.text(min_size=1, max_size=6).filter(lambda s: s == s.strip() and "->" not in s)
positive = st.floats(1e-3, 1e3)
times = st.sampled_from([0.0, 0.1 * ms, 0.26 * ms, 1 * ms, 2.5 * ms])
RULES = [
    rules.none,
    rules.PairSTDP(w_max=2e3, mu_plus=0.4),
    rules.Sum(rules.TripletSTDP(w_max=2e3), rules.HomeostaticScaling()),
    rules.RewardSTDP(w_max=2e3),
    rules.ShortTerm(),
]


@st.composite
def circuits(draw: st.DrawFn) -> nf.Circuit:
    """Every kind of neuron, pattern, rule and input; names that HDF5 does not take."""
    n, n_in = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    awkward = st.sampled_from(
        [".", "..", "a/b", "a_b", "S'", "\0", "é", "A.output", "A", "A.input"]
    )
    called = draw(st.lists(names | awkward, min_size=n + n_in, max_size=n + n_in, unique=True))
    populations = []
    for name in called[:n]:
        size = draw(st.integers(1, 4))
        neuron = draw(st.sampled_from([
            nf.LIF(tau_m=draw(positive), tau_i=draw(positive), v_rest=-draw(positive)),
            nf.LIF(tau_e=7 * ms, tau_i=7 * ms, drive=draw(positive)),
            nf.DeltaLIF(resistance=draw(positive), refractory=draw(st.floats(0, 1))),
            nf.FilteredLIF(tau_plus=draw(positive)),
            nf.AdaptiveLIF(beta=draw(positive)),
        ]))  # fmt: skip
        initial = st.floats(-1, 1) | st.lists(st.floats(-1, 1), min_size=size, max_size=size)
        some = neuron.model().variables[: draw(st.integers(0, 2))]
        populations.append(nf.Population(name, neuron, size, {v: draw(initial) for v in some}))
    inputs: list[Any] = []
    noisy: set[str] = set()
    for name in called[n:]:
        target = draw(st.sampled_from(called[:n]))
        choices: list[Any] = [
            nf.SpikeInput(name, draw(st.integers(1, 4))),
            nf.PoissonInput(name, draw(positive), draw(st.integers(1, 4))),
            nf.CurrentInput(name, target),
        ]
        if target not in noisy:
            choices.append(nf.NoiseInput(name, target, draw(positive)))
        inputs.append(draw(st.sampled_from(choices)))
        if isinstance(inputs[-1], nf.NoiseInput):
            noisy.add(target)
    sizes = nf.Circuit("sizes", populations, [], inputs).sizes()
    projections = []
    for i in range(draw(st.integers(0, 4))):
        pre = draw(st.sampled_from(sorted(sizes)))
        post = draw(st.sampled_from(populations))
        rng = np.random.default_rng(draw(st.integers(0, 1000)))
        many = draw(st.integers(0, 5))
        patterns: list[Any] = [
            nf.Dense(),
            nf.Random(draw(st.floats(0, 1)), draw(st.integers(0, 2**70))),
            nf.Pairs(rng.integers(0, sizes[pre], many), rng.integers(0, post.size, many)),
        ]
        if sizes[pre] == post.size:
            patterns.append(nf.OneToOne())
        pattern = draw(st.sampled_from(patterns))
        count = pattern.pairs(sizes[pre], post.size)[0].size
        shape = draw(st.sampled_from([(), (count,), (sizes[pre], post.size)]))
        delays = [draw(times), np.array([draw(times) for _ in range(count)])]
        projections.append(nf.Projection(
            pre, post.name, rng.random(shape) * 1e3,
            draw(st.sampled_from(list(post.neuron.receptors))), pattern,
            *(draw(st.sampled_from(delays)) for _ in range(2)),
            draw(st.sampled_from(RULES)), f"p{i}->{draw(names)}",
        ))  # fmt: skip
    if any("reward" in p.rule.model().signals for p in projections):
        inputs.append(nf.SignalInput("the reward of all", "reward"))
    readouts = [nf.Readout(draw(names), draw(st.sampled_from(called[:n])), None, draw(positive))]
    return nf.Circuit(
        draw(names), populations, projections, inputs, readouts[: draw(st.integers(0, 1))]
    )


COMMON: dict[str, Any] = {
    "deadline": None,
    "derandomize": True,
    "database": None,
    "suppress_health_check": list(HealthCheck),
}


@settings(max_examples=30, **COMMON)
@given(built=circuits(), dt=st.sampled_from([0.1 * ms, 0.05 * ms]))
def test_random_circuits_come_back(
    built: nf.Circuit, dt: float, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.nir"
    graph = to_nir(built, dt=dt, path=path)
    for source in (graph, path, str(path), nir.read(path)):  # the last with NIR's own type check
        again = from_nir(source)
        assert again == built
        assert repr(again) == repr(built)


# ------------------------------------------------------------------ what the nodes say


def test_delta_synapses_are_an_lif() -> None:
    """tau dv/dt = v_leak - v + R I: a spike of 1 for dt steps v by R W dt/tau."""
    neuron = nf.DeltaLIF(
        tau_m=10 * ms, v_rest=-70 * mV, v_threshold=-50 * mV, v_reset=-60 * mV,
        resistance=50 * Mohm, drive=100 * pA,
    )  # fmt: skip
    circuit = nf.Circuit(
        "c",
        [nf.Population("A", neuron, 2)],
        [nf.Projection("in", "A", [[1 * mV, -2 * mV], [3 * mV, 4 * mV], [5 * mV, 0]])],
        [nf.SpikeInput("in", 3), nf.CurrentInput("I", "A")],
    )
    dt = 0.2 * ms
    graph = to_nir(circuit, dt=dt)
    lif, weight = graph.nodes["A"], graph.nodes["in->A"].weight
    assert type(lif) is nir.LIF
    np.testing.assert_allclose(lif.tau, [0.01, 0.01])
    np.testing.assert_allclose(lif.v_leak, -0.07 + 50e6 * 100e-12)
    np.testing.assert_allclose(lif.v_threshold, -0.05)
    np.testing.assert_allclose(lif.v_reset, -0.06)
    assert weight.shape == (2, 3)
    np.testing.assert_allclose(
        lif.r[:, None] * weight * dt / lif.tau[:, None],
        np.array([[1, 3, 5], [-2, 4, 0]]) * 1e-3,
    )
    assert set(graph.edges) == {("in", "in->A"), ("in->A", "A"), ("I", "A"), ("A", "A.output")}
    assert graph.nodes["in"].input_type["input"].tolist() == [3]
    assert graph.metadata["dt"] == dt


def test_one_synaptic_time_constant_is_a_cubalif() -> None:
    """tau_syn dI/dt = -I + w_in S: a spike steps the current by w_in W dt/tau_syn."""
    graph = to_nir(nf.circuits.sr_latch(drive=300 * pA, inhibition=200 * pA, delay=1 * ms))
    cuba = graph.nodes["Q"]
    assert type(cuba) is nir.CubaLIF
    weight = graph.nodes["Qbar->Q"].weight
    np.testing.assert_allclose(cuba.w_in * weight * 1e-4 / cuba.tau_syn, [[-200e-12]])
    np.testing.assert_allclose(cuba.v_leak, [100e6 * 300e-12])
    np.testing.assert_allclose((cuba.tau_syn, cuba.tau_mem), 0.02)
    assert graph.nodes["Qbar->Q.axonal"].delay.tolist() == [1e-3]
    assert {n for n in graph.nodes if n.endswith("output")} == {"Q.output", "Qbar.output"}


def test_two_synaptic_time_constants_are_leaky_integrators() -> None:
    """One LI a receptor, whose "potential" is the synaptic current."""
    circuit = nf.Circuit(
        "c",
        [nf.Population("A", nf.LIF(tau_e=5 * ms, tau_i=10 * ms))],
        [
            nf.Projection("in", "A", 3 * pA, "excitatory", name="e"),
            nf.Projection("in", "A", 2 * pA, "inhibitory", name="i"),
        ],
        [nf.SpikeInput("in")],
    )
    graph = to_nir(circuit)
    assert type(graph.nodes["A"]) is nir.LIF
    for receptor, tau, step in (("excitatory", 0.005, 3e-12), ("inhibitory", 0.01, -2e-12)):
        li = graph.nodes[f"A.{receptor}"]
        assert li.tau.tolist() == [tau] and (f"A.{receptor}", "A") in graph.edges
        np.testing.assert_allclose(li.r * graph.nodes[receptor[0]].weight * 1e-4 / li.tau, [[step]])
    # and a current, which is injected past the synapse, needs the potential by itself
    injected = nf.Circuit(
        "c",
        [nf.Population("A", nf.LIF())],
        [nf.Projection("in", "A", 3 * pA, "excitatory")],
        [nf.SpikeInput("in"), nf.CurrentInput("I", "A")],
    )
    assert nodes_of(to_nir(injected), nir.LI) == ["A.excitatory"]


def test_delays_are_nodes_before_and_after_the_weights() -> None:
    circuit = nf.Circuit(
        "c",
        [nf.Population("A", nf.DeltaLIF(), 2)],
        [nf.Projection("in", "A", [[1 * mV, 2 * mV]], axonal_delay=[[0, 0.26 * ms]],
                       dendritic_delay=1 * ms)],
        [nf.SpikeInput("in")],
    )  # fmt: skip
    graph = to_nir(circuit)
    assert set(graph.edges) == {
        ("in", "in->A"), ("in->A", "in->A.dendritic"), ("in->A.dendritic", "A"),
        ("in", "in->A.axonal"), ("in->A.axonal", "in->A 2"), ("in->A 2", "in->A.dendritic 2"),
        ("in->A.dendritic 2", "A"), ("A", "A.output"),
    }  # fmt: skip
    np.testing.assert_allclose(graph.nodes["in->A.axonal"].delay, [0.3 * ms])  # to whole steps
    np.testing.assert_allclose(graph.nodes["in->A.dendritic"].delay, [1 * ms] * 2)
    assert graph.nodes["in->A"].weight[1].tolist() == [0.0]
    assert graph.nodes["in->A 2"].weight[0].tolist() == [0.0]
    with pytest.raises(ValueError, match=r"in->A.*axonal_delay must be 0 or at least one step"):
        to_nir(circuit, dt=0.5 * ms)


def test_a_layer_of_spiking_flip_flops_comes_back_and_sends_the_same_spikes(tmp_path: Path) -> None:
    torch.manual_seed(3)
    layer = nf.SpikingFlipFlop(4, 3, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_ih.copy_(3 * torch.randn_like(layer.weight_ih))
        x = (torch.rand(80, 2, 4) < 0.2).double()
        expected = layer(x)[0].numpy()
    circuit = layer.to_circuit(1 * ms)
    with pytest.warns(UserWarning, match="other tools will not see"):
        to_nir(circuit, dt=1 * ms, path=tmp_path / "layer.nir")
    back = from_nir(tmp_path / "layer.nir")
    assert back == circuit
    rec = nf.simulate(back, inputs_of(x, 1 * ms), duration=81 * ms, dt=1 * ms)
    assert expected.sum() > 20 and np.array_equal(spikes_of(rec, "Q"), expected)


def test_a_soft_reset_is_where_it_leads_from_the_threshold() -> None:
    """In continuous time v is at the threshold when it is reset: subtraction leads to 0."""
    cells = {
        "delta": SoftLIF(v_threshold=10 * mV, subtract=10 * mV, tau_m=8 * ms),
        "current": SoftLIF(v_threshold=10 * mV, keep=0.5, subtract=7 * mV, tau_s=4 * ms),
        "both": SoftLIF(),
    }
    circuit = nf.Circuit(
        "c",
        [nf.Population(name, neuron) for name, neuron in cells.items()],
        [
            nf.Projection("in", "delta", -2 * mV, "delta"),
            nf.Projection("in", "current", -3 * pA, "current"),
            nf.Projection("in", "both", 2 * mV, "delta"),
            nf.Projection("in", "both", 3 * pA, "current", name="slow"),
        ],
        [nf.SpikeInput("in")],
    )
    with pytest.warns(UserWarning, match=r"the soft reset \(.*\) of delta, current, both; "):
        graph = to_nir(circuit)
    assert from_nir(graph) == circuit
    lif, cuba, both = (graph.nodes[name] for name in cells)
    assert [type(n) for n in (lif, cuba, both)] == [nir.LIF, nir.CubaLIF, nir.LIF]
    np.testing.assert_allclose((lif.v_reset, cuba.v_reset), [[0.0], [-2 * mV]], atol=1e-12)
    np.testing.assert_allclose(
        lif.r * graph.nodes["in->delta"].weight * 1e-4 / lif.tau, [[-2 * mV]]
    )
    np.testing.assert_allclose(
        cuba.w_in * graph.nodes["in->current"].weight * 1e-4 / cuba.tau_syn, [[-3 * pA]]
    )
    assert {("slow", "both.current"), ("both.current", "both"), ("in->both", "both")} <= set(
        graph.edges
    )


def test_what_nir_has_no_neuron_for_never_fires() -> None:
    circuit = nf.Circuit("c", [nf.Population("A", nf.AdaptiveLIF(), 3)])
    node = to_nir(circuit).nodes["A"]
    assert type(node) is nir.Threshold and node.threshold.tolist() == [np.inf] * 3
    assert (
        node.metadata["model"] == "AdaptiveLIF"
        and "tau_theta 200 ms" in node.metadata["parameters"]
    )
    with pytest.raises(ValueError, match="node 'A': a circuit has nothing for Threshold"):
        from_nir(to_nir(circuit), metadata=False)


def test_one_warning_lists_what_others_do_not_see() -> None:
    circuit = nf.Circuit(
        "c",
        [
            nf.Population("A", nf.DeltaLIF(), initial={"v": 1 * mV}),
            nf.Population("B", nf.AdaptiveLIF()),
            nf.Population("C", nf.FilteredLIF(refractory=0, drive=1 * pA)),
        ],
        [nf.Projection("in", "A", 0.5, rule=rules.RewardSTDP())],
        [nf.PoissonInput("in", 10.0), nf.SignalInput("reward"), nf.NoiseInput("n", "A", 1 * mV)],
        [nf.Readout("bit", "A")],
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        graph = to_nir(circuit)
    (warning,) = caught
    assert warning.filename == __file__
    assert str(warning.message) == (
        "other tools will not see all of circuit 'c' in its NIR graph: "
        "the AdaptiveLIF neurons (Threshold nodes that never fire stand in their place) of B; "
        "the refractory period of A; the filtered potentials of C; the state at the start of A, C; "
        "the rules of in->A (RewardSTDP); the Poisson rates of in (10 Hz); the noise of n; "
        "the signals to rules of reward; the decoding of the readouts of bit; "
        "the order within a step (each connection takes one step more than its delay). "
        "from_nir restores it all from the graph's metadata."
    )
    assert graph.nodes["in->A"].metadata["rule"].startswith("RewardSTDP ")
    assert graph.nodes["in"].metadata == {"kind": "PoissonInput", "rate": 10.0}
    assert graph.nodes["A.output"].metadata == {"readouts": "bit"}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: to_nir("sr_latch"), "circuit must be a nf.Circuit; got 'sr_latch'"),
        (lambda: to_nir(nf.circuits.sr_latch(), dt=0), "dt must be above 0 s; got 0.0"),
        (lambda: to_nir(nf.circuits.sr_latch(), dt=-1e-4), "dt must be above 0 s; got -0.0001"),
        (lambda: from_nir(nf.circuits.sr_latch()), "takes a nir.NIRGraph or the path of a file"),
        (lambda: from_nir(to_nir(nf.circuits.sr_latch()), dt=0.0), "dt must be above 0 s"),
    ],
    ids=["no circuit", "dt 0", "dt negative", "no graph", "import dt 0"],
)
def test_refusals(build: Any, message: str) -> None:
    with pytest.raises((ValueError, TypeError), match=re.escape(message)):
        build()


# ------------------------------------------------------------------ changed graphs


def changes() -> dict[str, tuple[Any, str]]:
    def weight(graph: nir.NIRGraph) -> None:
        graph.nodes["S->Qbar"].weight = graph.nodes["S->Qbar"].weight * 1.01

    def parameter(graph: nir.NIRGraph) -> None:
        graph.nodes["Q"].v_threshold = graph.nodes["Q"].v_threshold + 1e-3

    def kind(graph: nir.NIRGraph) -> None:
        node = graph.nodes["S->Qbar"]
        graph.nodes["S->Qbar"] = nir.Affine(node.weight, np.zeros(1))

    def missing(graph: nir.NIRGraph) -> None:
        del graph.nodes["S"]

    def added(graph: nir.NIRGraph) -> None:
        graph.nodes["more"] = nir.Input(np.array([1]))

    def edge(graph: nir.NIRGraph) -> None:
        graph.edges.append(("S", "Q->Qbar"))

    def size(graph: nir.NIRGraph) -> None:
        graph.nodes["S"] = nir.Input(np.array([2]))

    return {
        "weight": (weight, "weight of node 'S->Qbar'"),
        "parameter": (parameter, "v_threshold of node 'Q'"),
        "kind": (kind, "node 'S->Qbar'"),
        "missing": (missing, "node 'S'"),
        "added": (added, "node 'more'"),
        "edge": (edge, "the edge from 'S' to 'Q->Qbar'"),
        "size": (size, "input_type of node 'S'"),
    }


@pytest.mark.parametrize("what", changes())
def test_a_changed_graph_is_refused(what: str) -> None:
    change, where = changes()[what]
    graph = to_nir(nf.circuits.sr_latch())
    change(graph)
    with pytest.raises(ValueError) as caught:
        from_nir(graph)
    assert str(caught.value).startswith(
        f"{where} is not as the graph's metadata says: it was changed after to_nir. "
        "from_nir(graph, metadata=False) reads"
    )


def test_the_nodes_alone_carry_a_changed_weight() -> None:
    graph = to_nir(nf.circuits.sr_latch(pulse=1500 * pA))
    graph.nodes["S->Qbar"].weight *= 2
    circuit = from_nir(graph, metadata=False)
    (projection,) = [p for p in circuit.projections if p.pre == "S"]
    np.testing.assert_allclose(projection.weight, [[3000 * pA]])
    assert projection.receptor == "inhibitory" and not circuit.readouts


def test_single_precision_is_no_change() -> None:
    circuit = nf.circuits.sr_latch()
    graph = to_nir(circuit)
    for node in graph.nodes.values():
        for name, value in vars(node).items():
            if isinstance(value, np.ndarray) and value.dtype == np.float64:
                setattr(node, name, value.astype(np.float32))
    assert from_nir(graph) == circuit


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"format": 99}', "null", "{", 3])
def test_damaged_metadata_is_refused(text: Any) -> None:
    graph = copy.deepcopy(to_nir(nf.circuits.sr_latch()))
    graph.metadata["neuroflip"] = text
    with pytest.raises(ValueError, match="the metadata 'neuroflip' of the graph is damaged"):
        from_nir(graph)


# ------------------------------------------------------------------ files


def test_wrong_files_are_named(tmp_path: Path) -> None:
    good = tmp_path / "good.nir"
    to_nir(nf.circuits.sr_latch(), path=good)
    content = good.read_bytes()
    wrong = {
        "empty": b"",
        "text": b"{}",
        "half": content[: len(content) // 2],
        "short": content[:-1],
    }
    for name, damaged in wrong.items():
        path = tmp_path / name
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=f"{re.escape(str(path))} is damaged or no NIR file: "):
            from_nir(path)
    nir.write(alone := tmp_path / "alone.nir", nir.Linear(np.ones((1, 1))))
    with pytest.raises(ValueError, match=r"alone.nir is damaged or no NIR file: "):
        from_nir(alone)
    with pytest.raises(FileNotFoundError):
        from_nir(tmp_path / "none.nir")
    nir.write(other := tmp_path / "if.nir", nir.NIRGraph.from_list(nir.IF(np.ones(1), np.ones(1))))
    with pytest.raises(ValueError, match=r"if.nir: node 'if': a circuit has nothing for IF"):
        from_nir(other)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "c.nir"
    to_nir(nf.circuits.sr_latch(), path=path)
    before = path.read_bytes()

    def fails(target: Any, graph: Any) -> None:
        Path(target).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(nir, "write", fails)
    with pytest.raises(OSError, match="disk full"):
        to_nir(nf.circuits.sr_latch(4), path=path)
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
