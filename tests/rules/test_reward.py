"""Reward-gated rules against loops written from the papers' equations, step by step."""

import math
from typing import Any

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.rules.reward import MSTDP, MSTDPET, RewardSTDP
from neuroflip.sims import brian2_reward_stdp

DT = 1e-4
ENGINES = ("numba", "torch")
FORCED = nf.DeltaLIF(tau_m=DT, v_threshold=1e4, refractory=0.0)
Train = list[int]  # steps


def drive(
    rule: Any, pre: list[Train], post: list[Train], reward: Any, steps: int, weight: Any = 0.5,
    axonal: Any = 0, dendritic: Any = 0, dt: float = DT,
) -> tuple[nf.Circuit, dict[str, Any]]:  # fmt: skip
    """Neurons of `post` are fired in their steps by a current; all pre onto all post."""
    wave = np.zeros((steps, len(post)))
    for j, train in enumerate(post):
        wave[train, j] = 1.0
    circuit = nf.Circuit(
        "reward", [nf.Population("post", FORCED, len(post))],
        [nf.Projection("pre", "post", weight, rule=rule, name="w",
                       axonal_delay=np.array(axonal) * dt,
                       dendritic_delay=np.array(dendritic) * dt)],
        [nf.SpikeInput("pre", len(pre)), nf.CurrentInput("force", "post"),
         nf.SignalInput("reward")],
    )  # fmt: skip
    return circuit, {"pre": [np.array(t) * dt for t in pre], "force": wave, "reward": reward}


def final(case: tuple[nf.Circuit, dict[str, Any]], steps: int, engine: str = "numba",
          dt: float = DT) -> Any:  # fmt: skip
    return nf.simulate(*case, duration=steps * dt, dt=dt, engine=engine).weights["w"]


def traces(pre: set[int], post: set[int], k: int, rule: Any, dt: float) -> tuple[float, float]:
    """x just after the presynaptic spikes of step k, y just before the postsynaptic ones of it."""
    x = math.fsum(math.exp(-(k - p) * dt / rule.tau_plus) for p in pre if p <= k)
    y = math.fsum(math.exp(-(k - q) * dt / rule.tau_minus) for q in post if q < k)
    return x, y


def by_hand(rule: Any, pre: Train, post: Train, reward: Any, steps: int, w: float,
            dt: float = DT) -> float:  # fmt: skip
    """The weight of one synapse, from its arrivals (steps) and the reward of each step."""
    before, after = set(pre), set(post)
    span = rule.w_max - rule.w_min
    kind = type(rule).__name__
    trace = dopamine = 0.0  # c or z, and d
    for k in range(steps):
        if kind == "RewardSTDP":
            w = w + dt * span * trace * dopamine
            dopamine += dt * (reward[k] - dopamine / rule.tau_d)
            trace *= math.exp(-dt / rule.tau_c)
        elif kind == "MSTDPET":
            w = w + dt * span * rule.rate * reward[k] * trace
            trace *= math.exp(-dt / rule.tau_z)
        w = min(max(w, rule.w_min), rule.w_max)
        x, y = traces(before, after, k, rule, dt)
        for change in ([-rule.a_minus * y] if k in before else []) + (
            [rule.a_plus * x] if k in after else []
        ):
            if kind == "MSTDP":
                w = min(max(w + rule.rate * span * reward[k] * change, rule.w_min), rule.w_max)
            else:
                trace += change if kind == "RewardSTDP" else change / rule.tau_z
    return w


def poisson(rng: Any, count: int, steps: int, p: float) -> list[Train]:
    return [np.flatnonzero(rng.random(steps) < p).tolist() for _ in range(count)]


