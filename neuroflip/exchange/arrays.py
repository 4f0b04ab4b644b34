"""Recordings as NumPy arrays and as pandas tables."""

from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip.optional import require
from neuroflip.recording import Recording

if TYPE_CHECKING:
    from pandas import DataFrame

Raster = np.ndarray[Any, np.dtype[np.bool_]]


def to_numpy(recording: Recording) -> dict[str, Raster]:
    """Spike rasters: population or spike input -> booleans, shape (trials, steps, size).

    Step k begins at k*dt. Spikes of step k are True at [trial, k, neuron]. For a network in
    snnTorch's layout, time first, take `raster.transpose(1, 0, 2)`.

    >>> import neuroflip as nf
    >>> from neuroflip.units import ms
    >>> rec = nf.simulate(nf.circuits.sr_latch(), {"S": [1*ms]}, duration=5*ms, dt=1*ms)
    >>> to_numpy(rec)["S"][0, :, 0].astype(int)
    array([0, 1, 0, 0, 0])
    """
    steps, trials = round(recording.duration / recording.dt), len(recording.drives)
    sizes = recording.circuit.sizes()
    rasters = {name: np.zeros((trials, steps, size), dtype=bool) for name, size in sizes.items()}
    for name, times in recording.spikes.items():
        at = np.round(times / recording.dt).astype(np.int64)
        rasters[name][recording.trials[name], at, recording.neurons[name]] = True
    for trial, drive in enumerate(recording.drives):
        for name, (at, sources) in drive.events.items():
            rasters[name][trial, at, sources] = True
    return rasters


def to_pandas(recording: Recording) -> "dict[str, DataFrame]":
    """The recording as tidy tables, one row an observation; SI units.

    - "spikes": trial, population, neuron, time (s), of populations and of spike inputs, by trial,
      time and population. The inputs are under their names.
    - "bits": trial, readout, time (s), bit: the bit from that time on, at 0 and at every change.
    - "traces": trial, time (s), population, variable, unit, neuron, value.
    - "weights": trial, projection, synapse, pre, post, weight: at the end, of plastic projections;
      pre and post are the indices of the neurons, the unit is that of the receptor.
    - "weight_history": trial, time (s), projection, synapse, weight, where recorded.

    Raises ImportError where pandas is not installed.

    >>> import neuroflip as nf
    >>> from neuroflip.units import ms
    >>> rec = nf.simulate(nf.circuits.sr_latch(), {"S": [50*ms]}, duration=0.1)
    >>> to_pandas(rec)["bits"][["readout", "bit"]].values.tolist()
    [['Q', 0], ['Q', 1]]
    """
    pandas = require("pandas", "exchange")
    return {
        name: pandas.DataFrame(columns)
        for name, columns in (
            ("spikes", _spikes(recording)),
            ("bits", _bits(recording)),
            ("traces", _traces(recording)),
            ("weights", _weights(recording)),
            ("weight_history", _history(recording)),
        )
    }


Columns = dict[str, np.ndarray[Any, Any]]


def _stack(parts: list[Columns], empty: Columns) -> Columns:
    """Columns one below the other. empty: the columns and their types where there are none."""
    return {
        name: np.concatenate([np.broadcast_to(p[name], _rows(p)) for p in parts] or [empty[name]])
        for name in empty
    }


def _rows(part: Columns) -> int:
    return max(np.size(column) for column in part.values() if np.ndim(column))


def _text(text: str) -> np.ndarray[Any, Any]:
    return np.array(text, dtype=object)


_INT, _FLOAT, _TEXT = (np.zeros(0, kind) for kind in (np.int64, np.float64, object))


