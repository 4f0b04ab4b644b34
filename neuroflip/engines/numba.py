"""The compiled engine: one generated kernel, cached on disk, run for each trial in its own thread.

Synapses are sparse and event-driven; nothing is allocated inside the time loop.
"""

import functools
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from neuroflip import files
from neuroflip.circuit import Array, Index
from neuroflip.engines import kernel
from neuroflip.engines.job import Job, Trial
from neuroflip.engines.plan import Group, Plan, Plastic, check_finite, make_plan
from neuroflip.inputs import Drive
from neuroflip.noise import Keys

_CHUNK = 20_000  # steps between two looks at progress and interruption


def run(job: Job, *, threads: int = 1) -> list[Trial]:
    """Simulate every trial. threads: how many trials run at the same time."""
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"threads must be a whole number, at least 1; got {threads!r}.")
    plan = make_plan(job.circuit, job.dt)
    step = _kernel(
        kernel.kernel_source(
            [g.model for g in plan.groups],
            [(p.model, p.group) for p in plan.plastic],
            noise=any(drive.noise for drive in job.drives),
        )
    )
    shared = _Shared(plan, job)
    if threads == 1 or len(job.drives) == 1:
        return [_trial(step, shared, drive) for drive in job.drives]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(functools.partial(_trial, step, shared), job.drives))


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
    delay: Index, instance: Index, source: Index, sources: int
) -> tuple[Index, Index, Index, Index]:
    """Order synapses by delay, rule instance and source.

    Returns (order, delay of each bucket, instance of each bucket, first[bucket, source]); the
    synapses of a source in a bucket are order[first[b, s]:first[b, s + 1]].
    """
    instances = int(instance.max(initial=0)) + 1
    kind = delay * instances + instance
    present = np.unique(kind)
    bucket = np.searchsorted(present, kind) if present.size > 1 else np.zeros_like(kind)
    flat = bucket * sources + source
    order = np.argsort(flat, kind="stable")  # quick where the synapses come sorted, as they do
    count = np.bincount(flat, minlength=present.size * sources).reshape(present.size, sources)
    first = np.zeros((present.size, sources + 1), np.int64)
    np.cumsum(count, axis=1, out=first[:, 1:])
    first += np.concatenate([[0], np.cumsum(count.sum(axis=1))[:-1]]).astype(np.int64)[:, None]
    return order, present // instances, present % instances, first


class _Shared:
    """What all trials read: synapses in the kernel's order, record lists."""

    def __init__(self, plan: Plan, job: Job) -> None:
        self.plan, self.job = plan, job
        static = plan.static
        order, delay, _, first = _buckets(
            static.delay, np.zeros_like(static.pre), static.pre, plan.source_count
        )
        self.static = (delay, first, static.slot[order].astype(np.int32), static.weight[order])
        self.plastic = [_PlasticArrays(plan, p, job.dt) for p in plan.plastic]
        self.depth = 1 + max((int(p.dendritic.max(initial=0)) for p in plan.plastic), default=0)
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
            self.weights[r] += self.plastic[r].position[members].tolist()
            self.weight_columns[name] = (r, slice(begin, len(self.weights[r])))


