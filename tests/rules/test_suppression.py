"""The suppression model against its definition: a sum over all pairs, weighted by efficacies."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.rules.suppression import FroemkeDanSTDP
from neuroflip.units import ms

DT = 1e-4
FORCED = nf.DeltaLIF(tau_m=DT, v_threshold=1e4, refractory=0.0)
Train = list[int]  # steps


def circuit(
    rule: FroemkeDanSTDP, pre: list[Train], post: list[Train], weight: Any, steps: int,
    **delays: Any,
) -> tuple[nf.Circuit, dict[str, Any]]:  # fmt: skip
    wave = np.zeros((steps, len(post)))
    for j, train in enumerate(post):
        wave[train, j] = 1.0
    made = nf.Circuit(
        "trains", [nf.Population("post", FORCED, len(post))],
        [nf.Projection("pre", "post", weight, pattern=nf.OneToOne(), rule=rule, **delays)],
        [nf.SpikeInput("pre", len(pre)), nf.CurrentInput("force", "post")],
    )  # fmt: skip
    return made, {"pre": [np.array(t) * DT for t in pre], "force": wave}


def change(rule: FroemkeDanSTDP, pre: Train, post: Train) -> float:
    """The sum over all pairs, no bounds."""

    def efficacies(train: Train, tau: float) -> list[float]:
        gaps = [math.inf, *np.diff(train)]
        return [1 - math.exp(-gap * DT / tau) for gap in gaps[: len(train)]]

    pre_with = zip(pre, efficacies(pre, rule.tau_pre), strict=True)
    post_with = list(zip(post, efficacies(post, rule.tau_post), strict=True))
    span = rule.w_max - rule.w_min
    return span * math.fsum(
        e * f * rule.a_plus * math.exp(-(q - p) * DT / rule.tau_plus)
        if q >= p
        else -e * f * rule.a_minus * math.exp(-(p - q) * DT / rule.tau_minus)
        for (p, e), (q, f) in itertools.product(pre_with, post_with)
    )


HAND: list[tuple[Train, Train]] = [
    ([20], [20]),
    ([20, 21], [20, 21]),
    ([20, 120], [70]),
    ([70], [20, 120]),
    (list(range(30, 60)), list(range(30, 60))),
    (list(range(30, 60)), [45, 59, 61]),
    ([45, 59, 61], list(range(30, 60))),
    ([], [3, 4]),
]


def test_all_engines_against_the_sum_over_pairs() -> None:
    """Coincidences, bursts and random trains with delays."""
    rng = np.random.default_rng(3)
    steps = 400
    pre, post = (list(t) for t in zip(*HAND, strict=True))
    for _ in range(5):
        pre.append(np.flatnonzero(rng.random(steps - 20) < 0.07).tolist())
        post.append(np.flatnonzero(rng.random(steps - 20) < 0.07).tolist())
    n = len(pre)
    rule = FroemkeDanSTDP(
        tau_plus=3 * ms, tau_minus=6 * ms, tau_pre=2 * ms, tau_post=5 * ms, w_min=-2, w_max=3
    )
    axonal, dendritic = rng.integers(0, 12, n), rng.integers(0, 12, n)
    made, inputs = circuit(
        rule, pre, post, 0.5, steps, axonal_delay=axonal * DT, dendritic_delay=dendritic * DT
    )
    report = nf.compare(made, inputs, duration=steps * DT, record=["pre->post"])
    assert report.ok, str(report)
    wanted = [
        0.5 + change(rule, [t + int(a) for t in p], [t + int(d) for t in q])
        for p, q, a, d in zip(pre, post, axonal, dendritic, strict=True)
    ]
    found = report.recordings["numba"].weights["pre->post"]
    assert np.abs(found - np.array(wanted)).max() < 1e-12
    assert np.abs(found - 0.5).max() > 0.05


def test_the_first_spikes_decide() -> None:
    """Pre-post-pre potentiates and post-pre-post depresses, the contrary of the triplet rule
    (Babadi & Abbott 2016, PLoS Comput. Biol. 12:e1004750, fig. 4B)."""
    rule = FroemkeDanSTDP()
    made, inputs = circuit(
        rule, [[100, 200], [150], [100], [150]], [[150], [100, 200], [150], [100]], 0.5, 300
    )
    pre_post_pre, post_pre_post, up, down = (
        nf.simulate(made, inputs, duration=0.03, engine="torch").weights["pre->post"] - 0.5
    )
    assert up > pre_post_pre > 0.7 * up and down < post_pre_post < 0
    # By hand: 5 ms apart, the third spike comes 10 ms after its kin
    wanted = 0.0103 * math.exp(-5 / 13.3) - (1 - math.exp(-10 / 28)) * 0.0051 * math.exp(-5 / 34.5)
    assert math.isclose(pre_post_pre, wanted, rel_tol=1e-9)
    wanted = -0.0051 * math.exp(-5 / 34.5) + (1 - math.exp(-10 / 88)) * 0.0103 * math.exp(-5 / 13.3)
    assert math.isclose(post_pre_post, wanted, rel_tol=1e-9)


def test_bounds_and_window() -> None:
    rule = FroemkeDanSTDP(a_plus=1.0, a_minus=1.0, w_min=-1.0, w_max=1.0)
    made, inputs = circuit(rule, [[100], [100]], [[110], [90]], 0.5, 200)
    weights = nf.simulate(made, inputs, duration=0.02, engine="torch").weights["pre->post"]
    assert weights.tolist() == [1.0, -1.0]
    rule = FroemkeDanSTDP(w_max=2.0)
    for k in (-30, -1, 0, 1, 30):
        train = [100], [100 + k]
        assert math.isclose(rule.window(k * DT, 0.5), change(rule, *train), rel_tol=1e-12)


def test_refusals() -> None:
    with pytest.raises(ValueError, match="FroemkeDanSTDP.tau_pre must be above 0 s; got 0.0"):
        FroemkeDanSTDP(tau_pre=0)
    with pytest.raises(ValueError, match="FroemkeDanSTDP.a_minus must be at least 0; got -1.0"):
        FroemkeDanSTDP(a_minus=-1)
