"""What drives a run, as arrays: spike events in steps and current waveforms, one set a trial.

Engines draw no random numbers of their own: what is random is drawn here, from the seed, the
trial and the input's name, so every engine is handed the same.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from neuroflip.circuit import (
    Array,
    Circuit,
    CurrentInput,
    Index,
    NoiseInput,
    PoissonInput,
    SignalInput,
    SpikeInput,
    _Data,
)
from neuroflip.errors import nearest
from neuroflip.noise import Keys, noise_keys, normals
from neuroflip.units import as_array

Inputs = Mapping[str, Any] | Sequence[Mapping[str, Any]]

# Brian2 rounds a time to its step with this much of a step in hand (timestep()).
_TOLERANCE = 1e-3


def whole_steps(time: Any, dt: float) -> Any:
    """The step in which a time lies: floor(time/dt), as Brian2's timestep() takes it.

    >>> whole_steps(0.3, 0.1)
    3
    """
    steps = np.floor((np.asarray(time) + _TOLERANCE * dt) / dt).astype(np.int64)
    return int(steps) if steps.ndim == 0 else steps


@dataclass(frozen=True, eq=False)
class Noise(_Data):
    """Noise of one population: a key a neuron, and the amplitude (A) of the injected samples."""

    keys: Keys
    amplitude: float

    def wave(self, steps: int) -> Array:
        """The injected current (A), shape (steps, size)."""
        return self.amplitude * normals(self.keys, 0, steps)


@dataclass(frozen=True, eq=False)
class Drive(_Data):
    """The drive of one trial.

    events: spike input -> (steps, sources), sorted by step, then source.
    currents: population -> waveform in A, shape (steps, 1 or size).
    signals: signal input -> waveform, shape (steps, 1 or size of the postsynaptic population).
    noise: population -> what is added to its current.
    """

    events: dict[str, tuple[Index, Index]]
    currents: dict[str, Array]
    signals: dict[str, Array]
    noise: dict[str, Noise] = field(default_factory=dict)


def resolve(
    circuit: Circuit, inputs: Inputs, steps: int, dt: float, seed: int, trials: int | None
) -> list[Drive]:
    """The drives of all trials. Raises ValueError or TypeError for what `nf.simulate` refuses."""
    mappings = [inputs] if isinstance(inputs, Mapping) else inputs
    if not isinstance(mappings, Sequence) or not all(isinstance(m, Mapping) for m in mappings):
        raise TypeError(
            f"inputs must be a dictionary, input name -> what drives it, or a list of such, one a "
            f"trial; got {inputs!r}."
        )
    if isinstance(inputs, Mapping):
        each: list[Mapping[str, Any]] = [inputs] * (trials or 1)
    else:
        each = list(inputs)
        if trials not in (None, len(each)) or not each:
            raise ValueError(
                f"inputs must be a dictionary or one a trial; got {len(each)} for "
                f"{trials if trials is not None else 'at least 1'} trial(s)."
            )
    known = [i.name for i in circuit.inputs]
    for given in each:
        for name in given:
            if name not in known:
                raise ValueError(
                    f"circuit {circuit.name!r} has no input {name!r}; {nearest(str(name), known)}"
                )
    noise = [_noise(circuit, item, len(each), dt, seed) for item in circuit.inputs
             if isinstance(item, NoiseInput)]  # fmt: skip
    made: dict[tuple[str, int], Any] = {}
    return [
        _drive(circuit, given, steps, dt, seed, trial, {p: of[trial] for p, of in noise}, made)
        for trial, given in enumerate(each)
    ]


def _noise(
    circuit: Circuit, item: NoiseInput, trials: int, dt: float, seed: int
) -> tuple[str, list[Noise]]:
    """The population that is given noise, and its noise in each trial."""
    target = circuit.population(item.target)
    amplitude = target.neuron.noise_amplitude(item.sd, dt)
    keys = noise_keys(seed, trials, item.name, target.size)
    return item.target, [Noise(row, amplitude) for row in keys]


def _drive(
    circuit: Circuit,
    given: Mapping[str, Any],
    steps: int,
    dt: float,
    seed: int,
    trial: int,
    noise: dict[str, Noise],
    made: dict[tuple[str, int], Any],
) -> Drive:
    """The drive of one trial. made: what was made of the same objects for other trials."""

    def once(name: str, make: Callable[[], Any]) -> Any:
        key = (name, id(given[name]))
        if key not in made:
            made[key] = make()
        return made[key]

    events = {}
    currents: dict[str, Array] = {}
    signals: dict[str, Array] = {}
    for item in circuit.inputs:
        where = f"inputs[{item.name!r}]"
        if isinstance(item, SignalInput):
            width = circuit.signal_width(item)
            signals[item.name] = (
                once(item.name, partial(_waveform, given[item.name], steps, width, dt, where, "1"))
                if item.name in given
                else np.zeros((steps, 1))
            )
        elif isinstance(item, NoiseInput):
            if item.name in given:
                raise ValueError(
                    f"{where}: noise is drawn from the run's seed; give a waveform to a "
                    "CurrentInput instead."
                )
        elif isinstance(item, CurrentInput):
            if item.name in given:
                size = circuit.population(item.target).size
                make = partial(_waveform, given[item.name], steps, size, dt, where, "A")
                wave = once(item.name, make)
                total = currents.get(item.target)
                currents[item.target] = wave if total is None else total + wave
        elif item.name in given:
            events[item.name] = once(
                item.name, partial(_events, given[item.name], item, steps, dt, where)
            )
        elif isinstance(item, PoissonInput):
            events[item.name] = _poisson(item, steps, dt, seed, trial)
        else:
            events[item.name] = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    return Drive(events, currents, signals, noise)


def _events(
    given: Any, item: SpikeInput | PoissonInput, steps: int, dt: float, where: str
) -> tuple[Index, Index]:
    listed = isinstance(given, (Sequence, np.ndarray)) and not isinstance(given, (str, bytes))
    if not listed or (isinstance(given, np.ndarray) and given.ndim == 0):
        raise TypeError(f"{where} must be spike times in s; got {given!r}.")
    if item.size == 1 and (len(given) == 0 or np.ndim(given[0]) == 0):
        given = [given]
    if len(given) != item.size:
        raise ValueError(
            f"{where} must hold one list of spike times for each of its {item.size} sources; "
            f"got {len(given)}."
        )
    trains = [_train(train, source, where) for source, train in enumerate(given)]
    times = np.concatenate([np.zeros(0), *trains])
    if not np.isfinite(times.sum()):
        for train in trains:
            as_array(train, "s", where)  # raises
    sources = np.repeat(np.arange(len(trains)), [train.size for train in trains])
    at = whole_steps(np.clip(times, -dt, (steps + 1) * dt), dt)
    outside = times[(at < 0) | (at >= steps)]
    if outside.size:
        raise ValueError(
            f"{where}: spike times must lie within the run, 0 to {steps * dt:g} s; "
            f"got {float(outside[0])!r}."
        )
    order = _by_step(at, steps)
    at, sources = at[order], sources[order]
    twice = np.flatnonzero((at[1:] == at[:-1]) & (sources[1:] == sources[:-1]))
    if twice.size:
        raise ValueError(
            f"{where}: source {sources[twice[0]]} has two spikes in the step of {dt:g} s at "
            f"{at[twice[0]] * dt:g} s; a source sends at most one a step."
        )
    return at, sources


def _by_step(at: Index, steps: int) -> Index:
    """The order of steps below `steps`, those that are equal as they were: by 16 bits at a time,
    for which numpy counts, in a third of the time of its sort."""
    order = np.argsort((at & 0xFFFF).astype(np.uint16), kind="stable")
    for shift in range(16, steps.bit_length(), 16):
        digits = (at[order] >> shift & 0xFFFF).astype(np.uint16)
        order = order[np.argsort(digits, kind="stable")]
    return order


def _train(train: Any, source: int, where: str) -> Array:
    """The spike times of one source (s), which may still be infinite or NaN."""
    plain = type(train) is np.ndarray and train.dtype == np.float64
    times = train if plain else as_array(train, "s", where)
    if times.ndim != 1:
        raise ValueError(f"{where}: the times of source {source} must be a list; got {train!r}.")
    return times


def _poisson(
    item: PoissonInput, steps: int, dt: float, seed: int, trial: int
) -> tuple[Index, Index]:
    probability = item.rate * dt
    if probability > 1:
        raise ValueError(
            f"PoissonInput {item.name!r}: rate must be at most one spike a step, {1 / dt:g} Hz; "
            f"got {item.rate!r}."
        )
    name = hashlib.sha256(item.name.encode()).digest()
    rng = np.random.default_rng([seed, trial, int.from_bytes(name[:16], "little")])
    block = max(1, 1_000_000 // item.size)  # bounds memory; the numbers drawn do not depend on it
    hits = []
    for start in range(0, steps, block):
        rows = min(block, steps - start)
        hits.append(np.argwhere(rng.random((rows, item.size)) < probability) + (start, 0))
    found = np.concatenate(hits)
    return found[:, 0].astype(np.int64), found[:, 1].astype(np.int64)


def _waveform(given: Any, steps: int, size: int, dt: float, where: str, unit: str) -> Array:
    what = "current" if unit == "A" else "signal"
    if isinstance(given, (list, tuple)):
        wave = np.zeros((steps, 1))
        for entry in given:
            if not isinstance(entry, (list, tuple)) or len(entry) != 3:
                raise ValueError(
                    f"{where}: {what} steps are (start, stop, amplitude) in s, s, {unit}; "
                    f"got {entry!r}. Give a waveform as an array."
                )
            start, stop = as_array(entry[:2], "s", where)
            amplitude = as_array(entry[2], unit, where)
            if amplitude.ndim or not 0 <= start < stop:
                raise ValueError(f"{where}: a {what} step needs 0 <= start < stop; got {entry!r}.")
            if whole_steps(start, dt) >= steps:
                raise ValueError(
                    f"{where}: a {what} step must start within the run, 0 to {steps * dt:g} s; "
                    f"got {entry!r}."
                )
            wave[whole_steps(start, dt) : whole_steps(stop, dt)] += float(amplitude)
        return wave
    wave = as_array(given, unit, where)
    if wave.ndim == 1:
        wave = wave[:, None]
    if wave.ndim != 2 or wave.shape[0] != steps or wave.shape[1] not in (1, size):
        raise ValueError(
            f"{where}: a waveform must have shape ({steps},) or ({steps}, {size}), one value a "
            f"step of {dt:g} s; got {np.shape(given)}."
        )
    return wave
