"""Bistable synapses: against loops by hand, the time above threshold in closed form, and Brian2."""

import math
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.rules.calcium import CALCIUM_DELAY, BistableSynapse, GraupnerBrunel
from neuroflip.sims import brian2_graupner_brunel

DT = 1e-4
ENGINES = ("numba", "torch")
FORCED = nf.DeltaLIF(tau_m=DT, v_threshold=1e4, refractory=0.0)
Train = list[int]  # steps


def drive(
    rule: Any, pre: list[Train], post: list[Train], steps: int, weight: Any,
    axonal: Any = 0, dendritic: Any = 0, dt: float = DT,
) -> tuple[nf.Circuit, dict[str, Any]]:  # fmt: skip
    """Synapse i joins pre train i to post train i, whose neuron is fired in its steps."""
    wave = np.zeros((steps, len(post)))
    for j, train in enumerate(post):
        wave[train, j] = 1.0
    circuit = nf.Circuit(
        "calcium", [nf.Population("post", FORCED, len(post))],
        [nf.Projection("pre", "post", weight, rule=rule, name="w", pattern=nf.OneToOne(),
                       axonal_delay=np.array(axonal) * dt,
                       dendritic_delay=np.array(dendritic) * dt)],
        [nf.SpikeInput("pre", len(pre)), nf.CurrentInput("force", "post")],
    )  # fmt: skip
    return circuit, {"pre": [np.array(t) * dt for t in pre], "force": wave}


def final(case: tuple[nf.Circuit, dict[str, Any]], steps: int, engine: str = "numba",
          dt: float = DT) -> Any:  # fmt: skip
    return nf.simulate(*case, duration=steps * dt, dt=dt, engine=engine).weights["w"]


def by_hand(r: GraupnerBrunel, pre: Train, post: Train, steps: int, w: float) -> float:
    """One synapse in the paper's own variable rho, from the arrivals at it."""
    span = r.w_max - r.w_min
    rho, calcium = (w - r.w_min) / span, 0.0
    for k in range(steps):
        slope = -rho * (1 - rho) * (r.rho_star - rho)
        if calcium > r.theta_p:
            slope += r.gamma_p * (1 - rho)
        if calcium > r.theta_d:
            slope -= r.gamma_d * rho
        rho = min(max(rho + DT * slope / r.tau, 0.0), 1.0)
        calcium *= math.exp(-DT / r.tau_ca)
        calcium += r.c_pre * (k in pre) + r.c_post * (k in post)
    return r.w_min + rho * span


def poisson(rng: Any, count: int, steps: int, p: float) -> list[Train]:
    return [np.flatnonzero(rng.random(steps) < p).tolist() for _ in range(count)]


@pytest.mark.parametrize("engine", ENGINES)
def test_random_trains_with_delays(engine: str) -> None:
    """Strong rates, so that both bounds are neared; bursts and coincidences occur."""
    rng = np.random.default_rng(2)
    steps, n = 400, 6
    pre, post = poisson(rng, n, steps, 0.02), poisson(rng, n, steps, 0.01)
    pre[0], post[0], post[1] = list(range(100, 130)), list(range(100, 130)), pre[1]
    rule = GraupnerBrunel(tau=0.2, tau_ca=0.004, gamma_p=30.0, gamma_d=40.0, rho_star=0.3,
                          w_min=-1.0, w_max=2.0)  # fmt: skip
    weight = np.array([-1.0, 2.0, 0.5, -0.9, 1.2, 1.9])
    axonal, dendritic = rng.integers(0, 50, n), rng.integers(0, 50, n)
    found = final(drive(rule, pre, post, steps, weight, axonal, dendritic), steps, engine)
    expected = [
        by_hand(rule, [t + int(a) for t in p], [t + int(d) for t in q], steps, float(w))
        for p, q, w, a, d in zip(pre, post, weight, axonal, dendritic, strict=True)
    ]
    assert np.abs(found - expected).max() < 1e-12
    assert np.abs(found - weight).min() > 1e-3


def test_all_engines_agree() -> None:
    rng = np.random.default_rng(4)
    steps = 200
    pre, post = poisson(rng, 3, steps, 0.03), poisson(rng, 3, steps, 0.03)
    post[0] = pre[0]
    for rule in (GraupnerBrunel(tau=0.1, w_max=0.5), BistableSynapse(drift_up=20.0, w_max=0.5)):
        case = drive(rule, pre, post, steps, [0.1, 0.24, 0.4], [0, 10, 3], [5, 0, 2])
        report = nf.compare(*case, duration=steps * DT, record=["w", "v"])
        assert report.ok, report
        assert np.abs(report.recordings["brian2"].weights["w"] - [0.1, 0.24, 0.4]).min() > 1e-3


# ------------------------------------------------------------------ the published curves


def above(threshold: float, calcium: list[tuple[float, float]], tau: float) -> float:
    """Time above a threshold of calcium that jumps by c at time t for each (t, c), from rest."""
    total, level, events = 0.0, 0.0, sorted(calcium)
    for (t, c), after in zip(events, [*(t for t, _ in events[1:]), math.inf], strict=True):
        level += c
        if level > threshold:
            total += min(tau * math.log(level / threshold), after - t)
        level *= math.exp(-(after - t) / tau)
    return total


