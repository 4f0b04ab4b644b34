"""Populations and synapses in the order in which the compiled time loop reads them."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from neuroflip.circuit import Array, Index
from neuroflip.engines import kernel
from neuroflip.engines.job import Job
from neuroflip.engines.machine_code import aligned
from neuroflip.engines.parts import Mask, Part
from neuroflip.engines.plan import Group, Plan, Plastic, Static

_LEVELS = ("pre", "post", "synapse")
_NONE = np.zeros(0, np.int32)
_NO_SYNAPSES = Static(_NONE, _NONE, np.zeros(0), _NONE)

BLOCK = 256
"""Neurons and trials that are updated before one looks whether any is close to its threshold."""
_EVENTS = (8, 64)
"""Postsynaptic spikes that an owner may write down before synapses must catch up: the more, the
fewer owners there are, so that all lists together stay in a cache of `_LISTS` bytes."""
_LISTS = 2**21
_TABLE = 8192
"""Steps for which the decay of traces is tabulated; after more, it is computed."""


def _buckets(
    delay: Index, instance: Index, source: Index, sources: int, sort: bool = True
) -> tuple[Index | None, Index, Index, Index, Index]:
    """Order synapses by delay, rule instance and source.

    Returns (order, bucket of each synapse, delay of each bucket, instance of each bucket,
    first[bucket, source]); the synapses of a source in a bucket are order[first[b, s]:first[b, s +
    1]]. order is None where they come in order, or where it is not asked for.
    """
    instances = int(instance.max(initial=0)) + 1
    kind: Index = instance  # and of the delay, unless all are equal
    lowest = int(delay.min()) if delay.size else 0
    if delay.size and int(delay.max()) > lowest:
        kind, lowest = delay.astype(np.int64) * instances + instance, 0
    present: Index = np.unique(kind).astype(np.int64)
    bucket: Index = np.zeros(kind.shape, np.int32)
    if present.size > 1:
        bucket = np.searchsorted(present, kind).astype(np.int32)
    present += lowest * instances
    small = present.size * sources < 2**31
    flat: Index = bucket.astype(np.int32) if small else bucket.astype(np.int64)
    flat = flat * sources + source
    # A stable sort is quick where the synapses come almost sorted, as they do
    in_order = not sort or bool((flat[1:] >= flat[:-1]).all())
    order = None if in_order else np.argsort(flat, kind="stable")
    count = np.bincount(flat, minlength=present.size * sources).reshape(present.size, sources)
    first = np.zeros((present.size, sources + 1), np.int64)
    np.cumsum(count, axis=1, out=first[:, 1:])
    first += np.concatenate([[0], np.cumsum(count.sum(axis=1))[:-1]]).astype(np.int64)[:, None]
    return order, bucket, present // instances, present % instances, first


def _ordered(values: Any, order: Index | None, kind: type) -> Any:
    return np.ascontiguousarray(values if order is None else values[order], dtype=kind)


class Shared:
    """What all trials of a part read: synapses in the kernel's order, record lists."""

    def __init__(self, part: Part, job: Job, real: Any = np.float64) -> None:
        self.job, self.real = job, real
        plan = part.plan
        # The plan without the synapses, which are not needed twice
        self.plan = dataclasses.replace(plan, static=_NO_SYNAPSES, plastic=())
        self.synapses = part.synapses
        self.rules = [(p.model, p.group) for p in plan.plastic]
        self.cells = 1 + max(job.cells.values(), default=0)
        cell = np.zeros(plan.neurons, np.int64)
        for population, number in job.cells.items():
            start, size = plan.sources[population]
            cell[start : start + size] = number
        self.groups = [_GroupArrays(plan, group, cell, real) for group in plan.groups]
        sizes = [arrays.initial.size for arrays in self.groups]
        self.begin = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        target = self._targets(plan)
        self.plastic = [
            _PlasticArrays(plan, p, job.dt, target, len(job.drives), real) for p in plan.plastic
        ]
        delays = [d for arrays in self.groups for d in arrays.static[::4]]
        delays += [d for p in self.plastic for d in (p.pre_delay, p.post_delay)]
        # Steps for which spikes are kept: of a delay longer than the run, none arrives
        self.longest = min(max((int(d.max(initial=0)) for d in delays), default=0), job.steps)
        self.depth = 1 + max((int(p.dendritic.max(initial=0)) for p in self.plastic), default=0)
        self.states: list[list[tuple[int, int]]] = [[] for _ in plan.groups]
        # Of what is recorded: its list, the columns there, and which of all neurons these are
        self.state_columns: dict[tuple[str, str], tuple[int, slice, slice]] = {}
        for population, variable in job.states:
            g, first, members = self.members(population)
            row = plan.groups[g].model.variables.index(variable)
            begin = len(self.states[g])
            self.states[g] += [(row, first + i) for i in range(members.stop - members.start)]
            columns = slice(begin, len(self.states[g]))
            self.state_columns[population, variable] = (g, columns, members)
        self.weights: list[list[int]] = [[] for _ in plan.plastic]
        self.weight_columns: dict[str, tuple[int, slice, Mask | slice]] = {}
        for name in job.weights:
            r, found = plan.plastic_at[name]
            begin = len(self.weights[r])
            places = np.arange(self.plastic[r].owner.size)[self.plastic[r].places(found)]
            self.weights[r] += places.tolist()
            columns = slice(begin, len(self.weights[r]))
            self.weight_columns[name] = (r, columns, part.synapses[name])

    @property
    def widths(self) -> list[int]:
        """How many numbers a trial records in a sample, of each group and plastic list."""
        return [len(listed) for listed in self.states] + [len(listed) for listed in self.weights]

    def members(self, population: str) -> tuple[int, int, slice]:
        """A population's group, where in it its first member here stands, and which are here."""
        start, size = self.plan.sources[population]
        model = self.plan.circuit.population(population).neuron.model()
        [g] = [g for g, group in enumerate(self.plan.groups) if group.model is model]
        group = self.plan.groups[g]
        first = min(max(group.start, start), start + size)
        last = max(min(group.start + group.size, start + size), first)
        return g, first - group.start, slice(first - start, last - start)

    def _targets(self, plan: Plan) -> Index:
        """Where in the memory of all states each input slot adds to; -1 where it waits."""
        target = np.full(plan.slots, -1)
        for g, group in enumerate(plan.groups):
            for receptor, variable in group.model.receptors.items():
                if not kernel.waits(g, group.model, variable, self.rules):
                    first = self.begin[g] + group.model.variables.index(variable) * group.size
                    slot = group.slots[receptor]
                    target[slot : slot + group.size] = first + np.arange(group.size)
        return target


