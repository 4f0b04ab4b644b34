"""A circuit made ready for the fast engines: indices, steps and constants instead of names.

All populations of one neuron model form one group; all static synapses form one list; all
plastic synapses whose rules share a class form one list. Both fast engines run this plan, and
neither knows a particular neuron or rule.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroflip import equations as eq
from neuroflip.circuit import Array, Circuit, Index, Population, Projection
from neuroflip.inputs import whole_steps
from neuroflip.neurons import NeuronModel
from neuroflip.rules.rule import RuleModel


@dataclass(frozen=True)
class Group:
    """All neurons of one model.

    start: index of the first among all neurons. constants: name -> one value a neuron.
    initial: variable -> one value a neuron. slots: receptor -> first index of its input slots.
    """

    model: NeuronModel
    start: int
    size: int
    constants: Mapping[str, Array]
    initial: Mapping[str, Array]
    refractory: Index  # in steps
    slots: Mapping[str, int]


@dataclass(frozen=True)
class Static:
    """Static synapses: source index, input slot, weight, delay in steps (axonal + dendritic)."""

    pre: Index
    slot: Index
    weight: Array
    delay: Index


@dataclass(frozen=True)
class Plastic:
    """Plastic synapses whose rules are declared alike.

    group: index of the group of their postsynaptic neurons where the rule reads its variables,
    else None. instance: index of the rule object of each synapse. One an instance: parameters,
    name -> value; signals, name -> the input that feeds it; first: the first postsynaptic neuron,
    in_group: its index within its group, first_slot: its input slot. Delays are in steps.
    """

    model: RuleModel
    group: int | None
    signals: Mapping[str, tuple[str, ...]]
    parameters: Mapping[str, Array]
    first: Index
    in_group: Index
    first_slot: Index
    instance: Index
    pre: Index
    post: Index
    weight: Array
    axonal: Index
    dendritic: Index

    @property
    def local(self) -> Index:
        """Index of each synapse's postsynaptic neuron within its population."""
        return self.post - self.first[self.instance]

    @property
    def member(self) -> Index:
        """Index of each synapse's postsynaptic neuron within its group."""
        return self.local + self.in_group[self.instance]

    @property
    def slot(self) -> Index:
        """Input slot of each synapse."""
        return self.local + self.first_slot[self.instance]


@dataclass(frozen=True)
class Plan:
    """See the module. `sources` maps each population and spike input to its first index among
    all spike sources (neurons first) and its size; `plastic_at` a plastic projection to its list
    in `plastic` and its slice there."""

    circuit: Circuit
    dt: float
    groups: tuple[Group, ...]
    neurons: int
    slots: int
    sources: Mapping[str, tuple[int, int]]
    static: Static
    plastic: tuple[Plastic, ...]
    plastic_at: Mapping[str, tuple[int, slice]]

    def group_of(self, population: str) -> tuple[int, slice]:
        """Index of a population's group and its slice within the group."""
        start, size = self.sources[population]
        for number, group in enumerate(self.groups):
            if group.start <= start < group.start + group.size:
                return number, slice(start - group.start, start - group.start + size)
        raise KeyError(population)

    @property
    def source_count(self) -> int:
        """Number of neurons and input sources together."""
        return sum(size for _, size in self.sources.values())


def delay_steps(delay: Array, dt: float, where: str) -> Index:
    """Delays in whole steps, rounded half up as in Brian2.

    Raises ValueError for a delay that is positive but below one step.
    """
    if delay.size > 1 and delay.strides == (0,):  # one number for all, which takes no memory
        return np.broadcast_to(delay_steps(delay[:1], dt, where), delay.shape)
    short = delay[(delay > 0) & (delay < dt * (1 - 1e-9))]
    if short.size:
        raise ValueError(f"{where} must be 0 or at least one step of {dt:g} s; got {short[0]!r}.")
    if delay.size and delay.max() / dt >= 2**31 - 1:
        raise ValueError(f"{where} must be below 2**31 steps of {dt:g} s; got {delay.max()!r}.")
    steps: Index = np.floor(delay / dt + 0.5).astype(np.int32)
    return steps


def check_finite(plan: Plan, group: Group, state: Array) -> None:
    """Raise FloatingPointError where a state, (variables, size), has left the numbers."""
    finite = np.isfinite(state)
    if not finite.all():
        wrong = np.argwhere(~finite)
        row, index = (int(i) for i in wrong[0])
        for population in _members(plan.circuit, group.model):
            start, size = plan.sources[population.name]
            if start <= group.start + index < start + size:
                raise FloatingPointError(
                    f"Population {population.name!r}: {group.model.variables[row]} is "
                    f"{state[row, index]} at the end of the run; a weight left the numbers, or the "
                    f"step of {plan.dt:g} s is too long for this {group.model.name} and its input."
                )


Columns = tuple[np.ndarray[Any, Any], ...]


