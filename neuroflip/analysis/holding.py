"""The inputs that bring a circuit to hold a bit, from its behaviour."""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass

from neuroflip.analysis.truth import behaviour_of, drive
from neuroflip.circuit import Circuit
from neuroflip.circuits.behaviour import Behaviour, Bits
from neuroflip.errors import nearest


@dataclass(frozen=True)
class Hold:
    """How a circuit comes to hold `bit` at `readout`.

    inputs: spike times (s). begins: when the last pulse begins (s), and `ends`, when the bit can
    be read (s); it is held from then on with all inputs silent. rows: what was given, a row of
    inputs a cycle. The circuit had the other bit before the last of them, if it had any.
    """

    readout: str
    bit: int
    inputs: dict[str, list[float]]
    begins: float
    ends: float
    rows: tuple[Bits, ...]


def hold(
    circuit: Circuit, bit: int, readout: str | None = None, behaviour: Behaviour | None = None
) -> Hold:
    """The fewest cycles after which a circuit holds a bit, with all inputs silent.

    readout: None takes the behaviour's first. behaviour: None takes the library's.
    Raises ValueError where the circuit holds no such bit, and for an unknown readout.

    >>> import neuroflip as nf
    >>> found = hold(nf.circuits.sr_latch(), 1)
    >>> found.inputs, found.begins
    ({'S': [0.5], 'R': []}, 0.5)
    """
    if bit not in (0, 1):
        raise ValueError(f"bit must be 0 or 1; got {bit!r}.")
    machine = behaviour_of(circuit) if behaviour is None else behaviour
    chosen = machine.outputs[0] if readout is None else readout
    if chosen not in machine.outputs:
        raise ValueError(f"there is no output {chosen!r}; {nearest(chosen, machine.outputs)}")
    rows = _way(machine, chosen, bit)
    if rows is None:
        raise ValueError(f"circuit {circuit.name!r} holds no {chosen} = {bit} by itself.")
    begins = max(len(rows), 1) * machine.period
    ends = begins + machine.read
    return Hold(chosen, bit, drive(machine, rows), begins, ends, tuple(rows))


def _way(machine: Behaviour, readout: str, bit: int) -> list[Bits] | None:
    """The shortest way from the start to a state that stays and reads `bit`; None without one."""
    silent: Bits = dict.fromkeys(machine.on, 0)
    if not machine.allowed(silent):
        return None

    def holds(state: Hashable) -> bool:
        after, outputs = machine.step(state, silent)
        return after == state and outputs[readout] == bit

    seen = {machine.start}
    queue: deque[tuple[Hashable, list[Bits]]] = deque([(machine.start, [])])
    while queue and len(seen) < 4096:
        state, path = queue.popleft()
        if state is not None and holds(state):
            return path
        for row in machine.rows():
            after = machine.step(state, row)[0]
            if after not in seen:
                seen.add(after)
                queue.append((after, [*path, row]))
    return None
