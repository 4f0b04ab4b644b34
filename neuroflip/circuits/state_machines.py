"""Finite-state machines of logic neurons, from a table of transitions. See logic.py."""

from collections.abc import Callable, Hashable, Mapping

from neuroflip.circuit import Circuit
from neuroflip.circuits.behaviour import Behaviour, Bits
from neuroflip.circuits.flip_flops import FAST
from neuroflip.circuits.logic import crossed, element_delay, netlist, spike_interval
from neuroflip.units import ms

COUNT_TO_3: Mapping[tuple[str, str], str] = {
    (str(n), symbol): str((n + by) % 3)
    for n in range(3)
    for symbol, by in (("up", 1), ("down", -1))
}
"""Transitions of a counter modulo 3 that goes both ways."""


def state_machine(
    transitions: Mapping[tuple[str, str], str] = COUNT_TO_3,
    start: str = "",
    *,
    delay: float = 4 * ms,
) -> Circuit:
    """A machine that changes its state with each pulse, as a table says.

    transitions: (state, symbol) -> next state; the machine stays where the table says nothing.
    start: the first state; the first of the table by default.

    Every symbol is an input that takes pulses, of at least 4 element delays, any width, one at a
    time; every state a readout, of which one is 1. Each state is a master latch, set or reset while
    the pulse lasts by neurons that mean "this symbol, in this state", and a slave latch that takes
    its bit over when the pulse ends. 10 neurons a state and one a transition, and one.

    Raises ValueError for a table without entries, names that hold other than letters, digits and _,
    or a start that is no state.

    >>> light = state_machine({("green", "tick"): "red", ("red", "tick"): "green"})
    >>> [r.name for r in light.readouts]
    ['green', 'red']
    """
    states = list(dict.fromkeys([s for s, _ in transitions] + list(transitions.values())))
    symbols = list(dict.fromkeys(symbol for _, symbol in transitions))
    if not states:
        raise ValueError("state_machine: transitions must not be empty.")
    for name in (*states, *symbols):
        if not isinstance(name, str) or not name.replace("_", "a").isalnum():
            raise ValueError(
                f"state_machine: names must be of letters, digits and _; got {name!r}."
            )
    if "1" in symbols:
        raise ValueError(
            "state_machine: '1' means a steady drive; name the symbol otherwise: 'x1'."
        )
    both = sorted(set(states) & set(symbols))
    if both:
        raise ValueError(f"state_machine: {both[0]!r} names a state and a symbol; name one anew.")
    first = start or states[0]
    if first not in states:
        raise ValueError(
            f"state_machine: start must be a state, {', '.join(states)}; got {start!r}."
        )
    text = ["rest = 1 - " + " - ".join(symbols)]
    text += [f"{symbol}.{state} = {symbol} - {state}.Qbar" for state, symbol in transitions]
    for state in states:
        sets = [f"{symbol}.{s}" for (s, symbol), after in transitions.items() if after == state]
        resets = [f"{symbol}.{s}" for (s, symbol), after in transitions.items() if after != state]
        p = f"{state}."
        text += [
            f"{p}I1 = " + " - ".join(["1", *sets]),
            f"{p}I2 = " + " - ".join(["1", *resets]),
            f"{p}M = {p}I2 - {p}Mbar",
            f"{p}Mbar = {p}I1 - {p}M",
            f"{p}H1 = rest - {p}Mbar",
            f"{p}H2 = rest - {p}M",
            f"{p}L1 = 1 - {p}H1",
            f"{p}L2 = 1 - {p}H2",
            f"{p}Q = {p}L2 - {p}Qbar",
            f"{p}Qbar = {p}L1 - {p}Q",
        ]
    high = [
        f"{state}.{latch}{'' if state == first else 'bar'}" for state in states for latch in "MQ"
    ]
    outputs = {state: (f"{state}.Q", f"{state}.Qbar") for state in states}
    return netlist(
        "state_machine",
        "\n".join(text),
        " ".join(symbols),
        outputs,
        high=high,
        delay=delay,
        hops=crossed([f"{state}.{latch}" for state in states for latch in "MQ"], FAST),
    )


def state_machine_behaviour(
    circuit: Circuit, transitions: Mapping[tuple[str, str], str] = COUNT_TO_3, start: str = ""
) -> Behaviour:
    """What `state_machine` of these transitions should do."""
    d = element_delay(circuit)
    states = [r.name for r in circuit.readouts]

    def step(state: Hashable, bits: Bits) -> tuple[Hashable, Bits]:
        for symbol, on in bits.items():
            if on:
                state = transitions.get((str(state), symbol), state)
        return state, {s: int(s == state) for s in states}

    return Behaviour(
        {i.name: (0.0, 6 * d) for i in circuit.inputs},
        tuple(states),
        step,
        22 * d,
        21 * d,
        spike_interval(d),
        start=start or next(iter(transitions))[0],
        allowed=lambda bits: sum(bits.values()) < 2,
    )


BEHAVIOURS: dict[str, Callable[[Circuit], Behaviour]] = {"state_machine": state_machine_behaviour}
