"""`simulate`: run a circuit on an engine."""

import functools
import importlib
import importlib.metadata
import inspect
import math
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from neuroflip import recording_file
from neuroflip.circuit import Circuit
from neuroflip.engines.job import Job, Memory, Place, Recorder
from neuroflip.errors import nearest
from neuroflip.inputs import Drive, Inputs, resolve
from neuroflip.recording import Recording, plain
from neuroflip.rules.step_size import check_step
from neuroflip.units import as_float, ms

ENGINES = ("numba", "torch", "brian2")
"""The engines, by name; each is the module of that name in `neuroflip.engines`."""


def simulate(
    circuit: Circuit,
    inputs: Inputs | None = None,
    *,
    duration: float,
    dt: float = 0.1 * ms,
    engine: str = "numba",
    seed: int = 0,
    trials: int | None = None,
    record: str | list[str] | tuple[str, ...] = (),
    record_every: float | None = None,
    save: str | Path | None = None,
    progress: bool = False,
    **options: Any,
) -> Recording:
    """Run a circuit and return what it did.

    inputs: input name -> what drives it; or a list of such dictionaries, one a trial.
        Spike inputs take spike times (s): one list, or for `size` sources one list each, in any
        order, at most one a step. Current inputs take steps, a list of (start s, stop s,
        amplitude A), or a waveform in A, an array of shape (steps,) or (steps, size). Signal
        inputs (third factors) take the same, without a unit.
        Spike inputs that are not named are silent, Poisson inputs drawn, currents and signals 0.
    duration (s): a whole number of steps. dt (s): the time step, 0.1 ms by default.
    engine: "numba" (compiled, fastest), "torch" (batched), "brian2" (the reference).
    seed: of what is drawn (Poisson inputs); one seed gives one result, on every engine.
    trials: how often to run, with new draws each; the length of `inputs` where that is a list.
    record: what to record over time besides spikes: "population.variable", "variable" (of every
        population that has it), or the name of a plastic projection (its weights).
    record_every (s): interval of the recorded samples, a whole number of steps; dt by default.
    save: write everything to this .h5 file while the run goes on, so that memory does not grow
        with what is recorded, and return the recording opened from it, lazily: see
        `Recording.load`. The file appears under its name once it is whole. (The engine "brian2"
        writes at the end of each trial.)
    progress: show a progress bar.
    options: the engine's own: numba `threads=1` (more share out the trials, or a single trial of a
        large network whose axonal delays leave its parts time; results are the same),
        `dtype="float64"` (or "float32": states and weights in half the memory); torch
        `device="cpu"`, `dtype="float64"`, `threads=1`; brian2
        `target="numpy"` (or "cython", "cpp_standalone").

    Raises ValueError or TypeError, before anything runs, for whatever is out of range, unknown
    or of a wrong shape, or for a rule that moves a weight past both bounds in one step; the
    message names it. With `save`, OSError where the disk is full or the
    folder refuses the file, and ImportError where h5py is not installed.

    >>> import neuroflip as nf
    >>> from neuroflip.units import ms, pA
    >>> cell = nf.Circuit("cell", [nf.Population("A", nf.LIF(drive=200*pA))])
    >>> rec = nf.simulate(cell, duration=100*ms)
    >>> rec.spikes["A"].round(4)
    array([0.0277, 0.0574, 0.0871])
    """
    if not isinstance(circuit, Circuit):
        raise TypeError(f"circuit must be a nf.Circuit; got {circuit!r}.")
    run = _engine(engine)
    _check_options(run, engine, options)
    if save is not None:
        recording_file.check_path(save)
    dt = as_float(dt, "s", "dt")
    duration = as_float(duration, "s", "duration")
    if dt <= 0:
        raise ValueError(f"dt must be above 0 s; got {dt!r}.")
    steps = _steps(duration, dt, "duration")
    every = (
        1
        if record_every is None
        else _steps(as_float(record_every, "s", "record_every"), dt, "record_every")
    )
    for name, value in (("seed", seed), ("trials", 1 if trials is None else trials)):
        least = 0 if name == "seed" else 1
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
            raise ValueError(f"{name} must be a whole number, at least {least}; got {value!r}.")
    seed = int(seed)
    drives = resolve(circuit, {} if inputs is None else inputs, steps, dt, seed, trials)
    check_steps(circuit, drives, dt)
    states, weights = _recorded(circuit, record)
    settings: dict[str, Any] = dict(
        circuit=circuit, drives=drives, duration=duration, dt=dt, engine=engine, options=options,
        seed=seed, versions=versions(engine),
    )  # fmt: skip

    def recorded(place: Place) -> dict[str, Any]:
        with _ticks(progress, steps * len(drives), f"{circuit.name} on {engine}") as tick:
            job = Job(circuit, drives, steps, dt, states, weights, every, tick, place)
            return run(job, **options).fields()

    if save is None:
        return Recording(**settings, **recorded(Memory()))
    with recording_file.writing(save, plain(settings)) as file:
        file.finish(recorded(file)["threshold_margin"])
    return Recording.load(save)


