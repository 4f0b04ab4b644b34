"""Many copies of a circuit side by side, as one circuit: one run gives a sample, or a map.

Neuron i of copy k is neuron k*size + i of the population of the same name.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from neuroflip.circuit import (
    Circuit,
    CurrentInput,
    Index,
    Input,
    NoiseInput,
    Pairs,
    PoissonInput,
    Population,
    Projection,
    SpikeInput,
)
from neuroflip.circuits.arguments import at_least_0
from neuroflip.errors import nearest
from neuroflip.recording import Recording


def side_by_side(circuits: Sequence[Circuit]) -> Circuit:
    """One circuit that holds these, which may differ in weights, delays and initial values only.

    Raises ValueError for circuits that differ in anything else, or for none.

    >>> import neuroflip as nf
    >>> side_by_side([nf.circuits.sr_latch()] * 5).sizes()
    {'Q': 5, 'Qbar': 5, 'S': 5, 'R': 5}
    """
    if not circuits:
        raise ValueError("side_by_side: there must be at least one circuit.")
    first, many = circuits[0], len(circuits)
    for other in circuits:
        if other is not first and _fixed(other) != _fixed(first):
            raise ValueError(
                f"side_by_side: circuits may differ in weights, delays and initial values only; "
                f"{first.name!r} and {other.name!r} differ in more."
            )
    return Circuit(
        first.name,
        [_population(circuits, i) for i in range(len(first.populations))],
        [_projection(circuits, i) for i in range(len(first.projections))],
        [_input(item, many) for item in first.inputs],
        first.readouts,
    )


def _fixed(circuit: Circuit) -> tuple[Any, ...]:
    """What must be equal in circuits that stand side by side."""
    return (
        [(p.name, p.neuron, p.size, sorted(p.initial)) for p in circuit.populations],
        [(p.name, p.pre, p.post, p.receptor, p.pattern, p.rule) for p in circuit.projections],
        circuit.inputs,
        circuit.readouts,
    )


def _population(circuits: Sequence[Circuit], i: int) -> Population:
    each = [c.populations[i] for c in circuits]
    size = each[0].size
    initial = {
        name: np.concatenate([np.broadcast_to(p.initial[name], size) for p in each])
        for name in each[0].initial
    }
    return dataclasses.replace(each[0], size=size * len(each), initial=initial)


def _projection(circuits: Sequence[Circuit], i: int) -> Projection:
    first = circuits[0]
    sizes = first.sizes()
    given = first.projections[i]
    same = all(c is first for c in circuits)
    alike = [first.synapses(given)] * len(circuits) if same else []
    parts = alike or [c.synapses(c.projections[i]) for c in circuits]
    pre = [part.pre + k * sizes[given.pre] for k, part in enumerate(parts)]
    post = [part.post + k * sizes[given.post] for k, part in enumerate(parts)]
    return dataclasses.replace(
        given,
        pattern=Pairs(np.concatenate(pre), np.concatenate(post)),
        weight=np.concatenate([part.weight for part in parts]),
        axonal_delay=np.concatenate([part.axonal_delay for part in parts]),
        dendritic_delay=np.concatenate([part.dendritic_delay for part in parts]),
    )


def _input(item: Input, many: int) -> Input:
    if isinstance(item, (SpikeInput, PoissonInput)):
        return dataclasses.replace(item, size=item.size * many)
    return item


def spikes_for(
    circuit: Circuit, each: Sequence[Mapping[str, Sequence[float]]]
) -> dict[str, list[Sequence[float]]]:
    """The spike times (s) of inputs of size 1 for copies of `circuit`, from those of each copy.

    >>> import neuroflip as nf
    >>> spikes_for(nf.circuits.sr_latch(), [{"S": [0.1]}, {"R": [0.2]}])
    {'S': [[0.1], []], 'R': [[], [0.2]]}
    """
    names = [i.name for i in circuit.inputs if isinstance(i, SpikeInput)]
    return {name: [given.get(name, []) for given in each] for name in names}


def noisy(circuit: Circuit, sd: float) -> Circuit:
    """The circuit with Gaussian membrane noise of `sd` (V) in every population.

    Where a population has noise already, the variances add up. An sd of 0 gives the circuit.
    Raises ValueError for a negative sd, and for neurons that take no such noise.

    >>> import neuroflip as nf
    >>> [i.name for i in noisy(nf.circuits.sr_latch(), 2e-3).inputs]
    ['S', 'R', 'noise of Q', 'noise of Qbar']
    """
    sd = at_least_0(sd, "V", "sd")
    if sd == 0:
        return circuit
    present = {i.target: i for i in circuit.inputs if isinstance(i, NoiseInput)}
    added = [
        dataclasses.replace(present[p.name], sd=float(np.hypot(present[p.name].sd, sd)))
        if p.name in present
        else NoiseInput(f"noise of {p.name}", p.name, sd)
        for p in circuit.populations
    ]
    others = [i for i in circuit.inputs if not isinstance(i, NoiseInput)]
    return dataclasses.replace(circuit, inputs=[*others, *added])


def with_currents(circuit: Circuit, populations: Sequence[str]) -> Circuit:
    """The circuit with a `CurrentInput` "current of NAME" for each of these populations."""
    added = [CurrentInput(f"current of {name}", name) for name in populations]
    return dataclasses.replace(circuit, inputs=[*circuit.inputs, *added])


def flips(recording: Recording, readout: str, copies: int = 1, trial: int = 0) -> list[Index]:
    """The steps at which the decoded bit of each copy changes. It is 0 before the first.

    The same bit as `Recording.bit`, which decodes all neurons of a population together.
    Raises ValueError for an unknown readout, or sizes that `copies` does not divide.

    >>> import neuroflip as nf
    >>> rec = nf.simulate(nf.circuits.sr_latch(), {"S": [50e-3], "R": [550e-3]}, duration=1.0)
    >>> [steps.size for steps in flips(rec, "Q")]
    [2]
    """
    known = {r.name: r for r in recording.circuit.readouts}
    if readout not in known:
        raise ValueError(f"there is no readout {readout!r}; {nearest(readout, known)}")
    chosen = known[readout]
    window = max(1, round(chosen.window / recording.dt))
    at, copy, change = _entries(recording, chosen.high, copies, trial, window, 1)
    if chosen.low is not None:
        low = _entries(recording, chosen.low, copies, trial, window, -1)
        at, copy, change = (
            np.concatenate(pair) for pair in zip((at, copy, change), low, strict=True)
        )
    order = np.lexsort((at, copy))
    at, copy = at[order], copy[order]
    # Every spike enters and leaves the window, so the sum is 0 again at the end of each copy
    count = np.cumsum(change[order])
    steps = round(recording.duration / recording.dt)
    last = np.append((np.diff(at) != 0) | (np.diff(copy) != 0), True)[: at.size]
    decides = last & (at < steps)
    if chosen.low is not None:
        decides &= count != 0
    at, copy, bit = at[decides], copy[decides], count[decides] > 0
    found = []
    edges = np.searchsorted(copy, np.arange(copies + 1))
    for start, stop in zip(edges[:-1], edges[1:], strict=True):
        changed = np.diff(bit[start:stop], prepend=False)
        found.append(at[start:stop][changed])
    return found


def _entries(
    recording: Recording, population: str, copies: int, trial: int, window: int, sign: int
) -> tuple[Index, Index, Index]:
    """Steps at which spikes enter and leave the window, their copies, and what they change."""
    size, rest = divmod(recording.circuit.population(population).size, copies)
    if rest:
        raise ValueError(f"population {population!r} is not made of {copies} copies.")
    mine = recording.trials[population] == trial
    at = np.round(recording.spikes[population][mine] / recording.dt).astype(np.int64)
    copy = np.tile(recording.neurons[population][mine] // size, 2)
    change = np.repeat(np.array([sign, -sign], dtype=np.int64), at.size)
    return np.concatenate([at, at + window]), copy, change


def bit_at(changes: Index, steps: Any) -> Any:
    """The bit at these steps, from the steps at which it changes.

    >>> bit_at(np.array([3, 5]), [2, 3, 4, 5])
    array([0, 1, 1, 0])
    """
    return np.searchsorted(changes, steps, side="right") % 2
