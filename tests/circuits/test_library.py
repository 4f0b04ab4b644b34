"""The library of logic circuits: what they do, how far they may be off, what they refuse."""

import dataclasses
import itertools

import numpy as np
import pytest

import neuroflip as nf
from neuroflip import circuits
from neuroflip.analysis import margins, truth_table, variation
from neuroflip.circuits import BEHAVIOURS, CIRCUITS, level, spike_interval
from neuroflip.circuits.state_machines import state_machine_behaviour
from neuroflip.units import ms

D = 4 * ms
LATCHES = [
    name for name in BEHAVIOURS if not np.isfinite(BEHAVIOURS[name](CIRCUITS[name]()).interval)
]
LOGIC = [name for name in BEHAVIOURS if name not in (*LATCHES, "memory")]

GATES = {
    "not_gate": ("A", [1, 0]),
    "and_not_gate": ("A B", [0, 0, 1, 0]),
    "or_gate": ("A B", [0, 1, 1, 1]),
    "nor_gate": ("A B", [1, 0, 0, 0]),
    "and_gate": ("A B", [0, 0, 0, 1]),
    "nand_gate": ("A B", [1, 1, 1, 0]),
    "xor_gate": ("A B", [0, 1, 1, 0]),
    "majority_gate": ("A B C", [0, 0, 0, 1, 0, 1, 1, 1]),
}


@pytest.mark.parametrize("name", GATES)
def test_gates_by_hand(name: str) -> None:
    """Each row of the table as written above, by counting spikes; nothing of `truth_table`."""
    inputs, column = GATES[name]
    circuit = CIRCUITS[name]()
    for bits, expected in zip(
        itertools.product((0, 1), repeat=len(inputs.split())), column, strict=True
    ):
        on = level(spike_interval(D), (0.02, 0.12))
        given = {i: on for i, bit in zip(inputs.split(), bits, strict=True) if bit}
        spikes = nf.simulate(circuit, given, duration=0.12).spikes["Q"]
        count = ((spikes > 0.06) & (spikes <= 0.1)).sum()
        assert count > 30 if expected else count == 0, (bits, count)


@pytest.mark.parametrize("name", [*LATCHES, *LOGIC])
def test_every_row_and_transition(name: str) -> None:
    table = truth_table(CIRCUITS[name]())
    assert table.ok and table.whole, table


@pytest.mark.parametrize("name", ["jk_flip_flop", "d_latch", "edge_triggered_jk", "xor_gate"])
@pytest.mark.parametrize("delay", [10 * ms, 40 * ms])
def test_every_row_at_other_delays(name: str, delay: float) -> None:
    table = truth_table(CIRCUITS[name](delay=delay))
    assert table.ok and table.whole, table


@pytest.mark.parametrize("name", [n for n in LOGIC if n not in ("register", "shift_register")])
def test_right_with_weights_delays_and_thresholds_off_by_a_tenth(name: str) -> None:
    found = variation(CIRCUITS[name](), fraction=0.1, draws=20)
    assert found.right == 20, found


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in BEHAVIOURS if not name.endswith("pools")])
def test_right_in_99_of_100_draws(name: str) -> None:
    cycles = 60 if name in ("memory", "register") else None
    found = variation(CIRCUITS[name](), fraction=0.1, draws=100, cycles=cycles)
    assert found.right >= 99, found


@pytest.mark.slow
def test_pools_take_less() -> None:
    """Noise adds to what is off in one, and the excitation of the other is tuned."""
    assert variation(circuits.mutual_pools(), fraction=0.05, draws=100).right >= 99
    assert variation(circuits.wang_pools(), fraction=0.03, draws=20).right == 20


def test_memory_holds_every_word_at_its_address() -> None:
    circuit = circuits.memory(words=2, bits=1)
    table = truth_table(circuit)
    assert table.ok and table.whole, table
    found = truth_table(circuits.memory(words=8, bits=2), cycles=60, seed=3)
    assert found.ok, found