def check_steps(circuit: Circuit, drives: list[Drive], dt: float) -> None:
    """Raise ValueError for a rule that moves a weight past both bounds in one step of `dt` (s), as
    far as the signals of these drives and the thresholds of the neurons tell."""
    for projection in circuit.projections:
        model = projection.rule.model()
        neuron = circuit.population(projection.post).neuron
        given: dict[str, tuple[float, float]] = {}
        for name in model.signals:
            waves = [drive.signals[circuit.signal_of(projection, name)] for drive in drives]
            given[name] = (float(min(w.min() for w in waves)), float(max(w.max() for w in waves)))
        threshold = getattr(neuron, "v_threshold", None)
        for name in model.reads:
            if threshold is not None and neuron.model().units[name] == "V":
                given[f"{name}_post"] = (threshold, threshold)
        check_step(projection.rule, dt, given=given)


def _engine(name: str) -> Callable[..., Recorder]:
    if name not in ENGINES:
        raise ValueError(f"unknown engine {name!r}; {nearest(str(name), ENGINES)}")
    hook = sys.excepthook
    module = importlib.import_module(f"neuroflip.engines.{name}")
    sys.excepthook = hook  # Brian2 puts its own there, which reports every error as one of Brian2's
    return module.run  # type: ignore[no-any-return]


def _check_options(run: Callable[..., Any], engine: str, options: dict[str, Any]) -> None:
    known = [n for n, p in inspect.signature(run).parameters.items() if p.kind == p.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            raise TypeError(
                f"simulate() has no argument {name!r}, and neither has engine {engine!r}; "
                f"{nearest(name, [*inspect.signature(simulate).parameters, *known])}"
            )


def _steps(time: float, dt: float, name: str) -> int:
    steps = round(time / dt)
    if steps < 1 or not math.isclose(steps * dt, time, rel_tol=1e-6):
        raise ValueError(
            f"{name} must be a whole number of steps of {dt:g} s, at least one; got {time!r} s."
        )
    return steps


def _recorded(
    circuit: Circuit, record: str | list[str] | tuple[str, ...]
) -> tuple[tuple[tuple[str, str], ...], tuple[str, ...]]:
    """The states and the projections that `record` names."""
    states: dict[tuple[str, str], None] = {}
    weights: dict[str, None] = {}
    plastic = [p.name for p in circuit.projections if p.rule.plastic]
    available = [
        (p.name, variable) for p in circuit.populations for variable in p.neuron.model().variables
    ]
    names = [record] if isinstance(record, str) else record
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise TypeError(
            f"record must be a name or a list of names, like 'v', 'Q.v' or 'in->Q'; got {record!r}."
        )
    for name in names:
        if name in plastic:
            weights[name] = None
            continue
        found = [a for a in available if name in (a[1], f"{a[0]}.{a[1]}")]
        if not found:
            known = [*plastic, *(f"{p}.{v}" for p, v in available), *(v for _, v in available)]
            frozen = any(p.name == name for p in circuit.projections)
            why = "its weights never change" if frozen else nearest(str(name), dict.fromkeys(known))
            raise ValueError(f"record: there is no {name!r} to record; {why}")
        states |= dict.fromkeys(found)
    return tuple(states), tuple(weights)


@contextmanager
def _ticks(progress: bool, total: int, what: str) -> Iterator[Callable[[int], None]]:
    if not progress:
        yield lambda steps: None
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=what, unit="step", unit_scale=True, leave=False) as bar:
        yield lambda steps: None if bar.update(steps) else None


def versions(*engines: str) -> dict[str, str]:
    """Versions of what a result depends on."""
    packages = ("neuroflip", "numpy", *engines)
    return {"python": platform.python_version()} | {name: _version(name) for name in packages}


_version = functools.cache(importlib.metadata.version)  # which reads files
