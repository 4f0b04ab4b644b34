"""Logic gates of spiking neurons. See logic.py for the neurons and what stands for 0 and 1."""

from collections.abc import Callable

from neuroflip.circuit import Circuit
from neuroflip.circuits.behaviour import Behaviour, combinational
from neuroflip.circuits.logic import element_delay, netlist
from neuroflip.units import ms


def not_gate(*, delay: float = 4 * ms) -> Circuit:
    """NOT: a neuron that fires by itself, but while A fires. 1 neuron, 1 element delay."""
    return netlist("not_gate", "Q = 1 - A", "A", "Q", delay=delay)


def and_not_gate(*, delay: float = 4 * ms) -> Circuit:
    """A AND NOT B: excited by A, inhibited by B. 1 neuron, 1 element delay."""
    return netlist("and_not_gate", "Q = A - B", "A B", "Q", delay=delay)


def or_gate(*, delay: float = 4 * ms) -> Circuit:
    """A OR B: excited by both. 1 neuron, 1 element delay."""
    return netlist("or_gate", "Q = A + B", "A B", "Q", delay=delay)


def nor_gate(*, delay: float = 4 * ms) -> Circuit:
    """NOT (A OR B): fires by itself, inhibited by both. 1 neuron, 1 element delay."""
    return netlist("nor_gate", "Q = 1 - A - B", "A B", "Q", delay=delay)


def and_gate(*, delay: float = 4 * ms) -> Circuit:
    """A AND B, as A AND NOT (NOT B). 2 neurons, 2 element delays."""
    text = """
        N = 1 - B
        Q = A - N
    """
    return netlist("and_gate", text, "A B", "Q", delay=delay)


def nand_gate(*, delay: float = 4 * ms) -> Circuit:
    """NOT (A AND B), as (NOT A) OR (NOT B). 3 neurons, 2 element delays."""
    text = """
        M = 1 - A
        N = 1 - B
        Q = M + N
    """
    return netlist("nand_gate", text, "A B", "Q", delay=delay)


def xor_gate(*, delay: float = 4 * ms) -> Circuit:
    """A XOR B, as (A AND NOT B) OR (B AND NOT A). 3 neurons, 2 element delays."""
    text = """
        M = A - B
        N = B - A
        Q = M + N
    """
    return netlist("xor_gate", text, "A B", "Q", delay=delay)


def majority_gate(*, delay: float = 4 * ms) -> Circuit:
    """1 where two of A, B, C are: a threshold between one input and two. 1 neuron, 1 element delay.

    Its inputs differ by one in what they bring, so its margins are the narrowest of the gates.
    """
    return netlist("majority_gate", "Q = 2: A + B + C", "A B C", "Q", delay=delay)


def edge_detector(*, delay: float = 4 * ms) -> Circuit:
    """A pulse of 2 element delays at each rise of A: A AND NOT (A, 2 elements ago). 3 neurons."""
    text = """
        B = A
        C = B
        P = A - C
    """
    return netlist("edge_detector", text, "A", "P", delay=delay)


def _gate(
    function: Callable[..., int | bool], inputs: str, depth: int
) -> Callable[[Circuit], Behaviour]:
    return lambda circuit: combinational(function, inputs, "Q", element_delay(circuit), depth)


BEHAVIOURS: dict[str, Callable[[Circuit], Behaviour]] = {
    "not_gate": _gate(lambda a: not a, "A", 1),
    "and_not_gate": _gate(lambda a, b: a and not b, "A B", 1),
    "or_gate": _gate(lambda a, b: a or b, "A B", 1),
    "nor_gate": _gate(lambda a, b: not (a or b), "A B", 1),
    "and_gate": _gate(lambda a, b: a and b, "A B", 2),
    "nand_gate": _gate(lambda a, b: not (a and b), "A B", 2),
    "xor_gate": _gate(lambda a, b: a != b, "A B", 2),
    # Read in its pulse; the next cycle begins when that is over
    "edge_detector": lambda c: combinational(
        lambda a: a, "A", "P", element_delay(c), depth=3, read=2
    ),
    "majority_gate": _gate(lambda a, b, c: a + b + c > 1, "A B C", 1),
}