RULES = {
    "RewardSTDP": RewardSTDP(tau_c=0.02, tau_d=0.005, a_plus=30.0, a_minus=40.0, w_max=2.0),
    "MSTDP": MSTDP(tau_minus=0.007, rate=0.1, w_min=-1.0),
    "MSTDPET": MSTDPET(tau_plus=0.005, tau_z=0.01, rate=0.2, w_max=2.0),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", RULES)
def test_random_trains_with_delays_and_a_reward_of_either_sign(name: str, engine: str) -> None:
    """Bounds are met; each neuron has its own reward, bursts and coincidences occur."""
    rng = np.random.default_rng(3)
    rule, steps, n, m = RULES[name], 300, 3, 2
    pre, post = poisson(rng, n, steps, 0.08), poisson(rng, m, steps, 0.06)
    pre[0] = list(range(50, 80))
    reward = rng.normal(0, 1, (steps, m)) + np.sin(np.arange(steps) / 20)[:, None]
    reward *= {"RewardSTDP": 2000.0, "MSTDP": 1.0, "MSTDPET": 4.0}[name]
    weight = rng.uniform(rule.w_min, rule.w_max, (n, m))
    weight[0, 0] = rule.w_max
    axonal, dendritic = rng.integers(0, 40, (n, m)), rng.integers(0, 40, (n, m))
    found = final(drive(rule, pre, post, reward, steps, weight, axonal, dendritic), steps, engine)
    expected = [
        by_hand(rule, [t + int(axonal[i, j]) for t in pre[i]],
                [t + int(dendritic[i, j]) for t in post[j]], reward[:, j], steps, weight[i, j])
        for i in range(n) for j in range(m)
    ]  # fmt: skip
    assert np.abs(found - expected).max() < 1e-12
    assert np.abs(found - weight.ravel()).max() > 0.1
    assert min(expected) == rule.w_min or max(expected) == rule.w_max


def test_all_engines_agree() -> None:
    rng = np.random.default_rng(5)
    steps, n, m = 200, 3, 2
    pre, post = poisson(rng, n, steps, 0.1), poisson(rng, m, steps, 0.1)
    post[0] = pre[0]
    for name, rule in RULES.items():
        reward = rng.normal(0, 2 if name == "MSTDP" else 20, steps)
        delays = [rng.integers(0, 20, (n, m)) for _ in range(2)]
        circuit, inputs = drive(rule, pre, post, reward, steps, 0.9, *delays)
        report = nf.compare(circuit, inputs, duration=steps * DT, record=["w", "v"])
        assert report.ok and report.spikes["brian2"] > 10, report
        assert np.ptp(report.recordings["brian2"].weights["w"]) > 1e-3


@pytest.mark.parametrize("name", RULES)
def test_without_reward_nothing_changes(name: str) -> None:
    case = drive(RULES[name], [[10, 50]], [[30, 60]], np.zeros(100), 100)
    assert final(case, 100).tolist() == [0.5]


# ------------------------------------------------------------------ RewardSTDP


def credit(rule: RewardSTDP, interval: float, delay: float, released: float) -> float:
    """Change of w by one pair and a reward `delay` after its later spike, integrated to infinity:
    the product of two exponentials."""
    if interval >= 0:
        c = rule.a_plus * math.exp(-interval / rule.tau_plus)
    else:
        c = -rule.a_minus * math.exp(interval / rule.tau_minus)
    rate = 1 / rule.tau_c + 1 / rule.tau_d
    return (rule.w_max - rule.w_min) * c * math.exp(-delay / rule.tau_c) * released / rate


@pytest.mark.parametrize("interval", [-0.010, 0.005])
@pytest.mark.parametrize("delay", [0.0, 1.0, 3.0])
def test_a_reward_seconds_later_reaches_the_pair(interval: float, delay: float) -> None:
    """Izhikevich's closed form, to which forward Euler converges with the step."""
    rule = RewardSTDP()
    expected = credit(rule, interval, delay, released=0.5)
    errors = []
    for dt in (1e-3, 5e-4):
        steps = round((delay + 3.0) / dt)
        first = round(0.05 / dt)
        pair = [first, first + round(interval / dt)]
        reward = np.zeros(steps)
        reward[max(pair) + round(delay / dt)] = 0.5 / dt
        case = drive(rule, [pair[:1]], [pair[1:]], reward, steps, dt=dt)
        errors.append(final(case, steps, dt=dt)[0] - 0.5 - expected)
    assert abs(errors[1]) < 5e-3 * abs(expected)
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.05)


