"""A circuit with what drives it: what `neuroflip run NAME` and `neuroflip compare NAME` run."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroflip.analysis.truth import drive, program
from neuroflip.circuit import Circuit, SpikeInput
from neuroflip.circuits import BEHAVIOURS, CIRCUITS
from neuroflip.inputs import Inputs

PULSE_EVERY = 0.5
"""Interval (s) of the pulses that drive a library circuit."""


@dataclass(frozen=True)
class Scenario:
    """A circuit, its inputs, how long to run (s), what to record besides spikes and how often (s;
    None: every step)."""

    circuit: Circuit
    inputs: Inputs
    duration: float
    record: tuple[str, ...] = ("v",)
    record_every: float | None = None

    def every(self, dt: float) -> float | None:
        """The recording interval (s) as whole steps of dt (s), at least one.

        >>> Scenario(CIRCUITS["sr_latch"](), {}, 1.0, record_every=1e-3).every(0.3e-3)
        0.0009
        """
        if self.record_every is None or not dt > 0:  # a dt that `nf.simulate` will refuse
            return self.record_every
        return max(1, round(self.record_every / dt)) * dt


def pulses(circuit: Circuit, duration: float) -> dict[str, list[float]]:
    """One spike every 0.5 s, at the spike inputs in turn, the first after 50 ms.

    >>> from neuroflip.circuits import sr_latch
    >>> pulses(sr_latch(), 1.2)
    {'S': [0.05, 1.05], 'R': [0.55]}
    """
    names = [i.name for i in circuit.inputs if isinstance(i, SpikeInput)]
    times: dict[str, list[float]] = {name: [] for name in names}
    count = 0
    while (at := round(0.05 + count * PULSE_EVERY, 9)) < duration and names:
        times[names[count % len(names)]].append(at)
        count += 1
    return times


def of_circuit(build: Callable[..., Circuit]) -> Callable[..., Scenario]:
    """The scenario of a library circuit: a random program for logic, else inputs pulsed in turn."""

    def scenario(duration: float = 2.0, **parameters: Any) -> Scenario:
        circuit = build(**parameters)
        if circuit.name not in BEHAVIOURS:
            return Scenario(circuit, pulses(circuit, duration), duration)
        behaviour = BEHAVIOURS[circuit.name](circuit)
        if not np.isfinite(behaviour.interval):
            return Scenario(circuit, pulses(circuit, duration), duration)
        rows, _ = program(behaviour, 1 + int(duration / behaviour.period))
        trains = drive(behaviour, rows)
        inputs = {name: [t for t in train if t < duration] for name, train in trains.items()}
        return Scenario(circuit, inputs, duration)

    return scenario


def scenarios() -> dict[str, tuple[Callable[..., Any], Callable[..., Scenario]]]:
    """Every scenario by name: (the function whose parameters it takes, the scenario).

    A scenario function takes `duration` (s) and those parameters by keyword.
    """
    from neuroflip.sims.watch_plasticity import watch_plasticity

    found: dict[str, tuple[Callable[..., Any], Callable[..., Scenario]]] = {
        name: (build, of_circuit(build)) for name, build in CIRCUITS.items()
    }
    found["watch_plasticity"] = (watch_plasticity, watch_plasticity)
    return found
