"""Figures of circuits: that all is there, where it belongs, readable, and written whole."""

import functools
import subprocess
import sys
from pathlib import Path

import matplotlib as mpl
import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse
from matplotlib.text import Text

import neuroflip as nf
from neuroflip import circuit_figure as drawing
from neuroflip.circuit_layout import falling, layered, layers
from neuroflip.circuits import CIRCUITS
from neuroflip.units import Hz, ms, mV, pA

SMALL = ["sr_latch", "jk_flip_flop", "d_latch"]


@pytest.fixture(scope="module")
def everything() -> nf.Circuit:
    """Every kind of line and mark."""
    return nf.Circuit(
        "everything",
        [
            nf.Population("out", nf.DeltaLIF(), 10),
            nf.Population("pool", nf.LIF(drive=100 * pA), 5),
            nf.Population("E", nf.LIF(), 20),
            nf.Population("r", nf.DeltaLIF()),
        ],
        [
            nf.Projection("in", "out", 1 * mV, rule=nf.rules.PairSTDP(w_max=20 * mV)),
            nf.Projection("in", "r", 1 * mV, rule=nf.rules.RewardSTDP(w_max=20 * mV)),
            nf.Projection("E", "pool", 9 * pA, "excitatory", axonal_delay=1 * ms,
                          dendritic_delay=np.linspace(0, 2 * ms, 100)),
            nf.Projection("pool", "E", 9 * pA, "inhibitory", axonal_delay=1 * ms),
            nf.Projection("E", "E", 9 * pA, "excitatory"),
            nf.Projection("bg", "E", 9 * pA, "excitatory"),
            nf.Projection("E", "out", np.linspace(-1e-3, 1e-3, 200)),
            nf.Projection("out", "r", -1 * mV, name="minus"),
            nf.Projection("out", "r", 1 * mV, name="plus"),
        ],
        [
            nf.SpikeInput("in", 10), nf.PoissonInput("bg", 40 * Hz, 30),
            nf.CurrentInput("step", "E"), nf.NoiseInput("noise", "E", 2 * mV),
            nf.SignalInput("reward"),
        ],
        [nf.Readout("R", "out", "r")],
    )  # fmt: skip


def plan_of(circuit: nf.Circuit) -> drawing._Plan:
    return drawing._planned(drawing._nodes(circuit), drawing._lines(circuit)[0])


def texts(figure: Figure) -> list[Text]:
    found = [t for t in figure.axes[0].texts if t.get_text()]
    return [*found, figure.axes[0].title, figure.texts[0]]


def ends_of(plan: drawing._Plan) -> set[tuple[str, str, str]]:
    return {(p.line.pre, p.line.post, p.kind) for p in plan.pieces if p.line is not None}


@functools.cache
def library(name: str) -> tuple[nf.Circuit, drawing._Plan]:
    circuit = CIRCUITS[name]()
    return circuit, plan_of(circuit)


@pytest.mark.parametrize("name", list(CIRCUITS))
def test_every_connection_is_drawn_by_its_receptor(name: str) -> None:
    circuit, plan = library(name)
    inhibits = {
        p.name: p.receptor in ("inhibitory", "gaba") or float(p.weight.min()) < 0
        for p in circuit.projections
    }
    kinds = {False: "excitation", True: "inhibition"}
    expected = {(p.pre, p.post, kinds[inhibits[p.name]]) for p in circuit.projections}
    drawn = {end for end in ends_of(plan) if end[2] in kinds.values()}
    assert drawn == expected
    read = {(r.high, "high") for r in circuit.readouts}
    read |= {(r.low, "low") for r in circuit.readouts if r.low}
    assert {(pre, kind) for pre, _, kind in ends_of(plan) if kind in ("high", "low")} == read
    assert {n.name for n in plan.nodes.values() if n.tonic} == {
        p.name for p in circuit.populations if p.neuron.drive > 0
    }


