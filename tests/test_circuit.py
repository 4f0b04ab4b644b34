"""Circuits as data: what is refused and with which words; files; patterns."""

# The tables of refusals quote whole messages.
# ruff: noqa: E501

import dataclasses
import itertools
import json
import math
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import neuroflip as nf
from neuroflip import files, rules
from neuroflip.units import mV, nA, pA

LIF, Delta = nf.LIF(), nf.DeltaLIF()
A, B = nf.Population("A", LIF), nf.Population("B", Delta, 3)


def circuit(*projections: nf.Projection, **parts: Any) -> nf.Circuit:
    return nf.Circuit(
        **{
            "name": "c",
            "populations": [A, B],
            "projections": projections,
            "inputs": [nf.SpikeInput("in", 2), nf.CurrentInput("current", "A")],
            **parts,
        }
    )


def join(pre: str = "in", post: str = "B", weight: Any = 1 * mV, **options: Any) -> nf.Projection:
    return nf.Projection(pre, post, weight, **options)


# ------------------------------------------------------------------ refusals

NAMED: list[tuple[str, Callable[[Any], Any]]] = [
    ("Circuit.name", lambda name: circuit(name=name)),
    ("Population.name", lambda name: nf.Population(name, LIF)),
    ("SpikeInput.name", lambda name: nf.SpikeInput(name)),
    ("PoissonInput.name", lambda name: nf.PoissonInput(name, 10)),
    ("CurrentInput.name", lambda name: nf.CurrentInput(name, "A")),
    ("CurrentInput 'i': target", lambda name: nf.CurrentInput("i", name)),
    ("Readout.name", lambda name: nf.Readout(name, high="A")),
    ("Projection.pre", lambda name: nf.Projection(name, "A", 0)),
    ("Projection.post", lambda name: nf.Projection("A", name, 0)),
]


@pytest.mark.parametrize(("what", "build"), NAMED, ids=[n[0] for n in NAMED])
@pytest.mark.parametrize("name", ["", "a->b", " a", "a\n", 3, None, b"a", ["a"]], ids=repr)
def test_names(what: str, build: Callable[[Any], Any], name: Any) -> None:
    with pytest.raises(ValueError) as caught:
        build(name)
    assert str(caught.value) == f"{what} must be a non-empty name without '->'; got {name!r}."


@pytest.mark.parametrize("name", [3, b"p", ["p"], True])
def test_a_projection_is_called_by_a_text(name: Any) -> None:
    with pytest.raises((ValueError, TypeError), match="name"):
        join(name=name)


SIZED: list[tuple[str, Callable[[Any], Any]]] = [
    ("Population 'P': size", lambda size: nf.Population("P", LIF, size)),
    ("SpikeInput 'P': size", lambda size: nf.SpikeInput("P", size)),
    ("PoissonInput 'P': size", lambda size: nf.PoissonInput("P", 1.0, size)),
]


@pytest.mark.parametrize(("what", "build"), SIZED, ids=[s[0] for s in SIZED])
@pytest.mark.parametrize("size", [0, -1, 1.0, 2.5, True, "2", None, np.float64(2), [2]], ids=repr)
def test_sizes(what: str, build: Callable[[Any], Any], size: Any) -> None:
    with pytest.raises(ValueError) as caught:
        build(size)
    assert str(caught.value) == f"{what} must be a whole number, at least 1; got {size!r}."


