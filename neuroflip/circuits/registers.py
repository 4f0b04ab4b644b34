"""Registers and memories, composed of latches. See logic.py for the neurons."""

from collections.abc import Callable, Hashable

from neuroflip.circuit import Circuit, Readout, SpikeInput
from neuroflip.circuits.arguments import count
from neuroflip.circuits.behaviour import Behaviour, Bits
from neuroflip.circuits.flip_flops import D_LATCH, FAST, d_latch, edge_triggered_d
from neuroflip.circuits.logic import (
    Element,
    element_delay,
    netlist,
    parse_netlist,
    spike_interval,
)
from neuroflip.units import ms


def register(bits: int = 4, *, delay: float = 4 * ms) -> Circuit:
    """`bits` gated D latches with one enable: while E is 1 they follow D0, D1, ..., else they hold.

    Readouts Q0, Q1, ... 7 neurons a bit. D must be steady while E falls.

    Raises ValueError for a number of bits below 1.
    """
    count(bits, "register: bits")
    made = d_latch(delay=delay)
    made = _renamed(made, "register", "b0")
    for i in range(1, bits):
        made = made.include(d_latch(delay=delay), f"b{i}")
    return _ported(made, {"E": [f"b{i}.E" for i in range(bits)],
                          **{f"D{i}": [f"b{i}.D"] for i in range(bits)}}, "b", bits)  # fmt: skip


def shift_register(bits: int = 4, *, delay: float = 4 * ms) -> Circuit:
    """`bits` edge-triggered D flip-flops in a chain: when C rises, Q0 becomes D and every other bit
    the one before it. Readouts Q0, Q1, ... 13 neurons a bit.

    Raises ValueError for a number of bits below 1.
    """
    count(bits, "shift_register: bits")
    return chain("shift_register", [0] * bits, delay)


def chain(name: str, start: list[int], delay: float, closed: bool = False) -> Circuit:
    """Edge-triggered D flip-flops, each fed by the one before; the first by D, or by the last."""
    bits = len(start)
    made = _renamed(edge_triggered_d(delay=delay, bit=start[0]), name, "b0")
    for i in range(1, bits):
        made = made.include(edge_triggered_d(delay=delay, bit=start[i]), f"b{i}")
        made = made.wire(f"b{i - 1}.Q", f"b{i}.D")
    if closed:
        made = made.wire(f"b{bits - 1}.Q", "b0.D")
    ports = {"C": [f"b{i}.C" for i in range(bits)]}
    if not closed:
        ports = {"D": ["b0.D"], **ports}
    return _ported(made, ports, "b", bits)


def memory(words: int = 4, bits: int = 2, *, delay: float = 4 * ms) -> Circuit:
    """Addressable memory: a pulse at W writes D0, D1, ... at the address A0, A1, ...

    Its readouts Q0, Q1, ... give the word at the address.

    A neuron for each word is active while the address (A0 the lowest bit) names it; it opens the
    word's latches to W, and its bits to the outputs. Address and data must be steady while W is 1.

    words: a power of 2, at least 2. Raises ValueError for another number, or bits below 1.
    """
    count(bits, "memory: bits")
    if words not in [2**n for n in range(1, 11)]:
        raise ValueError(f"memory: words must be a power of 2, 2 to 1024; got {words!r}.")
    lines = words.bit_length() - 1
    held: dict[str, str] = {}  # the neurons of the latches, for 1 and for 0
    address = [f"A{i}" for i in range(lines)]
    text = [f"{a}' = 1 - {a}" for a in address]
    for word in range(words):
        wrong = [f"{a}'" if word >> i & 1 else a for i, a in enumerate(address)]
        text += [
            f"N{word} = 1 - " + " - ".join(wrong),  # this word is addressed
            f"O{word} = 1 - N{word}",
            f"W{word} = W - O{word}",
        ]
    for bit in range(bits):
        for word in range(words):
            text.append(f"R{word}.{bit} = L{word}.{bit} - O{word}")
        text.append(f"Q{bit} = " + " + ".join(f"R{word}.{bit}" for word in range(words)))
    elements = parse_netlist("\n".join(text))
    for word in range(words):
        for bit in range(bits):
            # A cell is a D latch: D the data line, E the word's write line, Q what is read
            names = {name: f"m{word}.{bit}.{name}" for name in parse_netlist(D_LATCH)}
            names |= {"D": f"D{bit}", "E": f"W{word}", "Q": f"L{word}.{bit}"}
            elements |= {
                names[name]: Element(
                    tuple(names[source] for source in e.excite),
                    tuple(names[source] for source in e.inhibit),
                )
                for name, e in parse_netlist(D_LATCH).items()
            }
            held[f"L{word}.{bit}"] = f"m{word}.{bit}.Qbar"
    inputs = " ".join([*address, "W", *(f"D{bit}" for bit in range(bits))])
    outputs = " ".join(f"Q{bit}" for bit in range(bits))
    pairs = [pair for one, zero in held.items() for pair in ((one, zero), (zero, one))]
    return netlist(
        "memory",
        elements,
        inputs,
        outputs,
        high=held.values(),
        delay=delay,
        hops=dict.fromkeys(pairs, FAST),
    )


