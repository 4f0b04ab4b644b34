"""Many calcium-based synapses: against the noisy equation itself, drawn step by step."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from neuroflip.rules.calcium import CALCIUM_DELAY, GraupnerBrunel
from neuroflip.sims.calcium_data import POPULATION, population_changes, preset_of
from neuroflip.sims.triplet_data import HIPPOCAMPAL, VISUAL, Protocol

DT = 2e-4


def drawn(name: str, protocol: Protocol, synapses: int, rng: Any) -> float:
    """Relative change of the strength of `synapses` of the published set, then left to settle."""
    rule, (sigma, down, ratio) = GraupnerBrunel.preset(name), POPULATION[name]
    pre, post = (np.round(np.array(t) / DT).astype(int) for t in protocol.trains())
    pre = pre + round(CALCIUM_DELAY[name] / DT)
    rho = (np.arange(synapses) >= round(down * synapses)) * 1.0
    before = np.where(rho == 1, ratio, 1.0).mean()
    calcium = 0.0
    for k in range(max(pre.max(), post.max()) + round(0.1 / DT)):
        p, d = float(calcium > rule.theta_p), float(calcium > rule.theta_d)
        drift = -rho * (1 - rho) * (rule.rho_star - rho)
        drift += rule.gamma_p * (1 - rho) * p - rule.gamma_d * rho * d
        rho = rho + drift * DT / rule.tau
        if p or d:
            rho += sigma * math.sqrt((p + d) * DT / rule.tau) * rng.standard_normal(synapses)
        calcium *= math.exp(-DT / rule.tau_ca)
        calcium += rule.c_pre * np.sum(pre == k) + rule.c_post * np.sum(post == k)
    return float(np.where(rho > rule.rho_star, ratio, 1.0).mean() / before - 1)


CASES = [("cortical slices", p) for p in VISUAL if p.name in ("+10 ms, 40 Hz", "-10 ms, 20 Hz")]
CASES += [("hippocampal cultures", dataclasses.replace(HIPPOCAMPAL[4], rate=10.0))]


@pytest.mark.parametrize(("name", "protocol"), CASES, ids=lambda v: getattr(v, "name", v))
def test_the_fraction_that_noise_takes_across(name: str, protocol: Protocol) -> None:
    """4,000 synapses: the error of the drawn mean is below 0.02, the drift of the double well,
    which the spread leaves out, small."""
    wanted = drawn(name, protocol, 4000, np.random.default_rng(0))
    [found] = population_changes(name, [protocol])
    assert abs(found - wanted) < 0.05
    assert abs(wanted) > 0.15


def test_pairs_of_the_visual_cortex_reverse_with_their_rate() -> None:
    """Post before pre depresses at 20 Hz, and potentiates as much as pre before post at 50 Hz;
    within two standard errors of the data from 20 Hz on."""
    found = population_changes("cortical slices", VISUAL)
    after = np.array([(f - p.change) / p.error for f, p in zip(found, VISUAL, strict=True)])
    fast = np.array([p.rate >= 20 for p in VISUAL])
    assert np.abs(after[fast]).max() < 2
    assert found[7] < -0.2 and found[8] > 0.5 and abs(found[9] - found[4]) < 0.05


def test_which_set_a_rule_has() -> None:
    for name in POPULATION:
        assert preset_of(GraupnerBrunel.preset(name, w_min=-1.0, w_max=3.0)) == name
    assert preset_of(GraupnerBrunel(tau=149.0)) is None
