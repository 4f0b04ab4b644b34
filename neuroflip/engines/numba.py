"""The compiled engine: one generated kernel, cached on disk, run for batches of trials.

Synapses are sparse and event-driven; nothing is allocated inside the time loop. A batch is as
many trials as keep the state of their neurons in the processor's cache; batches run in threads.
"""

import dataclasses
import functools
import hashlib
import importlib.util
import itertools
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from neuroflip import files
from neuroflip.circuit import Array, Index
from neuroflip.engines import kernel
from neuroflip.engines.job import Job, Trial
from neuroflip.engines.plan import Group, Plan, Plastic, Static, check_finite, make_plan
from neuroflip.inputs import Drive

_CHUNK = 20_000  # steps between two looks at progress and interruption
_NEURONS = 4096  # of a batch: their state stays in a second-level cache
_SYNAPSES = 32_768  # plastic ones of a batch, likewise


def run(job: Job, *, threads: int = 1) -> list[Trial]:
    """Simulate every trial. threads: how many batches of trials run at the same time."""
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"threads must be a whole number, at least 1; got {threads!r}.")
    shared = _Shared(make_plan(job.circuit, job.dt), job)
    step = _kernel(
        kernel.kernel_source(
            [arrays.group.model for arrays in shared.groups],
            shared.rules,
            noise=any(drive.noise for drive in job.drives),
        )
    )
    synapses = sum(p.owner.size for p in shared.plastic)
    many = len(job.drives)
    fitting = min(_NEURONS // max(shared.plan.neurons, 1), _SYNAPSES // max(synapses, 1))
    size = max(1, min(fitting, -(-many // threads)))
    batches = [job.drives[i : i + size] for i in range(0, many, size)]
    if threads == 1 or len(batches) == 1:
        done = [_batch(step, shared, drives) for drives in batches]
    else:
        with ThreadPoolExecutor(threads) as pool:
            done = list(pool.map(functools.partial(_batch, step, shared), batches))
    return [trial for batch in done for trial in batch]


@functools.cache
def _kernel(source: str) -> Callable[..., int]:
    """The compiled kernel of this text; the text's hash names its file."""
    digest = hashlib.sha256(source.encode()).hexdigest()[:20]
    path = files.cache_folder("kernels") / f"kernel_{digest}.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    # numba's cache is keyed by the file's time stamp, so an existing file is left untouched
    if not path.exists() or path.read_text() != source:
        with files.replacing(path) as temporary:
            temporary.write_text(source)
    spec = importlib.util.spec_from_file_location(f"neuroflip_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # numba's cache looks the kernel's module up by its name
    spec.loader.exec_module(module)
    return module.run  # type: ignore[no-any-return]


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

    def __init__(self, plan: Plan, job: Job) -> None:
        self.job = job
        # The plan without the synapses, which are not needed twice
        self.plan = dataclasses.replace(plan, static=_NO_SYNAPSES, plastic=())
        self.rules = [(p.model, p.group) for p in plan.plastic]
        self.groups = [_GroupArrays(plan, group) for group in plan.groups]
        sizes = [arrays.initial.size for arrays in self.groups]
        self.begin = np.concatenate([[0], np.cumsum(sizes)]).tolist()
        target = self._targets(plan)
        self.plastic = [_PlasticArrays(plan, p, job.dt, target) for p in plan.plastic]
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

    def __init__(self, plan: Plan, group: Group) -> None:
        model = group.model
        self.group = group
        refractory = np.maximum(group.refractory, 1)  # the step of the spike itself always is
        columns = np.stack([*(group.constants[c] for c in model.needed_constants()), refractory])
        new = np.any(columns[:, 1:] != columns[:, :-1], axis=0)
        begin = np.concatenate([[0], np.flatnonzero(new) + 1])
        self.first = np.concatenate([begin, [group.size]]).astype(np.int64)
        self.segment = np.repeat(np.arange(begin.size, dtype=np.int32), np.diff(self.first))
        self.constants = np.ascontiguousarray(columns[:-1, begin].T)
        self.refractory = np.ascontiguousarray(columns[-1, begin])
        self.initial = np.stack([group.initial[v] for v in model.variables])
        self.slots = np.array([group.slots[r] for r in model.receptors], dtype=np.int64)
        self.static: list[Any] = []
        for first_slot in self.slots:
            self.static += _static(plan.static, int(first_slot), group.size, plan.source_count)

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
            self.refractory,
            np.zeros(size),
            np.zeros(size),
            np.ascontiguousarray(channel),
            self.slots,
            listed.reshape(-1, 2),
            trace,
            *self.static,
        ]


def _static(static: Static, first_slot: int, size: int, sources: int) -> list[Any]:
    """Static synapses onto `size` neurons from a slot on: delays, first, targets, weights."""
    here = (static.slot >= first_slot) & (static.slot < first_slot + size)
    if not here.any():
        none = np.zeros(0, np.int64)
        return [none, np.zeros((0, sources + 1), np.int64), np.zeros(0, np.int32), np.zeros(0)]
    pre, slot, weight, delay = static.pre, static.slot, static.weight, static.delay
    if not here.all():
        pre, slot, weight, delay = pre[here], slot[here], weight[here], delay[here]
    instance = np.broadcast_to(np.int32(0), pre.shape)
    order, _, delays, _, first = _buckets(delay, instance, pre, sources)
    target = _ordered(slot, order, np.int32) - np.int32(first_slot)
    return [delays.astype(np.int64), first, target, _ordered(weight, order, np.float64)]


class _PlasticArrays:
    """The synapses of one plastic list in the kernel's order: 12 bytes each (20 where on_post runs
    at once), 4 for their place, 8 for a batch's weights, and the variables that a rule keeps for
    each; the rest is kept once an owner."""

    def __init__(self, plan: Plan, p: Plastic, dt: float, target: Index) -> None:
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
        self.weight = _ordered(p.weight, order, np.float64)
        names = kernel.parameter_names(p.model)
        instances = p.first.size
        self.parameters = np.zeros((instances, len(names)))
        for j, name in enumerate(names):
            self.parameters[:, j] = p.parameters[name]
        self.decay = np.ones((instances, len(p.model.variables)))
        for j, variable in enumerate(p.model.variables):
            if variable in p.model.decay:
                self.decay[:, j] = np.exp(-dt / p.parameters[p.model.decay[variable]])
        decays = {v: p.parameters[tau] for v, tau in p.model.decay.items()}
        constants = np.unique(np.concatenate([np.zeros(0), *decays.values()]))
        self.table = np.exp(-np.arange(_TABLE) * dt / constants[:, None])
        self.row = np.zeros((instances, len(p.model.variables)), np.int64)
        for variable, taus in decays.items():
            j = p.model.variables.index(variable)
            self.row[:, j] = np.searchsorted(constants, taus)
        self.kept = {level: kernel.variables_at(p.model, level) for level in _LEVELS}
        self.deferred, self.noted = kernel.deferred(p.model), len(kernel.noted(p.model))
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
        batch, size = len(signals), self.owner.size
        listed = np.array(record, dtype=np.int64)
        pre, post = self.owners
        return [
            self.parameters,
            self.decay,
            self.table,
            self.row,
            np.tile(self.weight, batch),
            np.zeros((batch * size if self.kept["synapse"] else 0, len(self.kept["synapse"]))),
            np.zeros(batch * size if self.lazy else 0, np.int64),
            np.zeros((len(self.kept["pre"]), batch * pre)),
            np.zeros(batch * pre if self.kept["pre"] else 0, np.int64),
            np.zeros(batch * pre if self.deferred else 0, np.int64),
            np.zeros((len(self.kept["post"]), batch * post)),
            np.full(batch * post if self.deferred or self.kept["post"] else 0, -1, np.int64),
            np.zeros(batch * post if self.deferred else 0, np.int32),
            np.zeros((batch * post if self.deferred else 0, _EVENTS), np.int32),
            np.zeros((self.noted, batch * post if self.deferred else 0, _EVENTS)),
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
_EVENTS = 32
"""Postsynaptic spikes that an owner may write down before synapses must catch up."""
_TABLE = 4096
"""Steps for which the decay of traces is tabulated; after more, it is computed."""


def _inputs(plan: Plan, drives: Sequence[Drive], steps: int) -> tuple[Index, Index, Index]:
    """All input spikes by step: (sources, trials, first of each step)."""
    none = np.zeros(0, np.int64)
    at, who, trial = [none], [none], [none]
    for b, drive in enumerate(drives):
        for name, (event_steps, sources) in drive.events.items():
            at.append(event_steps)
            who.append(sources + plan.sources[name][0])
            trial.append(np.full(event_steps.size, b))
    all_steps = np.concatenate(at)
    order = np.argsort(all_steps, kind="stable")
    first = np.concatenate([[0], np.cumsum(np.bincount(all_steps, minlength=steps))])
    who_sorted = np.concatenate(who)[order].astype(np.int32)
    return who_sorted, np.concatenate(trial)[order].astype(np.int32), first


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
    return np.concatenate([np.zeros((len(columns[0]), 1)), *columns], axis=1), channel


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
    return np.concatenate([np.zeros((len(columns[0]), 1)), *columns], axis=1), at


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
    return [key, amplitude, np.zeros((2, size))]


def _batch(step: Callable[..., int], shared: _Shared, drives: Sequence[Drive]) -> list[Trial]:
    plan, job, batch = shared.plan, shared.job, len(drives)
    state_traces = [np.empty((job.rows, len(c) * batch)) for c in shared.states]
    weight_traces = [np.empty((job.rows, len(c) * batch)) for c in shared.weights]
    input_spikes, input_trials, first_input = _inputs(plan, drives, job.steps)
    wave, channel = _waves(plan, drives)
    signal, signal_at = _signals(drives)
    first_spike = np.zeros(job.steps + 1, np.int64)
    closest = np.full(batch, np.inf)
    memory = np.zeros(shared.begin[-1] * batch)  # the state of all groups
    pending = np.zeros((shared.depth, plan.slots * batch))
    fixed: list[Any] = [input_spikes, input_trials, first_input, wave, memory, pending, closest]
    fixed += [np.zeros(_BLOCK), signal, *_noise(plan, drives)]
    states, weights = [], []
    for g, arrays in enumerate(shared.groups):
        state = memory[shared.begin[g] * batch : shared.begin[g + 1] * batch]
        states.append(state.reshape(len(arrays.initial), -1))
        states[g][:] = np.repeat(arrays.initial, batch, axis=1)
        first = arrays.group.start
        column = channel[first : first + arrays.group.size].reshape(-1)
        fixed += arrays.arguments(states[g], column, shared.states[g], state_traces[g])
    for r, plastic in enumerate(shared.plastic):
        arguments = plastic.arguments(signal_at, shared.weights[r], weight_traces[r])
        weights.append(arguments[4].reshape(batch, -1))
        fixed += arguments
    spikes = np.empty(input_spikes.size + 16 * plan.neurons * batch + 1024, np.int32)
    trials = np.empty_like(spikes)
    k = 0
    while k < job.steps:
        stop = min(k + _CHUNK, job.steps)
        reached = step(k, stop, job.dt, job.every, batch, spikes, trials, first_spike, *fixed)
        if reached < stop:
            spikes = np.concatenate([spikes, np.empty_like(spikes)])
            trials = np.concatenate([trials, np.empty_like(trials)])
        job.tick((reached - k) * batch)
        k = reached
    for group, state in zip(plan.groups, states, strict=True):
        for b in range(batch):
            check_finite(plan, group, state[:, b::batch])
    found, trials = spikes[: first_spike[-1]], trials[: first_spike[-1]]
    steps = np.repeat(np.arange(job.steps), np.diff(first_spike))
    if batch > 1:
        order = np.argsort(trials, kind="stable")
        steps, found = steps[order], found[order]
    ends = np.cumsum(np.bincount(trials, minlength=batch))
    done = []
    for b, end in enumerate(ends):
        mine = slice(0 if b == 0 else ends[b - 1], end)
        done.append(
            Trial(
                _by_population(plan, steps[mine], found[mine]),
                {
                    key: state_traces[g][:, b::batch][:, part]
                    for key, (g, part) in shared.state_columns.items()
                },
                {
                    name: weights[r][b, shared.plastic[r].places(members)]
                    for name, (r, members) in plan.plastic_at.items()
                },
                {
                    name: weight_traces[r][:, b::batch][:, part]
                    for name, (r, part) in shared.weight_columns.items()
                },
                float(closest[b]),
            )
        )
    return done


def _by_population(plan: Plan, steps: Index, found: Index) -> dict[str, tuple[Index, Index]]:
    """Spikes as (steps, neurons) of each population."""
    parts = {}
    for population in plan.circuit.populations:
        start, size = plan.sources[population.name]
        mine = (found >= start) & (found < start + size)
        parts[population.name] = (steps[mine], found[mine].astype(np.int64) - start)
    return parts
