"""Triplet and pair STDP against measured plasticity: Sjoestroem et al. 2001, Wang et al. 2005.

Visual cortex (Sjoestroem, Turrigiano & Nelson 2001, Neuron 32:1149): 60 pairs, 10 ms apart in
either order, at 0.1 to 50 Hz. Hippocampal culture (Wang, Gerkin, Nauen & Bi 2005, Nat. Neurosci.
8:187): 60 triplets at 1 Hz. Each of the eight published sets of `TripletSTDP` goes through the
protocols of the tissue that it was fitted to, in one simulation; pair STDP is fitted to the same
data as well as it can be. The score is the mean over the protocols of ((model - data)/s.e.m.)^2.

    python -m neuroflip.sims.triplet_data
"""

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from neuroflip.circuit import Array, Circuit, OneToOne, Population, Projection, SpikeInput
from neuroflip.neurons import DeltaLIF
from neuroflip.rules.rule import Rule
from neuroflip.rules.stdp import PairSTDP
from neuroflip.rules.triplet import PRESETS, TripletSTDP
from neuroflip.simulation import simulate
from neuroflip.tables import table
from neuroflip.units import ms

AMPLITUDE = re.compile(r"a\d?_(plus|minus)")
"""Names of parameters in which a rule is linear."""

REPETITIONS = 60
"""Pairs or triplets in every protocol."""


@dataclass(frozen=True)
class Protocol:
    """A pattern of spikes (s), how often it comes (Hz), and the change measured after 60 of them:
    mean and standard error, in fractions of the weight before."""

    name: str
    pre: tuple[float, ...]
    post: tuple[float, ...]
    rate: float
    change: float
    error: float

    def trains(self) -> tuple[Array, Array]:
        """Times (s) of all presynaptic and all postsynaptic spikes."""
        first = 20 * ms + np.arange(REPETITIONS)[:, None] / self.rate
        return (first + np.array(self.pre)).ravel(), (first + np.array(self.post)).ravel()


def _pairs(interval: float, rate: float, change: float, error: float) -> Protocol:
    name = f"{interval / ms:+.0f} ms, {rate:g} Hz"
    return Protocol(name, (0.0,), (interval,), rate, change, error)


def _triplet(first: float, last: float, change: float, error: float) -> Protocol:
    """first, last: t_post - t_pre of the first and of the last two spikes of a triplet (ms)."""
    name = f"({first:+.0f}, {last:+.0f}) ms"
    if first > 0:  # pre, post, pre
        return Protocol(f"pre-post-pre {name}", (-first * ms, -last * ms), (0.0,), 1, change, error)
    return Protocol(f"post-pre-post {name}", (0.0,), (first * ms, last * ms), 1, change, error)


VISUAL = (
    _pairs(10 * ms, 0.1, -0.04, 0.05),
    _pairs(10 * ms, 10, 0.14, 0.10),
    _pairs(10 * ms, 20, 0.29, 0.14),
    _pairs(10 * ms, 40, 0.53, 0.11),
    _pairs(10 * ms, 50, 0.56, 0.26),
    _pairs(-10 * ms, 0.1, -0.29, 0.08),
    _pairs(-10 * ms, 10, -0.41, 0.11),
    _pairs(-10 * ms, 20, -0.34, 0.10),
    _pairs(-10 * ms, 40, 0.56, 0.32),
    _pairs(-10 * ms, 50, 0.75, 0.19),
)
"""Sjoestroem et al. 2001."""

HIPPOCAMPAL = (
    _triplet(5, -5, -0.002, 0.044),
    _triplet(10, -10, 0.026, 0.037),
    _triplet(15, -5, 0.002, 0.034),
    _triplet(5, -15, 0.232, 0.049),
    _triplet(-5, 5, 0.273, 0.046),
    _triplet(-10, 10, 0.254, 0.056),
    _triplet(-5, 15, 0.207, 0.075),
    _triplet(-15, 5, 0.281, 0.048),
)
"""Wang et al. 2005."""