@pytest.mark.parametrize("name", list(CIRCUITS))
def test_every_line_leads_from_its_start_to_its_end(name: str) -> None:
    """Piece by piece, through the walls of boxes; and each piece starts and ends at its ends."""
    circuit, plan = library(name)
    graph = nx.DiGraph((p.start, p.end) for p in plan.pieces)
    for p in circuit.projections:
        assert nx.has_path(graph, p.pre, p.post)
    for piece in plan.pieces:
        for node, point in ((piece.start, piece.curve[0]), (piece.end, piece.curve[-1])):
            if node in plan.ports:
                assert point == pytest.approx(plan.ports[node][:2])
            else:
                a, b = plan.nodes[node].width / 2 + 0.05, plan.nodes[node].height / 2 + 0.05
                x, y = np.abs(point - plan.places[node])
                assert x <= a and y <= b


@pytest.mark.parametrize("name", list(CIRCUITS))
def test_nodes_and_boxes_do_not_overlap(name: str) -> None:
    _, plan = library(name)
    boxes = [drawing._box_of(node, plan.places[key]) for key, node in plan.nodes.items()]
    for group in (boxes, [box for _, box in plan.boxes]):
        for i, a in enumerate(group):
            for b in group[:i]:
                assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    walls = dict(plan.boxes)
    for node, box in zip(plan.nodes.values(), boxes, strict=True):
        if node.group:
            wall = walls[node.group]
            assert wall[0] < box[0] and wall[1] < box[1] and box[2] < wall[2] and box[3] < wall[3]


@pytest.mark.parametrize("name", SMALL)
def test_inputs_are_left_outputs_right_and_the_bit_above_its_complement(name: str) -> None:
    _, plan = library(name)
    across: dict[str, list[float]] = {}
    for node in plan.nodes.values():
        across.setdefault(node.shape, []).append(plan.places[node.name][0])
    assert max(across["input"]) < min(across["neuron"])
    assert max(across["neuron"]) < min(across["readout"])
    assert plan.places["Q"][0] == plan.places["Qbar"][0]
    assert plan.places["Q"][1] > plan.places["Qbar"][1]