def bits(circuit: nf.Circuit, pulses: dict[str, list[tuple[float, float]]], times, readout="Q"):
    """The readout at these times (s), with inputs on between these (s)."""
    given = {name: level(spike_interval(D), *on) for name, on in pulses.items()}
    steps = round((max(times) + 10 * ms) / (0.1 * ms))
    recording = nf.simulate(circuit, given, duration=steps * 0.1 * ms)
    bit = recording.bit(readout)[1]
    return [int(bit[round(t / (0.1 * ms))]) for t in times]


def test_a_toggle_flips_a_thousand_times_in_a_row() -> None:
    every = 16 * D
    starts = [every * (n + 1) for n in range(1000)]
    for circuit, width in [(circuits.t_flip_flop(), 3 * D), (circuits.edge_triggered_t(), 6 * D)]:
        found = bits(circuit, {"T": [(t, t + width) for t in starts]}, [t + 15 * D for t in starts])
        assert found == [1, 0] * 500


@pytest.mark.parametrize("width", [2, 2.5, 3, 4, 5, 7, 10, 13, 20, 33.3, 50])
def test_an_edge_triggered_toggle_takes_pulses_of_any_width(width: float) -> None:
    every = (width + 16) * D
    starts = [every * (n + 1) for n in range(6)]
    ends = [t + every - D for t in starts]
    toggle = {"T": [(t, t + width * D) for t in starts]}
    assert bits(circuits.edge_triggered_t(), toggle, ends) == [1, 0, 1, 0, 1, 0]
    whole = [(0.0, ends[-1])]
    clocked = {"J": whole, "K": whole, "C": toggle["T"]}
    assert bits(circuits.edge_triggered_jk(), clocked, ends) == [1, 0, 1, 0, 1, 0]


def test_without_an_edge_a_long_pulse_races_round() -> None:
    """What the edge-triggered ones are for: the six-neuron toggle flips on and on."""
    found = bits(
        circuits.t_flip_flop(), {"T": [(0.1, 0.5)]}, [0.1 + 0.5 * D * n for n in range(200)]
    )
    assert np.count_nonzero(np.diff(found)) > 20


def test_a_d_flip_flop_takes_the_bit_of_the_edge_alone() -> None:
    """D changes while C is 1, and while C is 0: neither is taken."""
    clock = [(0.1, 0.2), (0.3, 0.4), (0.5, 0.6)]
    data = [(0.05, 0.13), (0.15, 0.19), (0.22, 0.26), (0.33, 0.38), (0.45, 0.55)]
    at = [0.09, 0.14, 0.19, 0.29, 0.34, 0.39, 0.49, 0.54, 0.59, 0.69]
    found = bits(circuits.edge_triggered_d(), {"C": clock, "D": data}, at)
    assert found == [0, 1, 1, 1, 0, 0, 0, 1, 1, 1]


def test_a_latch_holds_for_a_minute() -> None:
    found = bits(circuits.d_latch(), {"D": [(0.05, 0.2)], "E": [(0.1, 0.15)]}, [0.09, 0.3, 60.0])
    assert found == [0, 1, 1]


@pytest.mark.parametrize("neurons", [3, 5, 7])
def test_a_ring_has_the_period_of_twice_its_neurons(neurons: int) -> None:
    recording = nf.simulate(circuits.ring_oscillator(neurons), duration=5.0)
    for i in range(neurons):
        up = np.flatnonzero(np.diff(recording.bit(f"A{i}")[1]) == 1)[2:]
        period = np.diff(up).mean() * 0.1 * ms
        assert period == pytest.approx(2 * neurons * D, rel=0.03 if neurons > 3 else 0.01)


def test_the_cascade_has_the_predicted_bands() -> None:
    recording = nf.simulate(circuits.cascade(), duration=10.0)
    for i in range(5):
        up = np.flatnonzero(np.diff(recording.bit(f"f{i}")[1]) == 1)[2:]
        period = np.diff(up).mean() * 0.1 * ms
        assert period == pytest.approx(6 * 2**i * D, rel=0.01)  # 41.7, 20.8, 10.4, 5.2, 2.6 Hz