class _PlasticArrays:
    """The synapses of one plastic list in the kernel's order."""

    def __init__(self, plan: Plan, p: Plastic, dt: float) -> None:
        order, self.pre_delay, self.pre_instance, self.pre_first = _buckets(
            p.axonal, p.instance, p.pre, plan.source_count
        )
        self.order = order
        self.position = np.argsort(order)  # synapse in the plan's order -> in the kernel's
        post_order, self.post_delay, self.post_instance, self.post_first = _buckets(
            p.dendritic[order], p.instance[order], p.post[order], plan.neurons
        )
        self.post_synapse = post_order.astype(np.int32)
        self.weight = p.weight[order]
        self.slot = p.slot[order].astype(np.int32)
        self.dendritic = p.dendritic[order].astype(np.int32)
        names = kernel.parameter_names(p.model)
        instances = int(p.instance.max(initial=-1)) + 1
        self.parameters = np.zeros((instances, len(names)))
        for j, name in enumerate(names):
            self.parameters[:, j] = p.parameters[name][:instances]
        self.variables = len(p.model.variables)
        self.decay = np.ones((instances, self.variables))
        for j, variable in enumerate(p.model.variables):
            if variable in p.model.decay:
                self.decay[:, j] = np.exp(-dt / p.parameters[p.model.decay[variable]][:instances])
        reads = bool(p.model.reads)  # what few rules need takes no memory in the others
        self.member = p.member[order].astype(np.int32) if reads else np.zeros(0, np.int32)
        self.instance = p.instance[order].astype(np.int32) if p.model.continuous else self.member
        self.signals = [np.array(names)[p.instance[order]] for names in p.signals.values()]
        self.local = p.local[order]

    def columns(self, signals: Mapping[str, tuple[int, int]]) -> Index:
        """The column of each signal of each synapse among those of all signals."""
        rows = [np.zeros((0, self.local.size), np.int64)]
        for names in self.signals:
            row = np.zeros((1, self.local.size), np.int64)
            for name, (first, width) in signals.items():
                here = first + (self.local if width > 1 else 0)
                row[0] = np.where(names == name, here, row[0])
            rows.append(row)
        return np.concatenate(rows)

    def arguments(
        self, weight: Array, columns: Index, record: Index, trace: Array
    ) -> tuple[Any, ...]:
        """The kernel's arguments, as `kernel.rule_arguments` names them."""
        return (
            self.parameters,
            self.decay,
            weight,
            np.zeros((weight.size, self.variables)),
            np.zeros(weight.size, np.int64),
            self.slot,
            self.dendritic,
            self.member,
            self.instance,
            columns,
            self.pre_delay,
            self.pre_instance,
            self.pre_first,
            self.post_delay,
            self.post_instance,
            self.post_first,
            self.post_synapse,
            record,
            trace,
        )


def _group_arguments(group: Group, record: list[tuple[int, int]], trace: Array) -> tuple[Any, ...]:
    """The kernel's arguments, as `kernel.group_arguments` names them."""
    model = group.model
    constants = np.empty((len(model.needed_constants()), group.size))
    for j, name in enumerate(model.needed_constants()):
        constants[j] = group.constants[name]
    return (
        group.start,
        np.stack([group.initial[v] for v in model.variables]),
        constants,
        np.maximum(group.refractory, 1),  # the step of the spike itself is always refractory
        np.array([group.slots[r] for r in model.receptors], dtype=np.int64),
        np.array(record, dtype=np.int64).reshape(-1, 2),
        trace,
    )


def _inputs(plan: Plan, drive: Drive, steps: int) -> tuple[Index, Index]:
    """All input spikes by step: (sources, first of each step)."""
    at = [np.zeros(0, np.int64)]
    who = [np.zeros(0, np.int64)]
    for name, (event_steps, sources) in drive.events.items():
        at.append(event_steps)
        who.append(sources + plan.sources[name][0])
    all_steps = np.concatenate(at)
    order = np.argsort(all_steps, kind="stable")
    first = np.searchsorted(all_steps[order], np.arange(steps + 1))
    return np.concatenate(who)[order].astype(np.int32), first


def _waves(plan: Plan, drive: Drive) -> tuple[Array, Index]:
    """Injected currents as columns, and the column of each neuron; column 0 is no current."""
    if not drive.currents:
        return np.zeros((1, 1)), np.zeros(plan.neurons, np.int64)
    columns = [np.zeros((next(iter(drive.currents.values())).shape[0], 1))]
    channel = np.zeros(plan.neurons, np.int64)
    width = 1
    for population, wave in drive.currents.items():
        start, size = plan.sources[population]
        channel[start : start + size] = width + np.arange(size) % wave.shape[1]
        columns.append(wave)
        width += wave.shape[1]
    return np.concatenate(columns, axis=1), channel