@pytest.mark.parametrize("size", [1, np.int64(7), np.uint8(3)])
def test_sizes_become_plain_integers(size: Any) -> None:
    for built in (
        nf.Population("P", LIF, size),
        nf.SpikeInput("P", size),
        nf.PoissonInput("P", 1, size),
    ):
        assert type(built.size) is int and built.size == size


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    # populations
    "neuron class, not object": (
        lambda: nf.Population("P", nf.LIF),  # type: ignore[arg-type]
        TypeError, "Population 'P': neuron must be a neuron model like nf.LIF(); got <class"),
    "unknown variable": (
        lambda: nf.Population("P", LIF, initial={"i_exec": 0}),
        ValueError, "Population 'P': LIF has no variable 'i_exec'; did you mean 'i_exc'?"),
    "initial shape": (
        lambda: nf.Population("P", LIF, 3, initial={"v": [0, 0]}),
        ValueError, "Population 'P': initial v must be one number or 3; got shape (2,)."),
    "initial matrix": (
        lambda: nf.Population("P", LIF, 1, initial={"v": [[0]]}),
        ValueError, "Population 'P': initial v must be one number or 1; got shape (1, 1)."),
    "initial nan": (
        lambda: nf.Population("P", LIF, 2, initial={"v": [0, math.nan]}),
        ValueError, "Population 'P': initial v must be finite numbers in V; got nan at index 1."),
    "initial text": (
        lambda: nf.Population("P", LIF, initial={"v": "low"}),
        TypeError, "Population 'P': initial v must be numbers in V; got 'low'."),
    # inputs
    "rate negative": (
        lambda: nf.PoissonInput("P", -1.0),
        ValueError, "PoissonInput 'P': rate must be at least 0 Hz; got -1.0."),
    "rate nan": (
        lambda: nf.PoissonInput("P", math.nan),
        ValueError, "PoissonInput 'P': rate must be a finite number in Hz; got nan."),
    "rate text": (
        lambda: nf.PoissonInput("P", "5 Hz"),  # type: ignore[arg-type]
        TypeError, "PoissonInput 'P': rate must be one number in Hz; got '5 Hz'."),
    "target unknown": (
        lambda: circuit(inputs=[nf.CurrentInput("i", "a")]),
        ValueError, "CurrentInput 'i': there is no population 'a'; known: A, B."),
    "target is an input": (
        lambda: circuit(inputs=[nf.SpikeInput("in"), nf.CurrentInput("i", "in")]),
        ValueError, "CurrentInput 'i': there is no population 'in'; known: A, B."),
    # readouts
    "one side": (
        lambda: nf.Readout("Q", "A", "A"),
        ValueError, "Readout 'Q': low must be another population than high, or None; got 'A'."),
    "window": (
        lambda: nf.Readout("Q", "A", window=0.0),
        ValueError, "Readout 'Q': window must be above 0 s; got 0.0."),
    "window nan": (
        lambda: nf.Readout("Q", "A", window=math.nan),
        ValueError, "Readout 'Q': window must be a finite number in s; got nan."),
    "high unknown": (
        lambda: circuit(readouts=[nf.Readout("Q", "C")]),
        ValueError, "Readout 'Q': there is no population 'C'; known: A, B."),
    "low unknown": (
        lambda: circuit(readouts=[nf.Readout("Q", "A", "in")]),
        ValueError, "Readout 'Q': there is no population 'in'; known: A, B."),
    # patterns
    "pairs float": (
        lambda: nf.Pairs([0.0], [0]), ValueError, "Pairs.pre must be a list of whole numbers; got"),
    "pairs bool": (
        lambda: nf.Pairs([0], [True]), ValueError, "Pairs.post must be a list of whole numbers"),
    "pairs number": (
        lambda: nf.Pairs(0, 0), ValueError, "Pairs.pre must be a list of whole numbers; got"),
    "pairs matrix": (
        lambda: nf.Pairs([[0]], [[0]]), ValueError, "Pairs.pre must be a list of whole numbers"),
    "pairs lengths": (
        lambda: nf.Pairs([0, 1], [0]),
        ValueError, "Pairs.pre and Pairs.post must be equally long; got 2 and 1."),
    "pairs pre beyond": (
        lambda: circuit(join(pattern=nf.Pairs([0, 2], [0, 0]))),
        ValueError, "Projection 'in->B': Pairs.pre must be 0 to 1; got 2."),
    "pairs post negative": (
        lambda: circuit(join(pattern=nf.Pairs([0, 1], [0, -1]))),
        ValueError, "Projection 'in->B': Pairs.post must be 0 to 2; got -1."),
    "one to one": (
        lambda: circuit(join(pattern=nf.OneToOne())),
        ValueError, "Projection 'in->B': OneToOne joins equal sizes; got 2 and 3."),
    "p above 1": (
        lambda: nf.Random(1.5, 0), ValueError, "Random.p must be 0 to 1; got 1.5."),
    "p negative": (
        lambda: nf.Random(-0.1, 0), ValueError, "Random.p must be 0 to 1; got -0.1."),
    "p nan": (
        lambda: nf.Random(math.nan, 0), ValueError, "Random.p must be a finite number in 1; got nan."),
    "p bool": (
        lambda: nf.Random(True, 0), TypeError, "Random.p must be one number in 1; got True."),
    "seed negative": (
        lambda: nf.Random(0.5, -1), ValueError, "Random.seed must be a whole number >= 0; got -1."),
    "seed float": (
        lambda: nf.Random(0.5, 1.0),  # type: ignore[arg-type]
        ValueError, "Random.seed must be a whole number >= 0; got 1.0."),
    "seed bool": (
        lambda: nf.Random(0.5, True), ValueError, "Random.seed must be a whole number >= 0; got True."),
    # projections
    "pattern class": (
        lambda: join(pattern=nf.Dense),
        TypeError, "Projection 'in->B': pattern must be one of Dense, OneToOne, Pairs, Random; got"),
    "rule class": (
        lambda: join(rule=rules.PairSTDP),
        TypeError, "Projection 'in->B': rule must be a rule object like rules.PairSTDP(); got"),
    "rule name": (
        lambda: join(rule="none"),
        TypeError, "Projection 'in->B': rule must be a rule object like rules.PairSTDP(); got 'none'"),
    "unknown pre": (
        lambda: circuit(join("inn")),
        ValueError, "Projection 'inn->B': there is no population or spike input 'inn'; did you mean 'in'?"),
    "current as pre": (
        lambda: circuit(join("current")),
        ValueError, "Projection 'current->B': there is no population or spike input 'current'; "),
    "unknown post": (
        lambda: circuit(join(post="C")),
        ValueError, "Projection 'in->C': there is no population 'C'; known: A, B."),
    "input as post": (
        lambda: circuit(join(post="in")),
        ValueError, "Projection 'in->in': there is no population 'in'; known: A, B."),
    "no receptor named": (
        lambda: circuit(join(post="A")),
        ValueError, "Projection 'in->A': name a receptor of LIF: excitatory, inhibitory."),
    "unknown receptor": (
        lambda: circuit(join(post="A", receptor="excitation")),
        ValueError, "Projection 'in->A': LIF has no receptor 'excitation'; did you mean 'excitatory'?"),
    "receptor of another": (
        lambda: circuit(join(receptor="excitatory")),
        ValueError, "Projection 'in->B': DeltaLIF has no receptor 'excitatory'; known: delta."),
    "negative weight": (
        lambda: circuit(join(post="A", weight=[[1 * pA], [-2e-12]], receptor="inhibitory")),
        ValueError, "Projection 'in->A': weight at receptor 'inhibitory' must be at least 0, the"
        " receptor gives the sign; got "),
    "negative bound": (
        lambda: circuit(join(post="A", weight=0.5, receptor="excitatory", rule=rules.PairSTDP(w_min=-1))),
        ValueError, "Projection 'in->A': PairSTDP.w_min at receptor 'excitatory' must be at least 0; got -1.0"),
    "weight above the bounds": (
        lambda: join(weight=[0.5, 1.25], rule=rules.PairSTDP()),
        ValueError, "Projection 'in->B': weight must be within the bounds of PairSTDP, 0.0 to 1.0; got"),
    "weight below the bounds": (
        lambda: join(weight=0.05, rule=rules.PairSTDP(w_min=0.1)),
        ValueError, "Projection 'in->B': weight must be within the bounds of PairSTDP, 0.1 to 1.0; got"),
    "weight nan": (
        lambda: join(weight=[1.0, math.nan]),
        ValueError, "Projection 'in->B': weight must be finite numbers"),  # the circuit knows the unit
    "weight inf": (
        lambda: join(weight=math.inf), ValueError, "Projection 'in->B': weight must be finite numbers"),
    "weight text": (
        lambda: join(weight="1 mV"), TypeError, "Projection 'in->B': weight must be numbers"),
    "weight per synapse": (
        lambda: circuit(join(weight=[1.0] * 5)),
        ValueError, "Projection 'in->B': weight must be one number, 6 (one a synapse) or a matrix"
        " (2, 3); got shape (5,)."),
    "weight transposed": (
        lambda: circuit(join(weight=np.ones((3, 2)))),
        ValueError, "Projection 'in->B': weight must be one number, 6 (one a synapse) or a matrix"
        " (2, 3); got shape (3, 2)."),
    "weight per neuron": (
        lambda: circuit(join(weight=np.ones((1, 3)))),
        ValueError, "Projection 'in->B': weight must be one number, 6"),
    "weight of pairs": (
        lambda: circuit(join(weight=[1.0, 2.0], pattern=nf.Pairs([0], [0]))),
        ValueError, "Projection 'in->B': weight must be one number, 1 (one a synapse) or a matrix"),
    **{
        f"{name} {word}": (
            lambda name=name, value=value: circuit(join(**{name: value})),  # type: ignore[misc]
            error, f"Projection 'in->B': {name} {message}")
        for name in ("axonal_delay", "dendritic_delay")
        for word, value, error, message in [
            ("negative", [[0, 0, 0], [0, -1e-9, 0]], ValueError, "must be at least 0 s; got "),
            ("nan", math.nan, ValueError, "must be finite numbers in s; got nan"),
            ("text", "1 ms", TypeError, "must be numbers in s; got '1 ms'"),
            ("shape", [0.0] * 4, ValueError, "must be one number, 6 (one a synapse) or a matrix"),
        ]
    },
    # circuits
    "no populations": (
        lambda: nf.Circuit("c", []), ValueError, "Circuit.populations must not be empty."),
    "wrong part": (
        lambda: circuit(populations=[A, nf.SpikeInput("x")]),
        TypeError, "Circuit.populations must hold Population; got SpikeInput("),
    "neuron as population": (
        lambda: circuit(populations=[LIF]),
        TypeError, "Circuit.populations must hold Population; got LIF("),
    "wrong input": (
        lambda: circuit(inputs=[A]),
        TypeError, "Circuit.inputs must hold SpikeInput or PoissonInput or CurrentInput or "
        "NoiseInput or SignalInput; got Popul"),
    "wrong projection": (
        lambda: circuit("in->B"),  # type: ignore[arg-type]
        TypeError, "Circuit.projections must hold Projection; got 'in->B'."),
    "wrong readout": (
        lambda: circuit(readouts=["A"]), TypeError, "Circuit.readouts must hold Readout; got 'A'."),
    "two populations": (
        lambda: circuit(populations=[A, B, nf.Population("A", Delta)]),
        ValueError, "two population"),
    "population and input": (
        lambda: circuit(inputs=[nf.SpikeInput("B")]),
        ValueError, "two population"),
    "current and input": (
        lambda: circuit(inputs=[nf.SpikeInput("i"), nf.CurrentInput("i", "A")]),
        ValueError, "two population"),
    "two projections": (
        lambda: circuit(join(), join(weight=2 * mV)),
        ValueError, "two projections are called 'in->B'; give each its own name."),
    "two readouts": (
        lambda: circuit(readouts=[nf.Readout("Q", "A"), nf.Readout("Q", "B")]),
        ValueError, "two readouts are called 'Q'; give each its own name."),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals(case: str) -> None:
    build, error, message = REFUSED[case]
    with pytest.raises(error) as caught:
        build()
    assert type(caught.value) is error
    assert str(caught.value).startswith(message)
    assert "np." not in str(caught.value), "a number is shown as a number"
    assert " in ;" not in str(caught.value), "a unit is missing"


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ({"populations": [A, B, nf.Population("A", Delta)]}, "A"),
        ({"inputs": [nf.SpikeInput("B")]}, "B"),
        ({"inputs": [nf.SpikeInput("i"), nf.CurrentInput("i", "A")]}, "i"),
    ],
)
def test_two_things_of_one_name(parts: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=f"inputs? are called '{name}'; give each its own name.$"):
        circuit(**parts)


