"""Triplet STDP: sums over its spikes, a plain-Brian2 reference, and the theory of its mean."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.rules.triplet import PRESETS, TripletSTDP
from neuroflip.sims import brian2_triplet_stdp
from neuroflip.units import ms

DT = 1e-4
FORCED = nf.DeltaLIF(tau_m=DT, v_threshold=1e4, refractory=0.0)
Train = list[int]  # steps


def circuit(
    rules: list[TripletSTDP], pre: list[Train], post: list[Train], weight: Any, steps: int,
    **delays: Any,
) -> tuple[nf.Circuit, dict[str, Any]]:  # fmt: skip
    """Synapses one to one, one projection a rule; post neurons are fired in the very step."""
    wave = np.zeros((steps, len(post)))
    for j, train in enumerate(post):
        wave[train, j] = 1.0
    made = nf.Circuit(
        "triplets", [nf.Population("post", FORCED, len(post))],
        [
            nf.Projection("pre", "post", weight, pattern=nf.OneToOne(), rule=r, name=f"w{i}",
                          **delays)
            for i, r in enumerate(rules)
        ],
        [nf.SpikeInput("pre", len(pre)), nf.CurrentInput("force", "post")],
    )  # fmt: skip
    return made, {"pre": [np.array(t) * DT for t in pre], "force": wave}


def expected(rule: TripletSTDP, w: float, pre: Train, post: Train) -> float:
    """Event by event, the traces as sums over earlier spikes, or of the last one alone."""
    span = rule.w_max - rule.w_min

    def trace(spikes: Train, now: int, tau: float, with_now: bool) -> float:
        past = [s for s in sorted(spikes) if s < now or with_now and s == now]
        past = past[-1:] if rule.pairing == "nearest" else past
        return math.fsum(math.exp(-(now - s) * DT / tau) for s in past)

    for k, is_post in sorted([(k, False) for k in pre] + [(k, True) for k in post]):
        if is_post:
            o2 = trace(post, k, rule.tau_y, False)
            w += span * trace(pre, k, rule.tau_plus, True) * (rule.a2_plus + rule.a3_plus * o2)
        else:
            r2 = trace(pre, k, rule.tau_x, False)
            w -= span * trace(post, k, rule.tau_minus, False) * (rule.a2_minus + rule.a3_minus * r2)
        w = min(max(w, rule.w_min), rule.w_max)
    return w


HAND: list[tuple[Train, Train]] = [
    ([20], [20]),
    ([0], [0]),
    ([20, 30], [20]),
    ([20], [20, 30]),
    ([100, 200], [150]),
    ([150], [100, 200]),
    (list(range(30, 60)), list(range(30, 60))),
    (list(range(30, 60)), [45, 59, 61]),
    ([45, 59, 61], list(range(30, 60))),
    ([], [3, 4]),
    ([3, 4], []),
]


def test_all_engines_against_sums_over_spikes() -> None:
    """Random trains and bursts with delays, weights that reach both bounds."""
    rng = np.random.default_rng(1)
    steps = 300
    pre, post = (list(t) for t in zip(*HAND, strict=True))
    for _ in range(5):
        pre.append(np.flatnonzero(rng.random(steps - 20) < 0.08).tolist())
        post.append(np.flatnonzero(rng.random(steps - 20) < 0.08).tolist())
    n = len(pre)
    weight = rng.uniform(-1, 2, n)
    weight[-2:] = -1.0, 2.0
    rules = [
        dataclasses.replace(
            TripletSTDP.preset(name, -1.0, 2.0), tau_plus=3 * ms, tau_minus=5 * ms, tau_x=9 * ms,
            tau_y=7 * ms, a2_plus=0.01, a2_minus=0.09,
        )
        for name in ("visual_all_full", "visual_nearest_full")
    ]  # fmt: skip
    axonal, dendritic = rng.integers(0, 12, n), rng.integers(0, 12, n)
    made, inputs = circuit(
        rules, pre, post, weight, steps, axonal_delay=axonal * DT, dendritic_delay=dendritic * DT
    )
    report = nf.compare(made, inputs, duration=steps * DT, record=["w0", "w1"])
    assert report.ok, str(report)
    ends = []
    for i, rule in enumerate(rules):
        wanted = [
            expected(rule, w, [t + int(a) for t in p], [t + int(d) for t in q])
            for w, p, q, a, d in zip(weight, pre, post, axonal, dendritic, strict=True)
        ]
        ends += wanted
        found = report.recordings["numba"].weights[f"w{i}"]
        assert np.abs(found - np.array(wanted)).max() < 1e-12
    assert min(ends) == -1.0 and max(ends) == 2.0


@pytest.mark.parametrize("nearest", [False, True])
@pytest.mark.parametrize(("axonal", "dendritic"), [(0, 0), (7, 30)])
def test_against_plain_brian2(nearest: bool, axonal: int, dendritic: int) -> None:
    rng = np.random.default_rng(5)
    steps = 1200
    pre, post = (np.flatnonzero(rng.random(steps - 60) < 0.04).tolist() for _ in range(2))
    rule = TripletSTDP(pairing="nearest" if nearest else "all")
    made, inputs = circuit(
        [rule], [pre], [post], 0.5, steps, axonal_delay=axonal * DT, dendritic_delay=dendritic * DT
    )
    wanted = brian2_triplet_stdp.run(
        np.array(pre) * DT, np.array(post) * DT, steps * DT, axonal_delay=axonal * DT,
        dendritic_delay=dendritic * DT, nearest=nearest,
    )  # fmt: skip
    rec = nf.simulate(made, inputs, duration=steps * DT, engine="torch")
    assert abs(rec.weights["w0"][0] - wanted) < 1e-13
    assert abs(wanted - 0.5) > 0.01


def test_the_window_is_the_pair_terms() -> None:
    rule = TripletSTDP.preset("hippocampal_all_full", -1.0, 3.0)
    intervals = [-200, -1, 0, 1, 200]
    made, inputs = circuit(
        [rule], [[300]] * 5, [[300 + k] for k in intervals], 0.5, 600
    )  # fmt: skip
    change = nf.simulate(made, inputs, duration=0.06, engine="torch").weights["w0"] - 0.5
    for k, found in zip(intervals, change, strict=True):
        wanted = 4 * (6.1e-3 * math.exp(-k / 168) if k >= 0 else -1.6e-3 * math.exp(k / 337))
        assert math.isclose(rule.window(k * DT, 0.5), wanted, rel_tol=1e-13)
        assert abs(found - wanted) < 1e-14


def bcm_threshold(rule: TripletSTDP, dt: float) -> float:
    """The rate (Hz) at which potentiation and depression of a Poisson train balance in steps of dt,
    for the minimal rule: presynaptic spikes of the step itself count, postsynaptic do not."""
    up = (1 - math.exp(-dt / rule.tau_plus)) * math.expm1(dt / rule.tau_y)
    return rule.a2_minus * up / (rule.a3_plus * math.expm1(dt / rule.tau_minus) * dt)


def test_under_poisson_firing_the_minimal_rule_is_bcm() -> None:
    """The drift changes sign at rho = A2- tau- / (A3+ tau+ tau_y) = 19.2 Hz; in steps of
    0.2 ms that is 19.1 Hz, and the simulation finds it within 0.5 Hz (over six seeds, within
    0.1 Hz): five rates, 60 synapses each for 100 s."""
    rule = TripletSTDP.preset("visual_all_minimal")
    theory = rule.a2_minus * rule.tau_minus / (rule.a3_plus * rule.tau_plus * rule.tau_y)
    assert round(theory, 1) == 19.2
    assert math.isclose(bcm_threshold(rule, 1e-7), theory, rel_tol=1e-5)

    dt, duration, size = 0.2 * ms, 100.0, 60
    rates = np.array([12.0, 16.0, 19.2, 23.0, 27.0])
    # Amplitudes so small that no weight comes near its bounds
    small = dataclasses.replace(rule, a2_minus=rule.a2_minus / 1e4, a3_plus=rule.a3_plus / 1e4)
    neuron = nf.DeltaLIF(tau_m=dt, v_threshold=10.0, refractory=0.0)
    made = nf.Circuit(
        "poisson",
        [nf.Population(f"post{i}", neuron, size) for i in range(rates.size)],
        [
            projection
            for i in range(rates.size)
            for projection in (
                nf.Projection(f"force{i}", f"post{i}", 100.0, pattern=nf.OneToOne()),
                nf.Projection(f"pre{i}", f"post{i}", 0.5, pattern=nf.OneToOne(), rule=small),
            )
        ],
        [
            source
            for i, rate in enumerate(rates)
            for source in (
                nf.PoissonInput(f"force{i}", float(rate), size),
                nf.PoissonInput(f"pre{i}", 30.0, size),
            )
        ],
    )
    rec = nf.simulate(made, duration=duration, dt=dt, seed=2)
    found = np.array([rec.spikes[f"post{i}"].size for i in range(rates.size)]) / size / duration
    drift = np.array([(rec.weights[f"pre{i}->post{i}"] - 0.5).mean() for i in range(rates.size)])
    # The drift over rate is a straight line in the rate
    slope, level = np.polyfit(found, drift / found, 1)
    assert slope > 0 and drift[0] < 0 < drift[-1]
    assert abs(-level / slope - bcm_threshold(rule, dt)) < 0.5


def test_presets() -> None:
    assert len(PRESETS) == 8
    for name in PRESETS:
        rule = TripletSTDP.preset(name, w_max=3.0)
        tissue, pairing, kind = name.split("_")
        assert rule.pairing == pairing and rule.w_max == 3.0
        assert (rule.a3_minus == 0) == (kind == "minimal")
        assert (rule.a2_plus < 1e-9) == (tissue == "visual")
    assert TripletSTDP.preset("visual_all_full") == TripletSTDP()
    with pytest.raises(ValueError, match="unknown 'visual_all_min'; did you mean 'visual_all_min"):
        TripletSTDP.preset("visual_all_min")
    with pytest.raises(ValueError, match="TripletSTDP.pairing: unknown 'restricted'; known: all"):
        TripletSTDP(pairing="restricted")
    with pytest.raises(ValueError, match="TripletSTDP.tau_y must be above 0 s; got 0.0"):
        TripletSTDP(tau_y=0)
    with pytest.raises(ValueError, match="TripletSTDP.w_max must be above w_min"):
        TripletSTDP.preset("visual_all_full", w_min=1.0)
