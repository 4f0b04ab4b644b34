"""Cells whose circuits are made of the same parts, simulated side by side as one circuit.

The time loop of a small circuit is short beside what is done once a run, so many are run at once:
their populations, synapses and drives lie beside each other in one kernel. Each has drives drawn
from its own seed, and nothing joins it to the others; sums are taken in the order in which they
are taken in a run of its own, so its recording is that of `nf.simulate`, bit for bit.
"""

import contextlib
import copy
import dataclasses
import functools
import inspect
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from neuroflip.circuit import Array, Circuit, OneToOne, Pairs, Projection
from neuroflip.engines.job import Job
from neuroflip.inputs import Drive, resolve
from neuroflip.recording import Recording
from neuroflip.simulation import (
    _engine,
    _recorded,
    _steps,
    check_steps,
    simulate,
    versions,
)
from neuroflip.sweep.design import Cell
from neuroflip.sweep.task import Row, Task, UsageError
from neuroflip.units import as_float

CELLS = 64
"""At most so many at once."""

_LIMITS = np.array([CELLS, 1e8, 4096, 32_768, 256, 2**22])
"""Of what `_size` tells of a cell, for the sum over those at once: the work that a kill may undo,
then what keeps their state in the processor's cache and their samples in a little memory."""

_PATIENCE = 0.5
"""Seconds after which what is there is simulated and written, however little it is."""

_SIMULATE = inspect.signature(simulate)
_SETTINGS = {"inputs", "duration", "dt", "engine", "trials", "record", "record_every"}
"""Arguments of `nf.simulate` with which circuits can run side by side."""


def possible(task: Task) -> bool:
    """Whether cells of a task may run side by side."""
    settings = task.settings
    fast = settings.get("engine", "numba") == "numba" and settings.keys() <= _SETTINGS
    return fast and "duration" in settings


def groups(task: Task, cells: Iterable[Cell]) -> Iterator[list[Row]]:
    """The rows of all cells, in order, as many at a time as were simulated at once.

    Raises UsageError.
    """
    if not possible(task):
        yield from ([task.run(cell)] for cell in cells)
        return
    done: dict[int, Row | None] = {}  # in the order of the cells
    gathered: dict[Any, list[tuple[Cell, Job]]] = {}
    total = np.zeros(_LIMITS.size)
    begun = time.monotonic()

    def finish() -> list[Row]:
        nonlocal begun
        for side_by_side in gathered.values():
            done.update({row["cell"]: row for row in _rows(task, side_by_side)})
        rows = [row for row in done.values() if row is not None]
        done.clear()
        gathered.clear()
        total[:] = 0
        begun = time.monotonic()
        return rows

    for cell in cells:
        if done and time.monotonic() - begun > _PATIENCE:
            yield finish()
        try:
            found = task.called(cell)
        except Exception as error:
            done[cell.index] = task.failed(cell, error)
            continue
        ready = _job(task, cell, found)
        if ready is None:
            if done:
                yield finish()  # before one that may take long, or end the sweep
            yield [task.row(cell, functools.partial(task.finished, cell, found))]
            continue
        job, size = ready
        if (total + size > _LIMITS).any():
            yield finish()
        done[cell.index] = None
        gathered.setdefault(_parts(job), []).append((cell, job))
        total += size
    if done:
        yield finish()


def some(task: Task, cells: Sequence[Cell]) -> list[Row]:
    """The rows of the first of these cells, at least one: as many as take no long time.

    Raises UsageError where that is what the first cell leads to.
    """
    begun = time.monotonic()
    rows: list[Row] = []
    try:
        for group in groups(task, cells):
            rows += group
            if time.monotonic() - begun > _PATIENCE:
                break
    except UsageError:
        if not rows:
            raise
    return rows


