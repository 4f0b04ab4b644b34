"""The calcium-based bistable synapse beside measured plasticity, as its authors read it out.

A measurement sees many synapses, each of which is down or up. Noise decides which of them a
protocol takes across the unstable point, so the published parameter sets have four numbers that
the rule has not: the strength sigma of that noise, the delay of presynaptic calcium, the fraction
of synapses that are down before, and how much stronger an up synapse is. The mean efficacy of
synapses that start down, and of those that start up, is simulated with the rule; around it they are
spread normally, with the variance of

    tau drho = -(gamma_p p + gamma_d d) (rho - mean) dt + sigma sqrt(tau (p + d)) dW

(Graupner & Brunel 2012, PNAS 109:3991, eq. 1, its noise as corrected in
doi:10.1073/pnas.1220044110), in which p and d are 1 while calcium is above its thresholds.
"cortical slices" was fitted to Sjoestroem et al. 2001, "hippocampal cultures" to Wang et al. 2005.

    python -m neuroflip.sims.calcium_data
"""

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from neuroflip.circuit import Array
from neuroflip.rules.calcium import CALCIUM_DELAY, GraupnerBrunel
from neuroflip.sims.triplet_data import HIPPOCAMPAL, VISUAL, Protocol, changes, report
from neuroflip.units import ms

POPULATION = {
    "DP": (2.8284, 0.5, 5.0),
    "DPD": (2.8284, 0.5, 5.0),
    "DPD'": (2.8284, 0.5, 5.0),
    "P": (2.8284, 0.5, 5.0),
    "D": (5.6568, 0.5, 5.0),
    "D'": (2.8284, 0.5, 5.0),
    "hippocampal slices": (9.1844, 0.7, 5.28145),
    "hippocampal cultures": (2.5654, 0.5, 36.0263),
    "cortical slices": (3.3501, 0.5, 5.40988),
}
"""Of each set of `GraupnerBrunel.preset`, as in the authors' published scripts: sigma, the fraction
of synapses that are down before, the strength of an up synapse over that of a down one."""


def preset_of(rule: GraupnerBrunel) -> str | None:
    """The name of the published set that a rule has, whatever its bounds; None for any other."""
    bounds = {"w_min": rule.w_min, "w_max": rule.w_max}
    return next((n for n in POPULATION if GraupnerBrunel.preset(n, **bounds) == rule), None)


def population_changes(name: str, protocols: Sequence[Protocol], dt: float = 0.1 * ms) -> Array:
    """Relative change of the strength of many synapses by each protocol, for a published set.

    dt (s): the spikes are rounded to whole steps.
    """
    rule = GraupnerBrunel.preset(name)
    sigma, down, ratio = POPULATION[name]
    delay = CALCIUM_DELAY[name]
    late = [dataclasses.replace(p, pre=tuple(t + delay for t in p.pre)) for p in protocols]
    variance = np.array([_variance(rule, sigma, p) for p in late])
    up = []
    for start in (0.0, 1.0):
        mean = start + changes(rule, late, dt, start)
        above = (mean - rule.rho_star) / np.sqrt(2 * np.maximum(variance, 1e-12))
        up.append(np.array([0.5 * (1 + math.erf(x)) for x in above]))
    after = down * up[0] + (1 - down) * up[1]  # the fraction that is up
    strength: Array = 1 + (ratio - 1) * after
    return strength / (1 + (ratio - 1) * (1 - down)) - 1


def _variance(rule: GraupnerBrunel, sigma: float, protocol: Protocol) -> float:
    """Of the efficacy at the end of a protocol."""
    pre, post = protocol.trains()
    events = sorted([*((t, rule.c_pre) for t in pre), *((t, rule.c_post) for t in post)])
    at = np.array([t for t, _ in events])
    jumps = [c for _, c in events]
    above = {rule.theta_p: 0.0, rule.theta_d: 0.0}
    calcium = 0.0
    for jump, length in zip(jumps, [*np.diff(at), math.inf], strict=True):
        calcium += jump
        for threshold in above:
            if calcium > threshold:
                above[threshold] += min(rule.tau_ca * math.log(calcium / threshold), length)
        calcium *= math.exp(-length / rule.tau_ca)
    p, d = above[rule.theta_p], above[rule.theta_d]
    pull = rule.gamma_p * p + rule.gamma_d * d
    if pull == 0:
        return 0.0
    return sigma**2 * (p + d) / (2 * pull) * -math.expm1(-2 * pull / rule.tau)


def main() -> None:
    """Print both tables."""
    for name, protocols, title in (
        ("cortical slices", VISUAL, "Sjoestroem et al. 2001: change by 60 pairs"),
        ("hippocampal cultures", HIPPOCAMPAL, "Wang et al. 2005: change by 60 triplets"),
    ):
        print(report(title, protocols, {name: population_changes(name, protocols)}), "\n")


if __name__ == "__main__":
    main()