def changes(
    rule: Rule, protocols: Sequence[Protocol], dt: float = 1 * ms, start: float = 0.5
) -> Array:
    """What each protocol does to a weight, in fractions of w_max - w_min.

    dt (s): the spikes are rounded to whole steps. start: where the weight begins between its
    bounds, in the same fractions.
    """
    pre, post = zip(*(p.trains() for p in protocols), strict=True)
    size, steps = len(protocols), round((max(map(np.max, (*pre, *post))) + 200 * ms) / dt)
    # The postsynaptic neurons fire where they are kicked: no weight reaches their threshold
    low, high = getattr(rule, "w_min", 0.0), getattr(rule, "w_max", 1.0)
    before = low + start * (high - low)
    neuron = DeltaLIF(tau_m=dt, v_threshold=1e6 * max(1.0, abs(low), abs(high)), refractory=0.0)
    circuit = Circuit(
        "protocols", [Population("post", neuron, size)],
        [Projection("pre", "post", before, pattern=OneToOne(), rule=rule),
         Projection("kick", "post", 10 * neuron.v_threshold, pattern=OneToOne())],
        [SpikeInput("pre", size), SpikeInput("kick", size)],
    )  # fmt: skip
    inputs = {
        "pre": [np.round(times / dt) * dt for times in pre],
        "kick": [(np.round(times / dt) - 1) * dt for times in post],  # which acts a step later
    }
    rec = simulate(circuit, inputs, duration=steps * dt, dt=dt)
    if rec.spikes["post"].size != sum(map(np.size, post)):
        raise RuntimeError("a postsynaptic spike is missing: protocols overlap at this dt.")
    found: Array = (rec.weights["pre->post"] - before) / (high - low)
    return found


def unbounded_changes(rule: Rule, protocols: Sequence[Protocol], dt: float = 1 * ms) -> Array:
    """`changes` as they would be without bounds, of a rule that is linear in its amplitudes.

    Run with amplitudes of a hundredth, as no weight fits between its bounds in all protocols.
    """
    small = {name: a / 100 for name, a in rule.parameters().items() if AMPLITUDE.fullmatch(name)}
    return 100 * changes(dataclasses.replace(rule, **small), protocols, dt)  # type: ignore[type-var]


def triplet_changes(name: str, protocols: Sequence[Protocol]) -> Array:
    """What a published set of `TripletSTDP` makes of the protocols."""
    return unbounded_changes(TripletSTDP.preset(name), protocols)


def best_pair_rule(protocols: Sequence[Protocol]) -> tuple[PairSTDP, Array]:
    """The additive all-to-all pair STDP that fits the data best, and its changes.

    Amplitudes by least squares for every pair of time constants on a grid of 5 ms to 1 s: the
    changes are linear in the amplitudes, so one run a time constant gives all.
    """
    data = np.array([p.change for p in protocols])
    errors = np.array([p.error for p in protocols])
    tiny = 1e-4
    grid = np.round(np.geomspace(5 * ms, 1.0, 14), 4)
    runs = [
        (
            changes(PairSTDP(tau, tau, tiny, 0.0), protocols) / tiny,
            changes(PairSTDP(tau, tau, 0.0, tiny), protocols) / tiny,
        )
        for tau in grid
    ]
    best: tuple[float, PairSTDP, Array] | None = None
    for tau_plus, (up, _) in zip(grid, runs, strict=True):
        for tau_minus, (_, down) in zip(grid, runs, strict=True):
            columns = np.stack([up, down], axis=1)
            for kept in ([0, 1], [0], [1], []):  # amplitudes are not negative
                a = np.zeros(2)
                a[kept] = np.linalg.lstsq(
                    columns[:, kept] / errors[:, None], data / errors, rcond=None
                )[0]
                if (a < 0).any():
                    continue
                found = score(columns @ a, protocols)
                if best is None or found < best[0]:
                    best = found, PairSTDP(float(tau_plus), float(tau_minus), *a), columns @ a
    assert best is not None
    return best[1], best[2]


def score(model: Array, protocols: Sequence[Protocol]) -> float:
    """Mean of ((model - data)/s.e.m.)^2 over the protocols."""
    data = np.array([p.change for p in protocols])
    return float(np.mean(((model - data) / np.array([p.error for p in protocols])) ** 2))


def report(title: str, protocols: Sequence[Protocol], models: dict[str, Array]) -> str:
    """A table of models, data and errors; the last row has the scores."""
    rows = [
        (p.name, f"{p.change:+.3f}", f"{p.error:.3f}", *(f"{m[i]:+.3f}" for m in models.values()))
        for i, p in enumerate(protocols)
    ]
    rows.append(("mean chi2", "", "", *(f"{score(m, protocols):.2f}" for m in models.values())))
    return table(title, ("protocol", "data", "s.e.m.", *models), rows)


def main() -> None:
    """Print both tables."""
    for tissue, protocols, title in (
        ("visual", VISUAL, "Sjoestroem et al. 2001: change of the weight by 60 pairs"),
        ("hippocampal", HIPPOCAMPAL, "Wang et al. 2005: change of the weight by 60 triplets"),
    ):
        models = {
            name.removeprefix(f"{tissue}_"): triplet_changes(name, protocols)
            for name in PRESETS
            if name.startswith(tissue)
        }
        pair, models["best pair STDP"] = best_pair_rule(protocols)
        print(report(title, protocols, models))
        taus = f"{pair.tau_plus / ms:.0f} and {pair.tau_minus / ms:.0f} ms"
        print(f"best pair STDP: {taus}, {pair.a_plus:.4f} and {pair.a_minus:.4f}\n")


if __name__ == "__main__":
    main()