@pytest.mark.parametrize("name", SMALL)
def test_both_lines_of_a_reciprocal_pair_are_seen(name: str) -> None:
    _, plan = library(name)
    there, back = (
        next(p.curve for p in plan.pieces if (p.start, p.end) == ends)
        for ends in (("Q", "Qbar"), ("Qbar", "Q"))
    )
    x = plan.places["Q"][0]
    assert there[:, 0].min() > x > back[:, 0].max()
    assert there[len(there) // 2, 0] - back[len(back) // 2, 0] > 0.25


@pytest.mark.parametrize("name", [*SMALL, "cascade", "register"])
def test_no_text_lies_on_another_or_outside(name: str) -> None:
    assert_readable(CIRCUITS[name]().plot())


def test_the_figure_of_everything(everything: nf.Circuit) -> None:
    figure = everything.plot()
    assert_readable(figure)
    shown = [t.get_text() for t in texts(figure)]
    for text in ("×20", "Poisson 40 Hz ×30", "noise 2 mV", "current", "signal", "PairSTDP",
                 "RewardSTDP", "R", "of either sign", "plastic", "tonic drive"):  # fmt: skip
        assert text in shown
    assert "1 ms to 3 ms" in shown  # axonal and dendritic together
    plan = plan_of(everything)
    assert {
        ("out", "r", "inhibition"), ("out", "r", "excitation"), ("E", "out", "either"),
        ("reward", "r", "signal"), ("step", "E", "current"), ("noise", "E", "noise"),
        ("E", "E", "excitation"),
    } <= ends_of(plan)  # fmt: skip
    assert ("reward", "out", "signal") not in ends_of(plan)  # PairSTDP reads no signal


def assert_readable(figure: Figure) -> None:
    figure.canvas.draw()
    boxes = [(t.get_text(), t.get_window_extent()) for t in texts(figure)]
    width, height = figure.bbox.size
    for i, (text, a) in enumerate(boxes):
        assert a.x0 >= 0 and a.y0 >= 0 and a.x1 <= width and a.y1 <= height, text
        for other, b in boxes[:i]:
            assert not a.overlaps(b), f"{text} on {other}"


def test_names_fit_into_their_neurons() -> None:
    name = "a rather long name of a neuron"
    figure = nf.Circuit("long", [nf.Population(name, nf.LIF(), 3)]).plot()
    figure.canvas.draw()
    (ellipse,) = (p for p in figure.axes[0].patches if isinstance(p, Ellipse))
    (text,) = (t for t in figure.axes[0].texts if t.get_text() == name)
    assert ellipse.get_window_extent().width > text.get_window_extent().width


def delta(*weights: float, delay: float = 0.0) -> str:
    circuit = nf.Circuit(
        "delta",
        [nf.Population("A", nf.DeltaLIF()), nf.Population("B", nf.DeltaLIF(), len(weights))],
        [nf.Projection("A", "B", np.array([weights]), axonal_delay=delay)],
    )
    return drawing._lines(circuit)[0][0].kind


def test_weights_of_either_sign_are_drawn_by_their_sign() -> None:
    assert delta(1e-3, 2e-3) == delta(0.0) == "excitation"
    assert delta(-1e-3, 0.0) == "inhibition"
    assert delta(-1e-3, 1e-3) == "either"


def test_excitation_and_inhibition_end_differently() -> None:
    figure = CIRCUITS["and_not_gate"]().plot()
    axes = figure.axes[0]
    blue, red = drawing._STYLES["excitation"][0], drawing._STYLES["inhibition"][0]
    arrows = [p for p in axes.patches if mpl.colors.same_color(p.get_facecolor(), blue)]
    bars = [li for li in axes.lines if li.get_color() == red and li.get_linewidth() > 2]
    assert len(arrows) == len(bars) == 2  # one in the circuit, one in the legend


def test_the_caption_says_a_common_delay_once() -> None:
    def caption(*delays: float) -> str:
        names = [f"N{n}" for n in range(len(delays) + 1)]
        circuit = nf.Circuit(
            "chain",
            [nf.Population(name, nf.DeltaLIF()) for name in names],
            [nf.Projection(a, b, 1 * mV, axonal_delay=d)
             for a, b, d in zip(names, names[1:], delays, strict=False)],
        )  # fmt: skip
        figure = circuit.plot()
        beside = [t.get_text() for t in figure.axes[0].texts if " ms" in t.get_text()]
        return " | ".join([figure.axes[0].get_title(), *beside])

    assert caption(1 * ms, 1 * ms) == "3 neurons; 2 synapses; delay of every connection: 1 ms"
    assert caption(0, 0) == "3 neurons; 2 synapses; no delays"
    assert caption(1 * ms, 1 * ms, 2 * ms) == (
        "4 neurons; 3 synapses; delay 1 ms where none is written | 2 ms"
    )
    assert caption(1 * ms, 2 * ms, 3 * ms) == "4 neurons; 3 synapses | 1 ms | 2 ms | 3 ms"


def test_the_caption_says_what_was_left_out() -> None:
    """Thirty delays in a crowd of lines have no room each."""
    names = [f"N{n}" for n in range(6)]
    circuit = nf.Circuit(
        "crowd",
        [nf.Population(name, nf.DeltaLIF()) for name in names],
        [
            nf.Projection(a, b, 1 * mV, axonal_delay=(10 * i + j + 1) * ms)
            for i, a in enumerate(names)
            for j, b in enumerate(names)
            if i != j
        ],
    )
    figure = circuit.plot()
    assert_readable(figure)
    written = sum(" ms" in t.get_text() for t in figure.axes[0].texts)
    assert 0 < written < 30
    assert f"{30 - written} labels left out for want of room" in figure.axes[0].get_title()


@pytest.mark.parametrize("suffix", [".png", ".pdf", ".svg"])
def test_a_figure_is_written(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"latch{suffix}"
    CIRCUITS["sr_latch"]().plot(path)
    begins = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert path.read_bytes().startswith(begins)
    assert list(tmp_path.iterdir()) == [path]


def test_a_wrong_path_is_refused_before_drawing(tmp_path: Path) -> None:
    latch = CIRCUITS["sr_latch"]()
    with pytest.raises(ValueError, match="must end in .png, .pdf or .svg"):
        latch.plot(tmp_path / "latch.jpg")
    with pytest.raises(ValueError, match="there is no folder"):
        latch.plot(tmp_path / "missing" / "latch.png")
    assert not list(tmp_path.iterdir())


def test_drawing_leaves_no_global_state_behind() -> None:
    code = (
        "import sys, neuroflip as nf\n"
        "assert 'networkx' not in sys.modules and 'matplotlib' not in sys.modules\n"
        "import matplotlib; before = matplotlib.rcParams.copy()\n"
        "nf.circuits.sr_latch().plot()\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "assert matplotlib.rcParams.copy() == before\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# The layout


graphs = st.integers(2, 8).flatmap(
    lambda n: st.tuples(
        st.just(n),
        st.sets(st.tuples(st.integers(0, n - 1), st.integers(0, n - 1)), max_size=16),
        st.booleans(),
    )
)


@settings(deadline=None, max_examples=60)
@given(graphs)
def test_any_graph_is_laid_out(graph: tuple[int, set[tuple[int, int]], bool]) -> None:
    number, pairs, stacked = graph
    names = [f"n{i}" for i in range(number)]
    edges = [(f"n{a}", f"n{b}", "") for a, b in sorted(pairs)]
    first, last = ["n0"], ["n1"]
    plan = layered({name: (1.0, 1.0) for name in names}, edges, first, last, stacked=stacked)
    assert plan.layer["n0"] == 0
    assert plan.layer["n1"] == max(plan.layer.values())
    assert all(n == "n0" or plan.layer[n] > 0 for n in names)
    for i, a in enumerate(names):
        (x, y), low, high = plan.positions[a], -1e-9, plan.height + 1e-9
        assert low <= y - 0.5 and y + 0.5 <= high and plan.columns[plan.layer[a]][0] <= x
        for b in names[:i]:
            apart = np.abs(np.subtract(plan.positions[a], plan.positions[b]))
            assert apart.max() >= 1.0
    for a, b, _ in edges:
        passed = abs(plan.layer[a] - plan.layer[b]) - 1
        if a != b:
            assert len(plan.bends[a, b, ""]) == max(passed, 0)
        if stacked and (b, a, "") in edges and not {a, b} & {"n0", "n1"}:
            assert plan.layer[a] == plan.layer[b]


@settings(deadline=None, max_examples=40)
@given(st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=14))
def test_no_edge_of_a_graph_without_cycles_runs_back(pairs: set[tuple[int, int]]) -> None:
    edges = [(f"n{min(p)}", f"n{max(p)}", "") for p in pairs if p[0] != p[1]]
    found = layers([f"n{i}" for i in range(8)], edges, [], [], True)
    assert all(found[a] < found[b] for a, b, _ in edges)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.floats(-5, 5), st.floats(0.1, 5)), min_size=1, max_size=7),
    st.lists(st.floats(-6, 6), min_size=7, max_size=7),
)
def test_falling_is_the_nearest_falling_sequence(
    items: list[tuple[float, float]], other: list[float]
) -> None:
    """No other one is nearer, and it falls."""
    values, weights = np.array(items).T
    found = falling(values, weights)
    rival = np.sort(other[: len(items)])[::-1]
    assert (np.diff(found) <= 1e-12).all()
    # the projection onto a convex set: the way to any other point of it turns away
    assert np.sum(weights * (values - found) * (rival - found)) <= 1e-9


def test_crossings_are_taken_out() -> None:
    """A ladder given in a twisted order has none."""
    edges = [("a", "y", ""), ("b", "x", ""), ("y", "q", ""), ("x", "p", "")]
    plan = layered({name: (1.0, 1.0) for name in "abxypq"}, edges)
    y = {name: plan.positions[name][1] for name in "abxypq"}
    assert (y["a"] > y["b"]) == (y["y"] > y["x"]) == (y["q"] > y["p"])
