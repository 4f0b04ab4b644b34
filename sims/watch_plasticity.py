"""Recorded motion drives a plastic layer, and a latch that remembers which way it last changed."""

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

SOURCES = 12
"""Sources of `motion`: an ON and an OFF one for each channel of the watch."""
NEURONS = 10
"""Neurons of the layer."""
W_MAX = 600 * pA
"""Upper bound of the plastic weights (A)."""
AXIS = "wy"
"""The channel of which the latch remembers the last change."""
THRESHOLD = 0.25
"""Send-on-delta threshold, in standard deviations of a channel over all recordings."""


def watch_plasticity(
    duration: float = 10.0, *, recording: int = 0, seed: int = 0, rule: str | Rule = "PairSTDP"
) -> Scenario:
    """Smartwatch motion, as spikes, onto the plastic layer and the latch of `motion_circuit`.

    Each of the 6 channels of a recording becomes an ON and an OFF source of `motion`
    (`send_on_delta`; threshold 0.25 standard deviations of the channel over all recordings). The
    ON and OFF events of the angular velocity wy, the channel whose events come in the longest
    runs of one sign, also pulse S and R of the latch. So the readout `direction` tells whether
    wy last rose or fell by a threshold: the direction of the last change of the turning, not of
    the turning itself. One event is enough to flip it.

    Measured over the first 10 s of all 140 recordings with seed 0: the bit is that of the last
    event 94 % of the time (86 to 97 %), and always from 80 ms after the sign of the events
    changed; the rest is the time that the latch takes to flip and the readout to see it. Layer
    neurons fire at 5 to 53 Hz; 64 % of the weights have risen, the others fallen, by 12 % of
    w_max (rms); 2 % lie on a bound.

    duration: seconds from the start of the recording, 19 to 52 s long.
    recording: which one, 0 to 139.
    seed, rule: as in `motion_circuit`.

    Raises ValueError for a recording that does not exist or is shorter than `duration`,
    FileNotFoundError where the data was not fetched (it says what to run).
    """
    where = "watch_plasticity"
    data = load_watch()
    signal = data.signals[_whole(recording, f"{where}: recording", len(data.signals) - 1)]
    duration = as_float(duration, "s", f"{where}: duration")
    longest = len(signal) / data.rate
    if not 0 < duration <= longest:
        raise ValueError(
            f"{where}: duration must be above 0 s and at most {longest:g} s, the length of "
            f"recording {recording}; got {duration!r}."
        )
    heard = signal[: math.ceil(duration * data.rate - 1e-6)]  # the samples before the end
    events = send_on_delta(heard, data.rate, THRESHOLD * data.deviation())
    axis = data.channels.index(AXIS)
    circuit = motion_circuit(seed=seed, rule=rule)
    return Scenario(
        circuit,
        {"motion": events, "S": events[axis], "R": events[len(data.channels) + axis]},
        duration,
        ("v", *(p.name for p in circuit.projections if p.rule.plastic)),
        record_every=1 * ms,
    )


def motion_circuit(*, seed: int = 0, rule: str | Rule = "PairSTDP") -> Circuit:
    """Twelve motion sources onto ten competing neurons, and an SR latch beside them.

    `motion` reaches every neuron of `layer` through plastic synapses, 0.2 to 0.8 of w_max at the
    start, with axonal delays of 1 to 5 ms and a dendritic delay of 0.5 ms. The neurons inhibit
    each other and are held just below threshold by a constant current, so motion makes them
    fire. The latch is `circuits.sr_latch()` as it stands, with its inputs S and R; readout
    `direction` is its bit.

    seed: of the initial weights and the delays.
    rule: of the weights; a rule with its w_max in A, or the name of one, which is then given
        w_max = 600 pA and, for PairSTDP, tau_minus = 34 ms, longer than tau_plus, so that
        weights fall as well as rise.

    The last pulse decides the bit even after a long run of the other sign: pulses that are 20 ms
    or more apart add up to at most q/(1 - q) = 0.58 of a pulse by the time of the next, with
    q = exp(-20 ms/tau_i).

    Raises ValueError for a seed that is no whole number >= 0 or an unknown rule.

    >>> circuit = motion_circuit(rule="none")
    >>> circuit.sizes()
    {'layer': 10, 'Q': 1, 'Qbar': 1, 'motion': 12, 'S': 1, 'R': 1}
    >>> [p.name for p in circuit.projections]
    ['motion->layer', 'layer->layer', 'Q->Qbar', 'Qbar->Q', 'S->Qbar', 'R->Q']
    """
    rng = np.random.default_rng(_whole(seed, "motion_circuit: seed"))
    chosen = _rule(rule)
    w_max = getattr(chosen, "w_max", W_MAX)
    layer = range(NEURONS)
    others = [(i, j) for i in layer for j in layer if i != j]
    latch = sr_latch()
    return Circuit(
        "watch_plasticity",
        [Population("layer", LIF(drive=140 * pA), NEURONS), *latch.populations],
        [
            Projection(
                "motion",
                "layer",
                w_max * rng.uniform(0.2, 0.8, (SOURCES, NEURONS)),
                "excitatory",
                axonal_delay=rng.uniform(1 * ms, 5 * ms, (SOURCES, NEURONS)),
                dendritic_delay=0.5 * ms,
                rule=chosen,
            ),
            Projection(
                "layer",
                "layer",
                30 * pA,
                "inhibitory",
                Pairs(*zip(*others, strict=True)),
                axonal_delay=1 * ms,
            ),
            *latch.projections,
        ],
        [SpikeInput("motion", SOURCES), *latch.inputs],
        [Readout("direction", high="Q", low="Qbar")],
    )


def _rule(rule: str | Rule) -> Rule:
    """A rule as it is; one that is named, with its bound in A."""
    if isinstance(rule, Rule):
        return rule
    if rule not in RULES:
        raise ValueError(f"motion_circuit: there is no rule {rule!r}; {nearest(str(rule), RULES)}")
    given: dict[str, Any] = {"PairSTDP": {"tau_minus": 34 * ms}}.get(rule, {})
    bounded = any(f.name == "w_max" for f in dataclasses.fields(RULES[rule]))  # type: ignore[arg-type]
    return RULES[rule](**given, **({"w_max": W_MAX} if bounded else {}))


def _whole(value: Any, name: str, most: int | None = None) -> int:
    limit = "at least 0" if most is None else f"0 to {most}"
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not whole or value < 0 or (most is not None and value > most):
        raise ValueError(f"{name} must be a whole number, {limit}; got {value!r}.")
    return int(value)