def test_a_state_machine_of_ones_own() -> None:
    door = {
        ("locked", "coin"): "unlocked",
        ("unlocked", "push"): "locked",
        ("unlocked", "kick"): "broken",
        ("locked", "kick"): "broken",
        ("broken", "repair"): "locked",
    }
    circuit = circuits.state_machine(door, start="unlocked")
    table = truth_table(circuit, state_machine_behaviour(circuit, door, "unlocked"))
    assert table.ok and table.whole, table
    assert len({row.state for row in table.rows}) == 3
    dead_end = {("on", "stop"): "off"}
    circuit = circuits.state_machine({**dead_end, ("on", "go"): "on"})
    table = truth_table(circuit, state_machine_behaviour(circuit, dead_end))
    assert table.ok


def test_margins_are_where_the_circuit_begins_to_fail() -> None:
    circuit = circuits.and_not_gate()
    low, high = margins(circuit)["excitation"]
    assert 0.3 < low < 0.8 and high > 1.2
    for factor, right in [(low * 1.02, True), (low * 0.97, False)]:
        weights = [
            dataclasses.replace(p, weight=p.weight * (factor if p.receptor == "excitatory" else 1))
            for p in circuit.projections
        ]
        assert truth_table(dataclasses.replace(circuit, projections=weights)).ok is right


@pytest.mark.parametrize("name", LOGIC)
def test_circuits_can_be_kept(name: str, tmp_path) -> None:
    circuit = CIRCUITS[name]()
    circuit.save(tmp_path / "c.json")
    assert nf.Circuit.load(tmp_path / "c.json") == circuit


@pytest.mark.parametrize("name", ["jk_flip_flop", "edge_triggered_d", "majority_gate", "cascade"])
def test_engines_agree(name: str) -> None:
    from neuroflip.sims.scenario import scenarios

    scenario = scenarios()[name][1](duration=0.3)
    report = nf.compare(scenario.circuit, scenario.inputs, duration=0.3)
    assert report.ok and report.spikes["brian2"] > 50, report


@pytest.mark.slow
@pytest.mark.parametrize("name", CIRCUITS)
def test_engines_agree_over_5_s(name: str) -> None:
    from neuroflip.sims.scenario import scenarios

    scenario = scenarios()[name][1](duration=5.0)
    report = nf.compare(scenario.circuit, scenario.inputs, duration=5.0, record_every=1 * ms)
    assert report.ok, report


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: circuits.ring_oscillator(4), "neurons must be odd, at least 3; got 4"),
        (lambda: circuits.ring_oscillator(True), "neurons must be odd, at least 3; got True"),
        (lambda: circuits.cascade(0), "toggles must be a whole number, at least 1; got 0"),
        (lambda: circuits.register(0), "register: bits must be a whole number, at least 1; got 0"),
        (lambda: circuits.ring_counter(1), "states must be a whole number, at least 2; got 1"),
        (lambda: circuits.memory(words=3), "words must be a power of 2, 2 to 1024; got 3"),
        (lambda: circuits.memory(bits=0), "memory: bits must be a whole number, at least 1"),
        (lambda: circuits.edge_triggered_d(bit=2), "bit must be 0 or 1; got 2"),
        (lambda: circuits.state_machine({}), "transitions must not be empty"),
        (lambda: circuits.state_machine({("a b", "x"): "c"}), "letters, digits and _; got 'a b'"),
        (lambda: circuits.state_machine({("a", "1"): "b"}), "'1' means a steady drive"),
        (lambda: circuits.state_machine({("a", "x"): "x"}), "'x' names a state and a symbol"),
        (lambda: circuits.state_machine({("a", "x"): "b"}, "c"), "start must be a state, a, b"),
    ],
)
def test_refusals(build, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()