def test_plain_brian2() -> None:
    """Several pairs and rewards; the reference integrates eligibility and dopamine accurately,
    the library by forward Euler: half the error at half the step."""
    rng = np.random.default_rng(1)
    coarse = 300
    trains = poisson(rng, 3, coarse, 0.03)
    errors = []
    for fine in (1, 2):
        dt, steps = 1e-3 / fine, coarse * fine
        pre, post, rewards = ([k * fine for k in train] for train in trains)
        reward = np.zeros(steps)
        reward[rewards] = 0.5 / dt
        reference = brian2_reward_stdp.run(
            *(np.array(t) * dt for t in (pre, post, rewards)), steps * dt, release=0.5, dt=dt
        )
        assert 0.01 < abs(reference - 0.5) < 0.4
        case = drive(RewardSTDP(), [pre], [post], reward, steps, dt=dt)
        errors.append(final(case, steps, dt=dt)[0] - reference)
    assert abs(errors[0]) < 0.02 * abs(reference - 0.5)
    assert errors[0] / errors[1] == pytest.approx(2, abs=0.1)


# ------------------------------------------------------------------ Florian's rules


@pytest.mark.parametrize("reward", [1.0, -2.0])
def test_under_constant_reward_mstdp_is_pair_stdp_scaled(reward: float) -> None:
    """Florian 2007: modulated STDP at reward 1 is STDP; at a negative one, anti-STDP."""
    assert MSTDP(w_max=3.0).window(0.02, 0.5) == pytest.approx(0.03 / math.e, rel=1e-13)
    assert MSTDP(w_max=3.0).window(-0.02, 0.5) == pytest.approx(-0.03 / math.e, rel=1e-13)
    rng = np.random.default_rng(7)
    steps = 400
    pre, post = poisson(rng, 2, steps, 0.05), poisson(rng, 2, steps, 0.05)
    found = final(drive(MSTDP(rate=0.001), pre, post, np.full(steps, reward), steps), steps)
    expected = [
        0.5 + 0.001 * reward * math.fsum(
            math.exp(-(q - p) * DT / 0.02) if q >= p else -math.exp(-(p - q) * DT / 0.02)
            for p in a for q in b
        )
        for a in pre for b in post
    ]  # fmt: skip
    assert np.abs(found - expected).max() < 1e-13
    assert np.abs(found - 0.5).max() > 1e-3


def test_the_eligibility_trace_spreads_the_same_change_over_tau_z() -> None:
    """One pair under constant reward: rate A (1 - exp(-t/tau_z)), a sum that Euler makes exact."""
    steps, rate = 3000, 0.1
    case = drive(MSTDPET(rate=rate), [[10]], [[60]], np.ones(steps), steps)
    rec = nf.simulate(*case, duration=steps * DT, record="w")
    jump = rate * math.exp(-50 * DT / 0.02)
    q = math.exp(-DT / 0.025)
    for k in (60, 61, 100, 310, 2999):
        # step 61 is the first to integrate the jump of step 60
        expected = jump * DT / 0.025 * (1 - q ** max(k - 61, 0)) / (1 - q)
        assert rec.weight_history["w"][k, 0] - 0.5 == pytest.approx(expected, abs=1e-14)
    assert rec.weights["w"][0] - 0.5 == pytest.approx(jump, rel=5e-3)


def test_bad_parameters_and_a_missing_signal() -> None:
    for rule in (RewardSTDP, MSTDP, MSTDPET):
        for name in ("tau_plus", "tau_minus"):
            with pytest.raises(ValueError, match=f"{rule.__name__}.{name} must be above 0 s"):
                rule(**{name: 0.0})
        with pytest.raises(ValueError, match=r"w_max must be above w_min"):
            rule(w_min=1.0)
        with pytest.raises(ValueError, match="reads the signal 'reward'; expected one"):
            nf.Circuit("c", [nf.Population("A", FORCED)],
                       [nf.Projection("in", "A", 0.5, rule=rule())],
                       [nf.SpikeInput("in")])  # fmt: skip
