"""The compiled engine: one generated kernel, cached on disk, run for batches of trials.

Synapses are sparse and event-driven; nothing is allocated inside the time loop. A batch is as
many trials as keep the state of their neurons in the processor's cache; batches run in threads.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from neuroflip.circuit import Array, Index
from neuroflip.engines import kernel, machine_code
from neuroflip.engines.job import Job, Recorder
from neuroflip.engines.plan import Group, Plan, Plastic, Static, check_finite, make_plan
from neuroflip.errors import nearest
from neuroflip.inputs import Drive

_NEURONS = 4096  # of a batch: their state stays in a second-level cache
_SYNAPSES = 32_768  # plastic ones of a batch, likewise


_DTYPES: dict[str, Any] = {"float64": np.float64, "float32": np.float32}


def run(job: Job, *, threads: int = 1, dtype: str = "float64") -> Recorder:
    """Simulate every trial.

    threads: how many batches of trials run at the same time. dtype: "float64", or "float32", which
    keeps states, weights, traces and parameters in half the memory, to about seven digits.
    """
    if dtype not in _DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}; {nearest(str(dtype), _DTYPES)}")
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"threads must be a whole number, at least 1; got {threads!r}.")
    shared = _Shared(make_plan(job.circuit, job.dt), job, _DTYPES[dtype])
    step = machine_code.function(
        kernel.kernel_source(
            tuple(arrays.group.model for arrays in shared.groups),
            tuple(shared.rules),
            noise=any(drive.noise for drive in job.drives),
        )
    )
    synapses = sum(p.owner.size for p in shared.plastic)
    many = len(job.drives)
    fitting = min(_NEURONS // max(shared.plan.neurons, 1), _SYNAPSES // max(synapses, 1))
    size = max(1, min(fitting, -(-many // threads)))
    batches = [range(i, min(i + size, many)) for i in range(0, many, size)]
    if threads == 1 or len(batches) == 1:
        for trials in batches:
            _batch(step, shared, trials)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(functools.partial(_batch, step, shared), batches))
    return shared.recorder


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


class _Shared:
    """What all trials read: synapses in the kernel's order, record lists."""

    def __init__(self, plan: Plan, job: Job, real: Any = np.float64) -> None:
        self.job, self.recorder, self.real = job, Recorder(job), real
        # The plan without the synapses, which are not needed twice
        self.plan = dataclasses.replace(plan, static=_NO_SYNAPSES, plastic=())
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
        self.state_columns: dict[tuple[str, str], tuple[int, slice]] = {}
        for population, variable in job.states:
            g, members = plan.group_of(population)
            row = plan.groups[g].model.variables.index(variable)
            begin = len(self.states[g])
            self.states[g] += [(row, i) for i in range(members.start, members.stop)]
            self.state_columns[population, variable] = (g, slice(begin, len(self.states[g])))
        self.weights: list[list[int]] = [[] for _ in plan.plastic]
        self.weight_columns: dict[str, tuple[int, slice]] = {}
        for name in job.weights:
            r, members = plan.plastic_at[name]
            begin = len(self.weights[r])
            places = np.arange(self.plastic[r].owner.size)[self.plastic[r].places(members)]
            self.weights[r] += places.tolist()
            self.weight_columns[name] = (r, slice(begin, len(self.weights[r])))

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
        begin = np.concatenate([[0], np.flatnonzero(new) + 1])
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
        self, state: Array, channel: Index, record: list[tuple[int, int]], trace: Array
    ) -> list[Any]:
        """The kernel's arguments, as `kernel.group_arguments` names them.

        state: (variables, neurons and trials). channel: column of the waves of each of these.
        """
        batch = channel.size // self.group.size
        listed = np.array(record, dtype=np.int64).reshape(-1, 1, 2)
        listed = listed * [1, batch] + np.stack([np.zeros(batch), np.arange(batch)], 1).astype(int)
        size = self.group.size * batch
        parts = [np.arange(b, e, _BLOCK) for b, e in itertools.pairwise(self.first * batch)]
        return [
            self.group.start,
            state,
            self.constants,
            np.concatenate([*parts, [size]]),
            np.repeat(np.arange(len(parts)), [part.size for part in parts]),
            self.segment,
            self.cell,
            self.refractory,
            np.zeros(size),
            np.zeros(size),
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
    """The synapses of one plastic list in the kernel's order: 12 bytes each (20 where on_post runs
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
            np.zeros(batch * pre if self.deferred else 0, np.int64),
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


_LEVELS = ("pre", "post", "synapse")
_NONE = np.zeros(0, np.int32)
_NO_SYNAPSES = Static(_NONE, _NONE, np.zeros(0), _NONE)
_BLOCK = 256
"""Neurons and trials that are updated before one looks whether any is close to its threshold."""
_EVENTS = (8, 32)
"""Postsynaptic spikes that an owner may write down before synapses must catch up: the more, the
fewer owners there are, so that all lists together stay in a cache of `_LISTS` bytes."""
_LISTS = 2**21
_TABLE = 8192
"""Steps for which the decay of traces is tabulated; after more, it is computed."""


def _inputs(plan: Plan, drives: Sequence[Drive]) -> tuple[Index, Index, Index]:
    """All input spikes, ordered by step: (steps, sources, trials)."""
    given = [
        (event_steps, sources, plan.sources[name][0], b)
        for b, drive in enumerate(drives)
        for name, (event_steps, sources) in drive.events.items()
    ]
    if not given:
        return (np.zeros(0, np.int64), *np.zeros((2, 0), np.int32))
    at, who, first, trial = zip(*given, strict=True)
    counts = [steps.size for steps in at]
    all_steps = np.concatenate(at)
    order = slice(None) if len(given) == 1 else np.argsort(all_steps, kind="stable")
    sources = (np.concatenate(who) + np.repeat(first, counts))[order].astype(np.int32)
    trials = np.repeat(trial, counts)[order].astype(np.int32)
    return all_steps[order], sources, trials


def _first(steps: Index, start: int, stop: int) -> Index:
    """Where the inputs of each step from start to stop begin, and where the last end."""
    first, end = np.searchsorted(steps, [start, stop])
    counts = np.bincount(steps[first:end] - start, minlength=stop - start)
    begin: Index = first + np.concatenate([[0], np.cumsum(counts)])
    return begin


def _waves(plan: Plan, drives: Sequence[Drive]) -> tuple[Array, Index]:
    """Injected currents as columns, and the column of each neuron and trial; 0 is no current."""
    columns: list[Array] = []
    at: dict[int, int] = {}  # trials may share a wave
    channel = np.zeros((plan.neurons, len(drives)), np.int64)
    width = 1
    for b, drive in enumerate(drives):
        for population, wave in drive.currents.items():
            if id(wave) not in at:
                at[id(wave)] = width
                columns.append(wave)
                width += wave.shape[1]
            start, size = plan.sources[population]
            channel[start : start + size, b] = at[id(wave)] + np.arange(size) % wave.shape[1]
    if not columns:
        return np.zeros((1, 1)), channel
    return _beside(columns), channel


def _signals(drives: Sequence[Drive]) -> tuple[Array, list[dict[str, tuple[int, int]]]]:
    """Third factors as columns, and the first column and width of each by trial; column 0 is 0."""
    columns: list[Array] = []
    at: list[dict[str, tuple[int, int]]] = []
    width = 1
    for drive in drives:
        at.append({})
        for name, wave in drive.signals.items():
            at[-1][name] = (width, wave.shape[1])
            columns.append(wave)
            width += wave.shape[1]
    if not columns:
        return np.zeros((1, 1)), at
    return _beside(columns), at


def _beside(columns: list[Array]) -> Array:
    """A column of zeros and these, as rows in memory whatever the order of theirs."""
    return np.ascontiguousarray(np.concatenate([np.zeros((len(columns[0]), 1)), *columns], axis=1))


def _noise(plan: Plan, drives: Sequence[Drive]) -> list[Any]:
    """Key and amplitude of the noise of each neuron and trial, and room for samples of two steps;
    empty where there is none."""
    size = plan.neurons * len(drives) if any(drive.noise for drive in drives) else 0
    key, amplitude = np.zeros(size, np.uint64), np.zeros(size)
    if size:
        keys, amplitudes = key.reshape(plan.neurons, -1), amplitude.reshape(plan.neurons, -1)
        for b, drive in enumerate(drives):
            for population, noise in drive.noise.items():
                start, count = plan.sources[population]
                keys[start : start + count, b] = noise.keys
                amplitudes[start : start + count, b] = noise.amplitude
    return [key, amplitude, np.zeros((2, size), np.uint32)]


def _batch(step: Callable[..., int], shared: _Shared, trials: range) -> None:
    """Run some trials side by side."""
    plan, job, batch = shared.plan, shared.job, len(trials)
    drives = job.drives[trials.start : trials.stop]
    columns = [len(c) * batch for c in shared.states] + [len(c) * batch for c in shared.weights]
    chunk = job.chunk(sum(columns))
    traces = [np.empty((-(-chunk // job.every), width)) for width in columns]
    input_steps, *inputs = _inputs(plan, drives)
    wave, channel = _waves(plan, drives)
    signal, signal_at = _signals(drives)
    closest = np.full(shared.cells * batch, np.inf)
    memory = np.zeros(shared.begin[-1] * batch, shared.real)  # the state of all groups
    pending = np.zeros((shared.depth, plan.slots * batch), shared.real)
    fixed: list[Any] = [*inputs, wave, memory, pending, closest]
    fixed += [np.zeros(_BLOCK), signal, *_noise(plan, drives)]
    states, weights = [], []
    for g, arrays in enumerate(shared.groups):
        state = memory[shared.begin[g] * batch : shared.begin[g + 1] * batch]
        states.append(state.reshape(len(arrays.initial), -1))
        states[g][:] = np.repeat(arrays.initial, batch, axis=1)
        first = arrays.group.start
        column = channel[first : first + arrays.group.size].reshape(-1)
        fixed += arrays.arguments(states[g], column, shared.states[g], traces[g])
    for r, plastic in enumerate(shared.plastic):
        trace = traces[len(shared.groups) + r]
        arguments = plastic.arguments(signal_at, shared.weights[r], trace)
        weights.append(arguments[4].reshape(batch, -1))
        fixed += arguments
    longest = shared.longest
    first_spike = np.zeros(longest + chunk + 1, np.int64)
    spikes = trial = np.zeros(0, np.int32)
    room = 16 * plan.neurons * batch + 1024
    k = 0
    while k < job.steps:
        stop = min(k + chunk, job.steps)
        first_input = _first(input_steps, k, stop)
        kept = int(first_spike[longest])  # spikes that may still be on their way
        needed = kept + int(first_input[-1] - first_input[0]) + room
        if needed > spikes.size:
            spikes, trial = (
                np.concatenate([a[:kept], np.empty(needed - kept, np.int32)])
                for a in (spikes, trial)
            )
        reached = step(
            k, stop, job.dt, job.every, batch,
            spikes, trial, first_spike, k - longest, first_input, *fixed,
        )  # fmt: skip
        if reached < stop:
            room *= 2
        begin = first_spike[longest : longest + reached - k + 1]
        new = slice(int(begin[0]), int(begin[-1]))
        steps = np.repeat(np.arange(k, reached), np.diff(begin))
        _hand_over_spikes(shared, trials, trial[new], steps, spikes[new])
        _hand_over_samples(shared, trials, job.rows_in(k, reached), traces)
        # What is within the longest delay of the next step moves to the front
        begin = first_spike[reached - k : reached - k + longest + 1]
        old = int(begin[0])
        for a in (spikes, trial):
            a[: new.stop - old] = a[old : new.stop]
        first_spike[: longest + 1] = begin - old
        job.tick((reached - k) * batch)
        k = reached
    for group, state in zip(plan.groups, states, strict=True):
        for b in range(batch):
            check_finite(plan, group, state[:, b::batch])
    final = {
        name: weights[r][:, shared.plastic[r].places(members)]
        for name, (r, members) in plan.plastic_at.items()
    }
    shared.recorder.end(trials, final, closest)


def _hand_over_spikes(
    shared: _Shared, trials: range, trial: Index, steps: Index, found: Index
) -> None:
    for population in shared.plan.circuit.populations:
        start, size = shared.plan.sources[population.name]
        mine = (found >= start) & (found < start + size)
        neurons = found[mine] - start
        shared.recorder.spikes(population.name, trials, trial[mine], steps[mine], neurons)


def _hand_over_samples(shared: _Shared, trials: range, rows: range, traces: list[Array]) -> None:
    def samples(trace: Array, part: slice) -> Array:
        """(trials, rows, columns of the part)"""
        made = trace[: len(rows)].reshape(len(rows), trace.shape[1] // len(trials), len(trials))
        return made[:, part].transpose(2, 0, 1)

    for (population, variable), (g, part) in shared.state_columns.items():
        shared.recorder.state(population, variable, trials, rows, samples(traces[g], part))
    for name, (r, part) in shared.weight_columns.items():
        trace = traces[len(shared.groups) + r]
        shared.recorder.weights(name, trials, rows, samples(trace, part))
