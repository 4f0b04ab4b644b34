"""Circuits out of circuits: names, wires, series, and that the whole does what its parts do."""

import dataclasses

import numpy as np
import pytest

import neuroflip as nf
from neuroflip import circuits, rules
from neuroflip.circuits import level, spike_interval
from neuroflip.units import ms, mV

D = 4 * ms


def test_parts_side_by_side_do_what_each_does_alone() -> None:
    """Two latches in one circuit, and the same latches alone: the same spikes."""
    one, two = circuits.sr_latch(), circuits.sr_latch(inhibition=250e-12)
    both = nf.Circuit("both", one.populations, one.projections, one.inputs, one.readouts)
    both = both.include(two, "second")
    given = {"S": [0.05], "R": [0.3]}
    other = {"S": [0.1], "R": [0.4]}
    found = nf.simulate(
        both, given | {f"second.{name}": times for name, times in other.items()}, duration=0.5
    )
    for circuit, inputs, prefix in ((one, given, ""), (two, other, "second.")):
        alone = nf.simulate(circuit, inputs, duration=0.5)
        for population in ("Q", "Qbar"):
            np.testing.assert_array_equal(
                found.spikes[prefix + population], alone.spikes[population]
            )
        np.testing.assert_array_equal(found.bit(f"{prefix}Q")[1], alone.bit("Q")[1])


def test_a_wire_is_an_input_that_repeats_the_source() -> None:
    """A latch driven by another's Q: the same as a latch given Q's spikes, one step later each."""
    chain = circuits.jk_flip_flop().include(circuits.d_latch(), "copy").wire("Q", "copy.D")
    on = spike_interval(D)
    given = {
        "J": level(on, (0.05, 0.05 + 3 * D)),
        "K": level(on, (0.35, 0.35 + 3 * D)),
        "copy.E": level(on, (0.2, 0.25), (0.5, 0.55)),
    }
    found = nf.simulate(chain, given, duration=0.7)
    replayed = nf.simulate(
        circuits.d_latch(), {"D": found.spikes["Q"], "E": given["copy.E"]}, duration=0.7
    )
    for name in ("Q", "Qbar", "S", "R"):
        np.testing.assert_array_equal(found.spikes[f"copy.{name}"], replayed.spikes[name])
    bit = found.bit("copy.Q")[1]
    assert [int(bit[round(t / (0.1 * ms))]) for t in (0.19, 0.3, 0.45, 0.6)] == [0, 1, 1, 0]


def test_everything_of_a_part_comes_along() -> None:
    part = nf.Circuit(
        "part",
        [nf.Population("A", nf.DeltaLIF(), size=3, initial={"v": 1 * mV})],
        [
            nf.Projection("p", "A", 1 * mV, rule=rules.RewardSTDP(w_max=2 * mV)),
            nf.Projection("A", "A", 1 * mV, pattern=nf.OneToOne(), name="own"),
        ],
        [
            nf.PoissonInput("p", rate=10.0, size=2),
            nf.CurrentInput("I", "A"),
            nf.NoiseInput("n", "A", sd=1 * mV),
            nf.SignalInput("r", "reward", target="p->A"),
        ],
        [nf.Readout("bit", "A")],
    )
    whole = circuits.sr_latch().include(part, "x")
    assert [p.name for p in whole.populations] == ["Q", "Qbar", "x.A"]
    assert [p.name for p in whole.projections][-2:] == ["x.p->x.A", "x.own"]
    assert whole.inputs[2:] == (
        nf.PoissonInput("x.p", rate=10.0, size=2),
        nf.CurrentInput("x.I", "x.A"),
        nf.NoiseInput("x.n", "x.A", sd=1 * mV),
        nf.SignalInput("x.r", "reward", target="x.p->x.A"),
    )
    assert whole.readouts[-1] == nf.Readout("x.bit", "x.A")
    assert whole.populations[-1] == dataclasses.replace(part.populations[0], name="x.A")
    nf.simulate(whole, duration=10 * ms)


def test_a_series_pairs_outputs_with_inputs_by_name_or_in_order() -> None:
    chain = circuits.xor_gate() >> circuits.not_gate() >> circuits.not_gate()
    assert [i.name for i in chain.inputs] == ["A", "B"]
    assert [r.name for r in chain.readouts] == ["not_gate 2.Q"]
    assert chain.name == "xor_gate >> not_gate >> not_gate"
    on = level(spike_interval(D), (0.0, 0.1))
    for given, expected in [({"A": on}, 1), ({"A": on, "B": on}, 0), ({}, 0)]:
        found = nf.simulate(chain, given, duration=0.1).bit("not_gate 2.Q")[1][-1]
        assert found == expected
    jk = netlist_with_outputs("J K")
    with pytest.warns(UserWarning, match="C of 'edge_triggered_jk' stay inputs"):
        named = jk >> circuits.edge_triggered_jk()
    assert [i.name for i in named.inputs] == ["X", "edge_triggered_jk.C"]


def netlist_with_outputs(names: str) -> nf.Circuit:
    text = "\n".join(f"{name} = X" for name in names.split())
    return circuits.netlist("source", text, "X", names)


def test_refusals() -> None:
    latch = circuits.sr_latch()
    two = latch.include(latch, "b")
    for build, message in [
        (lambda: two.include(latch, "b"), "include: circuit 'sr_latch' has 'b.Q' already"),
        (lambda: latch.include(latch, ""), "include: name must be a non-empty name"),
        (lambda: two.wire("Qbr", "b.S"), "no population or spike input 'Qbr'; did you mean 'Qbar'"),
        (lambda: two.wire("Q", "b.T"), r"no open port \(spike input\) 'b.T'; did you mean"),
        (lambda: two.wire("Q", "b.S").wire("Q", "b.S"), "no open port"),
        (lambda: two.wire("S", "S"), "'S' cannot feed itself"),
        (lambda: latch >> latch, "share no name and are not equally many"),
    ]:
        with pytest.raises(ValueError, match=message):
            build()
    with pytest.raises(TypeError):
        latch >> 3  # type: ignore[operator]
    pool = nf.Circuit("pool", [nf.Population("A", nf.LIF(), size=2)])
    with pytest.raises(ValueError, match="port 'b.S' takes 1 neuron"):
        pool.include(latch, "b").wire("A", "b.S")
    fast = nf.Circuit("slow", [nf.Population("A", nf.LIF())]).include(
        circuits.not_gate(delay=1 * ms), "n"
    )
    with pytest.raises(
        ValueError, match=r"Population 'n\.Q': refractory must be 0 or at least one"
    ):
        nf.simulate(fast, {}, duration=10 * ms, dt=1 * ms)
    parts = [
        nf.Circuit(
            name,
            [nf.Population("B", nf.LIF())],
            [nf.Projection("in", "B", 1e-9, "excitatory", axonal_delay=delay)],
            [nf.SpikeInput("in")],
        )
        for name, delay in (("slow", 2 * ms), ("quick", 0.5 * ms))
    ]
    with pytest.raises(
        ValueError, match=r"'quick\.in->quick\.B': axonal_delay must be 0 or at least one step"
    ):
        nf.simulate(parts[0].include(parts[1], "quick"), duration=10 * ms, dt=1 * ms)