def test_weights_of_the_wrong_dimension_are_refused() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brian2 import mV as millivolt
        from brian2 import nA as nanoamp
        from brian2 import second
    fine = circuit(
        join(weight=2 * millivolt), join(post="A", weight=2 * nanoamp, receptor="excitatory")
    )
    assert fine.projections[0].weight == 2e-3 and fine.projections[1].weight == 2e-9
    for wrong in (
        join(weight=2 * nanoamp),
        join(weight=2 * second),
        join(post="A", weight=2 * millivolt, receptor="excitatory"),
    ):
        with pytest.raises(ValueError, match="weight must be in [AV]"):
            circuit(wrong)


def test_readout_and_population_refuse_other_dimensions() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from brian2 import mV as millivolt
        from brian2 import nA as nanoamp
    with pytest.raises(ValueError, match="Readout 'Q': window must be in s"):
        nf.Readout("Q", "A", window=3 * millivolt)
    with pytest.raises(ValueError, match="initial v must be in V"):
        nf.Population("A", LIF, initial={"v": 3 * nanoamp})
    with pytest.raises(ValueError, match="initial i_exc must be in A"):
        nf.Population("A", LIF, 2, initial={"i_exc": [1, 2] * millivolt})


# ------------------------------------------------------------------ what is accepted


