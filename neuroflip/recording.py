"""What a run returns: spikes, traces, weights, decoded bits; saved, loaded and drawn."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip import files, recording_file
from neuroflip.circuit import Array, Circuit, CurrentInput, Index, _Data
from neuroflip.errors import nearest
from neuroflip.inputs import Drive, Noise

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMAT = 1  # of saved recordings


@dataclass(frozen=True, eq=False)
class Recording(_Data):
    """The result of one `nf.simulate`, with everything needed to run it again.

    spikes: population -> spike times (s), of all its neurons and trials, ordered by trial, time,
        neuron. A spike is stamped with the start of the step in which it crossed threshold.
    neurons, trials: population -> index of the neuron, and of the trial, of each spike.
    times: times (s) of the recorded samples; a sample is the state at the start of its step.
    traces: "population.variable" -> samples, shape (times, size), in SI units.
    weights: plastic projection -> weights at the end, shape (synapses,), in the order of
        `circuit.synapses(projection)`.
    weight_history: projection -> weights over time, shape (times, synapses), where recorded.
    threshold_margin: smallest distance to threshold that a non-refractory neuron met in the run
        (V); NaN where the engine cannot tell.
    circuit, drives, duration, dt, engine, options, seed, versions: what was run, and with what.

    With several trials, traces, weights and weight_history have a first axis of that length.
    """

    circuit: Circuit
    drives: list[Drive]
    duration: float
    dt: float
    engine: str
    options: dict[str, Any]
    seed: int
    versions: dict[str, str]
    spikes: dict[str, Array]
    neurons: dict[str, Index]
    trials: dict[str, Index]
    times: Array
    traces: dict[str, Array]
    weights: dict[str, Array]
    weight_history: dict[str, Array]
    threshold_margin: float

    @property
    def inputs(self) -> list[dict[str, Any]]:
        """The inputs of every trial, as drawn, in the form that `nf.simulate` takes.

        `nf.simulate(rec.circuit, rec.inputs, duration=rec.duration, dt=rec.dt, seed=rec.seed)`
        runs it again; noise is drawn from the seed.
        Current inputs that share a target are given back as their sum, under the first's name.
        """
        sizes = self.circuit.sizes()
        current: dict[str, str] = {}
        for item in self.circuit.inputs:
            if isinstance(item, CurrentInput):
                current.setdefault(item.target, item.name)
        return [
            {
                name: [steps[sources == i] * self.dt for i in range(sizes[name])]
                for name, (steps, sources) in drive.events.items()
            }
            | {current[target]: wave for target, wave in drive.currents.items()}
            | drive.signals
            for drive in self.drives
        ]

    def trains(self, population: str, trial: int = 0) -> list[Array]:
        """Spike times (s) of each neuron of a population in one trial.

        Raises ValueError for an unknown population or trial.
        """
        self._known(population, self.spikes, "population")
        self._known_trial(trial)
        mine = self.trials[population] == trial
        times, neurons = self.spikes[population][mine], self.neurons[population][mine]
        return [times[neurons == i] for i in range(self.circuit.population(population).size)]

    def bit(self, readout: str, trial: int = 0) -> tuple[Array, Index]:
        """The decoded logical state over time: (start of every step in s, 0 or 1).

        See `nf.Readout` for how a bit is decoded. Raises ValueError for an unknown readout or
        trial.
        """
        known = {r.name: r for r in self.circuit.readouts}
        self._known(readout, known, "readout")
        self._known_trial(trial)
        chosen = known[readout]
        steps = round(self.duration / self.dt)
        window = max(1, round(chosen.window / self.dt))

        def recent(population: str) -> Index:
            """Number of spikes in the window that ends with each step."""
            mine = self.trials[population] == trial
            at = np.round(self.spikes[population][mine] / self.dt).astype(np.int64)
            total: Index = np.cumsum(np.bincount(at, minlength=steps))
            earlier = np.concatenate([np.zeros(window, np.int64), total])[:steps]
            count: Index = total - earlier
            return count

        high = recent(chosen.high)
        if chosen.low is None:
            bits = (high > 0).astype(np.int64)
        else:
            sign = np.sign(high - recent(chosen.low))
            decided = np.maximum.accumulate(np.where(sign != 0, np.arange(steps), -1))
            bits = np.where(decided >= 0, (sign[decided] > 0).astype(np.int64), 0)
        return np.arange(steps, dtype=np.float64) * self.dt, bits

    def save(self, path: str | Path) -> None:
        """Write the recording to a .npz, .json or .h5 file, atomically; `load` gives it back equal.

        Raises ValueError for another suffix, ImportError for .h5 where h5py is not installed.
        """
        data = plain({f.name: getattr(self, f.name) for f in dataclasses.fields(self)})
        if Path(path).suffix == recording_file.SUFFIX:
            recording_file.write(path, data)
        else:
            files.write(path, data)

    @staticmethod
    def load(path: str | Path) -> "Recording":
        """The recording that `save`, or `nf.simulate(save=...)`, wrote.

        An .h5 file is opened lazily: its arrays, read-only, lie in the file, and what is looked at
        of them is read then: `rec.traces["A.v"][1000:2000]` reads these samples alone. The file
        stays open as long as one of its arrays is in use.

        Raises ValueError for a damaged or foreign file; numbers in the arrays of an .h5 file are
        not checked.
        """
        lazy = Path(path).suffix == recording_file.SUFFIX
        data = recording_file.read(path) if lazy else files.read(path)
        names = {f.name for f in dataclasses.fields(Recording)}
        if data.pop("recording", None) != FORMAT or set(data) != names:
            raise ValueError(f"{path} holds no recording of format {FORMAT}.")
        try:
            data["circuit"] = Circuit.from_spec(data["circuit"])
            data["drives"] = [
                Drive(
                    {name: tuple(pair) for name, pair in d["events"].items()},
                    d["currents"],
                    d["signals"],
                    {name: Noise(**noise) for name, noise in d["noise"].items()},
                )
                for d in data["drives"]
            ]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is damaged: {error!r}") from error
        return Recording(**data)

    def plot(self, path: str | Path | None = None, trial: int = 0) -> "Figure":
        """Draw what was recorded: inputs, spikes, bits, traces, weights, one panel each.

        path: write the figure there as well (.png, .pdf, .svg).
        """
        from neuroflip.figures import draw_recording

        return draw_recording(self, path, trial)

    @staticmethod
    def _known(name: str, known: Mapping[str, Any], what: str) -> None:
        if name not in known:
            raise ValueError(f"there is no {what} {name!r}; {nearest(name, known)}")

    def _known_trial(self, trial: int) -> None:
        if not 0 <= trial < len(self.drives):
            raise ValueError(f"trial must be 0 to {len(self.drives) - 1}; got {trial!r}.")


def plain(data: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a recording, circuit and drives among them, as plain data."""

    def shallow(item: Any) -> dict[str, Any]:
        return {f.name: getattr(item, f.name) for f in dataclasses.fields(item)}

    drives = [
        {**shallow(drive), "noise": {name: shallow(noise) for name, noise in drive.noise.items()}}
        for drive in data["drives"]
    ]
    return {"recording": FORMAT, **data, "circuit": data["circuit"].to_spec(), "drives": drives}
