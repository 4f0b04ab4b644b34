"""What an engine is asked for and what it gives back.

An engine is a module with a function

    run(job: Job, **options) -> Recorder

whose keyword options, with their defaults, are the engine's own. It makes the job's `Recorder`
and hands over what happened, in pieces while it runs or all at the end.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np

from neuroflip.circuit import Array, Circuit, Index
from neuroflip.inputs import Drive

_STEPS = 20_000  # between two looks at progress and interruption
_BUFFER = 2**26  # bytes of recorded samples and of spikes that are handed over at once


class Place(Protocol):
    """Where a recorder keeps what it is handed: in memory, or in a file."""

    def array(self, field: str, name: str, shape: tuple[int, ...], kind: type) -> Any:
        """A new array for `Recording.field[name]`, to be filled by assignment to its slices."""

    def put_aside(self, values: Index) -> Any:
        """Keep values until the end of the run; returns what `fetch` takes."""

    def fetch(self, kept: Any, part: slice) -> Index:
        """Part of what was put aside."""


class Memory:
    """Arrays in memory."""

    def array(self, field: str, name: str, shape: tuple[int, ...], kind: type) -> Any:
        return np.empty(shape, kind)

    def put_aside(self, values: Index) -> Any:
        return values

    def fetch(self, kept: Any, part: slice) -> Index:
        chosen: Index = kept[part]
        return chosen


@dataclass(frozen=True)
class Job:
    """One simulation: `steps` steps of `dt` (s) for each drive (trial).

    states: (population, variable) pairs and weights: projection names to record at the start of
    every `every`-th step. tick: called with a number of finished steps (of one trial) since the
    last call; an interruption is raised from it. place: where the recorder keeps what it gets.
    cells: population -> the number of its circuit, where several are run side by side.
    """

    circuit: Circuit
    drives: list[Drive]
    steps: int
    dt: float
    states: tuple[tuple[str, str], ...]
    weights: tuple[str, ...]
    every: int
    tick: Callable[[int], None] = field(default=lambda steps: None)
    place: Place = field(default_factory=Memory)
    cells: Mapping[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Number of recorded samples."""
        return -(-self.steps // self.every)

    def rows_in(self, start: int, stop: int) -> range:
        """The samples that are recorded in steps start to stop - 1."""
        return range(-(-start // self.every), -(-stop // self.every))

    def chunk(self, columns: int) -> int:
        """Steps after which an engine that runs in chunks hands over what it holds.

        columns: how many numbers it records in a sample.
        """
        rows = max(1, _BUFFER // (8 * max(columns, 1)))
        return min(_STEPS, self.steps, rows * self.every)


_Spikes = tuple[Index, Index, Index]  # steps, neurons, trials
_SPIKE = 24  # bytes of one


class _Piece(NamedTuple):
    """Spikes of some trials over some steps, put aside by trial, then time.

    ends: where those of each trial end.
    """

    trials: range
    ends: Index
    steps: Any
    neurons: Any


class Recorder:
    """Takes what an engine records and makes of it the arrays of a `Recording`.

    Every method takes what a range of trials did; threads may call it for different trials. The
    pieces of one trial come in the order of time.
    """

    def __init__(self, job: Job) -> None:
        self._job, self._place = job, job.place
        # One trial is recorded without an axis of trials
        self._axis = (len(job.drives),) if len(job.drives) > 1 else ()
        circuit, sizes = job.circuit, job.circuit.sizes()
        plastic = {p.name: p for p in circuit.projections if p.rule.plastic}
        synapses = {name: circuit.synapses(plastic[name]).pre.size for name in job.weights}
        self._traces = {
            (p, v): self._array("traces", f"{p}.{v}", job.rows, sizes[p]) for p, v in job.states
        }
        self._history = {
            n: self._array("weight_history", n, job.rows, synapses[n]) for n in job.weights
        }
        self._pieces: dict[str, list[_Piece]] = {p.name: [] for p in circuit.populations}
        self._weights: dict[str, list[tuple[range, Array]]] = {name: [] for name in plastic}
        self.margins: list[list[float]] = []
        """Of each trial that an engine can tell it of, for each circuit: see `end`."""

    def state(
        self, population: str, variable: str, trials: range, rows: range, values: Any
    ) -> None:
        """Samples of a recorded state, (trials, rows, size)."""
        self._fill(self._traces[population, variable], trials, rows, values)

    def weights(self, projection: str, trials: range, rows: range, values: Any) -> None:
        """Samples of recorded weights, (trials, rows, synapses)."""
        self._fill(self._history[projection], trials, rows, values)

    def spikes(
        self, population: str, trials: range, trial: Index, steps: Index, neurons: Index
    ) -> None:
        """Spikes, in the order of time, then neuron. trial: of each, counted within `trials`."""
        if steps.size == 0:
            return
        ends = np.cumsum(np.bincount(trial, minlength=len(trials)))
        if len(trials) > 1:
            order = np.argsort(trial, kind="stable")
            steps, neurons = steps[order], neurons[order]
        aside = [self._place.put_aside(np.ascontiguousarray(v, np.int64)) for v in (steps, neurons)]
        self._pieces[population].append(_Piece(trials, ends, *aside))

    def end(self, trials: range, weights: Mapping[str, Any], margins: Any = ()) -> None:
        """What holds at the end. weights: plastic projection -> (trials, synapses). margins: the
        smallest distance to threshold that a non-refractory neuron met in each trial, in the unit
        of the threshold, where the engine can tell; those of several circuits one after another."""
        for name, values in weights.items():
            self._weights[name].append((trials, values))
        self.margins += np.reshape(margins, (-1, len(trials))).T.tolist()

    def fields(self) -> dict[str, Any]:
        """All of it, as the fields of a `Recording`."""
        job = self._job
        spikes = {population: self._sorted(population) for population in self._pieces}
        times = self._place.array("times", "", (job.rows,), np.float64)
        for start in range(0, job.rows, _STEPS):
            stop = min(start + _STEPS, job.rows)
            times[start:stop] = np.arange(start, stop) * job.every * np.float64(job.dt)
        weights = {}
        for name, parts in self._weights.items():
            weights[name] = self._array("weights", name, parts[0][1].shape[1])
            for trials, values in parts:
                self._fill(weights[name], trials, None, values)
        return {
            "spikes": {population: arrays[0] for population, arrays in spikes.items()},
            "neurons": {population: arrays[1] for population, arrays in spikes.items()},
            "trials": {population: arrays[2] for population, arrays in spikes.items()},
            "times": times,
            "traces": {f"{p}.{v}": array for (p, v), array in self._traces.items()},
            "weights": weights,
            "weight_history": dict(self._history),
            "threshold_margin": min(itertools.chain(*self.margins), default=math.nan),
        }

    def _array(self, field: str, name: str, *shape: int) -> Any:
        return self._place.array(field, name, (*self._axis, *shape), np.float64)

    def _fill(self, array: Any, trials: range, rows: range | None, values: Any) -> None:
        """array[trials, rows] = values"""
        wanted = [trials] if self._axis else []
        wanted += [] if rows is None else [rows]
        where = tuple(slice(r.start, r.stop) for r in wanted)
        array[where or ...] = values if self._axis else values[0]

    def _sorted(self, population: str) -> tuple[Any, Any, Any]:
        """Times (s), neurons and trials of all spikes, ordered by trial, time, neuron."""
        pieces = sorted(self._pieces[population], key=lambda piece: piece.trials.start)
        total = sum(int(piece.ends[-1]) for piece in pieces)
        times = self._place.array("spikes", population, (total,), np.float64)
        neurons = self._place.array("neurons", population, (total,), np.int64)
        trials = self._place.array("trials", population, (total,), np.int64)
        start = 0
        for lot in _lots(self._by_trial(pieces)):
            steps, who, which = map(np.concatenate, zip(*lot, strict=True))
            here = slice(start, start + steps.size)
            times[here], neurons[here], trials[here] = steps * self._job.dt, who, which
            start = here.stop
        return times, neurons, trials

    def _by_trial(self, pieces: list[_Piece]) -> Iterator[_Spikes]:
        """Parts of the spikes, ordered by trial, time, neuron."""
        fetch = self._place.fetch
        for trials, batch in itertools.groupby(pieces, key=lambda piece: piece.trials):
            together = list(batch)
            if sum(int(piece.ends[-1]) for piece in together) * _SPIKE <= _BUFFER:
                found = []
                for _, ends, steps, neurons in together:
                    all_, counts = slice(0, int(ends[-1])), np.diff(ends, prepend=0)
                    found.append(
                        (fetch(steps, all_), fetch(neurons, all_), np.repeat(trials, counts))
                    )
                steps, who, which = map(np.concatenate, zip(*found, strict=True))
                order = np.argsort(which - trials.start, kind="stable")
                yield steps[order], who[order], which[order]
                continue
            for b, trial in enumerate(trials):
                for _, ends, steps, neurons in together:
                    part = slice(int(ends[b - 1]) if b else 0, int(ends[b]))
                    if part.start < part.stop:
                        which = np.full(part.stop - part.start, trial)
                        yield fetch(steps, part), fetch(neurons, part), which


def _lots(parts: Iterable[_Spikes]) -> Iterator[list[_Spikes]]:
    """The parts in lists, each of about as many spikes as are handed over at once."""
    lot: list[_Spikes] = []
    size = 0
    for part in parts:
        lot.append(part)
        size += sum(array.nbytes for array in part)
        if size >= _BUFFER:
            yield lot
            lot, size = [], 0
    if lot:
        yield lot