def _rows(task: Task, cells: Sequence[tuple[Cell, Job]]) -> list[Row]:
    """The rows of cells whose circuits are made of the same parts."""
    if len(cells) > 1:
        with contextlib.suppress(Exception):  # of whichever cell; it is told of that alone
            recordings = _simulated(task, cells)
            return [
                task.row(cell, functools.partial(task.measure, recording))
                for (cell, _), recording in zip(cells, recordings, strict=True)
            ]
    return [
        task.row(cell, functools.partial(task.finished, cell, job.circuit)) for cell, job in cells
    ]


def _job(task: Task, cell: Cell, circuit: Any) -> tuple[Job, Array] | None:
    """What `nf.simulate` would ask the engine for, and its size; None where the cell is to run by
    itself, as it is large, or as `nf.simulate` would refuse it."""
    given = _SIMULATE.bind(circuit, seed=cell.seed, **task.settings)
    given.apply_defaults()
    asked = given.arguments
    many = asked["trials"]
    if not isinstance(circuit, Circuit) or not (many is None or (type(many) is int and many > 0)):
        return None
    try:
        dt = as_float(asked["dt"], "s", "dt")
        steps = _steps(as_float(asked["duration"], "s", "duration"), dt, "duration")
        every = asked["record_every"]
        every = 1 if every is None else _steps(as_float(every, "s", "record_every"), dt, "")
        states, weights = _recorded(circuit, asked["record"])
        inputs = {} if asked["inputs"] is None else asked["inputs"]
        trials = many or (1 if isinstance(inputs, Mapping) else len(inputs))
        silent = [Drive({}, {}, {})] * trials
        job = Job(circuit, silent, steps, dt, states, weights, every)
        size = _size(job)
        if dt <= 0 or (size > _LIMITS).any():  # before much is drawn for it
            return None
        drives = resolve(circuit, inputs, steps, dt, cell.seed, many)
        check_steps(circuit, drives, dt)
        waves = [w for d in drives for of in (d.currents, d.signals) for w in of.values()]
        size[-1] += sum(wave.size for wave in waves)
        if (size > _LIMITS).any():
            return None
        return dataclasses.replace(job, drives=drives), size
    except Exception:
        return None


def _size(job: Job) -> Array:
    """How large a job is, as `_LIMITS` counts.

    That is cells; neurons and input sources, times trials and steps; neurons times trials;
    synapses times trials; the root of the entries of the kernel's tables of synapses, which grow
    with the square of what is at once; recorded samples.
    """
    circuit, trials = job.circuit, len(job.drives)
    sizes = circuit.sizes()
    synapses = {p.name: _synapses(p, sizes) for p in circuit.projections}
    neurons = sum(p.size for p in circuit.populations)
    delays = [(p.axonal_delay, p.dendritic_delay) for p in circuit.projections]
    lists = sum(math.prod(map(_different, pair)) for pair in delays)
    recorded = sum(sizes[population] for population, _ in job.states)
    recorded += sum(synapses[name] for name in job.weights)
    each = [sum(sizes.values()) * job.steps, neurons, sum(synapses.values())]
    tables = np.sqrt(lists * sum(sizes.values()))
    return np.array([1, *(n * trials for n in each), tables, job.rows * recorded * trials])


def _different(values: Array) -> int:
    """How many values differ; at most, where they are many."""
    return np.unique(values).size if 1 < values.size < 10_000 else values.size


def _synapses(projection: Projection, sizes: Mapping[str, int]) -> int:
    """How many synapses a projection has at most."""
    if isinstance(projection.pattern, Pairs):
        return int(projection.pattern.pre.size)
    pre = sizes[projection.pre]
    return pre if isinstance(projection.pattern, OneToOne) else pre * sizes[projection.post]


