"""Recorded motion drives a plastic layer, and a latch that remembers which way it last turned."""

import dataclasses
import math
from typing import Any

import numpy as np

from neuroflip.circuit import Circuit, Pairs, Population, Projection, Readout, SpikeInput
from neuroflip.circuits import sr_latch
from neuroflip.data import load_watch, send_on_delta
from neuroflip.errors import nearest
from neuroflip.neurons import LIF
from neuroflip.rules import RULES, Rule
from neuroflip.sims.scenario import Scenario
from neuroflip.units import as_float, ms, pA

CHANNELS = ("ax", "ay", "az", "wx", "wy", "wz")
"""The channels of the watch: acceleration and angular velocity."""
AXIS = "wy"
"""The channel whose direction the latch remembers."""
THRESHOLD = 0.25
"""Send-on-delta threshold, in standard deviations of a channel over all recordings."""
NEURONS = 10
"""Neurons of the layer."""
W_MAX = 600 * pA
"""Upper bound of the plastic weights (A)."""


def watch_plasticity(
    duration: float = 10.0, *, recording: int = 0, seed: int = 0, rule: str | Rule = "PairSTDP"
) -> Scenario:
    """Smartwatch motion, as spikes, onto a plastic layer and a latch: see `motion_circuit`.

    Each of the 6 channels of one recording becomes an ON and an OFF source of `motion`
    (`send_on_delta`; threshold 0.25 standard deviations of the channel over all recordings). The
    ON and OFF events of the angular velocity wy also pulse S and R of the latch.

    duration: seconds from the start of the recording.
    recording: which one, 0 to 139.
    seed: of the initial weights and the delays.
    rule: of the weights; a rule, or the name of one, which then has w_max = 600 pA.

    Raises ValueError for a recording that does not exist or is shorter than `duration`,
    FileNotFoundError where the data was not fetched (it says what to run).
    """
    data = load_watch()
    where = "watch_plasticity"
    last = len(data.signals) - 1
    if isinstance(recording, bool) or not isinstance(recording, (int, np.integer)):
        raise TypeError(f"{where}: recording must be a whole number; got {recording!r}.")
    if not 0 <= recording <= last:
        raise ValueError(f"{where}: recording must be 0 to {last}; got {recording!r}.")
    signal = data.signals[recording]
    duration = as_float(duration, "s", f"{where}: duration")
    longest = len(signal) / data.rate
    if not 0 < duration <= longest:
        raise ValueError(
            f"{where}: duration must be above 0 s and at most {longest:g} s, the length of "
            f"recording {recording}; got {duration!r}."
        )
    shown = signal[: math.ceil(duration * data.rate - 1e-6)]  # samples before the end of the run
    events = send_on_delta(shown, data.rate, THRESHOLD * data.deviation())
    axis = data.channels.index(AXIS)
    circuit = motion_circuit(seed=seed, rule=rule)
    plastic = tuple(p.name for p in circuit.projections if p.rule.plastic)
    return Scenario(
        circuit,
        {"motion": events, "S": events[axis], "R": events[len(CHANNELS) + axis]},
        duration,
        ("v", *plastic),
    )


def motion_circuit(*, seed: int = 0, rule: str | Rule = "PairSTDP") -> Circuit:
    """Twelve motion sources onto ten competing neurons, with an SR latch beside them.
    """
    rng = np.random.default_rng(seed)
    synapses = 2 * len(CHANNELS) * NEURONS
    chosen = _rule(rule)
    latch = sr_latch()
    others = [(i, j) for i in range(NEURONS) for j in range(NEURONS) if i != j]
    return Circuit(
        "watch_plasticity",
        [Population("layer", LIF(drive=DRIVE)), *latch.populations],
        [
            Projection(
                "motion",
                "layer",
                W_MAX * rng.uniform(0.2, 0.8, synapses),
                "excitatory",
                axonal_delay=rng.uniform(1 * ms, 5 * ms, synapses),
                dendritic_delay=0.5 * ms,
                rule=chosen,
            ),
        ],
    )