def after_pairs(r: GraupnerBrunel, interval: float, delay: float, pairs: int, rho: float) -> float:
    """rho after pairs at 1 Hz by the paper's solution: the drives averaged over a period, and the
    slow drift of the double well, 100 times smaller, left out."""
    calcium = [(delay, r.c_pre), (interval, r.c_post)]
    up = r.gamma_p * above(r.theta_p, calcium, r.tau_ca)
    down = r.gamma_d * above(r.theta_d, calcium, r.tau_ca)
    if up + down == 0:
        return rho
    fixed = up / (up + down)
    return fixed + (rho - fixed) * math.exp(-pairs * (up + down) / r.tau)


SHAPES = {"DP": "-+", "DPD": "-+-", "DPD'": "-+-", "P": "+", "D": "-", "D'": "-"}


@pytest.mark.parametrize("name", SHAPES)
def test_sixty_pairs_give_the_published_shape(name: str) -> None:
    """Graupner & Brunel 2012, Fig. 2: change over 60 pairs at 1 Hz against the interval."""
    rule, n = GraupnerBrunel.preset(name), 41
    apart = np.arange(-1000, 1001, 50)  # steps: up to 100 ms either way
    delay = round(CALCIUM_DELAY[name] / DT)
    first = 2000 + 10_000 * np.arange(60)
    circuit = nf.Circuit(
        "pairs", [nf.Population("post", FORCED, n)],
        [nf.Projection("pre", "post", 0.5, rule=rule, name="w", axonal_delay=delay * DT),
         nf.Projection("force", "post", 1e6, pattern=nf.OneToOne())],
        [nf.SpikeInput("pre"), nf.SpikeInput("force", n)],
    )  # fmt: skip
    inputs = {"pre": first * DT, "force": [(first + a - 1) * DT for a in apart]}
    change = nf.simulate(circuit, inputs, duration=60.0).weights["w"] - 0.5
    expected = np.array([after_pairs(rule, a * DT, delay * DT, 60, 0.5) - 0.5 for a in apart])
    assert np.abs(change - expected).max() < 0.06 * np.abs(expected).max()
    signs = np.sign(change[np.abs(change) > 0.03 * np.abs(change).max()])
    runs = signs[np.concatenate([[True], signs[1:] != signs[:-1]])]
    assert "".join("+" if s > 0 else "-" for s in runs) == SHAPES[name]


def test_plain_brian2() -> None:
    intervals = [-0.03, 0.004, 0.02]
    expected = brian2_graupner_brunel.run(intervals, pairs=1, start=0.4, delay=14e-3, dt=1e-3)
    case = drive(GraupnerBrunel(), [[200]] * 3, [[170], [204], [220]], 1000, 0.4, axonal=14,
                 dt=1e-3)  # fmt: skip
    assert np.abs(final(case, 1000, dt=1e-3) - expected).max() < 1e-13
    assert np.ptp(expected) > 0.004


def test_presets_are_complete() -> None:
    for name in CALCIUM_DELAY:
        assert GraupnerBrunel.preset(name, w_max=3.0).w_max == 3.0
    with pytest.raises(ValueError, match="unknown preset 'dp'; known: DP, DPD"):
        GraupnerBrunel.preset("dp")
    with pytest.raises(ValueError, match="rho_star must be below 1; got 1.0"):
        GraupnerBrunel(rho_star=1.0)


# ------------------------------------------------------------------ a flip-flop in one synapse


def test_at_rest_the_two_states_are_stable_and_divide_at_rho_star() -> None:
    """Against the separable equation: time from a to b is the integral of its inverse."""
    start = np.array([0.0, 0.05, 0.39, 0.4, 0.41, 0.6, 0.95, 1.0])
    rule, steps, dt = GraupnerBrunel(tau=1.0, rho_star=0.4), 20000, 1e-3
    case = drive(rule, [[]] * 8, [[]] * 8, steps, start, dt=dt)
    rec = nf.simulate(*case, duration=steps * dt, dt=dt, record="w", record_every=1.0)
    end = rec.weights["w"]
    assert end[0] == 0.0 and end[-1] == 1.0  # exactly
    assert end[3] == pytest.approx(0.4, abs=1e-12)  # unstable, but a fixed point
    assert end[1] < 1e-4 and end[6] > 1 - 1e-4
    assert end[2] < 0.39 and end[4] > 0.41
    # the integral of 1/(x (1 - x) (x - s)), by partial fractions
    s = 0.4

    def clock(x: Any) -> Any:
        return -np.log(x) / s - np.log(1 - x) / (1 - s) + np.log(abs(x - s)) / (s * (1 - s))

    for i in (1, 2, 4, 5):
        spent = clock(rec.weight_history["w"][[1, 3, 6], i]) - clock(start[i])
        assert spent == pytest.approx([1, 3, 6], rel=2e-3)


@pytest.mark.parametrize("engine", ENGINES)
def test_drift_to_either_side_of_the_threshold(engine: str) -> None:
    """Straight lines to the bounds, where the weights stay."""
    rule = BistableSynapse(threshold=0.25, drift_up=2.0, drift_down=5.0, w_min=1.0, w_max=5.0)
    start = np.array([1.0, 1.5, 2.0, 2.01, 3.0, 5.0])  # the threshold is 2
    steps = 1000
    case = drive(rule, [[]] * 6, [[]] * 6, steps, start)
    rec = nf.simulate(*case, duration=steps * DT, engine=engine, record="w")
    t = np.arange(steps)[:, None] * DT
    expected = np.where(start > 2, np.minimum(start + 8 * t, 5), np.maximum(start - 20 * t, 1))
    assert np.abs(rec.weight_history["w"] - expected).max() < 1e-12
    assert rec.weights["w"].tolist() == pytest.approx([1, 1, 1, 2.81, 3.8, 5])
