"""Graphs of other tools: their dynamics, against NIR's equations integrated by hand."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import neuroflip as nf
from neuroflip.exchange import from_nir, to_nir
from neuroflip.exchange.nir_operators import operator
from neuroflip.units import ms, mV, pA

Array = np.ndarray[Any, Any]
DT = 0.1 * ms


def graph_of(nodes: dict[str, Any], *edges: str) -> nir.NIRGraph:
    """A graph; an edge is written "a b c" for a -> b -> c."""
    pairs = [
        pair for chain in edges for pair in zip(chain.split(), chain.split()[1:], strict=False)
    ]
    return nir.NIRGraph(nodes=nodes, edges=pairs)


def port(size: int) -> nir.Input:
    return nir.Input(np.array([size]))


def out(size: int) -> nir.Output:
    return nir.Output(np.array([size]))


def lif(size: Any, tau: Any = 10 * ms, **changed: Any) -> nir.LIF:
    """A LIF of threshold 1 at which a weight of 1 steps v by 1."""
    values = {"tau": tau, "r": np.asarray(tau) / DT, "v_leak": 0.0, "v_threshold": 1.0}
    values |= {"v_reset": 0.0} | changed
    return nir.LIF(**{name: np.broadcast_to(v, size).astype(float) for name, v in values.items()})


def cuba(size: int, tau_syn: Any = 5 * ms, **changed: Any) -> nir.CubaLIF:
    values = {"tau_syn": tau_syn, "tau_mem": 10 * ms, "r": 3.0, "v_leak": 0.1, "v_threshold": 1.0}
    values |= {"v_reset": -0.2, "w_in": np.asarray(tau_syn) / DT} | changed
    return nir.CubaLIF(
        **{name: np.broadcast_to(v, size).astype(float) for name, v in values.items()}
    )


# ------------------------------------------------------------------ NIR's equations by hand


@dataclass
class Layer:
    """Neurons of the reference. weights: (source, matrix, delay in steps)."""

    node: Any
    weights: list[tuple[str, Array, int]]
    bias: Any = 0.0
    current: Any = None  # waveform (steps, size)
    v: Array = field(init=False)
    i: Array = field(init=False)

    def __post_init__(self) -> None:
        self.v, self.i = self.node.v_leak.copy(), np.zeros_like(self.node.v_leak)

    def slope(self, v: Array, i: Array, current: Any) -> tuple[Array, Array]:
        n = self.node
        if isinstance(n, nir.LIF):
            return (n.v_leak - v + n.r * (self.bias + current)) / n.tau, 0 * i
        return (n.v_leak - v + n.r * i) / n.tau_mem, (-i + n.w_in * self.bias) / n.tau_syn

    def advance(self, current: Any, substeps: int = 8) -> None:
        """One step of dt, by fourth-order Runge-Kutta."""
        h = DT / substeps
        for _ in range(substeps):
            k1 = self.slope(self.v, self.i, current)
            k2 = self.slope(self.v + h / 2 * k1[0], self.i + h / 2 * k1[1], current)
            k3 = self.slope(self.v + h / 2 * k2[0], self.i + h / 2 * k2[1], current)
            k4 = self.slope(self.v + h * k3[0], self.i + h * k3[1], current)
            self.v = self.v + h / 6 * (k1[0] + 2 * k2[0] + 2 * k3[0] + k4[0])
            self.i = self.i + h / 6 * (k1[1] + 2 * k2[1] + 2 * k3[1] + k4[1])

    def take(self, signal: Array) -> None:
        """A signal of 1 for dt has the charge dt."""
        n = self.node
        if isinstance(n, nir.LIF):
            self.v = self.v + n.r * signal * DT / n.tau
        else:
            self.i = self.i + n.w_in * signal * DT / n.tau_syn


def integrate(layers: dict[str, Layer], inputs: dict[str, Array], steps: int) -> tuple[Any, Any]:
    """Spikes and potentials (steps, size) of each layer, in the order of docs/order.md."""
    spikes = {name: np.zeros((steps, layer.v.size), bool) for name, layer in layers.items()}
    potentials = {name: np.zeros((steps, layer.v.size)) for name, layer in layers.items()}
    for k in range(steps):
        for name, layer in layers.items():
            potentials[name][k] = layer.v
            layer.advance(0.0 if layer.current is None else layer.current[k])
            spikes[name][k] = layer.v > layer.node.v_threshold
        for layer in layers.values():
            for source, matrix, delay in layer.weights:
                if k >= delay:
                    layer.take(matrix @ (spikes | inputs)[source][k - delay].astype(float))
        for name, layer in layers.items():
            layer.v = np.where(spikes[name][k], layer.node.v_reset, layer.v)
    return spikes, potentials


def trains(raster: Array) -> list[Array]:
    return [np.flatnonzero(column) * DT for column in raster.T]


def agrees(
    graph: nir.NIRGraph, layers: dict[str, Layer], inputs: dict[str, Array], steps: int,
    currents: dict[str, Array] | None = None,
) -> nf.Circuit:  # fmt: skip
    """The imported circuit does what the equations say, in our engine and in Brian2."""
    spikes, potentials = integrate(layers, inputs, steps)
    circuit = from_nir(graph, dt=DT)
    given = {name: trains(raster) for name, raster in inputs.items()} | (currents or {})
    rec = nf.simulate(circuit, given, duration=steps * DT, dt=DT, record="v")
    for name, layer in layers.items():
        size = layer.v.size
        parts = [p.name for p in circuit.populations if re.fullmatch(rf"{name}( \d+)?", p.name)]
        assert sum(circuit.population(p).size for p in parts) == size
        if len(parts) == 1:
            np.testing.assert_allclose(rec.traces[f"{name}.v"], potentials[name], atol=1e-8)
        found = sorted(tuple(t.round(7)) for p in parts for t in rec.trains(p))
        assert found == sorted(tuple(t.round(7)) for t in trains(spikes[name]))
        assert sum(map(len, found)) > 5
    report = nf.compare(
        circuit, given, duration=steps * DT, dt=DT, record="v", engines=("numba", "brian2")
    )
    assert report.ok, report
    return circuit


RNG = np.random.default_rng(1)
SPIKES = RNG.random((600, 3)) < 0.04
W1, B1 = RNG.normal(0.5, 0.4, (4, 3)), RNG.normal(0.004, 0.002, 4)
WR = RNG.normal(0.0, 0.3, (4, 4))
W2 = np.array([[0.9, -0.3, 0.7, 0.4], [0.2, 0.8, -0.5, 1.0]])


@pytest.mark.parametrize(
    ("taus", "bias"),
    [(10 * ms, 0.005), (np.array([10, 20, 10, 15]) * ms, B1)],
    ids=["alike", "each its own"],
)
def test_two_layers_with_recurrence_and_delays(taus: Any, bias: Any) -> None:
    bias = np.broadcast_to(bias, 4)
    first, second = lif(4, taus), cuba(2)
    graph = graph_of(
        {
            "in": port(3), "w1": nir.Affine(W1, bias), "hidden": first,
            "wr": nir.Linear(WR), "late": nir.Delay(np.full(4, 0.5 * ms)),
            "w2": nir.Linear(W2), "out": second, "end": out(2),
        },
        "in w1 hidden wr late hidden w2 out end",
    )  # fmt: skip
    layers = {
        "hidden": Layer(first, [("in", W1, 0), ("hidden", WR, 5)], bias),
        "out": Layer(second, [("hidden", W2, 0)]),
    }
    circuit = agrees(graph, layers, {"in": SPIKES}, 600)
    assert [type(p.neuron) for p in circuit.populations][-1] is nf.LIF
    different = len(set(zip(np.broadcast_to(taus, 4), bias, strict=True)))
    assert len(circuit.populations) == different + 1
    assert {p.receptor for p in circuit.projections} == {"delta", "excitatory", "inhibitory"}
    late = [p for p in circuit.projections if p.dendritic_delay > 0]
    assert late and all(p.dendritic_delay == 0.5 * ms and p.axonal_delay == 0 for p in late)


def test_a_bias_at_a_synapse_fills_its_current() -> None:
    node, bias = cuba(2, v_leak=0.0), np.array([0.004, -0.001])
    weights = W2[:, :3]
    graph = graph_of(
        {"in": port(3), "w": nir.Affine(weights, bias), "A": node, "end": out(2)}, "in w A end"
    )
    agrees(graph, {"A": Layer(node, [("in", weights, 0)], bias)}, {"in": SPIKES}, 600)


def test_leaky_integrators_before_a_lif_are_its_synapses() -> None:
    """Two CubaLIFs are the reference: their currents add up."""
    tau_e, tau_i = 4 * ms, 12 * ms
    node = lif(2, 10 * ms, r=3.0)
    one = np.ones(2)
    we, wi = np.abs(W2[:, :3]) * 0.8, -np.abs(W2[:, 1:]) * 0.05
    graph = graph_of(
        {
            "in": port(3), "we": nir.Linear(we), "wi": nir.Linear(wi), "A": node, "end": out(2),
            "e": nir.LI(tau_e * one, tau_e / DT * one, 0 * one),
            "i": nir.LI(tau_i * one, tau_i / DT * one, 0 * one),
        },
        "in we e A end", "in wi i A",
    )  # fmt: skip

    class Both(Layer):
        """tau dv/dt = v_leak - v + R (I_e + I_i), with one filter each."""

        def __post_init__(self) -> None:
            super().__post_init__()
            self.i = np.zeros((2, 2))

        def slope(self, v: Array, i: Array, current: Any) -> tuple[Array, Array]:
            n = self.node
            return (n.v_leak - v + n.r * i.sum(0)) / n.tau, -i / np.array([[tau_e], [tau_i]])

        def take(self, signal: Array) -> None:
            self.i = self.i + np.stack([np.maximum(signal, 0), np.minimum(signal, 0)])

    layers: dict[str, Layer] = {"A": Both(node, [("in", we, 0), ("in", wi, 0)])}
    circuit = agrees(graph, layers, {"in": SPIKES}, 600)
    neuron = circuit.population("A").neuron
    assert isinstance(neuron, nf.LIF) and (neuron.tau_e, neuron.tau_i) == (tau_e, tau_i)


def test_an_input_joined_to_a_lif_is_a_current() -> None:
    node = lif(2, r=2.0)
    wave = RNG.random((400, 2)) * 1.5
    graph = graph_of({"I": port(2), "A": node, "end": out(2)}, "I A end")
    circuit = agrees(graph, {"A": Layer(node, [], current=wave)}, {}, 400, {"I": wave})
    assert circuit.inputs == (nf.CurrentInput("I", "A"),)


def test_operators_in_a_row_are_one_projection() -> None:
    node = lif(2)
    first, scale = RNG.normal(0.5, 0.5, (4, 3)), np.array([0.5, 1.0, -1.0, 2.0])
    bias = np.array([3.0, 1.0, -2.0, 2.0]) * 1e-3
    graph = graph_of(
        {
            "in": port(3), "early": nir.Delay(np.array([0.0, 0.3, 0.3]) * ms),
            "w": nir.Affine(first, bias), "s": nir.Scale(scale), "w2": nir.Linear(W2), "A": node,
            "end": out(2),
        },
        "in early w s w2 A end",
    )  # fmt: skip
    whole = W2 @ np.diag(scale) @ first
    prompt, late = whole.copy(), whole.copy()
    prompt[:, 1:], late[:, 0] = 0, 0
    layers = {"A": Layer(node, [("in", prompt, 0), ("in", late, 3)], W2 @ (scale * bias))}
    circuit = agrees(graph, layers, {"in": SPIKES}, 600)
    assert {float(p.axonal_delay) for p in circuit.projections} == {0.0, 0.3 * ms}
    assert {type(p.pattern) for p in circuit.projections} == {nf.Pairs}
    assert len(circuit.populations) == 2  # one for each bias


def test_neuron_to_neuron_without_weights_and_graphs_in_graphs() -> None:
    a, b = lif(2), lif(2, 20 * ms, v_threshold=1.5)
    inner = graph_of({"i": port(2), "n": a, "w": nir.Linear(WR[:2, :2]), "o": out(2)}, "i n w n o")
    graph = nir.NIRGraph(
        {"in": port(3), "w1": nir.Linear(W1[:2]), "net": inner, "B": b, "end": out(2)},
        [("in", "w1"), ("w1", "net"), ("net", "B"), ("B", "end")],
        type_check=False,
    )
    layers = {
        "net.n": Layer(a, [("in", W1[:2], 0), ("net.n", WR[:2, :2], 0)]),
        "B": Layer(b, [("net.n", np.eye(2), 0)]),
    }
    circuit = agrees(graph, layers, {"in": SPIKES}, 600)
    assert type(circuit.projections[-1].pattern) is nf.OneToOne


# ------------------------------------------------------------------ our own graphs, metadata apart


@st.composite
def sayable(draw: st.DrawFn) -> nf.Circuit:
    """Circuits of which NIR can say everything but the order within a step."""
    populations = []
    for i in range(draw(st.integers(1, 3))):
        tau_e, tau_i = draw(st.sampled_from([(5 * ms, 5 * ms), (5 * ms, 20 * ms)]))
        neuron = draw(st.sampled_from([
            nf.DeltaLIF(refractory=0, v_reset=-2 * mV),
            nf.LIF(tau_e=tau_e, tau_i=tau_i, refractory=0),
        ]))  # fmt: skip
        populations.append(nf.Population(f"P{i}", neuron, draw(st.integers(1, 3))))
    inputs: list[Any] = [nf.SpikeInput("in", 2)]
    if draw(st.booleans()):
        inputs.append(nf.CurrentInput("I", "P0"))
    sizes = {p.name: p.size for p in populations} | {"in": 2}
    projections = []
    for i in range(draw(st.integers(1, 5))):
        pre = "in" if i == 0 else draw(st.sampled_from(sorted(sizes)))
        post = draw(st.sampled_from(populations))
        delta = isinstance(post.neuron, nf.DeltaLIF)
        rng = np.random.default_rng(draw(st.integers(0, 1000)))
        pattern = draw(st.sampled_from([nf.Dense(), nf.Random(0.6, draw(st.integers(0, 99)))]))
        count = pattern.pairs(sizes[pre], post.size)[0].size
        weight = rng.random(count) * (8 * mV if delta else 900 * pA)
        delays = st.sampled_from([0.0, 1 * ms, rng.integers(0, 4, count) * DT])
        projections.append(nf.Projection(
            pre, post.name, weight - (2 * mV if delta else 0),
            None if delta else draw(st.sampled_from(["excitatory", "inhibitory"])),
            pattern, draw(delays), draw(delays), name=f"p{i}",
        ))  # fmt: skip
    return nf.Circuit("sayable", populations, projections, inputs)


@pytest.mark.filterwarnings("ignore:other tools will not see:UserWarning")
@settings(max_examples=25, deadline=None, derandomize=True, database=None,
          suppress_health_check=list(HealthCheck))  # fmt: skip
@given(sayable())
def test_the_nodes_alone_give_the_same_spikes(circuit: nf.Circuit) -> None:
    again = from_nir(to_nir(circuit, dt=DT), metadata=False)
    rng = np.random.default_rng(0)
    inputs: dict[str, Any] = {}
    if any(p.pre == "in" for p in again.projections):
        inputs["in"] = trains(rng.random((300, 2)) < 0.1)
    if any(i.name == "I" for i in circuit.inputs):
        inputs["I"] = rng.normal(150 * pA, 100 * pA, 300)
    options: dict[str, Any] = {"duration": 300 * DT, "dt": DT}
    first, second = nf.simulate(circuit, inputs, **options), nf.simulate(again, inputs, **options)
    assume(first.threshold_margin > 1e-12)
    for name, times in first.spikes.items():
        np.testing.assert_array_equal(second.spikes[name], times)
        np.testing.assert_array_equal(second.neurons[name], first.neurons[name])


# ------------------------------------------------------------------ operators


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dilation", [1, (2, 1)])
@pytest.mark.parametrize(
    ("stride", "padding"),
    [(1, 0), (1, (1, 2)), (1, "same"), (1, "valid"), ((2, 1), 0), ((2, 3), (1, 2))],
    ids=str,
)
def test_convolutions_are_those_of_torch(stride: Any, padding: Any, dilation: Any, groups: int):
    layer = torch.nn.Conv2d(
        4, 6, (3, 2), stride=stride, padding=padding, dilation=dilation, groups=groups
    ).double()
    node = nir.Conv2d(
        (7, 6), layer.weight.detach().numpy(), stride, padding, dilation, groups,
        layer.bias.detach().numpy(),
    )  # fmt: skip
    x = torch.randn(4, 7, 6, dtype=torch.float64)
    y = layer(x[None])[0].detach().numpy()
    step = operator(node, (4, 7, 6))
    assert step.shape == y.shape
    np.testing.assert_allclose(step.matrix @ x.numpy().ravel() + step.bias, y.ravel(), atol=1e-12)


def test_one_dimensional_convolution_and_pooling_are_those_of_torch() -> None:
    layer = torch.nn.Conv1d(2, 3, 4, stride=2, padding=1, dilation=2).double()
    node = nir.Conv1d(9, layer.weight.detach().numpy(), 2, 1, 2, 1, layer.bias.detach().numpy())
    x = torch.randn(2, 9, dtype=torch.float64)
    step = operator(node, (2, 9))
    np.testing.assert_allclose(
        step.matrix @ x.numpy().ravel() + step.bias, layer(x[None]).detach().numpy().ravel()
    )
    size, stride, pad = np.array([2, 3]), np.array([2, 2]), np.array([1, 1])
    x = torch.randn(3, 6, 7, dtype=torch.float64)
    mean = torch.nn.functional.avg_pool2d(x, (2, 3), (2, 2), (1, 1)).numpy()
    for kind, factor in ((nir.AvgPool2d, 1), (nir.SumPool2d, 6)):
        step = operator(kind(size, stride, pad), (3, 6, 7))
        assert step.shape == mean.shape
        np.testing.assert_allclose(step.matrix @ x.numpy().ravel(), factor * mean.ravel())


def test_a_convolutional_network() -> None:
    kernel = RNG.normal(0.4, 0.4, (2, 1, 2, 2))
    a = lif((2, 2, 3))
    b, weight = lif(2), RNG.normal(0.4, 0.4, (2, 12))
    graph = graph_of(
        {
            "in": nir.Input(np.array([1, 3, 4])),
            "conv": nir.Conv2d((3, 4), kernel, 1, 0, 1, 1, np.zeros(2)), "A": a,
            "flat": nir.Flatten({"input": np.array([2, 2, 3])}, 0, 2), "w": nir.Linear(weight),
            "B": b, "end": out(2),
        },
        "in conv A flat w B end",
    )  # fmt: skip
    dense = np.zeros((2, 2, 3, 3, 4))
    for f, y, x, i, j in np.ndindex(2, 2, 3, 2, 2):
        dense[f, y, x, y + i, x + j] = kernel[f, 0, i, j]
    layers = {
        "A": Layer(lif(12), [("in", dense.reshape(12, 12), 0)]),
        "B": Layer(b, [("A", weight, 0)]),
    }
    agrees(graph, layers, {"in": RNG.random((400, 12)) < 0.06}, 400)


# ------------------------------------------------------------------ snnTorch

old = pytest.mark.filterwarnings("ignore:nirtorch:DeprecationWarning")


@old
def test_a_network_exported_by_snntorch() -> None:
    """tau = dt/(1 - beta), r = tau/dt: a weight steps v by itself, and v decays with that tau."""
    import snntorch as snn
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 4),
        snn.Leaky(beta=torch.full((4,), 0.96), threshold=torch.ones(4), init_hidden=True),
        torch.nn.Linear(4, 2, bias=False),
        snn.Synaptic(
            alpha=torch.full((2,), 0.9), beta=torch.full((2,), 0.95), threshold=torch.ones(2),
            init_hidden=True, output=True,
        ),
    )  # fmt: skip
    with torch.no_grad():
        net[0].weight.add_(0.4)
        net[2].weight.add_(0.1)
    graph = export_to_nir(net, torch.rand(1, 3), ignore_dims=[0])
    first, second = (n for n in graph.nodes.values() if isinstance(n, nir.LIF | nir.CubaLIF))
    w1, w2 = (layer.weight.detach().numpy().astype(float) for layer in (net[0], net[2]))
    names = [k for k, n in graph.nodes.items() if isinstance(n, nir.LIF | nir.CubaLIF)]
    layers = {
        names[0]: Layer(first, [("input", w1, 0)], net[0].bias.detach().numpy().astype(float)),
        names[1]: Layer(second, [(names[0], w2, 0)]),
    }
    for layer in layers.values():
        for name, value in vars(layer.node).items():
            if isinstance(value, np.ndarray):
                setattr(layer.node, name, value.astype(float))
        layer.__post_init__()
    circuit = agrees(graph, layers, {"input": RNG.random((500, 3)) < 0.1}, 500)
    neuron = circuit.populations[0].neuron
    assert neuron.parameters()["tau_m"] == pytest.approx(1e-4 / 0.04, rel=1e-5)
    rows = [p.weight.ravel() for p in circuit.projections if p.pre == "input"]  # biases differ
    np.testing.assert_allclose(rows, w1, rtol=1e-5)


@old
def test_a_recurrent_layer_exported_by_snntorch() -> None:
    import snntorch as snn
    from snntorch.export_nir import export_to_nir

    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 4),
        snn.RLeaky(beta=0.9, linear_features=4, init_hidden=True, output=True),
    )
    for layer in (net[0], net[1].recurrent):
        torch.nn.init.zeros_(layer.bias)
    circuit = from_nir(export_to_nir(net, torch.rand(1, 3), ignore_dims=[0]))
    (population,) = circuit.populations
    assert population.size == 4
    (recurrent,) = [p for p in circuit.projections if p.pre == population.name]
    expected = net[1].recurrent.weight.detach().numpy()
    np.testing.assert_allclose(recurrent.weight.T, expected, rtol=1e-5)


@pytest.mark.filterwarnings("ignore:other tools will not see:UserWarning")
def test_snntorch_reads_what_we_write(capsys: pytest.CaptureFixture[str]) -> None:
    """Forward Euler on the same graph: with tau >> dt the same spikes, a step earlier.

    Inputs leave a step between them: what comes while a neuron fires is erased by our reset alone.
    """
    from snntorch.import_nir import import_from_nir

    neuron = nf.DeltaLIF(tau_m=200 * ms, refractory=0)
    circuit = nf.Circuit(
        "c",
        [nf.Population("A", neuron, 2)],
        [nf.Projection("in", "A", [[4 * mV, 2 * mV], [1 * mV, 5 * mV], [3 * mV, 2 * mV]])],
        [nf.SpikeInput("in", 3)],
    )
    raster = RNG.random((1000, 3)) < 0.04
    raster[np.arange(1000) % 3 > 0] = False
    net = import_from_nir(to_nir(circuit, dt=DT))
    state: Any = {}
    theirs = []
    for row in raster:
        spikes, state = net(torch.tensor(row, dtype=torch.float32)[None], state)
        theirs.append(spikes.detach().numpy()[0] > 0)
    rec = nf.simulate(circuit, {"in": trains(raster)}, duration=1000 * DT, dt=DT)
    for ours, column in zip(rec.trains("A"), np.array(theirs).T, strict=True):
        assert len(ours) > 5
        np.testing.assert_allclose(np.flatnonzero(column), ours / DT - 1)


# ------------------------------------------------------------------ refusals

ONE = np.ones(1)
W = nir.Linear(np.ones((1, 1)))


def chain(*nodes: Any) -> Callable[[], nir.NIRGraph]:
    return lambda: nir.NIRGraph.from_list(*nodes, type_check=False)


REFUSED: dict[str, tuple[Callable[[], nir.NIRGraph], str]] = {
    "IF": (chain(W, nir.IF(ONE, ONE)), "node 'if': a circuit has nothing for IF: it has no leak"),
    "LI": (chain(W, nir.LI(ONE, ONE, ONE)),
           "node 'li': a circuit has nothing for LI: it sends no spikes; it is read only as the"),
    "CubaLI": (chain(W, nir.CubaLI(ONE, ONE, ONE, ONE)),
               "node 'cubali': a circuit has nothing for CubaLI: it sends no spikes."),
    "I": (chain(W, nir.I(ONE)), "node 'i': a circuit has nothing for I"),
    "Threshold": (chain(W, nir.Threshold(ONE)), "node 'threshold': a circuit has nothing for"),
    "no neuron": (chain(W), "the graph holds no LIF and no CubaLIF"),
    "weighted output": (chain(W, lif(1), nir.Linear(np.ones((2, 1)))),
                        "node 'output' puts out a weighted sum"),
    "loop": (lambda: graph_of(
        {"in": port(1), "w": W, "v": nir.Scale(ONE), "A": lif(1), "end": out(1)},
        "in w A end", "w v w"), "node 'w' is part of a loop without a neuron"),
    "mixed": (lambda: graph_of(
        {"in": port(1), "w": W, "e": nir.LI(ONE, ONE, 0 * ONE), "A": lif(1), "end": out(1)},
        "in w e A end", "w A"),
        "node 'A' takes spikes from 'in' itself, and others through 'e'; a neuron of a circuit"),
    "three time constants": (lambda: graph_of(
        {"in": port(1), "w": W, "e": nir.LI(ONE, ONE, 0 * ONE), "f": nir.LI(2 * ONE, ONE, 0 * ONE),
         "A": lif(1), "end": out(1)}, "in w e A end", "w f A"),
        "node 'A': all excitatory synapses of a neuron must have one time constant; got 1 and 2 s"),
    "both kinds of input": (lambda: graph_of(
        {"in": port(1), "w": W, "A": lif(1), "end": out(1)}, "in w A end", "in A"),
        "node 'in' is joined to 'A' itself, as a current, and through weights, as spikes"),
    "current into several": (lambda: graph_of(
        {"in": port(2), "A": lif(2, np.array([1.0, 2.0])), "end": out(2)}, "in A end"),
        "node 'in' injects a current into 'A', whose neurons have different parameters"),
    "reset": (chain(W, lif(1, v_reset=2.0)), "node 'lif': DeltaLIF.v_reset must be below"),
    "tau": (chain(W, lif(1, tau=0.0, r=1.0)), "node 'lif': DeltaLIF.tau_m must be above 0 s"),
    "resistance": (chain(W, lif(1, r=-1.0)), "node 'lif': r must be above 0"),
    "shapes": (chain(nir.Input(np.array([3])), W, lif(1)),
               "node 'linear': weight must have shape (outputs, 3), for 3 incoming signals; got"),
    "sizes": (chain(nir.Input(np.array([3])), lif(2)),
              "node 'lif' takes 2 signals; 'input' sends 3"),
    "nan": (chain(nir.Linear(np.full((1, 1), np.nan)), lif(1)),
            "node 'linear': weight must be finite numbers"),
    "edge": (lambda: nir.NIRGraph({"A": lif(1)}, [("B", "A")], type_check=False),
             "source node 'B' which does not exist"),
    "delay": (chain(W, nir.Delay(-ONE), lif(1)), "dendritic_delay must be at least 0 s; got -1"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    build, message = REFUSED[what]
    graph = build()
    with pytest.raises(ValueError, match=re.escape(message)):
        from_nir(graph)


def test_names_that_a_circuit_does_not_take() -> None:
    graph = nir.NIRGraph(
        {"a->b": port(1), " w": W, " n ": lif(1), "n": lif(1), "o": out(1)},
        [("a->b", " w"), (" w", " n "), (" n ", "n"), ("n", "o")],
    )
    circuit = from_nir(graph)
    assert [p.name for p in circuit.populations] == ["n", "n (2)"]
    assert [i.name for i in circuit.inputs] == ["a to b"]
    assert [p.name for p in circuit.projections] == ["a to b->n", "n->n (2)"]


def test_one_number_for_all_neurons() -> None:
    """snnTorch writes scalars where all neurons share a parameter."""
    scalar = nir.LIF(np.array(0.01), np.array(100.0), np.array(0.0), np.array(1.0))
    graph = nir.NIRGraph.from_list(nir.Linear(W1), scalar, type_check=False)
    assert from_nir(graph).population("lif").size == 4
