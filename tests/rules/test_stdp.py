"""Pair STDP in both fast engines against the rule's definition, spike by spike.

The postsynaptic neurons are fired by currents (in the very step) or by strong one-to-one spikes
(one step later); what the plastic synapses add to their potential is far below threshold.
"""

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar, final

import numpy as np
import pytest

import neuroflip as nf
from neuroflip.parameters import parameter
from neuroflip.rule_window import rule_window
from neuroflip.rules import PairSTDP, Rule
from neuroflip.rules.stdp import AntiHebbianSTDP, SymmetricSTDP

DT = 1e-4
ENGINES = ("numba", "torch")
Train = list[int]  # steps

FORCED = nf.DeltaLIF(tau_m=DT, v_threshold=1e4, refractory=0.0)
"""A neuron that forgets within steps and that no plastic weight (at most some ten volts) fires."""


@dataclass
class Case:
    """Pre and post trains (steps), synapses with their delays in steps, and the rule."""

    pre: list[Train]
    post: list[Train]
    rule: Any
    weight: Any
    axonal: Any = 0
    dendritic: Any = 0
    pattern: Any = field(default_factory=nf.Dense)
    steps: int = 400
    dt: float = DT

    def run(self, engine: str) -> nf.Recording:
        """Post neurons are fired in their steps by a current of one step."""
        wave = np.zeros((self.steps, len(self.post)))
        for j, train in enumerate(self.post):
            wave[train, j] = 1.0
        circuit = nf.Circuit(
            "pairs", [nf.Population("post", FORCED, len(self.post))],
            [nf.Projection("pre", "post", self.weight, pattern=self.pattern, rule=self.rule,
                           axonal_delay=np.array(self.axonal) * self.dt,
                           dendritic_delay=np.array(self.dendritic) * self.dt, name="w")],
            [nf.SpikeInput("pre", len(self.pre)), nf.CurrentInput("force", "post")],
        )  # fmt: skip
        rec = nf.simulate(
            circuit, {"pre": [np.array(t) * self.dt for t in self.pre], "force": wave},
            duration=self.steps * self.dt, dt=self.dt, engine=engine, record=["w", "v"],
        )  # fmt: skip
        fired = [np.round(t / self.dt).astype(int).tolist() for t in rec.trains("post")]
        assert fired == [sorted(t) for t in self.post], "the post spikes are not as wanted"
        return rec

    def synapses(self) -> Iterable[tuple[float, Train, Train]]:
        """(initial weight, arrivals of pre spikes, arrivals of post spikes) of each synapse."""
        pre, post = self.pattern.pairs(len(self.pre), len(self.post))

        def each(value: Any) -> Any:
            value = np.asarray(value)
            return value[pre, post] if value.ndim == 2 else np.broadcast_to(value, pre.shape)

        for i, j, w, a, d in zip(
            pre, post, each(self.weight), each(self.axonal), each(self.dendritic), strict=True
        ):
            yield (
                float(w),
                sorted(t + int(a) for t in self.pre[i] if t + a < self.steps),
                sorted(t + int(d) for t in self.post[j] if t + d < self.steps),
            )


def sum_over_pairs(case: Case) -> list[float]:
    """Additive rule, bounds out of reach: every pair of arrivals counts once, by its interval."""
    r, dt = case.rule, case.dt
    span = r.w_max - r.w_min
    weights = []
    for w, pre, post in case.synapses():
        changes = [
            r.a_plus * span * math.exp(-(q - p) * dt / r.tau_plus)
            if q >= p
            else -r.a_minus * span * math.exp(-(p - q) * dt / r.tau_minus)
            for p, q in itertools.product(pre, post)
        ]
        weights.append(math.fsum([w, *changes]))
    return weights


def event_by_event(case: Case, until: int | None = None) -> list[float]:
    """Each event in its order, pre before post in a step; traces as sums over all earlier spikes;
    clipped after each event. Weights before step `until`."""
    r, dt = case.rule, case.dt
    span = r.w_max - r.w_min
    weights = []
    for w, pre, post in case.synapses():
        events = sorted([(k, 0) for k in pre] + [(k, 1) for k in post])
        for k, is_post in events:
            if until is not None and k >= until:
                break
            if is_post:
                x = math.fsum(math.exp(-(k - p) * dt / r.tau_plus) for p in pre if p <= k)
                w += r.a_plus * span * ((r.w_max - w) / span) ** r.mu_plus * x
            else:
                y = math.fsum(math.exp(-(k - q) * dt / r.tau_minus) for q in post if q < k)
                w -= r.a_minus * span * ((w - r.w_min) / span) ** r.mu_minus * y
            w = min(max(w, r.w_min), r.w_max)
        weights.append(w)
    return weights


