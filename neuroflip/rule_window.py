"""The window of a plasticity rule: what one pair of spikes does, by formula and simulated."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from neuroflip.circuit import Array, Circuit, OneToOne, Population, Projection, SpikeInput
from neuroflip.neurons import DeltaLIF
from neuroflip.rules import Rule
from neuroflip.simulation import simulate
from neuroflip.units import as_array, as_float, ms

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

    Simulated is one circuit with a synapse an interval, each of which meets one pair. The
    formula is `rule.window`, held within w_min and w_max where the rule has them, or None where
    it has no closed form. Both arrays are of shape (intervals,).

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
    # A forcing spike reaches the neuron after the threshold of its step, so fires it in the next.
    forced = pre + apart - 1
    inputs = {
        "pre": [[pre * dt]] * apart.size,
        "force": [[step * dt] for step in forced],
    }
    steps = max(pre, int(forced.max())) + 2
    circuit = _circuit(rule, weight, apart.size, dt)
    rec = simulate(circuit, inputs, duration=steps * dt, dt=dt, engine=engine)
    if not rule.plastic:
        return np.zeros(intervals.size)
    changes: Array = rec.weights["pre->post"] - weight
    return changes


def _circuit(rule: Rule, weight: float, size: int, dt: float) -> Circuit:
    """`size` plastic synapses onto neurons that fire only where "force" makes them."""
    bounds = (getattr(rule, "w_min", 0.0), getattr(rule, "w_max", 0.0))
    threshold = 100.0 * max(1.0, *map(abs, (weight, *bounds)))
    neuron = DeltaLIF(tau_m=1000 * dt, v_threshold=threshold, refractory=0.0)
    return Circuit(
        "rule_window",
        [Population("post", neuron, size)],
        [
            Projection("pre", "post", weight, pattern=OneToOne(), rule=rule),
            Projection("force", "post", 10 * threshold, pattern=OneToOne()),
        ],
        [SpikeInput("pre", size), SpikeInput("force", size)],
    )