class _GroupArrays:
    """One group in the kernel's form, and the static synapses onto it.

    A segment is a run of neurons of equal constants and refractory period.
    """

    def __init__(self, plan: Plan, group: Group, cell: Index, real: Any) -> None:
        model = group.model
        self.group = group
        self.cell = cell[group.start : group.start + group.size]
        refractory = np.maximum(group.refractory, 1)  # the step of the spike itself always is
        columns = np.stack([*(group.constants[c] for c in model.needed_constants()), refractory])
        new = np.any(columns[:, 1:] != columns[:, :-1], axis=0)
        begin = np.flatnonzero(np.concatenate([[True], new])[: group.size])
        self.first = np.concatenate([begin, [group.size]]).astype(np.int64)
        self.segment = np.repeat(np.arange(begin.size, dtype=np.int32), np.diff(self.first))
        self.constants = np.ascontiguousarray(columns[:-1, begin].T, real)
        self.refractory = np.ascontiguousarray(columns[-1, begin])
        self.initial = np.stack([group.initial[v] for v in model.variables])
        self.slots = np.array([group.slots[r] for r in model.receptors], dtype=np.int64)
        self.static: list[Any] = []
        for first_slot in self.slots:
            self.static += _static(
                plan.static, int(first_slot), group.size, plan.source_count, real
            )

    def arguments(
        self,
        batch: int,
        state: Array,
        channel: Index,
        record: list[tuple[int, int]],
        trace: Array,
    ) -> list[Any]:
        """The kernel's arguments, as `kernel.group_arguments` names them, for `batch` trials.

        state: (variables, neurons and trials). channel: column of the waves of each of these.
        """
        listed = np.array(record, dtype=np.int64).reshape(-1, 1, 2)
        listed = listed * [1, batch] + np.stack([np.zeros(batch), np.arange(batch)], 1).astype(int)
        size = self.group.size * batch
        parts = [np.arange(b, e, BLOCK) for b, e in itertools.pairwise(self.first * batch)]
        return [
            self.group.start,
            state,
            self.constants,
            np.concatenate([*parts, [size]]),
            np.repeat(np.arange(len(parts)), np.array([part.size for part in parts], np.int64)),
            self.segment,
            self.cell,
            self.refractory,
            aligned(size),
            aligned(size),
            np.ascontiguousarray(channel),
            self.slots,
            listed.reshape(-1, 2),
            trace,
            *self.static,
        ]