def test_the_only_receptor_need_not_be_named() -> None:
    assert circuit(join()).projections[0].receptor == "delta"
    assert circuit(join()).projections[0].name == "in->B"
    assert circuit(join(weight=-1 * mV)).projections[0].weight == -1e-3  # delta is signed


def test_a_circuit_does_not_follow_later_changes_of_what_built_it() -> None:
    weight, start, pre, parts = np.ones(6), np.zeros(3), np.array([0, 1, 1, 0, 0, 1]), [A]
    pattern = nf.Pairs(pre, [0, 1, 2, 0, 1, 2])
    population = nf.Population("B", Delta, 3, {"v": start})
    parts.append(population)
    built = circuit(join(weight=weight, pattern=pattern), populations=parts)
    weight[:], start[:], pre[:] = 7, 7, 0
    parts.clear()
    assert built.projections[0].weight.tolist() == [1.0] * 6
    assert built.population("B").initial["v"].tolist() == [0.0] * 3
    assert built.synapses(built.projections[0]).pre.tolist() == [0, 1, 1, 0, 0, 1]
    assert len(built.populations) == 2


@pytest.mark.parametrize("part", ["name", "populations", "projections", "inputs", "readouts"])
def test_circuits_are_frozen(part: str) -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(circuit(), part, ())