def _renamed(circuit: Circuit, name: str, part: str) -> Circuit:
    """The circuit under a new name, its parts called "part.name"."""
    from neuroflip.composition import prefixed

    made = prefixed(circuit, part)
    return Circuit(name, made.populations, made.projections, made.inputs, made.readouts)


def _ported(circuit: Circuit, ports: dict[str, list[str]], part: str, bits: int) -> Circuit:
    """The circuit with inputs of its own that feed those of its parts, and readouts Q0, Q1, ..."""
    made = Circuit(
        circuit.name,
        circuit.populations,
        circuit.projections,
        [*(SpikeInput(port) for port in ports), *circuit.inputs],
        [
            Readout(f"Q{i}", r.high, r.low, r.window)
            for i in range(bits)
            for r in circuit.readouts
            if r.name == f"{part}{i}.Q"
        ],
    )
    for port, fed in ports.items():
        made = made.wire(port, *fed)
    return made


def _word(circuit: Circuit, name: str) -> list[str]:
    """The inputs or readouts called name0, name1, ..."""
    found = [i.name for i in (*circuit.inputs, *circuit.readouts)]
    return [n for n in found if n[: len(name)] == name and n[len(name) :].isdigit()]


def register_behaviour(
    circuit: Circuit,
    on: dict[str, tuple[float, float]],
    start: Hashable,
    step: Callable[[tuple[int, ...], Bits], tuple[int, ...]],
    read: Callable[[tuple[int, ...], Bits], tuple[int, ...]] = lambda state, bits: state,
    read_at: float | None = None,
) -> Behaviour:
    """Of a circuit with bits Q0, Q1, ... on: input -> when it is on, in element delays."""
    d = element_delay(circuit)
    outputs = _word(circuit, "Q")
    period = max(stop for _, stop in on.values()) + 16

    def whole(state: Hashable, bits: Bits) -> tuple[Hashable, Bits]:
        after = step(state, bits)  # type: ignore[arg-type]
        return after, dict(zip(outputs, read(after, bits), strict=True))

    return Behaviour(
        {name: (begin * d, stop * d) for name, (begin, stop) in on.items()},
        tuple(outputs),
        whole,
        period * d,
        (period - 1 if read_at is None else read_at) * d,
        spike_interval(d),
        start=start,
    )


def _register(circuit: Circuit) -> Behaviour:
    data = _word(circuit, "D")
    return register_behaviour(
        circuit,
        {"E": (4, 12), **dict.fromkeys(data, (0.0, 16.0))},
        (0,) * len(data),
        lambda state, bits: tuple(bits[name] for name in data) if bits["E"] else state,
    )


def _shift_register(circuit: Circuit) -> Behaviour:
    return register_behaviour(
        circuit,
        {"D": (0, 20), "C": (10, 18)},
        (0,) * len(circuit.readouts),
        lambda state, bits: (bits["D"], *state[:-1]) if bits["C"] else state,
    )


def _memory(circuit: Circuit) -> Behaviour:
    address, data = _word(circuit, "A"), _word(circuit, "D")
    width = len(data)

    def place(bits: Bits) -> int:
        return width * sum(bits[a] << i for i, a in enumerate(address))

    def step(state: tuple[int, ...], bits: Bits) -> tuple[int, ...]:
        at = place(bits)
        word = tuple(bits[name] for name in data)
        return (*state[:at], *word, *state[at + width :]) if bits["W"] else state

    def read(state: tuple[int, ...], bits: Bits) -> tuple[int, ...]:
        return state[place(bits) : place(bits) + width]

    return register_behaviour(
        circuit,
        {**dict.fromkeys([*address, *data], (0.0, 32.0)), "W": (8, 18)},
        (0,) * (width * 2 ** len(address)),
        step,
        read,
        read_at=31,
    )


BEHAVIOURS: dict[str, Callable[[Circuit], Behaviour]] = {
    "register": _register,
    "shift_register": _shift_register,
    "memory": _memory,
}
