"""Latches and flip-flops of logic neurons. See logic.py for the neurons and what is 0 and 1.

Every circuit starts with the bit 0 and has the readout Q. A latch is two neurons that silence each
other, each kept up by an inverter, which a gate can take away:

    Q = R' - Qbar        Qbar = S' - Q        R' = 1 - (reset gate)        S' = 1 - (set gate)
"""

from collections.abc import Callable, Hashable

from neuroflip.circuit import Circuit
from neuroflip.circuits.behaviour import Behaviour, Bits
from neuroflip.circuits.logic import (
    complementary,
    crossed,
    element_delay,
    netlist,
    parse_netlist,
    spike_interval,
)
from neuroflip.units import ms

# The two neurons of a latch reach each other sooner, so that a short pulse finds it decided
FAST = 0.5
"""Element delays of the connections within a latch."""


def _latch(name: str, text: str, inputs: str, delay: float, bit: int = 0) -> Circuit:
    latches = [latch for latch in "MQ" if latch in parse_netlist(text)]
    return netlist(
        name,
        text,
        inputs,
        complementary(["Q"]),
        high=[latch if bit else f"{latch}bar" for latch in latches],
        delay=delay,
        hops=crossed(latches, FAST),
    )


D_LATCH = """
    E'   = 1 - E
    S    = D - E'
    R    = E - D
    S'   = 1 - S
    R'   = 1 - R
    Q    = R' - Qbar
    Qbar = S' - Q
"""
"""The netlist of `d_latch`."""


_LATCH = """
    I1   = 1 - G1
    I2   = 1 - G2
    Q    = I2 - Qbar
    Qbar = I1 - Q
"""
_MASTER = """
    I1   = 1 - G1
    I2   = 1 - G2
    M    = I2 - Mbar
    Mbar = I1 - M
"""
_SLAVE = """
    L1   = 1 - H1
    L2   = 1 - H2
    Q    = L2 - Qbar
    Qbar = L1 - Q
"""


def d_latch(*, delay: float = 4 * ms) -> Circuit:
    """Gated D latch: while E is 1 the bit follows D, while E is 0 it is held. 7 neurons.

    D must be steady while E falls.

    >>> [p.name for p in d_latch().populations]
    ["E'", 'S', 'R', "S'", "R'", 'Q', 'Qbar']
    """
    return _latch("d_latch", D_LATCH, "D E", delay)


def jk_flip_flop(*, delay: float = 4 * ms) -> Circuit:
    """JK flip-flop: a pulse at J sets the bit, at K resets it, at both flips it. 6 neurons.

    The gating neurons G1 = J AND NOT Q and G2 = K AND NOT Qbar are the terms J (1 - h) and K h of
    the rate cell. A pulse at both must last longer than the latch takes to decide, and be over
    before the new bit opens the other gate (race-around): 3 element delays are safe; see
    `edge_triggered_jk` for pulses of any width.
    """
    text = """
        G1   = J - Q
        G2   = K - Qbar
    """
    return _latch("jk_flip_flop", text + _LATCH, "J K", delay)


def t_flip_flop(*, delay: float = 4 * ms) -> Circuit:
    """T flip-flop: a pulse at T, of 3 element delays, flips the bit. `jk_flip_flop` with J = K = T.
    6 neurons."""
    text = """
        G1   = T - Q
        G2   = T - Qbar
    """
    return _latch("t_flip_flop", text + _LATCH, "T", delay)


def edge_triggered_jk(*, delay: float = 4 * ms) -> Circuit:
    """Master-slave JK flip-flop: J and K act while C is 1, on a first latch M; the second, Q, takes
    its bit when C falls. So a pulse at C of any width acts once. J and K must be steady while C
    is 1. 15 neurons.
    """
    text = """
        J'   = 1 - J
        K'   = 1 - K
        C'   = 1 - C
        G1   = C - J' - Q
        G2   = C - K' - Qbar
        H1   = C' - Mbar
        H2   = C' - M
    """
    return _latch("edge_triggered_jk", text + _MASTER + _SLAVE, "J K C", delay)


def edge_triggered_t(*, delay: float = 4 * ms) -> Circuit:
    """Master-slave T flip-flop: the bit flips when T falls, once a pulse, whatever its width.
    13 neurons."""
    text = """
        T'   = 1 - T
        G1   = T - Q
        G2   = T - Qbar
        H1   = T' - Mbar
        H2   = T' - M
    """
    return _latch("edge_triggered_t", text + _MASTER + _SLAVE, "T", delay)


def edge_triggered_d(*, delay: float = 4 * ms, bit: int = 0) -> Circuit:
    """Master-slave D flip-flop: the bit becomes D when C rises, and is held otherwise. 13 neurons.

    bit: 0 or 1, held at the start.
    """
    if bit not in (0, 1):
        raise ValueError(f"edge_triggered_d: bit must be 0 or 1; got {bit!r}.")
    text = """
        C'   = 1 - C
        G1   = D - C
        G2   = C' - D
        H1   = C - Mbar
        H2   = C - M
    """
    return _latch("edge_triggered_d", text + _MASTER + _SLAVE, "D C", delay, bit)


def _held(step: Callable[[int, Bits], int]) -> Callable[[Hashable, Bits], tuple[Hashable, Bits]]:
    def whole(state: Hashable, bits: Bits) -> tuple[Hashable, Bits]:
        after = step(int(str(state)), bits)
        return after, {"Q": after}

    return whole


def _jk(bit: int, bits: Bits) -> int:
    return int((bits["J"] and not bit) or (bit and not bits["K"]))


def flip_flop_behaviour(
    circuit: Circuit, on: dict[str, tuple[float, float]], step: Callable[[int, Bits], int]
) -> Behaviour:
    """Of a circuit with one bit Q. on: input -> when it is on, in element delays."""
    d = element_delay(circuit)
    period = max(stop for _, stop in on.values()) + 16
    return Behaviour(
        {name: (start * d, stop * d) for name, (start, stop) in on.items()},
        ("Q",),
        _held(step),
        period * d,
        (period - 1) * d,
        spike_interval(d),
        start=0,
    )


BEHAVIOURS: dict[str, Callable[[Circuit], Behaviour]] = {
    "d_latch": lambda c: flip_flop_behaviour(
        c, {"D": (0, 16), "E": (4, 12)}, lambda q, b: b["D"] if b["E"] else q
    ),
    "jk_flip_flop": lambda c: flip_flop_behaviour(c, {"J": (0, 3), "K": (0, 3)}, _jk),
    "t_flip_flop": lambda c: flip_flop_behaviour(c, {"T": (0, 3)}, lambda q, b: q ^ b["T"]),
    "edge_triggered_jk": lambda c: flip_flop_behaviour(
        c, {"J": (0, 16), "K": (0, 16), "C": (4, 12)}, lambda q, b: _jk(q, b) if b["C"] else q
    ),
    "edge_triggered_t": lambda c: flip_flop_behaviour(c, {"T": (0, 6)}, lambda q, b: q ^ b["T"]),
    "edge_triggered_d": lambda c: flip_flop_behaviour(
        c, {"D": (0, 20), "C": (10, 18)}, lambda q, b: b["D"] if b["C"] else q
    ),
}
