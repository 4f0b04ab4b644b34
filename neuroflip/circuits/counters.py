"""Counters, composed of flip-flops. See logic.py for the neurons."""

from collections.abc import Callable

from neuroflip.circuit import Circuit
from neuroflip.circuits.arguments import count
from neuroflip.circuits.behaviour import Behaviour
from neuroflip.circuits.flip_flops import edge_triggered_t
from neuroflip.circuits.registers import (
    _ported,
    _renamed,
    chain,
    register_behaviour,
)
from neuroflip.units import ms


def ripple_counter(bits: int = 3, *, delay: float = 4 * ms) -> Circuit:
    """Counts pulses at T, modulo 2**bits: a chain of edge-triggered T flip-flops, each driven by
    the bit before it, whose fall is the carry. Readouts Q0 (lowest), Q1, ... 13 neurons a bit.

    Raises ValueError for a number of bits below 1.
    """
    count(bits, "ripple_counter: bits")
    made = _renamed(edge_triggered_t(delay=delay), "ripple_counter", "b0")
    for i in range(1, bits):
        made = made.include(edge_triggered_t(delay=delay), f"b{i}").wire(f"b{i - 1}.Q", f"b{i}.T")
    return _ported(made, {"T": ["b0.T"]}, "b", bits)


def ring_counter(states: int = 4, *, delay: float = 4 * ms) -> Circuit:
    """One of `states` bits is 1, after each pulse at C the next one: a ring of edge-triggered D
    flip-flops, the first of which starts as 1. Readouts Q0, Q1, ... 13 neurons a state.

    Raises ValueError for a number of states below 2.
    """
    count(states, "ring_counter: states", 2)
    return chain("ring_counter", [1] + [0] * (states - 1), delay, closed=True)


def _ripple_counter(circuit: Circuit) -> Behaviour:
    bits = len(circuit.readouts)

    def step(state: tuple[int, ...], given: object) -> tuple[int, ...]:
        number = sum(bit << i for i, bit in enumerate(state)) + given["T"]  # type: ignore[index]
        return tuple(number >> i & 1 for i in range(bits))

    return register_behaviour(circuit, {"T": (0, 6.0 + 5 * bits)}, (0,) * bits, step)


def _ring_counter(circuit: Circuit) -> Behaviour:
    return register_behaviour(
        circuit,
        {"C": (0, 8)},
        (1,) + (0,) * (len(circuit.readouts) - 1),
        lambda state, bits: (state[-1], *state[:-1]) if bits["C"] else state,
    )


BEHAVIOURS: dict[str, Callable[[Circuit], Behaviour]] = {
    "ripple_counter": _ripple_counter,
    "ring_counter": _ring_counter,
}
