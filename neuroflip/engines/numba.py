"""The compiled engine: one generated kernel, cached on disk, run for batches of trials.

Synapses are sparse and event-driven; nothing is allocated inside the time loop. A batch is as
many trials as keep the state of their neurons in the processor's cache; batches run in threads.
So do the parts of one trial of a large network.
"""

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from neuroflip.circuit import Array, Index
from neuroflip.engines import kernel, machine_code
from neuroflip.engines.arrays import BLOCK, Shared
from neuroflip.engines.job import Job, Recorder
from neuroflip.engines.parts import Mask, split, whole, work
from neuroflip.engines.plan import Plan, check_finite, make_plan
from neuroflip.errors import nearest
from neuroflip.inputs import Drive

_NEURONS = 4096  # of a batch: their state stays in a second-level cache
_SYNAPSES = 32_768  # plastic ones of a batch, likewise
_WORK = 1e6
"""What a part must have to do in a step, by `work`, to be worth a thread: some 5 us."""
_CUT = 2e4
"""Work of a run for each synapse that repays cutting the network: some 25 nanoseconds each."""

_DTYPES: dict[str, Any] = {"float64": np.float64, "float32": np.float32}


def run(job: Job, *, threads: int = 1, dtype: str = "float64") -> Recorder:
    """Simulate every trial.

    threads: how many batches of trials run at the same time; or, of a single trial, how many parts
    of the network, where they have enough to do before one needs the spikes of another. dtype:
    "float64", or "float32", which keeps states, weights, traces and parameters in half the memory,
    to about seven digits.
    """
    if dtype not in _DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}; {nearest(str(dtype), _DTYPES)}")
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise ValueError(f"threads must be a whole number, at least 1; got {threads!r}.")
    recorder, many = Recorder(job), len(job.drives)
    parts = _parts(job, threads if many == 1 else 1, _DTYPES[dtype])
    neurons, synapses = parts[0].plan.neurons, sum(r.owner.size for r in parts[0].plastic)
    fitting = min(_NEURONS // max(neurons, 1), _SYNAPSES // max(synapses, 1))
    size = max(1, min(fitting, -(-many // threads)))
    batches = [range(i, min(i + size, many)) for i in range(0, many, size)]
    source = kernel.kernel_source(
        tuple(arrays.group.model for arrays in parts[0].groups),
        tuple(parts[0].rules),
        currents=any(drive.currents for drive in job.drives),
        noise=any(drive.noise for drive in job.drives),
        parts=len(parts) > 1,
    )
    batch = functools.partial(_batch, source, parts, recorder)
    if threads == 1 or many == 1:
        for trials in batches:
            batch(trials)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(batch, batches))
    return recorder


def _parts(job: Job, most: int, real: Any) -> list[Shared]:
    """A circuit in up to so many parts."""
    plan = make_plan(job.circuit, job.dt)
    cost, number = work(plan), 1
    synapses = plan.static.pre.size + sum(p.pre.size for p in plan.plastic)
    if job.steps * cost.sum() >= _CUT * synapses:
        number = max(1, min(most, plan.neurons, int(cost.sum() / _WORK)))
    if number == 1:
        return [Shared(whole(plan), job, real)]
    return [Shared(part, job, real) for part in split(plan, cost, number)]


class _Given(NamedTuple):
    """The inputs of some trials: spikes in the order of steps, currents and signals as columns,
    the column of the current of each neuron and trial, the first column and the width of each
    signal of each trial."""

    steps: Index
    spikes: Index
    trials: Index
    wave: Array
    channel: Index
    signal: Array
    signal_at: list[dict[str, tuple[int, int]]]

    @classmethod
    def of(cls, plan: Plan, drives: Sequence[Drive]) -> "_Given":
        return cls(*_inputs(plan, drives), *_waves(plan, drives), *_signals(drives))


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


def _noise(shared: Shared, drives: Sequence[Drive]) -> list[Any]:
    """Key and amplitude of the noise of each neuron and trial, and room for samples of two steps;
    empty where there is none."""
    before = np.cumsum([0, *(arrays.group.size for arrays in shared.groups)])
    size = int(before[-1]) * len(drives) if any(drive.noise for drive in drives) else 0
    key, amplitude = np.zeros(size, np.uint64), np.zeros(size)
    if size:
        keys, amplitudes = key.reshape(-1, len(drives)), amplitude.reshape(-1, len(drives))
        for b, drive in enumerate(drives):
            for population, noise in drive.noise.items():
                g, first, members = shared.members(population)
                begin = before[g] + first
                here = slice(begin, begin + members.stop - members.start)
                keys[here, b] = noise.keys[members]
                amplitudes[here, b] = noise.amplitude
    return [key, amplitude, np.zeros((2, size), np.uint32)]


class _Board(NamedTuple):
    """Where parts of a network tell each other their spikes: (2, parts, groups and neurons), and at
    how many meetings they have arrived, all counted."""

    spikes: Index
    arrived: Index

    @classmethod
    def of(cls, plan: Plan, parts: int) -> "_Board":
        width = -(-(len(plan.groups) + plan.neurons) // 16) * 16  # whole lines of the cache
        spikes = np.zeros((2, parts, width if parts > 1 else 0), np.int32)
        return cls(spikes, machine_code.aligned(8, np.int64))

    @contextmanager
    def released(self) -> Iterator[None]:
        """Where it fails within, no other part waits for this one."""
        try:
            yield
        except BaseException:
            self.arrived[0] = 2**62
            raise


class _Lane:
    """Some trials of a part: their state, the spikes of all neurons, the call of the kernel."""

    def __init__(
        self,
        source: machine_code.Source,
        shared: Shared,
        trials: range,
        given: "_Given",
        chunk: int,
        longest: int,
        mine: int,
        board: "_Board",
    ) -> None:
        """chunk: the most steps between two hand-overs. longest: for how many steps spikes are
        kept. mine: the number of the part."""
        self.shared, self.longest, self.oldest = shared, longest, -longest
        self._board = board
        job, batch, real = shared.job, len(trials), shared.real
        self.batch = batch
        drives = job.drives[trials.start : trials.stop]
        rows = -(-chunk // job.every)
        self.traces = [np.empty((rows, width * batch)) for width in shared.widths]
        self.closest = np.full(shared.cells * batch, np.inf)
        memory = machine_code.aligned(shared.begin[-1] * batch, real)  # the state of all groups
        self.first_spike = np.zeros(longest + chunk + 1, np.int64)
        self.spikes = self.trial = np.zeros(0, np.int32)
        key, amplitude, noise = _noise(shared, drives)
        arguments: dict[str, Any] = {
            "base": 0, "start": 0, "stop": 0, "end": job.steps,
            "dt": job.dt, "every": job.every, "batch": batch,
            "spikes": self.spikes, "trials": self.trial, "first_spike": self.first_spike,
            "oldest": 0, "first_input": np.zeros(0, np.int64),
            "input_spikes": given.spikes, "input_trials": given.trials,
            "wave": given.wave, "memory": memory,
            "pending": np.zeros((shared.depth, shared.plan.slots * batch), real),
            "closest": self.closest, "distance": machine_code.aligned(BLOCK),
            "signal": given.signal,
            "noise_key": key, "noise_amplitude": amplitude, "noise": noise,
            "mine": mine, "board": board.spikes, "arrived": board.arrived,
        }  # fmt: skip
        self.states: list[Array] = []
        self.weights: list[Array] = []
        for g, arrays in enumerate(shared.groups):
            state = memory[shared.begin[g] * batch : shared.begin[g + 1] * batch]
            self.states.append(state.reshape(len(arrays.initial), -1))
            self.states[g][:] = np.repeat(arrays.initial, batch, axis=1)
            first = arrays.group.start
            column = given.channel[first : first + arrays.group.size].reshape(-1)
            names = kernel.group_arguments(g, arrays.group.model)
            record, trace = shared.states[g], self.traces[g]
            values = arrays.arguments(batch, self.states[g], column, record, trace)
            arguments |= zip(names, values, strict=True)
        for r, plastic in enumerate(shared.plastic):
            trace = self.traces[len(shared.groups) + r]
            values = plastic.arguments(given.signal_at, shared.weights[r], trace)
            arguments |= zip(kernel.rule_arguments(r), values, strict=True)
            self.weights.append(arguments[f"r{r}_weight"].reshape(batch, -1))
        self._call = machine_code.Call(source, arguments)

    def begin(self, k: int, first_input: Index, room: int) -> None:
        """A chunk begins at step k, with these inputs, and room for so many spikes."""
        self.oldest = k - self.longest
        self._call.give(base=k, oldest=self.oldest, first_input=first_input)
        kept = int(self.first_spike[self.longest])  # that may still be on their way
        self.reserve(kept, kept + int(first_input[-1] - first_input[0]) + room)

    def reserve(self, kept: int, size: int) -> None:
        """Room for so many spikes; the first ones are kept."""
        if size > self.spikes.size:
            self.spikes, self.trial = (
                np.concatenate([a[:kept], np.empty(size - kept, np.int32)])
                for a in (self.spikes, self.trial)
            )
            self._call.give(spikes=self.spikes, trials=self.trial)

    def advance(self, start: int, stop: int) -> None:
        """Steps start to stop - 1."""
        with self._board.released():
            while start < stop:
                self._call.give(start=start, stop=stop)
                start = self._call()
                if start < stop:  # for want of room
                    self.reserve(int(self.first_spike[start - self.oldest]), 2 * self.spikes.size)

    def between(self, start: int, stop: int) -> tuple[Index, Index, Index]:
        """The spikes of steps start to stop - 1: steps, sources, trials."""
        ends = self.first_spike[start - self.oldest : stop - self.oldest + 1]
        here = slice(int(ends[0]), int(ends[-1]))
        return np.repeat(np.arange(start, stop), np.diff(ends)), self.spikes[here], self.trial[here]

    def drop(self, k: int) -> None:
        """What is within the longest delay of step k moves to the front."""
        begin = self.first_spike[k - self.longest - self.oldest : k - self.oldest + 1]
        old, new = int(begin[0]), int(begin[-1])
        for a in (self.spikes, self.trial):
            a[: new - old] = a[old:new]
        self.first_spike[: self.longest + 1] = begin - old

    def samples(self, which: tuple[str, str] | str, rows: int) -> "_Piece":
        """What was recorded of a state or of weights, (trials, rows, size)."""
        n, columns, members = (
            self.shared.weight_columns[which]
            if isinstance(which, str)
            else self.shared.state_columns[which]
        )
        trace = self.traces[n + len(self.shared.groups) * isinstance(which, str)][:rows]
        made = trace.reshape(rows, trace.shape[1] // self.batch, self.batch)
        return made[:, columns].transpose(2, 0, 1), members

    def final(self, projection: str) -> "_Piece":
        """Weights at the end, (trials, synapses)."""
        r, members = self.shared.plan.plastic_at[projection]
        places = self.shared.plastic[r].places(members)
        return self.weights[r][:, places], self.shared.synapses[projection]


_Piece = tuple[Array, Mask | slice]
"""Values of a part, and which of all members these are, along the last axis."""


def _whole(pieces: Sequence[_Piece]) -> Array:
    """The values of all parts together."""
    if len(pieces) == 1:
        return pieces[0][0]
    size = sum(values.shape[-1] for values, _ in pieces)
    result = np.empty((*pieces[0][0].shape[:-1], size))
    for values, members in pieces:
        result[..., members] = values
    return result


def _batch(
    source: machine_code.Source,
    parts: list[Shared],
    recorder: Recorder,
    trials: range,
) -> None:
    """Run some trials side by side, several parts in a thread each."""
    job, plan = parts[0].job, parts[0].plan
    given = _Given.of(plan, job.drives[trials.start : trials.stop])
    columns = sum(sum(part.widths) for part in parts) * len(trials)
    chunk, longest = job.chunk(columns), max(part.longest for part in parts)
    board = _Board.of(plan, len(parts))
    lanes = [
        _Lane(source, part, trials, given, chunk, longest, n, board) for n, part in enumerate(parts)
    ]
    room = 16 * plan.neurons * len(trials) + 1024
    with ThreadPoolExecutor(len(lanes)) if len(lanes) > 1 else nullcontext() as pool:
        for k in range(0, job.steps, chunk):
            stop = min(k + chunk, job.steps)
            first_input = _first(given.steps, k, stop)
            for lane in lanes:
                lane.begin(k, first_input, room)
            with board.released():
                others = [pool.submit(lane.advance, k, stop) for lane in lanes[1:]] if pool else []
                lanes[0].advance(k, stop)
            for other in others:
                other.result()
            _hand_over(recorder, lanes, trials, k, stop)
            for lane in lanes:
                lane.drop(stop)
            job.tick((stop - k) * len(trials))
    for lane in lanes:
        for group, state in zip(lane.shared.plan.groups, lane.states, strict=True):
            for b in range(len(trials)):
                check_finite(plan, group, state[:, b :: len(trials)])
    final = {name: _whole([lane.final(name) for lane in lanes]) for name in plan.plastic_at}
    recorder.end(trials, final, np.minimum.reduce([lane.closest for lane in lanes]))


def _hand_over(
    recorder: Recorder, lanes: list[_Lane], trials: range, start: int, stop: int
) -> None:
    """What happened in steps start to stop - 1."""
    plan, job = lanes[0].shared.plan, lanes[0].shared.job
    steps, found, trial = lanes[0].between(start, stop)
    for population in plan.circuit.populations:
        first, size = plan.sources[population.name]
        mine = (found >= first) & (found < first + size)
        recorder.spikes(population.name, trials, trial[mine], steps[mine], found[mine] - first)
    rows = job.rows_in(start, stop)
    for population_name, variable in job.states:
        values = _whole([lane.samples((population_name, variable), len(rows)) for lane in lanes])
        recorder.state(population_name, variable, trials, rows, values)
    for name in job.weights:
        values = _whole([lane.samples(name, len(rows)) for lane in lanes])
        recorder.weights(name, trials, rows, values)