def make_plan(circuit: Circuit, dt: float) -> Plan:
    """The plan of a circuit at time step dt (s)."""
    groups, slot_of = _groups(circuit, dt)
    neurons = sum(g.size for g in groups)
    sources: dict[str, tuple[int, int]] = {}
    for group in groups:
        start = group.start
        for population in _members(circuit, group.model):
            sources[population.name] = (start, population.size)
            start += population.size
    start = neurons
    for name, size in circuit.sizes().items():
        if name not in sources:
            sources[name] = (start, size)
            start += size

    static: list[Columns] = []
    plastic: dict[tuple[RuleModel, int | None], list[tuple[Projection, Columns]]] = {}
    group_of = {p.name: g for g, group in enumerate(groups) for p in _members(circuit, group.model)}
    for projection in circuit.projections:
        synapses = circuit.synapses(projection)
        where = f"Projection {projection.name!r}"
        axonal = delay_steps(synapses.axonal_delay, dt, f"{where}: axonal_delay")
        dendritic = delay_steps(synapses.dendritic_delay, dt, f"{where}: dendritic_delay")
        pre = _shifted(synapses.pre, sources[projection.pre][0])
        if projection.rule.plastic:
            model = projection.rule.model()
            key = (model, group_of[projection.post] if model.reads else None)
            post = _shifted(synapses.post, sources[projection.post][0])
            plastic.setdefault(key, []).append(
                (projection, (pre, post, synapses.weight, axonal, dendritic))
            )
        else:
            slot = _shifted(synapses.post, slot_of[projection.post, str(projection.receptor)])
            static.append((pre, slot, synapses.weight, axonal + dendritic))
    lists, at = [], {}
    for number, ((model, read), members) in enumerate(plastic.items()):
        projections = [projection for projection, _ in members]
        counts = [columns[0].size for _, columns in members]
        firsts = [sources[p.post][0] for p in projections]
        starts = [groups[group_of[p.post]].start for p in projections]
        lists.append(
            Plastic(
                model,
                read,
                {s: tuple(circuit.signal_of(p, s) for p in projections) for s in model.signals},
                {
                    name: np.array([p.rule.parameters()[name] for p in projections])
                    for name in model.parameters
                },
                np.array(firsts),
                np.array(firsts) - np.array(starts),
                np.array([slot_of[p.post, str(p.receptor)] for p in projections]),
                np.repeat(np.arange(len(members), dtype=np.int32), counts),
                *_joined([columns for _, columns in members], _PLASTIC),
            )
        )
        ends = np.cumsum(counts).tolist()
        for projection, end, count in zip(projections, ends, counts, strict=True):
            at[projection.name] = (number, slice(end - count, end))
    return Plan(
        circuit,
        dt,
        groups,
        neurons,
        sum(g.size * len(g.model.receptors) for g in groups),
        sources,
        Static(*_joined(static, (np.int32, np.int32, np.float64, np.int32))),
        tuple(lists),
        at,
    )


_PLASTIC = (np.int32, np.int32, np.float64, np.int32, np.int32)


def _shifted(index: Index, by: int) -> Index:
    """Indices of neurons of one population among others; half the size of what they come as."""
    return index.astype(np.int32) + np.int32(by)


def _members(circuit: Circuit, model: NeuronModel) -> list[Population]:
    return [p for p in circuit.populations if p.neuron.model() is model]


@functools.cache
def _start(model: NeuronModel) -> tuple[Callable[..., dict[str, Any]], ...]:
    """What computes the constants of a neuron model, and its state at the start."""
    return tuple(eq.compile_block(block, eq.NUMPY) for block in (model.constants, model.initial))


def _groups(circuit: Circuit, dt: float) -> tuple[tuple[Group, ...], dict[tuple[str, str], int]]:
    """The groups, and the first input slot of each (population, receptor)."""
    models = list(dict.fromkeys(p.neuron.model() for p in circuit.populations))
    groups: list[Group] = []
    slot_of: dict[tuple[str, str], int] = {}
    start = slot = 0
    for model in models:
        members = _members(circuit, model)
        size = sum(p.size for p in members)
        run_constants, run_initial = _start(model)
        constants: dict[str, list[Array]] = {name: [] for name in model.needed_constants()}
        initial: dict[str, list[Array]] = {name: [] for name in model.variables}
        refractory = []
        for p in members:
            values: dict[str, object] = {**p.neuron.parameters(), "dt": dt}
            values |= run_constants(values)
            for name, column in constants.items():
                column.append(np.full(p.size, values[name], dtype=np.float64))
            begin = run_initial(values) | dict(p.initial)
            for name, column in initial.items():
                column.append(np.broadcast_to(np.float64(begin.get(name, 0.0)), p.size))
            length = np.array([p.neuron.refractory])
            delay_steps(length, dt, f"Population {p.name!r}: refractory")
            refractory.append(np.full(p.size, whole_steps(length, dt)[0]))
        slots = {r: slot + i * size for i, r in enumerate(model.receptors)}
        offset = 0
        for p in members:
            slot_of |= {(p.name, r): first + offset for r, first in slots.items()}
            offset += p.size
        groups.append(
            Group(
                model,
                start,
                size,
                {name: np.concatenate(column) for name, column in constants.items()},
                {name: np.concatenate(column) for name, column in initial.items()},
                np.concatenate(refractory),
                slots,
            )
        )
        start += size
        slot += size * len(slots)
    return tuple(groups), slot_of


def _joined(rows: Sequence[Columns], kinds: tuple[type, ...]) -> list[np.ndarray[Any, Any]]:
    """The columns of rows of arrays, each concatenated."""
    if len(rows) == 1:
        return [np.asarray(c, kind) for c, kind in zip(rows[0], kinds, strict=True)]
    return [
        np.concatenate([np.zeros(0, kind), *(row[i] for row in rows)]).astype(kind)
        for i, kind in enumerate(kinds)
    ]
