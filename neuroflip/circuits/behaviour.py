"""What a circuit is meant to do: a machine with a state, and when its inputs are given and read."""

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from neuroflip.circuits.logic import spike_interval

Bits = Mapping[str, int]


@dataclass(frozen=True)
class Behaviour:
    """The machine that a circuit should be, in cycles of `period` (s).

    on: input -> when in the cycle an input of 1 is on, (start, stop) in s. interval: of the spikes
        that it then sends (s); infinite for one spike, at the start. outputs: readouts.
    step: (state, inputs) -> (next state, outputs at the end of the cycle).
    start: the state at first. period, read: length of a cycle, and when in it outputs are read (s).
    allowed: whether a row of inputs is meaningful.
    """

    on: Mapping[str, tuple[float, float]]
    outputs: tuple[str, ...]
    step: Callable[[Hashable, Bits], tuple[Hashable, Bits]]
    period: float
    read: float
    interval: float
    start: Hashable = None
    allowed: Callable[[Bits], bool] = lambda bits: True

    def rows(self) -> Iterator[dict[str, int]]:
        """Every row of inputs, the first input slowest."""
        for values in product((0, 1), repeat=len(self.on)):
            bits = dict(zip(self.on, values, strict=True))
            if self.allowed(bits):
                yield bits


def combinational(
    function: Callable[..., int | bool | Mapping[str, int]],
    inputs: str,
    outputs: str,
    delay: float,
    depth: int,
    read: float | None = None,
) -> Behaviour:
    """A circuit without a state. function: inputs, by position -> the output, or all by name.

    depth: elements between input and output; inputs are on until the outputs have followed.
    read: when outputs are read, in element delays; None at the end of the inputs.
    """

    def step(state: Hashable, bits: Bits) -> tuple[Hashable, Bits]:
        found = function(*bits.values())
        return state, found if isinstance(found, Mapping) else {outputs: int(found)}

    width = (depth + 5) * delay
    return Behaviour(
        {name: (0.0, width) for name in inputs.split()},
        tuple(outputs.split()),
        step,
        2 * width,
        width if read is None else read * delay,
        spike_interval(delay),
    )


def set_reset(period: float = 0.5) -> Behaviour:
    """A set-reset latch, readout Q: one spike at S sets the bit, one at R resets it.

    Both at once are left out. period: of the cycles (s).
    """

    def step(state: Hashable, bits: Bits) -> tuple[Hashable, Bits]:
        after = 1 if bits["S"] else 0 if bits["R"] else state
        return after, {"Q": int(str(after))}

    return Behaviour(
        {"S": (0.0, 0.0), "R": (0.0, 0.0)},
        ("Q",),
        step,
        period,
        0.98 * period,
        math.inf,
        start=0,
        allowed=lambda bits: not (bits["S"] and bits["R"]),
    )