def test_dense_matrix_entries_go_to_their_pairs() -> None:
    matrix = np.arange(6.0).reshape(2, 3)
    for pattern in (nf.Dense(), nf.Pairs([1, 0, 1], [2, 1, 0]), nf.Random(0.5, 3)):
        built = circuit(join(weight=matrix, axonal_delay=matrix, pattern=pattern))
        synapses = built.synapses(built.projections[0])
        for i, j, w, d in zip(
            synapses.pre, synapses.post, synapses.weight, synapses.axonal_delay, strict=True
        ):
            assert w == d == matrix[i, j]
        assert synapses.dendritic_delay.tolist() == [0.0] * synapses.pre.size
    assert built.synapses(
        dataclasses.replace(built.projections[0], pattern=nf.Dense())
    ).weight.tolist() == list(range(6))


def test_one_value_a_synapse_is_in_the_order_of_the_pairs() -> None:
    built = circuit(join(weight=[3.0, 1.0, 2.0], pattern=nf.Pairs([1, 0, 1], [2, 2, 2])))
    synapses = built.synapses(built.projections[0])
    assert list(zip(synapses.pre, synapses.post, synapses.weight, strict=True)) == [
        (1, 2, 3.0),
        (0, 2, 1.0),
        (1, 2, 2.0),
    ]


def test_sizes_and_look_up() -> None:
    assert circuit().sizes() == {"A": 1, "B": 3, "in": 2}
    assert circuit().population("B") is circuit().populations[1]
    with pytest.raises(ValueError, match="^there is no population 'C'; known: A, B."):
        circuit().population("C")


# ------------------------------------------------------------------ random patterns


@pytest.mark.parametrize(("p", "seed"), [(0.1, 0), (0.5, 1), (0.9, 2)])
def test_random_pattern_is_independent_bernoulli(p: float, seed: int) -> None:
    n, m = 60, 80
    pre, post = nf.Random(p, seed).pairs(n, m)
    flat = pre * m + post
    assert (np.diff(flat) > 0).all()  # each pair once, in the stated order
    sigma = math.sqrt(p * (1 - p))
    assert abs(flat.size - p * n * m) < 4 * sigma * math.sqrt(n * m)
    matrix = np.zeros((n, m))
    matrix[pre, post] = 1
    for axis, size in ((0, n), (1, m)):  # rows and columns: every one near p, none of them alike
        z = (matrix.sum(axis) - p * size) / (sigma * math.sqrt(size))
        assert np.abs(z).max() < 4.5 and 0.6 < z.std() < 1.4
    both = matrix[:-1] * matrix[1:]
    assert abs(both.mean() - p * p) < 4 * math.sqrt(p * p * (1 - p * p) / both.size) * 1.5


def test_random_pattern_repeats_with_its_seed_alone() -> None:
    one, same, other = nf.Random(0.3, 5), nf.Random(0.3, 5), nf.Random(0.3, 6)
    assert all(
        np.array_equal(a, b) for a, b in zip(one.pairs(9, 11), same.pairs(9, 11), strict=True)
    )
    assert not np.array_equal(one.pairs(9, 11)[1], other.pairs(9, 11)[1])
    np.random.seed(1)
    again = one.pairs(9, 11)
    assert np.array_equal(again[0], same.pairs(9, 11)[0])
    assert nf.Random(0.0, 1).pairs(4, 4)[0].size == 0
    assert nf.Random(1.0, 1).pairs(4, 5)[1].tolist() == list(range(5)) * 4


def test_pairs_of_all_patterns() -> None:
    assert list(zip(*nf.Dense().pairs(2, 3), strict=True)) == list(
        itertools.product(range(2), range(3))
    )
    assert list(zip(*nf.OneToOne().pairs(3, 3), strict=True)) == [(i, i) for i in range(3)]
    assert list(zip(*nf.Pairs([1, 1], [0, 0]).pairs(2, 1), strict=True)) == [(1, 0), (1, 0)]
    assert nf.Pairs([], []).pairs(3, 3)[0].dtype.kind == "i"


# ------------------------------------------------------------------ equality


def test_circuits_are_compared_by_content() -> None:
    base = circuit(join(weight=np.arange(6.0)), readouts=[nf.Readout("Q", "A")])
    same = circuit(join(weight=np.arange(6.0)), readouts=[nf.Readout("Q", "A")])
    assert base == same
    weights = np.arange(6.0)
    weights[5] = np.nextafter(5, 6)
    changed = [
        circuit(join(weight=weights), readouts=[nf.Readout("Q", "A")]),
        circuit(join(weight=np.arange(6.0), axonal_delay=1e-3), readouts=[nf.Readout("Q", "A")]),
        circuit(join(weight=np.arange(6.0)), readouts=[nf.Readout("Q", "A", window=0.1)]),
        circuit(join(weight=np.arange(6.0).reshape(2, 3)), readouts=[nf.Readout("Q", "A")]),
        dataclasses.replace(base, name="d"),
        dataclasses.replace(base, populations=[nf.Population("A", nf.LIF(tau_m=0.021)), B]),
        dataclasses.replace(base, populations=[A, nf.Population("B", Delta, 3, {"v": 0.0})]),
    ]
    for other in changed:
        assert base != other and other != base
    assert base != "circuit"


