"""Published measurements of plasticity by spike times, beside what a rule makes of the protocols.

Sjoestroem, Turrigiano & Nelson 2001 (Neuron 32:1149, visual cortex): 60 pairs at 0.1 to 50 Hz, and
at 20 Hz over the interval. Bi & Poo 1998 (J. Neurosci. 18:10464, hippocampal culture): 60 pairs at
1 Hz over the interval, six of the fifty synapses of Fig. 7. Wang, Gerkin, Nauen & Bi 2005 (Nat.
Neurosci. 8:187, hippocampal culture): 60 triplets at 1 Hz.

Of other rules these data say nothing: what `ClopathSTDP` does depends on the shape of the action
potential that the neuron sends it, `InhibitorySTDP` is about other synapses.

    neuroflip rule TripletSTDP --plot triplet.png
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from neuroflip.circuit import Array
from neuroflip.rules.calcium import GraupnerBrunel
from neuroflip.rules.rule import Rule
from neuroflip.rules.stdp import PairSTDP
from neuroflip.rules.suppression import FroemkeDanSTDP
from neuroflip.rules.triplet import TripletSTDP
from neuroflip.sims.calcium_data import population_changes, preset_of
from neuroflip.sims.triplet_data import HIPPOCAMPAL, VISUAL, Protocol, unbounded_changes
from neuroflip.units import ms

SJOESTROEM_20_HZ = (
    (-25 * ms, -0.301, 0.078),
    (-10 * ms, -0.355, 0.096),
    (0.0, -0.241, 0.106),
    (10 * ms, 0.289, 0.147),
    (25 * ms, -0.368, 0.197),
)
"""Interval t_post - t_pre (s), relative change by 60 pairs at 20 Hz, standard error."""

BI_POO = (
    (-65 * ms, -0.07),
    (-10.2 * ms, -0.35),
    (-4.1 * ms, -0.399),
    (6.5 * ms, 0.99),
    (7.9 * ms, 0.345),
    (26 * ms, 0.165),
)
"""Interval t_post - t_pre (s) and relative change by 60 pairs at 1 Hz; each point one synapse."""

Model = Callable[[Sequence[Protocol], float], Array]
"""From protocols and a time step (s) to the changes that a rule makes of them."""

VISUAL_SOURCE = "Sjöström et al. 2001 (mean, s.e.m.)"


@dataclass(frozen=True)
class Curve:
    """Measurements of `source` at the values `at` of a panel's axis: `measured`, with standard
    `error` where it is known; `rule`, what the rule does there. line: the rule at more values,
    (at, change)."""

    label: str
    source: str
    at: Array
    rule: Array
    measured: Array
    error: Array | None = None
    line: tuple[Array, Array] | None = None


@dataclass(frozen=True)
class Panel:
    """Curves over one axis. names: of the values of the axis, where they are no numbers."""

    title: str
    axis: str
    curves: tuple[Curve, ...]
    names: tuple[str, ...] = ()


def measured(rule: Rule) -> list[Panel]:
    """A rule beside the measurements, relative changes of the weight by 60 pairs or triplets.

    Of a rule that is linear in its amplitudes, without its bounds; of a published set of
    `GraupnerBrunel`, for many synapses (`sims.calcium_data`). Empty for rules that are about
    something else.
    """
    if isinstance(rule, GraupnerBrunel):
        name = preset_of(rule)
        if name is None:
            return []
        known = name

        def model(protocols: Sequence[Protocol], dt: float) -> Array:
            return population_changes(known, protocols)

    elif isinstance(rule, (PairSTDP, TripletSTDP, FroemkeDanSTDP)):

        def model(protocols: Sequence[Protocol], dt: float) -> Array:
            return unbounded_changes(rule, protocols, dt)

    else:
        return []
    return [_rates(model), _windows(model), _triplets(model)]


def _rates(model: Model) -> Panel:
    found = model(VISUAL, 1 * ms)
    curves = []
    for label, interval in (("+10 ms", 10 * ms), ("-10 ms", -10 * ms)):
        here = [i for i, p in enumerate(VISUAL) if p.post == (interval,)]
        each = [(VISUAL[i].rate, found[i], VISUAL[i].change, VISUAL[i].error) for i in here]
        at, changes, data, error = np.array(each).T
        curves.append(Curve(label, VISUAL_SOURCE, at, changes, data, error, (at, changes)))
    return Panel("60 pairs 10 ms apart; visual cortex", "rate of the pairs (Hz)", tuple(curves))


def _windows(model: Model) -> Panel:
    visual, error = np.array(SJOESTROEM_20_HZ)[:, :2], np.array(SJOESTROEM_20_HZ)[:, 2]
    culture = np.array(BI_POO)
    curves = []
    for label, source, rate, data, errors, reach in (
        ("20 Hz, visual cortex", VISUAL_SOURCE, 20.0, visual, error, 25),
        ("1 Hz, culture", "6 of 50 synapses of Bi & Poo 1998", 1.0, culture, None, 80),
    ):
        line = np.arange(-reach, reach + 1) * ms
        at, data_at = data.T
        found = _pairs(model, np.concatenate([at, line]), rate)
        dense: tuple[Array, Array] = (np.round(line / ms), found[at.size :])
        curves.append(Curve(label, source, at / ms, found[: at.size], data_at, errors, dense))
    return Panel("60 pairs, over their interval", "t_post - t_pre (ms)", tuple(curves))


def _pairs(model: Model, intervals: Sequence[float] | Array, rate: float) -> Array:
    """What 60 pairs do, for each interval (s)."""
    protocols = [
        Protocol("", (max(0.0, -t),), (max(0.0, t),), rate, 0.0, 0.0) for t in map(float, intervals)
    ]
    return model(protocols, 0.1 * ms)


def _triplets(model: Model) -> Panel:
    curve = Curve(
        "1 Hz",
        "Wang et al. 2005 (mean, s.e.m.)",
        np.arange(len(HIPPOCAMPAL)).astype(np.float64),
        model(HIPPOCAMPAL, 1 * ms),
        np.array([p.change for p in HIPPOCAMPAL]),
        np.array([p.error for p in HIPPOCAMPAL]),
    )
    title = "60 triplets; hippocampal culture"
    return Panel(title, "", (curve,), tuple(p.name for p in HIPPOCAMPAL))