def _spikes(recording: Recording) -> Columns:
    parts: list[Columns] = []
    for name, times in recording.spikes.items():
        parts.append({
            "trial": recording.trials[name], "population": _text(name),
            "neuron": recording.neurons[name], "time": times,
        })  # fmt: skip
    for trial, drive in enumerate(recording.drives):
        for name, (steps, sources) in drive.events.items():
            parts.append({
                "trial": np.array(trial), "population": _text(name),
                "neuron": sources, "time": steps * recording.dt,
            })  # fmt: skip
    empty = {"trial": _INT, "population": _TEXT, "neuron": _INT, "time": _FLOAT}
    table = _stack(parts, empty)
    order = np.lexsort((table["neuron"], table["time"], table["trial"]))
    return {name: column[order] for name, column in table.items()}


def bit_changes(recording: Recording, readout: str, trial: int) -> tuple[Any, Any]:
    """Times (s) from which a bit has a value, the first 0, and the values."""
    times, bits = recording.bit(readout, trial)
    changes = np.flatnonzero(np.diff(bits, prepend=bits[0] - 1))
    return times[changes], bits[changes]


def _bits(recording: Recording) -> Columns:
    parts: list[Columns] = []
    for trial in range(len(recording.drives)):
        for readout in recording.circuit.readouts:
            times, bits = bit_changes(recording, readout.name, trial)
            row = {"trial": np.array(trial), "readout": _text(readout.name)}
            parts.append({**row, "time": times, "bit": bits})
    return _stack(parts, {"trial": _INT, "readout": _TEXT, "time": _FLOAT, "bit": _INT})


def each_trial(recording: Recording, samples: Any) -> Any:
    """Samples with the axis of the trials that a single trial is recorded without."""
    return samples if len(recording.drives) > 1 else samples[None]


def unit_of(recording: Recording, trace: str) -> str:
    """The unit of a trace, "population.variable"."""
    population, _, variable = trace.rpartition(".")
    return recording.circuit.population(population).neuron.model().units[variable]


def _grid(samples: Any, times: Any, last: str, value: str) -> Columns:
    """Samples (trials, times, n) in long form."""
    trials, count, size = samples.shape
    return {
        "trial": np.repeat(np.arange(trials), count * size),
        "time": np.tile(np.repeat(times, size), trials),
        last: np.tile(np.arange(size), trials * count),
        value: samples.ravel(),
    }


def _traces(recording: Recording) -> Columns:
    parts: list[Columns] = []
    for name, samples in recording.traces.items():
        population, _, variable = name.rpartition(".")
        long = _grid(each_trial(recording, samples), recording.times, "neuron", "value")
        parts.append({
            **long, "population": _text(population), "variable": _text(variable),
            "unit": _text(unit_of(recording, name)),
        })  # fmt: skip
    empty = {"trial": _INT, "time": _FLOAT, "population": _TEXT, "variable": _TEXT}
    return _stack(parts, {**empty, "unit": _TEXT, "neuron": _INT, "value": _FLOAT})


def _weights(recording: Recording) -> Columns:
    parts: list[Columns] = []
    for projection in recording.circuit.projections:
        if projection.name not in recording.weights:
            continue
        synapses = recording.circuit.synapses(projection)
        for trial, weights in enumerate(each_trial(recording, recording.weights[projection.name])):
            parts.append({
                "trial": np.array(trial), "projection": _text(projection.name),
                "synapse": np.arange(weights.size), "pre": synapses.pre, "post": synapses.post,
                "weight": weights,
            })  # fmt: skip
    empty = {"trial": _INT, "projection": _TEXT, "synapse": _INT, "pre": _INT, "post": _INT}
    return _stack(parts, {**empty, "weight": _FLOAT})


def _history(recording: Recording) -> Columns:
    parts: list[Columns] = []
    for name, weights in recording.weight_history.items():
        long = _grid(each_trial(recording, weights), recording.times, "synapse", "weight")
        parts.append({**long, "projection": _text(name)})
    empty = {"trial": _INT, "time": _FLOAT, "projection": _TEXT, "synapse": _INT}
    return _stack(parts, {**empty, "weight": _FLOAT})