def _static(static: Static, first_slot: int, size: int, sources: int, real: Any) -> list[Any]:
    """Static synapses onto `size` neurons from a slot on: delays, first, targets, weights."""
    here = (static.slot >= first_slot) & (static.slot < first_slot + size)
    if not here.any():
        none = np.zeros(0, np.int64)
        return [
            none,
            np.zeros((0, sources + 1), np.int64),
            np.zeros(0, np.int32),
            np.zeros(0, real),
        ]
    pre, slot, weight, delay = static.pre, static.slot, static.weight, static.delay
    if not here.all():
        pre, slot, weight, delay = pre[here], slot[here], weight[here], delay[here]
    instance = np.broadcast_to(np.int32(0), pre.shape)
    order, _, delays, _, first = _buckets(delay, instance, pre, sources)
    target = _ordered(slot, order, np.int32) - np.int32(first_slot)
    return [delays.astype(np.int64), first, target, _ordered(weight, order, real)]


class _PlasticArrays:
    """The synapses of one plastic list in the kernel's order: 13 bytes each (20 where on_post runs
    at once), 4 for their place where delays differ, 8 for the weights of each of several trials,
    and the variables that a rule keeps for each; the rest is kept once an owner."""

    def __init__(
        self, plan: Plan, p: Plastic, dt: float, target: Index, trials: int, real: Any
    ) -> None:
        order, bucket, self.pre_delay, self.pre_instance, self.pre_first = _buckets(
            p.axonal, p.instance, p.pre, plan.source_count
        )
        self.position = None  # synapse in the plan's order -> in the kernel's
        if order is not None:
            self.position = np.empty(order.size, np.int32)
            self.position[order] = np.arange(order.size, dtype=np.int32)
        source_bucket = bucket
        post = _ordered(p.post, order, np.int32)
        post_order, bucket, self.post_delay, self.post_instance, self.post_first = _buckets(
            _ordered(p.dendritic, order, np.int32),
            _ordered(p.instance, order, np.int32),
            post,
            plan.neurons,
            sort=bool(p.model.on_post) and not kernel.deferred(p.model),
        )
        self.owner = bucket * np.int32(plan.neurons) + post
        self.instance = np.repeat(self.post_instance, plan.neurons)
        self.dendritic = np.repeat(self.post_delay, plan.neurons)
        self.local = np.tile(np.arange(plan.neurons), self.post_delay.size) - p.first[self.instance]
        self.member = self.local + p.in_group[self.instance]
        self.slot = self.local + p.first_slot[self.instance]
        # Not all neurons have synapses of every bucket; what stands there is not looked at
        direct = target[np.clip(self.slot, 0, plan.slots - 1)]
        self.target = np.where(self.dendritic > 0, -1, direct)
        self.post_synapse = self.post_source = np.zeros(0, np.int32)
        if p.model.on_post and not kernel.deferred(p.model):
            if post_order is None:
                post_order = np.arange(post.size)
            self.post_synapse = post_order.astype(np.int32)
            if kernel.variables_at(p.model, "pre"):
                source = source_bucket * np.int32(plan.source_count) + p.pre
                self.post_source = _ordered(source, order, np.int32)[post_order]
        self.weight = np.array(p.weight if order is None else p.weight[order], real)
        self.trials, self.real = trials, real
        names = kernel.parameter_names(p.model)
        instances = p.first.size
        self.parameters = np.zeros((instances, len(names)), real)
        for j, name in enumerate(names):
            self.parameters[:, j] = p.parameters[name]
        self.decay = np.ones((instances, len(p.model.variables)), real)
        for j, variable in enumerate(p.model.variables):
            if variable in p.model.decay:
                self.decay[:, j] = np.exp(-dt / p.parameters[p.model.decay[variable]])
        decays = {v: p.parameters[tau] for v, tau in p.model.decay.items()}
        constants = np.unique(np.concatenate([np.zeros(0), *decays.values()]))
        self.table = np.exp(-np.arange(_TABLE) * dt / constants[:, None]).astype(real)
        self.row = np.zeros((instances, len(p.model.variables)), np.int64)
        for variable, taus in decays.items():
            j = p.model.variables.index(variable)
            self.row[:, j] = np.searchsorted(constants, taus)
        self.kept = {level: kernel.variables_at(p.model, level) for level in _LEVELS}
        self.deferred, self.noted = kernel.deferred(p.model), len(kernel.noted(p.model))
        events = _LISTS // ((4 + 8 * self.noted) * max(self.local.size, 1))
        self.events = min(max(events, _EVENTS[0]), _EVENTS[1])
        self.lazy = any(v in p.model.decay for v in self.kept["synapse"])
        self.lazy = self.lazy and not p.model.continuous
        self.owners = (self.pre_delay.size * plan.source_count, self.local.size)
        self.signals = [np.array(names)[self.instance] for names in p.signals.values()]

    def places(self, members: slice) -> Index | slice:
        """Where in the kernel's order synapses of the plan's order stand."""
        return members if self.position is None else self.position[members]

    def _columns(self, signals: Sequence[dict[str, tuple[int, int]]]) -> Index:
        """The column of each signal, for each trial and postsynaptic owner."""
        columns = np.zeros((len(self.signals), len(signals), self.local.size), np.int64)
        for j, names in enumerate(self.signals):
            for b, trial in enumerate(signals):
                for name, (first, width) in trial.items():
                    here = first + (self.local if width > 1 else 0)
                    columns[j, b] = np.where(names == name, here, columns[j, b])
        return columns.reshape(len(self.signals), len(signals) * self.local.size)

    def arguments(
        self, signals: Sequence[dict[str, tuple[int, int]]], record: list[int], trace: Array
    ) -> list[Any]:
        """The kernel's arguments, as `kernel.rule_arguments` names them, for a batch of trials.

        signals: for each trial, the first column and the width of each signal.
        """
        batch, size, real = len(signals), self.owner.size, self.real
        listed = np.array(record, dtype=np.int64)
        pre, post = self.owners
        return [
            self.parameters,
            self.decay,
            self.table,
            self.row,
            self.weight if self.trials == 1 else np.tile(self.weight, batch),
            np.zeros(
                (batch * size if self.kept["synapse"] else 0, len(self.kept["synapse"])), real
            ),
            np.zeros(batch * size if self.lazy else 0, np.int64),
            np.zeros((len(self.kept["pre"]), batch * pre), real),
            np.zeros(batch * pre if self.kept["pre"] else 0, np.int64),
            np.zeros(batch * size if self.deferred else 0, np.uint8),
            np.zeros((len(self.kept["post"]), batch * post), real),
            np.full(batch * post if self.deferred or self.kept["post"] else 0, -1, np.int64),
            np.zeros(batch * post if self.deferred else 0, np.int32),
            np.zeros((batch * post if self.deferred else 0, self.events), np.int32),
            np.zeros((self.noted, batch * post if self.deferred else 0, self.events), real),
            np.zeros(1, np.bool_),
            self.owner,
            self.target,
            self.slot,
            self.dendritic,
            self.member,
            self.instance,
            self._columns(signals),
            self.pre_delay,
            self.pre_instance,
            self.pre_first,
            self.post_delay,
            self.post_instance,
            self.post_first,
            self.post_synapse,
            self.post_source,
            (listed[:, None] + size * np.arange(batch)).reshape(-1),
            trace,
        ]