def agree(found: Any, expected: list[float], tolerance: float = 1e-12) -> None:
    assert found.shape == (len(expected),)
    difference = np.abs(found - np.array(expected))
    assert difference.max() <= tolerance, f"synapse {difference.argmax()}: {difference.max():.2e}"


def poisson(rng: Any, count: int, steps: int, p: float) -> list[Train]:
    return [np.flatnonzero(rng.random(steps) < p).tolist() for _ in range(count)]


# ------------------------------------------------------------------ hand-made trains

HAND: dict[str, tuple[Train, Train]] = {
    "pre then post": ([10], [30]),
    "post then pre": ([30], [10]),
    "at once": ([20], [20]),
    "at once, in step 0": ([0], [0]),
    "at once, twice": ([20, 21], [20, 21]),
    "in the last step": ([399], [399]),
    "pre burst": (list(range(50, 90)), [60, 95]),
    "post burst": ([60, 95], list(range(50, 90))),
    "both in every step": (list(range(30, 70)), list(range(30, 70))),
    "alternating": (list(range(0, 100, 2)), list(range(1, 100, 2))),
    "far apart": ([0, 399], [200]),
    "triplet": ([100, 110], [105]),
    "no pre": ([], [5, 6, 100]),
    "no post": ([5, 6, 100], []),
}
DELAYS = [(0, 0), (1, 0), (0, 1), (7, 3), (3, 7), (12, 12)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", HAND)
def test_hand_made_trains(name: str, engine: str) -> None:
    """Synapse i has the delays DELAYS[i]; delays exceed the intervals of the bursts."""
    pre, post = HAND[name]
    n = len(DELAYS)
    case = Case(
        [pre] * n, [post] * n,
        PairSTDP(tau_plus=0.004, tau_minus=0.007, w_max=10.0, a_plus=1e-4, a_minus=2e-4),
        5.0, [a for a, _ in DELAYS], [d for _, d in DELAYS], nf.OneToOne(),
    )  # fmt: skip
    rec = case.run(engine)
    expected = sum_over_pairs(case)
    agree(rec.weights["w"], expected)
    agree(rec.weights["w"], event_by_event(case))
    if pre and post:
        assert any(w != 5.0 for w in expected)
    else:
        assert rec.weights["w"].tolist() == [5.0] * n


@pytest.mark.parametrize("engine", ENGINES)
def test_the_window_is_the_change_of_one_pair(engine: str) -> None:
    """Intervals of -100 to 100 steps, one synapse each: measured, `window`, and its closed form."""
    rule = PairSTDP(
        tau_plus=0.003, tau_minus=0.006, mu_plus=0.4, mu_minus=0.7, w_min=-1.0, w_max=3.0
    )
    intervals = [-100, -37, -2, -1, 0, 1, 2, 50, 100]
    case = Case(
        [[200]] * len(intervals), [[200 + i] for i in intervals], rule, 0.5, pattern=nf.OneToOne()
    )
    change = case.run(engine).weights["w"] - 0.5
    for i, found in zip(intervals, change, strict=True):
        if i >= 0:
            expected = 0.01 * 4 * (2.5 / 4) ** 0.4 * math.exp(-i * DT / 0.003)
        else:
            expected = -0.0105 * 4 * (1.5 / 4) ** 0.7 * math.exp(i * DT / 0.006)
        assert math.isclose(rule.window(i * DT, 0.5), expected, rel_tol=1e-13)
        assert abs(found - expected) < 1e-14


# ------------------------------------------------------------------ Poisson trains


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", [0, 1])
def test_additive_rule_is_the_sum_over_all_pairs(seed: int, engine: str) -> None:
    """Delays per synapse as a matrix; simultaneous arrivals occur; the bounds are far."""
    rng = np.random.default_rng(seed)
    n, m, steps = 5, 4, 500
    case = Case(
        poisson(rng, n, steps, 0.06), poisson(rng, m, steps, 0.06),
        PairSTDP(tau_plus=0.017, tau_minus=0.034, a_plus=1e-4, a_minus=2e-4, w_min=-50.0,
                 w_max=50.0),
        rng.uniform(-1, 1, (n, m)), rng.integers(0, 30, (n, m)), rng.integers(0, 30, (n, m)),
        steps=steps,
    )  # fmt: skip
    assert any(set(p) & set(q) for _, p, q in case.synapses())
    rec = case.run(engine)
    agree(rec.weights["w"], sum_over_pairs(case))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mu", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("delayed", [False, True])
def test_near_the_bounds_events_are_clipped_one_by_one(
    mu: float, delayed: bool, engine: str
) -> None:
    """Steps so large that weights hit both bounds often; some begin at a bound."""
    rng = np.random.default_rng(5)
    n, m, steps = 4, 4, 500
    weight = rng.uniform(0.5, 2.5, (n, m))
    weight[0], weight[1] = 0.5, 2.5
    delays = [rng.integers(0, 25, (n, m)) * delayed for _ in range(2)]
    case = Case(
        poisson(rng, n, steps, 0.08), poisson(rng, m, steps, 0.06),
        PairSTDP(tau_plus=0.01, tau_minus=0.02, a_plus=0.25, a_minus=0.11, mu_plus=mu, mu_minus=mu,
                 w_min=0.5, w_max=2.5),
        weight, *delays, steps=steps,
    )  # fmt: skip
    rec = case.run(engine)
    agree(rec.weights["w"], event_by_event(case))
    history = rec.weight_history["w"]
    assert history.min() >= 0.5 and history.max() <= 2.5
    if mu == 0.0:
        assert (history[1:] == 0.5).any() and (history[1:] == 2.5).any()
    for k in (0, 1, 100, 333):
        agree(history[k], event_by_event(case, until=k))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_rule_object_of_its_own_for_each_projection(engine: str) -> None:
    """Projections whose rules differ in parameters alone share one list in the engines."""
    rng = np.random.default_rng(2)
    steps = 400
    rule = [
        PairSTDP(tau_plus=0.005, a_plus=0.03, w_max=2.0),
        PairSTDP(tau_minus=0.05, mu_minus=0.5, w_min=-1.0),
        PairSTDP(tau_plus=0.04, tau_minus=0.002, a_minus=0.2, w_max=7.0),
    ]
    trains = poisson(rng, 6, steps, 0.05)
    cases = [
        Case(trains[:3], trains[3:], r, 0.6, rng.integers(0, 9, (3, 3)), rng.integers(0, 9, (3, 3)),
             steps=steps)
        for r in rule
    ]  # fmt: skip
    wave = np.zeros((steps, 3))
    for j, train in enumerate(trains[3:]):
        wave[train, j] = 1.0
    circuit = nf.Circuit(
        "three", [nf.Population("post", FORCED, 3)],
        [
            nf.Projection("pre", "post", c.weight, rule=c.rule, axonal_delay=c.axonal * DT,
                          dendritic_delay=c.dendritic * DT, name=f"w{i}")
            for i, c in enumerate(cases)
        ],
        [nf.SpikeInput("pre", 3), nf.CurrentInput("force", "post")],
    )  # fmt: skip
    rec = nf.simulate(
        circuit, {"pre": [np.array(t) * DT for t in trains[:3]], "force": wave},
        duration=steps * DT, engine=engine, record=["w1", "w0"], record_every=10 * DT,
    )  # fmt: skip
    for i, case in enumerate(cases):
        agree(rec.weights[f"w{i}"], event_by_event(case))
    assert list(rec.weight_history) == ["w1", "w0"]
    for i in (0, 1):
        agree(rec.weight_history[f"w{i}"][30], event_by_event(cases[i], until=300))


@pytest.mark.parametrize("engine", ENGINES)
def test_neurons_on_both_sides_forced_by_spikes(engine: str) -> None:
    """Recurrent synapses, autapses among them, of neurons fired by strong delta inputs one step
    earlier: the same spike is pre of some synapses and post of others, and of itself."""
    rng = np.random.default_rng(8)
    n, steps = 4, 600
    # at most one in three steps: an input in the step of a spike would be lost to the reset
    wanted = [
        1 + i % 2 + 3 * np.sort(rng.choice(steps // 3 - 3, 25, replace=False)) for i in range(n)
    ]
    axonal, dendritic = rng.integers(0, 8, (n, n)), rng.integers(0, 8, (n, n))
    axonal[0, 0] = dendritic[0, 0] = 0
    rule = PairSTDP(
        tau_plus=0.01, tau_minus=0.03, a_plus=0.05, a_minus=0.04, mu_plus=0.4, mu_minus=0.4
    )
    circuit = nf.Circuit(
        "net", [nf.Population("N", FORCED, n)],
        [
            nf.Projection("force", "N", 1e6, pattern=nf.OneToOne()),
            nf.Projection("N", "N", 0.5, rule=rule, axonal_delay=axonal * DT,
                          dendritic_delay=dendritic * DT, name="w"),
        ],
        [nf.SpikeInput("force", n)],
    )  # fmt: skip
    rec = nf.simulate(
        circuit, {"force": [(t - 1) * DT for t in wanted]}, duration=steps * DT, engine=engine
    )
    trains = [np.round(t / DT).astype(int).tolist() for t in rec.trains("N")]
    assert trains == [t.tolist() for t in wanted]
    case = Case(trains, trains, rule, 0.5, axonal, dendritic, steps=steps)
    agree(rec.weights["w"], event_by_event(case))


# ------------------------------------------------------------------ what must not change


@pytest.mark.parametrize("engine", ENGINES)
def test_without_spikes_weights_stay_byte_for_byte(engine: str) -> None:
    rng = np.random.default_rng(0)
    weight = rng.uniform(0, 1, (6, 7))
    weight[0, :3] = [0.0, 1.0, 5e-324]
    for pre, post in (([[]] * 6, [[]] * 7), ([[3, 50]] * 6, [[]] * 7), ([[]] * 6, [[3, 50]] * 7)):
        case = Case(pre, post, PairSTDP(mu_plus=0.4, mu_minus=1.0), weight, 3, 5)
        rec = case.run(engine)
        assert rec.weights["w"].tobytes() == weight.tobytes()
        assert rec.weight_history["w"][-1].tobytes() == weight.tobytes()


@pytest.mark.parametrize("engine", ENGINES)
def test_only_the_synapses_of_active_neurons_change(engine: str) -> None:
    weight = np.random.default_rng(1).uniform(0, 1, (3, 3))
    case = Case([[10], [], [12]], [[], [20], []], PairSTDP(), weight)
    changed = case.run(engine).weights["w"].reshape(3, 3) != weight
    assert changed.tolist() == [[False, True, False], [False, False, False], [False, True, False]]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_step_size_does_not_matter(engine: str) -> None:
    """The same spike times and delays at 0.1 and at 0.05 ms."""
    rng = np.random.default_rng(4)
    pre, post = poisson(rng, 3, 300, 0.07), poisson(rng, 3, 300, 0.07)
    axonal, dendritic = rng.integers(0, 20, (3, 3)), rng.integers(0, 20, (3, 3))
    rule = PairSTDP(a_plus=0.1, a_minus=0.08, mu_plus=0.4)
    found = []
    for fine in (1, 2):
        case = Case(
            [[fine * k for k in t] for t in pre], [[fine * k for k in t] for t in post], rule, 0.5,
            fine * axonal, fine * dendritic, steps=300 * fine, dt=DT / fine,
        )  # fmt: skip
        found.append(case.run(engine).weights["w"])
    assert np.abs(found[0] - found[1]).max() < 1e-12
    assert np.abs(found[0] - 0.5).min() > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_depression_alone_and_potentiation_alone(engine: str) -> None:
    """Songs of one side: the closed form of a regular pairing, geometric sums."""
    gap, n = 30, 8
    pre = [100 * i for i in range(n)]
    for sign, rule in (
        (1, PairSTDP(a_minus=0.0, a_plus=1e-3)),
        (-1, PairSTDP(a_plus=0.0, a_minus=1e-3)),
    ):
        post = [t + sign * gap for t in pre]
        case = Case([[t + 50 for t in pre]], [[t + 50 for t in post]], rule, 0.5, steps=1000)
        period, lag = math.exp(-100 * DT / 0.02), math.exp(-gap * DT / 0.02)
        total = sum(lag * (1 - period**k) / (1 - period) for k in range(1, n + 1))
        assert abs(case.run(engine).weights["w"][0] - (0.5 + sign * 1e-3 * total)) < 1e-13


# ------------------------------------------------------------------ transmission


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("dendritic", [0, 1, 9])
@pytest.mark.parametrize("axonal", [0, 4])
def test_the_soma_receives_the_weight_met_at_the_synapse(
    axonal: int, dendritic: int, engine: str
) -> None:
    """Before the spike's own depression, and whatever happens to the weight while what it released
    travels down the dendrite: pre spikes every 3 steps, all of them depressed by one early post
    spike, so the weight is another at each arrival."""
    rule = PairSTDP(tau_minus=0.05, a_minus=0.02, a_plus=0.0)
    pre = [20 + 3 * i for i in range(12)]
    case = Case([pre], [[2]], rule, 0.9, axonal, dendritic, steps=100)
    rec = case.run(engine)
    v = rec.traces["post.v"][:, 0]
    keep = math.exp(-1.0)  # tau_m is one step
    expected = np.zeros(100)
    amplitudes = []
    for p in pre:
        [met] = event_by_event(case, until=p + axonal)
        amplitudes.append(met)
        arrival = p + axonal + dendritic
        expected[arrival + 1 :] += met * keep ** np.arange(100 - arrival - 1)
    assert amplitudes[0] == 0.9 and len(set(amplitudes)) == 12 and amplitudes[-1] < 0.75
    assert np.abs(v - expected)[4:].max() < 1e-12


@pytest.mark.parametrize("engine", ENGINES)
def test_the_amplitude_of_a_spike_is_not_that_of_a_later_potentiation(engine: str) -> None:
    """Potentiation between release and soma, and in the step of release itself (post after pre)."""
    rule = PairSTDP(a_plus=0.2, a_minus=0.0, tau_plus=0.02)
    case = Case([[10, 30]], [[10, 14]], rule, 0.25, 0, 8, steps=60)
    v = case.run(engine).traces["post.v"][:, 0]
    x18, x22 = math.exp(-8 * DT / 0.02), math.exp(-12 * DT / 0.02)
    after = 0.25 + 0.2 * x18 + 0.2 * x22  # the post spikes reach the synapse in steps 18 and 22
    assert math.isclose(v[19], 0.25, rel_tol=1e-13)
    assert math.isclose(v[39], after + 0.25 * math.exp(-20), rel_tol=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_synapse_keeps_its_own_delay_line(engine: str) -> None:
    """Pre spikes in every step through synapses of dendritic delays 0 to 11: the membrane is the
    sum of all that arrives, each with the weight of its own release."""
    n, steps = 12, 60
    rule = PairSTDP(a_plus=0.05, a_minus=0.03, tau_plus=0.003, tau_minus=0.004)
    case = Case(
        [list(range(15, 45))] * n, [[10, 20, 21, 33]], rule, np.linspace(0.1, 0.9, n)[:, None], 0,
        np.arange(n)[:, None], steps=steps,
    )  # fmt: skip
    v = case.run(engine).traces["post.v"][:, 0]
    released = {k: event_by_event(case, until=k) for k in range(15, 45)}
    level, expected = 0.0, []
    for k in range(steps):
        expected.append(level)
        fired = k in (10, 20, 21, 33)
        level *= math.exp(-1.0)
        arriving = math.fsum(released[k - d][d] for d in range(n) if k - d in released)
        level = 0.0 if fired else level + arriving
    assert np.abs(v - np.array(expected)).max() < 1e-11


# ------------------------------------------------------------------ rules of one's own


@final
@dataclass(frozen=True)
class Triplet(Rule):
    """A triplet rule (Pfister & Gerstner 2006): four traces, two of them read before they rise."""

    tau_plus: float = parameter(16.8e-3, "s", above=0)
    tau_minus: float = parameter(33.7e-3, "s", above=0)
    tau_x: float = parameter(101e-3, "s", above=0)
    tau_y: float = parameter(125e-3, "s", above=0)
    a2_plus: float = parameter(5e-3)
    a3_plus: float = parameter(6.2e-3)
    a2_minus: float = parameter(7e-3)
    a3_minus: float = parameter(2.3e-3)

    equations: ClassVar[str] = """
        dr1/dt = -r1/tau_plus
        dr2/dt = -r2/tau_x
        do1/dt = -o1/tau_minus
        do2/dt = -o2/tau_y
    """
    on_pre: ClassVar[str] = """
        w -= o1*(a2_minus + a3_minus*r2)
        r1 += 1
        r2 += 1
    """
    on_post: ClassVar[str] = """
        w += r1*(a2_plus + a3_plus*o2)
        o1 += 1
        o2 += 1
    """


@pytest.mark.parametrize("engine", ENGINES)
def test_a_triplet_rule_against_its_formula(engine: str) -> None:
    rng = np.random.default_rng(11)
    rule = Triplet()
    case = Case(
        poisson(rng, 3, 500, 0.05), poisson(rng, 3, 500, 0.05), rule, 0.5,
        rng.integers(0, 15, (3, 3)), rng.integers(0, 15, (3, 3)), steps=500,
    )  # fmt: skip

    def trace(spikes: Train, now: int, tau: float, with_now: bool) -> float:
        return math.fsum(
            math.exp(-(now - s) * DT / tau) for s in spikes if s < now or with_now and s == now
        )

    expected = []
    for w, pre, post in case.synapses():
        terms = [w]
        for k in pre:
            terms.append(
                -trace(post, k, rule.tau_minus, False)
                * (rule.a2_minus + rule.a3_minus * trace(pre, k, rule.tau_x, False))
            )
        for k in post:
            terms.append(
                trace(pre, k, rule.tau_plus, True)
                * (rule.a2_plus + rule.a3_plus * trace(post, k, rule.tau_y, False))
            )
        expected.append(math.fsum(terms))
    agree(case.run(engine).weights["w"], expected)


@final
@dataclass(frozen=True)
class Odd(Rule):
    """Every statement and function of the language, a trace that is set and one without a use;
    nothing after a postsynaptic spike."""

    tau: float = parameter(0.01, "s", above=0)
    gain: float = parameter(0.3)

    equations: ClassVar[str] = """
        dx/dt = -x/tau
        dunused/dt = -unused/tau
    """
    on_pre: ClassVar[str] = """
        w = where(x > 0.5 and not w > 2, w + gain*tanh(x), w*exp(-0.1))
        w /= 1 + 2**-1*min(x, 0.25)
        w -= 0.01*sqrt(abs(x - 1)) - 1/3*0.1
        x = 1
        x *= max(0.9, 0.7)
    """


@pytest.mark.parametrize("engine", ENGINES)
def test_a_rule_of_every_statement(engine: str) -> None:
    case = Case([[5, 20, 25, 26, 90, 91, 92, 300, 301]], [[7]], Odd(), 1.9, 4, 0, steps=320)
    w, x, last = 1.9, 0.0, 0
    for k in (p + 4 for p in case.pre[0]):
        x *= math.exp(-(k - last) * DT / 0.01)
        last = k
        w = w + 0.3 * math.tanh(x) if x > 0.5 and not w > 2 else w * math.exp(-0.1)
        w /= 1 + 0.5 * min(x, 0.25)
        w -= 0.01 * math.sqrt(abs(x - 1)) - 0.1 / 3
        x = 0.9
    agree(case.run(engine).weights["w"], [w])


@final
@dataclass(frozen=True)
class Clash(Rule):
    """Names that an engine may use for itself."""

    b: float = parameter(0.01, "s", above=0)
    k: float = parameter(0.02, "s", above=0)
    q: float = parameter(0.25)
    then: float = parameter(0.125)
    last: float = parameter(1.0)

    equations: ClassVar[str] = """
        ds/dt = -s/b
        delapsed/dt = -elapsed/k
    """
    on_pre: ClassVar[str] = """
        s += last
        w -= then*elapsed
    """
    on_post: ClassVar[str] = """
        elapsed += last
        w += q*s
    """


@pytest.mark.parametrize("engine", ENGINES)
def test_any_name_may_be_used_in_a_rule(engine: str) -> None:
    case = Case([[10, 40, 44, 90]], [[20, 44, 60]], Clash(), 0.5, 1, 2, steps=120)
    [(w, pre, post)] = case.synapses()
    for p, q in itertools.product(pre, post):
        w += (
            0.25 * math.exp(-(q - p) * DT / 0.01)
            if q >= p
            else -0.125 * math.exp(-(p - q) * DT / 0.02)
        )
    agree(case.run(engine).weights["w"], [w])


@final
@dataclass(frozen=True)
class OwnStep(Rule):
    """A parameter of the name that stands for the time step elsewhere."""

    tau: float = parameter(0.01, "s", above=0)
    dt: float = parameter(0.5)
    equations: ClassVar[str] = "dx/dt = -x/tau"
    on_pre: ClassVar[str] = "x += 1"
    on_post: ClassVar[str] = "w += dt*x"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_parameter_called_dt_is_refused_or_a_parameter(engine: str) -> None:
    try:
        OwnStep().model()
    except ValueError:
        return
    case = Case([[10, 30]], [[20]], OwnStep(), 0.5, steps=50)
    agree(case.run(engine).weights["w"], [0.5 + 0.5 * math.exp(-10 * DT / 0.01)])


def declare(**attributes: Any) -> Callable[..., Any]:
    body = {"__annotations__": {"tau": float}, "tau": parameter(0.02, "s"), **attributes}
    return dataclass(frozen=True)(type("Own", (Rule,), body))


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"equations": "dx/dt = -x/tav"}, "Own.equations: unknown name 'tav'; did you mean 'tau'?"),
        ({"equations": "dx/dt = -x/tau\ndx/dt = -x/tau"}, "Own.equations: "),
        ({"equations": "dtau/dt = -tau/tau"}, "Own.equations: "),
        ({"on_pre": "v += 1"}, "Own.on_pre: 'v' cannot be assigned here; known: w."),
        ({"on_pre": "tau = 1"}, "Own.on_pre: 'tau' cannot be assigned here; known: w."),
        ({"on_post": "w = exp(w, 1)"}, "Own.on_post: exp takes 1 argument(s), by position"),
        (
            {"on_post": "w += v_post"},
            "Own.on_post: unknown name 'v_post'; known: t, tau, w.\n    w += v_post\n         ^\n"
            "To read 'v' of the postsynaptic neuron, declare reads = ('v',).",
        ),
        ({"on_post": "w = clip(w + y, 0, 1)"}, "Own.on_post: unknown name 'y'; known: t, tau, w."),
    ],
)
def test_wrong_declarations_name_their_attribute(attributes: dict[str, str], message: str) -> None:
    with pytest.raises(nf.EquationError) as caught:
        declare(**attributes)().model()
    assert str(caught.value).startswith(message)


