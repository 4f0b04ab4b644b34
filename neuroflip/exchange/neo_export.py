"""Recordings as Neo objects, which Elephant and other tools of electrophysiology take."""

from typing import TYPE_CHECKING, Any

import numpy as np

from neuroflip.exchange.arrays import bit_changes, each_trial, unit_of
from neuroflip.optional import require
from neuroflip.recording import Recording

if TYPE_CHECKING:
    from neo import Block, Segment


def to_neo(recording: Recording) -> "Block":
    """The recording as a Neo Block with one Segment a trial.

    In each Segment:

    - spiketrains: one a neuron, from 0 s to the duration, annotated with `population`, `neuron`
      (its index) and `readouts` (the bits that it decides). The Groups of the Block hold those of
      each population.
    - analogsignals: a recorded trace each ("Q.v", one channel a neuron, in its unit), the injected
      currents ("Q injected", A), the signals to rules, and recorded weights ("weights in->Q").
    - events: the spikes of each spike input, labelled with the index of the source.
    - epochs: the decoded bit of each readout, labelled "0" and "1".

    The Block is annotated with circuit, dt (s), duration (s), engine, seed and the versions of
    what ran it; the Segments with the trial and the weights at the end ("weights in->Q").

    Raises ImportError where Neo is not installed.

    >>> import neuroflip as nf
    >>> from neuroflip.units import ms
    >>> rec = nf.simulate(nf.circuits.sr_latch(), {"S": [50*ms]}, duration=0.2, record="v")
    >>> segment = to_neo(rec).segments[0]
    >>> segment.spiketrains[0].annotations["population"], segment.analogsignals[0].name
    ('Q', 'Q.v')
    >>> segment.epochs[0].labels.tolist(), segment.events[0].times
    (['0', '1'], array([0.05]) * s)
    """
    neo = require("neo", "exchange")
    block = neo.Block(
        name=recording.circuit.name,
        circuit=recording.circuit.name,
        dt=recording.dt,
        duration=recording.duration,
        engine=recording.engine,
        seed=recording.seed,
        **{f"version {name}": version for name, version in recording.versions.items()},
    )
    for trial in range(len(recording.drives)):
        block.segments.append(_segment(recording, trial))
    for population in recording.circuit.populations:
        trains = [
            train
            for segment in block.segments
            for train in segment.spiketrains
            if train.annotations["population"] == population.name
        ]
        block.groups.append(neo.Group(objects=trains, name=population.name))
    return block


def _segment(recording: Recording, trial: int) -> "Segment":
    neo, pq = require("neo", "exchange"), require("quantities", "exchange")
    circuit, dt, duration = recording.circuit, recording.dt, recording.duration
    segment = neo.Segment(name=f"trial {trial}", index=trial, trial=trial)
    segment.annotate(**{
        f"weights {name}": each_trial(recording, weights)[trial]
        for name, weights in recording.weights.items()
    })  # fmt: skip

    def signal(name: str, samples: Any, unit: str, period: float) -> None:
        segment.analogsignals.append(
            neo.AnalogSignal(
                samples,
                units="dimensionless" if unit == "1" else unit,
                sampling_period=period * pq.s,
                name=name,
                array_annotations={"index": np.arange(samples.shape[1])},
            )
        )

    for population in circuit.populations:
        readouts = ", ".join(r.name for r in circuit.readouts if population.name in (r.high, r.low))
        for neuron, times in enumerate(recording.trains(population.name, trial)):
            segment.spiketrains.append(
                neo.SpikeTrain(
                    times,
                    units="s",
                    t_start=0.0,
                    t_stop=duration,
                    name=f"{population.name}[{neuron}]",
                    population=population.name,
                    neuron=neuron,
                    readouts=readouts,
                )
            )
    times = recording.times
    period = float(times[1] - times[0]) if times.size > 1 else duration
    for name, samples in recording.traces.items():
        signal(name, each_trial(recording, samples)[trial], unit_of(recording, name), period)
    drive = recording.drives[trial]
    for name, wave in drive.currents.items():
        signal(f"{name} injected", wave, "A", dt)
    for name, wave in drive.signals.items():
        signal(name, wave, "1", dt)
    for name, weights in recording.weight_history.items():
        projection = next(p for p in circuit.projections if p.name == name)
        neuron_model = circuit.population(projection.post).neuron
        unit = neuron_model.model().units[neuron_model.receptors[str(projection.receptor)]]
        signal(f"weights {name}", each_trial(recording, weights)[trial], unit, period)
    for name, (steps, sources) in drive.events.items():
        segment.events.append(
            neo.Event(
                steps * dt * pq.s,
                labels=sources.astype(str),
                name=name,
                array_annotations={"source": sources},
            )
        )
    for readout in circuit.readouts:
        starts, bits = bit_changes(recording, readout.name, trial)
        segment.epochs.append(
            neo.Epoch(
                starts * pq.s,
                durations=np.diff(starts, append=duration) * pq.s,
                labels=bits.astype(str),
                name=readout.name,
                array_annotations={"bit": bits},
            )
        )
    return segment
