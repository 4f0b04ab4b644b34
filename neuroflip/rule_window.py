"""The window of a plasticity rule: what one pair of spikes does, by formula and simulated."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from neuroflip.circuit import (
    Array,
    Circuit,
    CurrentInput,
    OneToOne,
    Population,
    Projection,
    SignalInput,
    SpikeInput,
)
from neuroflip.neurons import NEURONS, DeltaLIF
from neuroflip.rules import Rule
from neuroflip.simulation import simulate
from neuroflip.units import as_array, as_float, ms

AFTER = 500 * ms
"""Time that a rule which goes on changing is given after the pair."""

TOLERANCE = 1e-12
"""Largest difference of formula and simulation that rounding explains, see `agreement`."""


def whole_intervals(intervals: Any, dt: float) -> Array:
    """Intervals (s) rounded to whole steps of `dt` (s).

    >>> whole_intervals([-0.00104, 0.0, 0.0002], 0.1*ms)
    array([-0.001 ,  0.    ,  0.0002])
    """
    whole: Array = np.round(as_array(intervals, "s", "intervals") / dt) * dt + 0.0  # no -0.0
    return whole


def rule_window(
    rule: Rule,
    intervals: Sequence[float] | Array,
    weight: float,
    engine: str = "numba",
    dt: float = 0.1 * ms,
) -> tuple[Array | None, Array]:
    """Change of a weight by one pair of spikes, for each interval: (by formula, simulated).

    rule: a rule object such as `rules.PairSTDP()`. intervals: t_post - t_pre (s), rounded to
    whole steps of dt (s); the formula is evaluated at the rounded ones, `whole_intervals`.
    weight: before the pair, in the unit of the rule's bounds. engine: one of `nf.ENGINES`.

    Simulated is one circuit with a synapse an interval, each of which meets one pair; third
    factors are 1 throughout, and a rule with differential equations of its own is given `AFTER`
    to finish. The formula is `rule.window`, held within w_min and w_max where the rule has them,
    or None where it has no closed form. Both arrays are of shape (intervals,).

    Raises ValueError or TypeError for a weight outside the bounds, an empty or not
    one-dimensional list of intervals, an unknown engine.

    >>> from neuroflip import rules
    >>> analytic, simulated = rule_window(rules.PairSTDP(), [-20*ms, 0.0, 20*ms], weight=0.5)
    >>> simulated.round(6)
    array([-0.003863,  0.01    ,  0.003679])
    >>> bool(abs(simulated - analytic).max() < 1e-12)
    True
    """
    if not isinstance(rule, Rule):
        raise TypeError(f"rule must be a rule object like rules.PairSTDP(); got {rule!r}.")
    dt = as_float(dt, "s", "dt")
    if dt <= 0:
        raise ValueError(f"dt must be above 0 s; got {dt!r}.")
    weight = as_float(weight, "", "weight")
    rounded = whole_intervals(intervals, dt)
    if rounded.ndim != 1 or not rounded.size:
        raise ValueError(
            f"intervals must be a list of times in s, at least one; got shape {rounded.shape}."
        )
    simulated = _simulated(rule, rounded, weight, engine, dt)
    return _analytic(rule, rounded, weight), simulated


def agreement(analytic: Array, simulated: Array, weight: float) -> tuple[float, float]:
    """Largest difference of the two, and the largest that passes for rounding.

    That is `TOLERANCE` of the weight or of the largest change, whichever is larger: differences
    of weights are no more exact than the weights.

    >>> agreement(np.array([0.25, 0.0]), np.array([0.0, 0.0]), weight=0.5)
    (0.25, 5e-13)
    """
    scale = max(abs(weight), float(np.abs(analytic).max()))
    return float(np.abs(analytic - simulated).max()), TOLERANCE * scale


def _analytic(rule: Rule, intervals: Array, weight: float) -> Array | None:
    try:
        changes = np.array([rule.window(float(interval), weight) for interval in intervals])
    except NotImplementedError:
        return None
    w_min, w_max = getattr(rule, "w_min", -np.inf), getattr(rule, "w_max", np.inf)
    return np.clip(changes, w_min - weight, w_max - weight)


def _simulated(rule: Rule, intervals: Array, weight: float, engine: str, dt: float) -> Array:
    apart = np.round(intervals / dt).astype(np.int64)
    pre = max(0, 1 - int(apart.min()))
    steps = max(pre, int((pre + apart).max())) + 2
    if rule.model().continuous:
        steps += round(AFTER / dt)
    circuit = paired(rule, np.full(apart.size, weight))
    inputs: dict[str, Any] = {"pre": [[pre * dt]] * apart.size}
    inputs |= forced(circuit, [[step] for step in pre + apart], steps, dt)
    inputs |= {name: np.ones(steps) for name in rule.model().signals}
    rec = simulate(circuit, inputs, duration=steps * dt, dt=dt, engine=engine)
    if not rule.plastic:
        return np.zeros(intervals.size)
    changes: Array = rec.weights["pre->post"] - weight
    return changes


def neuron_for(rule: Rule) -> Any:
    """A neuron that the rule can read; one that weights do not move where it reads none.

    Raises ValueError where no neuron has what the rule reads.
    """
    reads = rule.model().reads
    if not reads:
        given = rule.parameters()
        # Far above what many spikes at a time bring; weights without bounds may grow far, too
        far = (
            1e3 * max(1.0, *map(abs, (given["w_min"], given["w_max"]))) if "w_min" in given else 1e9
        )
        return DeltaLIF(v_threshold=far, refractory=0.0)
    for kind in NEURONS.values():
        if set(reads) <= set(kind().model().variables):
            return kind(refractory=0.0)
    raise ValueError(f"{type(rule).__name__} reads {', '.join(reads)}, which no neuron has.")


def paired(rule: Rule, weight: Array, axonal: Any = 0.0, dendritic: Any = 0.0) -> Circuit:
    """Pairs of neurons, each joined by one synapse; inputs "pre", "force" and the third factors."""
    neuron = neuron_for(rule)
    return Circuit(
        "pairs",
        [Population("post", neuron, weight.size)],
        [
            Projection(
                "pre",
                "post",
                weight,
                receptor=next(iter(neuron.receptors)),
                pattern=OneToOne(),
                axonal_delay=axonal,
                dendritic_delay=dendritic,
                rule=rule,
            )
        ],
        [
            SpikeInput("pre", weight.size),
            CurrentInput("force", "post"),
            *(SignalInput(name) for name in rule.model().signals),
        ],
    )


def forced(circuit: Circuit, at: Sequence[Any], steps: int, dt: float) -> dict[str, Array]:
    """The input "force" that fires neuron i of `paired` in the steps at[i]."""
    neuron: Any = circuit.populations[0].neuron
    kick = 2 * (neuron.v_threshold - neuron.v_reset) / neuron.resistance
    wave = np.zeros((steps, len(at)))
    for i, fired in enumerate(at):
        wave[fired, i] = kick / -math.expm1(-dt / neuron.tau_m)  # over the threshold in one step
    return {"force": wave}