def test_a_side_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^Own.first must be 'pre' or 'post'; got 'both'.$"):
        declare(first="both")().model()


def test_plastic_is_what_writes_the_weight() -> None:
    assert not nf.rules.none.plastic
    assert PairSTDP().plastic and Triplet().plastic and Odd().plastic
    assert not declare(equations="dx/dt = -x/tau", on_pre="x += 1")().plastic
    assert nf.rules.none.window(0.01, 1.0) == 0.0
    with pytest.raises(NotImplementedError, match="Triplet has no closed-form window"):
        Triplet().window(0.01, 0.5)


# ------------------------------------------------------------------ its symmetric and reversed kin


@pytest.mark.parametrize(
    "rule",
    [
        SymmetricSTDP(tau=4e-3, a=2e-4, loss_pre=3e-5, loss_post=7e-5, w_min=-3.0, w_max=5.0),
        AntiHebbianSTDP(
            tau_plus=3e-3, tau_minus=7e-3, a_plus=2e-3, a_minus=1e-3, w_min=-3.0, w_max=5.0
        ),
    ],
    ids=lambda r: type(r).__name__,
)
def test_symmetric_and_anti_hebbian(rule: Any) -> None:
    """Random trains and bursts, with delays, in all engines: sums over pairs and over spikes."""
    rng = np.random.default_rng(6)
    pre, post = ([*poisson(rng, 4, 380, 0.06), *(HAND[k][i] for k in HAND)] for i in (0, 1))
    n = len(pre)
    axonal, dendritic = rng.integers(0, 15, n), rng.integers(0, 15, n)
    wanted = []
    for p, q, a, d in zip(pre, post, axonal.tolist(), dendritic.tolist(), strict=True):
        ps, qs = ([k + s for k in t if k + s < 400] for t, s in ((p, a), (q, d)))
        changes = [0.5]
        if isinstance(rule, SymmetricSTDP):
            changes += [
                8 * 2e-4 * math.exp(-abs(j - i) * DT / 4e-3) for i, j in itertools.product(ps, qs)
            ]
            changes += [-8 * 3e-5 * len(ps), -8 * 7e-5 * len(qs)]
        else:
            changes += [
                -8 * 1e-3 * math.exp(-(j - i) * DT / 7e-3)
                if j >= i
                else 8 * 2e-3 * math.exp(-(i - j) * DT / 3e-3)
                for i, j in itertools.product(ps, qs)
            ]
        wanted.append(math.fsum(changes))
    wave = np.zeros((400, n))
    for j, train in enumerate(post):
        wave[train, j] = 1.0
    circuit = nf.Circuit(
        "pairs", [nf.Population("post", FORCED, n)],
        [nf.Projection("pre", "post", 0.5, pattern=nf.OneToOne(), rule=rule, name="w",
                       axonal_delay=axonal * DT, dendritic_delay=dendritic * DT)],
        [nf.SpikeInput("pre", n), nf.CurrentInput("force", "post")],
    )  # fmt: skip
    inputs = {"pre": [np.array(t) * DT for t in pre], "force": wave}
    report = nf.compare(circuit, inputs, duration=400 * DT, record=["w"])
    assert report.ok, str(report)
    agree(report.recordings["numba"].weights["w"], wanted)
    assert max(wanted) > 0.52 and min(wanted) < 0.499


