"""Two or more engines, one circuit, one report: where, and by how much, do they differ?"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip.circuit import Circuit
from neuroflip.errors import nearest
from neuroflip.inputs import Inputs
from neuroflip.recording import Recording
from neuroflip.simulation import ENGINES, simulate, versions
from neuroflip.tables import table
from neuroflip.units import ms

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TOLERANCE = 1e-12
"""Largest difference that is taken for rounding, as a fraction of the quantity's largest value;
a neuron model may state another for its variables."""

Spike = tuple[int, str, int, int]  # step, population, trial, neuron


@dataclass(frozen=True)
class Report:
    """What a comparison found.

    ok: no spike differs, and no quantity by more than its tolerance.
    engines, reference: the engines run, and the one that the others are held against.
    spikes: engine -> number of spikes. spike_mismatches: spikes that one of an engine and the
        reference sent and the other did not, summed over the engines.
    first_divergence: None, or where the earliest difference lies: time (s), engine, trial, and
        population, neuron and the engine that fired for a spike, or quantity and difference.
    max_abs_error: quantity -> largest absolute difference from the reference over all engines,
        in SI units. Quantities are recorded traces ("Q.v"), weights at the end ("in->Q") and
        weights over time ("in->Q over time").
    tolerance: quantity -> the difference allowed, 1e-12 of the largest value in the reference, or
        the fraction that the neuron model states.
    threshold_margin: smallest distance to threshold met by a non-refractory neuron (V). Where it
        is near the rounding of the potential, a spike is a tie that may fall either way.
    versions: of Python and the packages. recordings: engine -> its `Recording`.
    """

    ok: bool
    engines: tuple[str, ...]
    reference: str
    duration: float
    dt: float
    spikes: dict[str, int]
    spike_mismatches: int
    first_divergence: dict[str, Any] | None
    max_abs_error: dict[str, float]
    tolerance: dict[str, float]
    threshold_margin: float
    versions: dict[str, str]
    recordings: dict[str, Recording]

    def to_json(self) -> dict[str, Any]:
        """The report without the recordings, as JSON data; a number that is not finite is None."""

        def plain(value: Any) -> Any:
            if isinstance(value, dict):
                return {key: plain(item) for key, item in value.items()}
            if isinstance(value, tuple):
                return [plain(item) for item in value]
            return None if isinstance(value, float) and not math.isfinite(value) else value

        return {name: plain(value) for name, value in vars(self).items() if name != "recordings"}

    def __str__(self) -> str:
        verdict = "agree" if self.ok else "DIFFER"
        lines = [
            f"{', '.join(self.engines)} {verdict} over {self.duration:g} s at dt {self.dt:g} s "
            f"(reference: {self.reference})",
            "spikes: " + ", ".join(f"{name} {count}" for name, count in self.spikes.items()),
            f"spike mismatches: {self.spike_mismatches}",
            f"smallest distance to threshold: {self.threshold_margin:.3g} V",
        ]
        if self.first_divergence is not None:
            found = ", ".join(f"{key} {value}" for key, value in self.first_divergence.items())
            lines.append(f"first divergence: {found}")
        rows = [
            (
                name,
                f"{error:.2e}",
                f"{self.tolerance[name]:.2e}",
                "" if error <= self.tolerance[name] else "exceeded",
            )
            for name, error in self.max_abs_error.items()
        ]
        columns = ("quantity", "largest difference", "tolerance", "")
        return "\n".join([*lines, table("", columns, rows)] if rows else lines)

    def plot(self, path: str | Path | None = None) -> "Figure":
        """Draw the engines over each other, and their differences. path: write it there too."""
        from neuroflip.figures import draw_comparison

        return draw_comparison(self, path)


def compare(
    circuit: Circuit,
    inputs: Inputs | None = None,
    *,
    duration: float,
    dt: float = 0.1 * ms,
    engines: Sequence[str] = ENGINES,
    seed: int = 0,
    trials: int | None = None,
    record: str | Sequence[str] = ("v",),
    record_every: float | None = None,
    progress: bool = False,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> Report:
    """Run a circuit on several engines and report how they differ.

    The engines are held against "brian2" where it is among them, else against the first.
    options: engine -> its options, as in {"brian2": {"target": "cython"}}. The other arguments
    are those of `nf.simulate`; weights at the end are always compared.

    Raises ValueError for fewer than two engines, an engine named twice, or what `simulate`
    refuses.

    >>> import neuroflip as nf
    >>> report = nf.compare(nf.circuits.sr_latch(), {"S": [0.05]}, duration=0.2,
    ...                     engines=("numba", "torch"))
    >>> report.ok, report.spike_mismatches
    (True, 0)
    """
    names = tuple([engines] if isinstance(engines, str) else engines)
    for name in (*names, *(options or {})):
        if name not in ENGINES:
            raise ValueError(f"unknown engine {name!r}; {nearest(str(name), ENGINES)}")
    if len(names) < 2 or len(set(names)) < len(names):
        raise ValueError(f"engines must name two or more different engines; got {names!r}.")
    recordings = {
        name: simulate(
            circuit,
            inputs,
            duration=duration,
            dt=dt,
            engine=name,
            seed=seed,
            trials=trials,
            record=record if isinstance(record, str) else tuple(record),
            record_every=record_every,
            progress=progress,
            **(options or {}).get(name, {}),
        )
        for name in names
    }
    return report_of(recordings)


def report_of(recordings: Mapping[str, Recording]) -> Report:
    """The report on recordings of one circuit by several engines, keyed by engine."""
    names = tuple(recordings)
    reference = "brian2" if "brian2" in names else names[0]
    truth = recordings[reference]
    values = _quantities(truth)
    tolerance = {
        name: _tolerance(truth, name) * float(np.max(np.abs(value), initial=0.0))
        for name, value in values.items()
    }
    errors = dict.fromkeys(values, 0.0)
    mismatches = 0
    divergences: list[dict[str, Any]] = []
    expected = _spikes(truth)
    for name, recording in recordings.items():
        if name == reference:
            continue
        found = _spikes(recording)
        different = found ^ expected
        mismatches += len(different)
        if different:
            step, population, trial, neuron = min(different)
            divergences.append(
                {
                    "time": step * truth.dt,
                    "engine": name,
                    "trial": trial,
                    "population": population,
                    "neuron": neuron,
                    "fired_in": name if min(different) in found else reference,
                }
            )
        for quantity, value in _quantities(recording).items():
            difference = np.abs(value - values[quantity])
            largest = float(np.max(difference, initial=0.0))  # NaN stays NaN
            if not largest <= errors[quantity]:
                errors[quantity] = largest
            if not largest <= tolerance[quantity] and quantity in truth.traces:
                divergences.append(
                    _first_excess(difference, tolerance[quantity], quantity, name, truth)
                )
    margins = [r.threshold_margin for r in recordings.values() if r.threshold_margin >= 0]
    within = all(errors[quantity] <= tolerance[quantity] for quantity in errors)
    return Report(
        ok=mismatches == 0 and within,
        engines=names,
        reference=reference,
        duration=truth.duration,
        dt=truth.dt,
        spikes={name: sum(s.size for s in r.spikes.values()) for name, r in recordings.items()},
        spike_mismatches=mismatches,
        first_divergence=min(divergences, key=lambda d: d["time"], default=None),
        max_abs_error=errors,
        tolerance=tolerance,
        threshold_margin=min(margins, default=math.nan),
        versions=versions(*names),
        recordings=dict(recordings),
    )


def _quantities(recording: Recording) -> dict[str, np.ndarray[Any, Any]]:
    history = {f"{name} over time": w for name, w in recording.weight_history.items()}
    return {**recording.traces, **recording.weights, **history}


def _tolerance(recording: Recording, quantity: str) -> float:
    if quantity in recording.traces:
        population = quantity.rpartition(".")[0]
        return recording.circuit.population(population).neuron.tolerance
    return TOLERANCE


def _spikes(recording: Recording) -> set[Spike]:
    found: set[Spike] = set()
    for population, times in recording.spikes.items():
        steps = np.round(times / recording.dt).astype(np.int64)
        trials, neurons = recording.trials[population], recording.neurons[population]
        found.update(
            (int(k), population, int(b), int(i))
            for k, b, i in zip(steps, trials, neurons, strict=True)
        )
    return found


def _first_excess(
    difference: np.ndarray[Any, Any], tolerance: float, quantity: str, engine: str, of: Recording
) -> dict[str, Any]:
    """Where a trace first leaves its tolerance; its axes are ([trial,] time, neuron)."""
    by_time = difference if difference.ndim == 3 else difference[None]
    trials, rows, neurons = np.nonzero(~(by_time <= tolerance))
    first = int(np.argmin(rows))
    return {
        "time": float(of.times[rows[first]]),
        "engine": engine,
        "trial": int(trials[first]),
        "quantity": quantity,
        "neuron": int(neurons[first]),
        "difference": float(by_time[trials[first], rows[first], neurons[first]]),
    }