# ------------------------------------------------------------------ files

names = st.text(
    st.characters(codec="utf-8", exclude_characters="->"), min_size=1, max_size=8
).filter(lambda s: s == s.strip())
numbers = st.floats(-1e3, 1e3, allow_nan=False) | st.sampled_from([0.1 + 0.2, 5e-324, -0.0, 1 / 3])
positive = st.floats(1e-6, 1e3)


@st.composite
def circuits(draw: st.DrawFn) -> nf.Circuit:
    """Every neuron, pattern, rule, input; names and numbers that files tend to mangle."""
    n, n_in = draw(st.integers(1, 3)), draw(st.integers(0, 3))
    called = draw(st.lists(names, min_size=n + n_in, max_size=n + n_in, unique=True))
    populations = []
    for name in called[:n]:
        size = draw(st.integers(1, 4))
        neuron = draw(st.sampled_from([
            nf.LIF(tau_m=draw(positive), v_rest=-draw(positive), drive=draw(numbers)),
            nf.DeltaLIF(resistance=draw(positive), refractory=draw(st.floats(0, 1))),
        ]))  # fmt: skip
        variables = draw(st.lists(st.sampled_from(neuron.model().variables), unique=True))
        each = st.lists(numbers, min_size=size, max_size=size)
        populations.append(
            nf.Population(name, neuron, size, {v: draw(numbers | each) for v in variables})
        )
    inputs: list[Any] = []
    for name in called[n:]:
        target = draw(st.sampled_from(called[:n]))
        inputs.append(draw(st.sampled_from([
            nf.SpikeInput(name, draw(st.integers(1, 4))),
            nf.PoissonInput(name, abs(draw(numbers)), draw(st.integers(1, 4))),
            nf.CurrentInput(name, target),
        ])))  # fmt: skip
    sizes = nf.Circuit("sizes", populations, [], inputs).sizes()
    projections = []
    for i in range(draw(st.integers(0, 4))):
        pre = draw(st.sampled_from(sorted(sizes)))
        post = draw(st.sampled_from(populations))
        index = st.lists(
            st.tuples(st.integers(0, sizes[pre] - 1), st.integers(0, post.size - 1)), max_size=5
        ).map(lambda pairs: nf.Pairs([p for p, _ in pairs], [q for _, q in pairs]))
        patterns = [
            nf.Dense(),
            draw(index),
            nf.Random(draw(st.floats(0, 1)), draw(st.integers(0, 2**70))),
        ]
        if sizes[pre] == post.size:
            patterns.append(nf.OneToOne())
        pattern = draw(st.sampled_from(patterns))
        count = pattern.pairs(sizes[pre], post.size)[0].size
        rule = draw(st.sampled_from([
            rules.none,
            rules.PairSTDP(tau_plus=draw(positive), w_min=0.0, w_max=2e3, mu_plus=draw(st.floats(0, 1))),
        ]))  # fmt: skip

        def values(count: int = count, shape: Any = (sizes[pre], post.size)) -> Any:
            kind = draw(st.sampled_from(["one", "each", "matrix"]))
            if kind == "one":
                return abs(draw(numbers))
            total = count if kind == "each" else shape[0] * shape[1]
            drawn = draw(st.lists(numbers.map(abs), min_size=total, max_size=total))
            return np.array(drawn).reshape(-1 if kind == "each" else shape)

        projections.append(nf.Projection(
            pre, post.name, values(), draw(st.sampled_from(list(post.neuron.receptors))), pattern,
            values(), values(), rule, f"p{i}->{draw(names)}",
        ))  # fmt: skip
    readouts = [
        nf.Readout(f"r{i}", draw(st.sampled_from(called[:n])), None, draw(positive))
        for i in range(draw(st.integers(0, 2)))
    ]
    if n > 1:
        readouts.append(nf.Readout("both", called[0], called[1]))
    return nf.Circuit(draw(names), populations, projections, inputs, readouts)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(built=circuits())
def test_files_give_back_an_equal_circuit(built: nf.Circuit, tmp_path_factory: Any) -> None:
    folder = tmp_path_factory.getbasetemp()
    for suffix in (".json", ".npz"):
        path = folder / f"round_trip{suffix}"
        built.save(path)
        again = nf.Circuit.load(path)
        assert again == built
        assert repr(again) == repr(built)  # -0.0 and 0.0 are equal, and not the same
        again.save(other := folder / f"again{suffix}")
        assert other.read_bytes() == path.read_bytes()