@pytest.mark.parametrize("rule", [SymmetricSTDP(0.004, 0.02, 0.003, 0.005), AntiHebbianSTDP()])
def test_their_windows_and_bounds(rule: Any) -> None:
    formula, simulated = rule_window(rule, np.arange(-20, 21) * 1e-3, 0.5, engine="torch")
    assert formula is not None and np.abs(formula - simulated).max() < 1e-14
    assert formula[20] == pytest.approx(0.012 if isinstance(rule, SymmetricSTDP) else -0.0105)
    _, simulated = rule_window(rule, [-1e-3, 1e-3], 0.999, engine="torch")
    assert simulated.max() == pytest.approx(1e-3, abs=1e-15)


def test_the_time_constants_are_recovered_from_the_window() -> None:
    """A straight line through the logarithm of each side of the simulated window."""
    rule = PairSTDP(tau_plus=16.8e-3, tau_minus=33.7e-3)
    times = np.arange(1, 60) * 1e-3
    for sign, tau, size in ((1, 16.8e-3, 0.01), (-1, 33.7e-3, 0.0105)):
        _, change = rule_window(rule, sign * times, 0.5, engine="torch")
        slope, level = np.polyfit(times, np.log(sign * change), 1)
        assert -1 / slope == pytest.approx(tau, rel=1e-10)
        assert math.exp(level) == pytest.approx(size, rel=1e-10)