def _parts(job: Job) -> tuple[Any, ...]:
    """What is equal for jobs that can run side by side: all that decides which steps the kernel
    takes, and in which order."""
    circuit = job.circuit
    models = {p.name: p.neuron.model() for p in circuit.populations}
    plastic = [p for p in circuit.projections if p.rule.plastic]
    rules = dict.fromkeys(
        (p.rule.model(), models[p.post] if p.rule.model().reads else None) for p in plastic
    )
    late = any(p.dendritic_delay.max(initial=0) > 0 and circuit.synapses(p).pre.size
               for p in plastic)  # fmt: skip
    noise = any(drive.noise for drive in job.drives)
    return tuple(dict.fromkeys(models.values())), tuple(rules), late, noise


class _SideBySide(Circuit):
    """Circuits as one; NAME of number 3 is called "3/NAME". They have been checked already."""

    _signals: dict[tuple[str, str], str]

    def __post_init__(self) -> None:
        pass

    @functools.cached_property
    def _sizes(self) -> dict[str, int]:
        return super().sizes()

    def sizes(self) -> dict[str, int]:
        return self._sizes

    def signal_of(self, projection: Projection, signal: str) -> str:
        return self._signals[projection.name, signal]


def _union(circuits: Sequence[Circuit]) -> Circuit:
    def renamed(item: Any, number: int, *names: str) -> Any:
        made = copy.copy(item)
        for name in names:
            object.__setattr__(made, name, f"{number}/{getattr(item, name)}")
        return made

    numbered = list(enumerate(circuits))
    union = _SideBySide(
        "side by side",
        [renamed(p, i, "name") for i, c in numbered for p in c.populations],
        [renamed(p, i, "name", "pre", "post") for i, c in numbered for p in c.projections],
        [renamed(item, i, "name") for i, c in numbered for item in c.inputs],
    )
    signals = {
        (f"{i}/{p.name}", signal): f"{i}/{c.signal_of(p, signal)}"
        for i, c in numbered
        for p in c.projections
        for signal in p.rule.model().signals
    }
    object.__setattr__(union, "_signals", signals)
    return union


def _simulated(task: Task, cells: Sequence[tuple[Cell, Job]]) -> list[Recording]:
    """What `nf.simulate` gives for each of these cells."""
    jobs = [job for _, job in cells]
    numbered = list(enumerate(jobs))

    def merged(parts: Callable[[Drive], Mapping[str, Any]], trial: int) -> dict[str, Any]:
        return {
            f"{i}/{name}": part
            for i, job in numbered
            for name, part in parts(job.drives[trial]).items()
        }

    drives = [
        Drive(
            merged(lambda d: d.events, trial),
            merged(lambda d: d.currents, trial),
            merged(lambda d: d.signals, trial),
            merged(lambda d: d.noise, trial),
        )
        for trial in range(len(jobs[0].drives))
    ]
    whole = Job(
        _union([job.circuit for job in jobs]),
        drives,
        jobs[0].steps,
        jobs[0].dt,
        tuple((f"{i}/{population}", v) for i, job in numbered for population, v in job.states),
        tuple(f"{i}/{name}" for i, job in numbered for name in job.weights),
        jobs[0].every,
        cells={f"{i}/{p.name}": i for i, job in numbered for p in job.circuit.populations},
    )
    recorder = _engine("numba")(whole)
    fields = recorder.fields()
    own: list[dict[str, Any]] = [{} for _ in jobs]
    for field, arrays in fields.items():
        if isinstance(arrays, dict):
            for part in own:
                part[field] = {}
            for name, array in arrays.items():
                number, _, rest = name.partition("/")
                own[int(number)][field][rest] = array
    margins = np.min(recorder.margins, axis=0).tolist()
    return [
        Recording(
            circuit=job.circuit,
            drives=job.drives,
            duration=as_float(task.settings["duration"], "s", "duration"),
            dt=job.dt,
            engine="numba",
            options={},
            seed=cell.seed,
            versions=versions("numba"),
            times=fields["times"].copy(),
            threshold_margin=margin,
            **part,
        )
        for (cell, job), margin, part in zip(cells, margins, own, strict=True)
    ]