def example() -> nf.Circuit:
    return nf.Circuit(
        "example",
        [nf.Population("A", LIF, 2, {"v": [0.0, 1e-3]}), nf.Population("B", Delta)],
        [
            nf.Projection("in", "A", [[1 * nA, 2 * nA]], "excitatory", axonal_delay=1e-3),
            nf.Projection("A", "B", 0.5, pattern=nf.Pairs([0, 1], [0, 0]), rule=rules.PairSTDP()),
            nf.Projection("noise", "B", 0.01, pattern=nf.Random(0.5, 1)),
        ],
        [nf.SpikeInput("in"), nf.PoissonInput("noise", 50.0, 3), nf.CurrentInput("step", "A")],
        [nf.Readout("Q", "A", "B")],
    )


@pytest.mark.parametrize("name", ["$array", "$npz", "header", "kind", "a0"])
@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_no_name_is_taken_for_the_file_format(name: str, suffix: str, tmp_path: Path) -> None:
    built = nf.Circuit(
        name, [nf.Population(name, LIF)], [nf.Projection("x", name, [1.0], "excitatory", name=name)],
        [nf.SpikeInput("x")], [nf.Readout(name, name)],
    )  # fmt: skip
    built.save(tmp_path / f"c{suffix}")
    assert nf.Circuit.load(tmp_path / f"c{suffix}") == built
    data = {"by name": {name: np.arange(3.0)}, name: 1}
    files.write(tmp_path / f"d{suffix}", data)
    again = files.read(tmp_path / f"d{suffix}")
    assert again.keys() == data.keys() and again["by name"][name].tolist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("path", ["c", "c.txt", "c.JSON", "c.json.gz", ".json"])