def _signals(drive: Drive) -> tuple[Array, dict[str, tuple[int, int]]]:
    """Third factors as columns, and the first column and width of each; column 0 is 0."""
    if not drive.signals:
        return np.zeros((1, 1)), {}
    at, width = {}, 1
    for name, wave in drive.signals.items():
        at[name] = (width, wave.shape[1])
        width += wave.shape[1]
    waves = list(drive.signals.values())
    return np.concatenate([np.zeros((len(waves[0]), 1)), *waves], axis=1), at


def _noise(plan: Plan, drive: Drive) -> tuple[Keys, Array]:
    """Key and amplitude of the noise of each neuron; empty where there is none."""
    if not drive.noise:
        return np.zeros(0, np.uint64), np.zeros(0)
    key, amplitude = np.zeros(plan.neurons, np.uint64), np.zeros(plan.neurons)
    for population, noise in drive.noise.items():
        start, size = plan.sources[population]
        key[start : start + size], amplitude[start : start + size] = noise.keys, noise.amplitude
    return key, amplitude


def _trial(step: Callable[..., int], shared: _Shared, drive: Drive) -> Trial:
    plan, job = shared.plan, shared.job
    state_traces = [np.empty((job.rows, len(columns))) for columns in shared.states]
    weight_traces = [np.empty((job.rows, len(columns))) for columns in shared.weights]
    weights = [p.weight.copy() for p in shared.plastic]
    input_spikes, first_input = _inputs(plan, drive, job.steps)
    wave, channel = _waves(plan, drive)
    signal, signal_at = _signals(drive)
    first_spike = np.zeros(job.steps + 1, np.int64)
    margin = np.array([np.inf])
    fixed = (
        input_spikes,
        first_input,
        wave,
        channel,
        np.full(plan.neurons, -(10**9), np.int64),
        np.zeros((shared.depth, plan.slots)),
        margin,
        *shared.static,
        signal,
        *_noise(plan, drive),
    )
    parts: list[Any] = []
    for g, group in enumerate(plan.groups):
        parts += _group_arguments(group, shared.states[g], state_traces[g])
    for r, arrays in enumerate(shared.plastic):
        record = np.array(shared.weights[r], dtype=np.int64)
        columns = arrays.columns(signal_at)
        parts += arrays.arguments(weights[r], columns, record, weight_traces[r])
    spikes = np.empty(input_spikes.size + 16 * plan.neurons + 1024, np.int32)
    k = 0
    while k < job.steps:
        stop = min(k + _CHUNK, job.steps)
        reached = step(k, stop, job.dt, job.every, spikes, first_spike, *fixed, *parts)
        if reached < stop:
            spikes = np.concatenate([spikes, np.empty_like(spikes)])
        job.tick(reached - k)
        k = reached
    for g, group in enumerate(plan.groups):
        check_finite(plan, group, parts[len(kernel.group_arguments(g)) * g + 1])
    found = spikes[: first_spike[-1]].astype(np.int64)
    steps = np.repeat(np.arange(job.steps), np.diff(first_spike))
    by_population = {}
    for population in job.circuit.populations:
        start, size = plan.sources[population.name]
        mine = (found >= start) & (found < start + size)
        by_population[population.name] = (steps[mine], found[mine] - start)
    final = {}
    for name, (r, members) in plan.plastic_at.items():
        final[name] = weights[r][shared.plastic[r].position[members]]
    return Trial(
        by_population,
        {key: state_traces[g][:, part] for key, (g, part) in shared.state_columns.items()},
        final,
        {name: weight_traces[r][:, part] for name, (r, part) in shared.weight_columns.items()},
        float(margin[0]),
    )