# ------------------------------------------------------------------ parameters


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"tau_plus": 0.0}, "PairSTDP.tau_plus must be above 0 s; got 0.0."),
        ({"tau_minus": -1.0}, "PairSTDP.tau_minus must be above 0 s; got -1.0."),
        ({"a_plus": -1e-3}, "PairSTDP.a_plus must be at least 0; got -0.001."),
        ({"a_minus": math.nan}, "PairSTDP.a_minus must be a finite number in 1; got nan."),
        ({"mu_plus": -0.1}, "PairSTDP.mu_plus must be at least 0; got -0.1."),
        ({"mu_minus": math.inf}, "PairSTDP.mu_minus must be a finite number in 1; got inf."),
        ({"w_min": 1.0}, "PairSTDP.w_max must be above w_min (1.0); got 1.0."),
        ({"w_max": -1.0}, "PairSTDP.w_max must be above w_min (0.0); got -1.0."),
    ],
)
def test_parameters_refused(values: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError) as caught:
        PairSTDP(**values)
    assert str(caught.value) == message


def test_rules_are_values() -> None:
    import pickle

    rule = PairSTDP(tau_plus=0.1 + 0.2, w_min=-1 / 3)
    assert eval(repr(rule)) == rule and pickle.loads(pickle.dumps(rule)) == rule
    assert hash(rule) == hash(PairSTDP(tau_plus=0.1 + 0.2, w_min=-1 / 3))
    assert rule != PairSTDP() and nf.rules.RULES["PairSTDP"] is PairSTDP
    assert nf.rules.RULES["none"]() == nf.rules.none


def test_a_part_that_is_misspelt_is_refused() -> None:
    with pytest.raises(TypeError, match=r"^Own.on_prey is no part of a rule; .* 'on_pre'\?$"):

        class Own(Rule):
            on_prey: ClassVar[str] = "w += 1"
