"""Does a circuit do what it is meant to? Every row and every transition, tried."""

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroflip.circuit import Circuit
from neuroflip.circuits import BEHAVIOURS
from neuroflip.circuits.behaviour import Behaviour, Bits
from neuroflip.circuits.logic import level
from neuroflip.errors import nearest
from neuroflip.simulation import simulate
from neuroflip.tables import table
from neuroflip.units import ms

_MOST_CYCLES = 1000  # of a program that is not told how long to be


def behaviour_of(circuit: Circuit) -> Behaviour:
    """What the library says of a circuit, by its name.

    Raises ValueError for a circuit that is not one of the library's.
    """
    if circuit.name not in BEHAVIOURS:
        raise ValueError(
            f"there is no behaviour of a circuit called {circuit.name!r}; give one, or take "
            f"another: {nearest(circuit.name, BEHAVIOURS)}"
        )
    return BEHAVIOURS[circuit.name](circuit)


@dataclass(frozen=True)
class Row:
    """A row of a truth table: how often it was tried, and how often it came out as expected."""

    state: Hashable
    inputs: Bits
    expected: Bits
    tried: int
    right: int
    found: Bits  # the last that was not as expected, else as expected


@dataclass(frozen=True)
class TruthTable:
    """What `truth_table` found.

    rows: those tried, ordered by state and inputs. cycles: how many were run. first_wrong: the
    first that did not come out as expected, or None. whole: whether every transition was tried.
    """

    circuit: str
    rows: tuple[Row, ...]
    cycles: int
    first_wrong: int | None
    whole: bool

    @property
    def ok(self) -> bool:
        """Whether every cycle came out as expected."""
        return self.first_wrong is None

    def __str__(self) -> str:
        inputs = list(self.rows[0].inputs)
        outputs = list(self.rows[0].expected)
        rows = [
            (
                *([] if row.state is None else [row.state]),
                *(row.inputs[name] for name in inputs),
                *(
                    row.expected[name]
                    if row.found[name] == row.expected[name]
                    else f"{row.found[name]}, not {row.expected[name]}"
                    for name in outputs
                ),
                f"{row.right}/{row.tried}",
            )
            for row in self.rows
        ]
        before = [] if self.rows[0].state is None else ["state"]
        verdict = "right" if self.ok else f"WRONG (first in cycle {self.first_wrong})"
        scope = "every transition" if self.whole else f"{len(self.rows)} transitions"
        head = (*before, *inputs, *(f"-> {name}" for name in outputs), "right")
        title = f"{self.circuit}: {verdict}; {scope}, {self.cycles} cycles"
        return title + "\n" + table("", head, rows)


def program(
    behaviour: Behaviour, cycles: int | None = None, seed: int = 0
) -> tuple[list[Bits], bool]:
    """Rows of inputs that try every transition, in an order drawn from the seed; and whether they
    do (they cannot where a state is never left again).

    cycles: how many rows; None takes as many as it needs to try all, at most 1000.
    """
    rng = np.random.default_rng(seed)
    rows = list(behaviour.rows())
    untried: dict[Hashable, list[int]] = {}
    state = behaviour.start
    found: list[Bits] = []

    def left(at: Hashable) -> list[int]:
        if at not in untried:
            untried[at] = [int(i) for i in rng.permutation(len(rows))]
        return untried[at]

    def way() -> list[int]:
        """The shortest way to a state where something is left to try, and what to try there."""
        seen = {state}
        queue: deque[tuple[Hashable, list[int]]] = deque([(state, [])])
        while queue and len(seen) < 4096:
            at, path = queue.popleft()
            if left(at):
                return [*path, left(at).pop()]
            for i, row in enumerate(rows):
                after = behaviour.step(at, row)[0]
                if after not in seen:
                    seen.add(after)
                    queue.append((after, [*path, i]))
        return []

    while len(found) < (_MOST_CYCLES if cycles is None else cycles):
        steps = way()
        if not steps:
            if cycles is None:
                break
            steps = [int(rng.integers(len(rows)))]
        for i in steps:
            found.append(rows[i])
            state = behaviour.step(state, rows[i])[0]
    found = found[: _MOST_CYCLES if cycles is None else cycles]
    return found, _whole(behaviour, rows, found)


def _whole(behaviour: Behaviour, rows: Sequence[Bits], tried: Sequence[Bits]) -> bool:
    """Whether a program tries every row in every state that can be reached."""
    done: set[tuple[Hashable, tuple[int, ...]]] = set()
    state = behaviour.start
    for row in tried:
        done.add((state, tuple(row.values())))
        state = behaviour.step(state, row)[0]
    reached, queue = {behaviour.start}, [behaviour.start]
    while queue:
        at = queue.pop()
        if any((at, tuple(row.values())) not in done for row in rows):
            return False
        for after in {behaviour.step(at, row)[0] for row in rows} - reached:
            reached.add(after)
            queue.append(after)
    return True


def drive(behaviour: Behaviour, rows: Sequence[Bits]) -> dict[str, list[float]]:
    """The spike times (s) of each input that give a circuit these rows, one a cycle; the first
    cycle is the second, so that the circuit has come to rest."""
    times: dict[str, list[float]] = {}
    for name, (start, stop) in behaviour.on.items():
        begins = [(n + 1) * behaviour.period for n, row in enumerate(rows) if row[name]]
        times[name] = (
            level(behaviour.interval, *((t + start, t + stop) for t in begins))
            if np.isfinite(behaviour.interval)
            else [t + start for t in begins]
        )
    return times


def truth_table(
    circuit: Circuit,
    behaviour: Behaviour | None = None,
    *,
    cycles: int | None = None,
    seed: int = 0,
    dt: float = 0.1 * ms,
    engine: str = "numba",
) -> TruthTable:
    """Drive a circuit through its rows and transitions and hold its outputs against them.

    behaviour: what it should do; None takes the library's, by the circuit's name. cycles: how
    many; None as many as try every transition, at most 1000. seed: of their order.

    Raises ValueError for a circuit of unknown behaviour, and what `nf.simulate` raises.

    >>> import neuroflip as nf
    >>> truth_table(nf.circuits.and_not_gate()).ok
    True
    """
    machine = behaviour_of(circuit) if behaviour is None else behaviour
    rows, whole = program(machine, cycles, seed)
    steps = int(np.ceil((len(rows) + 1) * machine.period / dt)) + 1
    recording = simulate(circuit, drive(machine, rows), duration=steps * dt, dt=dt, engine=engine)
    bits = {name: recording.bit(name)[1] for name in machine.outputs}
    tried: dict[Any, list[Any]] = {}
    state = machine.start
    first_wrong = None
    for n, row in enumerate(rows):
        after, expected = machine.step(state, row)
        at = round(((n + 1) * machine.period + machine.read) / dt)
        found = {name: int(bits[name][at]) for name in machine.outputs}
        right = found == dict(expected)
        if not right and first_wrong is None:
            first_wrong = n
        entry = tried.setdefault((state, tuple(row.items())), [expected, 0, 0, expected])
        entry[1] += 1
        entry[2] += right
        if not right:
            entry[3] = found
        state = after
    made = tuple(Row(at, dict(row), *entry) for (at, row), entry in tried.items())
    ordered = sorted(made, key=lambda r: (str(r.state), *r.inputs.values()))
    return TruthTable(circuit.name, tuple(ordered), len(rows), first_wrong, whole)