def test_other_suffixes_are_refused(path: str, tmp_path: Path) -> None:
    for act in (lambda p: example().save(p), nf.Circuit.load):
        with pytest.raises(ValueError, match="^a file is .json or .npz; got "):
            act(tmp_path / path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_reported_as_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        nf.Circuit.load(tmp_path / "none.json")


def test_an_unregistered_neuron_or_rule_is_not_saved(tmp_path: Path) -> None:
    class Own(rules.Rule):
        on_post = "w += 1"

    own = dataclasses.dataclass(frozen=True)(Own)()
    built = circuit(join(rule=own))
    with pytest.raises(ValueError, match="^Own is not registered, so a file with it could not be"):
        built.save(tmp_path / "c.json")
    assert list(tmp_path.iterdir()) == []


def test_saving_replaces_the_file_or_leaves_it(tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "c.json"
    example().save(path)
    before = path.read_bytes()

    def fail(*_: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        circuit().save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]
    circuit().save(path)
    assert nf.Circuit.load(path) == circuit()


def test_a_saved_file_may_be_read_by_whom_the_umask_says(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    example().save(tmp_path / "c.json")
    modes = {p.name: p.stat().st_mode & 0o777 for p in tmp_path.iterdir()}
    assert modes["c.json"] == modes["plain"]


@pytest.mark.parametrize("suffix", [".json", ".npz"])
def test_truncated_files_are_refused(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"c{suffix}"
    example().save(path)
    content = path.read_bytes()
    assert len(content) > 500
    for length in {0, 1, 2, 30, *range(0, len(content), 97), len(content) - 1}:
        path.write_bytes(content[:length])
        with pytest.raises(ValueError) as caught:
            nf.Circuit.load(path)
        assert str(path) in str(caught.value)


def test_npz_files_with_a_wrong_byte_are_refused_or_read_right(tmp_path: Path) -> None:
    """A wrong byte in a time stamp of the archive harms nobody; elsewhere it must be found."""
    path = tmp_path / "c.npz"
    example().save(path)
    content = path.read_bytes()
    refused = 0
    for position in range(0, len(content), 7):
        for flip in (0x01, 0xFF):
            damaged = bytearray(content)
            damaged[position] ^= flip
            path.write_bytes(damaged)
            try:
                assert nf.Circuit.load(path) == example()
            except ValueError:
                refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        (".json", b"[]"), (".json", b"3"), (".json", b"null"), (".json", b"{}"), (".json", b"\xff\xfe"),
        (".json", b'{"format": 1}'), (".json", b'{"format": 2, "populations": []}'),
        (".json", b'{"format": 1, "name": "x", "populations": []}'),
        (".json", b'{"a": {"$array": [1], "dtype": "nonsense", "shape": [1]}}'),
        (".json", b'{"a": {"$array": [1], "dtype": "<f8", "shape": [7]}}'),
        (".json", b'{"a": {"$array": ["x"], "dtype": "<f8", "shape": [1]}}'),
        (".json", b'{"a": {"$npz": "a0"}}'), (".json", b"[" * 100_000),
        (".npz", b"PK\x03\x04"), (".npz", b"{}"), (".npz", b"\x80\x04K\x01."),
        (".npz", b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }"
                 + b" " * 57 + b"\n" + b"\0" * 8),
    ],
    ids=lambda v: v if isinstance(v, str) else repr(v[:40]),
)  # fmt: skip
def test_foreign_files_are_refused(suffix: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"c{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="no neuroflip file|holds no circuit"):
        nf.Circuit.load(path)


def test_foreign_archives_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", x=np.arange(3))
    np.savez(tmp_path / "text.npz", header=np.array("[1, 2"))
    np.savez(tmp_path / "list.npz", header=np.array("[1, 2]"))
    np.savez(tmp_path / "lost.npz", header=np.array('{"format": 1, "populations": {"$npz": "a0"}}'))
    for path in tmp_path.iterdir():
        with pytest.raises(ValueError, match="damaged or no neuroflip file|holds no circuit"):
            nf.Circuit.load(path)


def test_a_recording_is_no_circuit(tmp_path: Path) -> None:
    rec = nf.simulate(nf.Circuit("c", [nf.Population("A", LIF)]), duration=1e-3)
    rec.save(tmp_path / "rec.npz")
    with pytest.raises(ValueError, match="holds no circuit of format 1"):
        nf.Circuit.load(tmp_path / "rec.npz")


def mutations(spec: Any) -> Iterator[tuple[str, Any]]:
    """(what was done, the spec with one key dropped, or one value replaced) at every depth."""

    def walk(node: Any, path: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        if path:
            yield path
        items = (
            node.items()
            if isinstance(node, dict)
            else enumerate(node)
            if isinstance(node, list)
            else ()
        )
        for key, value in items:
            yield from walk(value, (*path, key))

    for path in walk(spec, ()):
        for change in ("drop", None, "x", [], {}, [1], {"kind": "x"}):
            changed = json.loads(json.dumps(spec))
            node = changed
            for key in path[:-1]:
                node = node[key]
            if node[path[-1]] == change:
                continue
            if change == "drop":
                del node[path[-1]]
            else:
                node[path[-1]] = change
            yield f"{'/'.join(map(str, path))} = {change!r}", changed


def test_a_damaged_record_gives_a_valid_circuit_or_a_value_error(tmp_path: Path) -> None:
    """Valid JSON in which one entry is missing or of another kind: never a bare KeyError,
    TypeError or AttributeError from inside."""
    path = tmp_path / "c.json"
    example().save(path)
    wrong: dict[str, str] = {}
    tried = 0
    for what, changed in mutations(json.loads(path.read_text())):
        path.write_text(json.dumps(changed))
        tried += 1
        try:
            loaded = nf.Circuit.load(path)
        except ValueError:
            continue
        except Exception as error:
            wrong[what] = f"{type(error).__name__}: {error}"
        else:
            assert loaded == dataclasses.replace(loaded)
    assert tried > 300
    assert wrong == {}, f"{len(wrong)} of {tried}"


# ------------------------------------------------------------------ tables


def test_print_shows_every_part_with_units() -> None:
    text = str(example())
    for words in (
        "Circuit example: populations",
        "A 2 LIF tau_m 20 ms",
        "B 1 DeltaLIF",
        "noise PoissonInput 3 50 Hz",
        "step CurrentInput -> A",
        "in SpikeInput 1",
        "in->A excitatory Dense 2 1 nA to 2 nA 1 ms 0 s",
        "A->B delta Pairs 2 500 mV 0 s 0 s PairSTDP tau_plus 20 ms",
        "Q A B 50 ms",
    ):
        assert words in " ".join(text.split()), words


def test_print_of_odd_names_and_empty_projections() -> None:
    odd = nf.Circuit(
        "[red]c[/red]", [nf.Population("[bold]A", Delta)],
        [nf.Projection("[bold]A", "[bold]A", 1.0, pattern=nf.Random(0.0, 1))],
    )  # fmt: skip
    text = " ".join(str(odd).split())
    assert "Circuit [red]c[/red]: populations" in text and "[bold]A 1 DeltaLIF" in text
    assert "Random 0 none none none" in text


def test_a_seed_may_be_one_of_numpy() -> None:
    assert nf.Random(0.5, seed=np.int64(3)) == nf.Random(0.5, seed=3)  # type: ignore[arg-type]
    assert type(nf.Random(0.5, seed=np.int64(3)).seed) is int  # type: ignore[arg-type]
